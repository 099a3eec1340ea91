package schedule

import (
	"fmt"
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/config"
)

func TestNicenessIsByRank(t *testing.T) {
	for _, c := range []struct{ priorities, want []int }{
		{[]int{0}, []int{0}},
		{[]int{-1000, -1000}, []int{0, 0}},
		{[]int{1000, -1000}, []int{0, 10}},
		{[]int{0, 5, 0}, []int{10, 0, 10}},
		{[]int{1, 2, 3, 4}, []int{15, 15, 10, 0}},
	} {
		models := &config.Config{}
		for _, p := range c.priorities {
			models.Models = append(models.Models, config.Model{Priority: p})
		}
		var got []int
		for _, p := range c.priorities {
			got = append(got, niceness(models, p))
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("priorities %v: %v, want %v", c.priorities, got, c.want)
		}
	}
}

// The processes are told when they start, and again when entries come that are above them.
func TestPriorityIsInForce(t *testing.T) {
	inTown(t, 100_000, []config.Model{{ID: "a", Priority: 3}, {ID: "b", Priority: -3}}, func(_ string, p *fakeProcess) error {
		p.inspect = takes(2000, 1)
		return nil
	}, func(w *town) {
		told := func(a, b string) {
			t.Helper()
			if x, y := fmt.Sprint(w.newest("a").niceness), fmt.Sprint(w.newest("b").niceness); x != a || y != b {
				t.Errorf("a was told %s and b %s, want %s and %s", x, y, a, b)
			}
		}
		told("[]", "[10]") // as nice as the host: there is nothing to say
		c := *w.Config()
		c.Models = append(c.Models[:2:2], config.Model{ID: "c", Priority: 8, Devices: []string{"cpu"}})
		if _, err := w.Apply(&c); err != nil {
			t.Fatal(err)
		}
		told("[10]", "[10 15]")
		w.stand("a ready 3024, b ready 3024, c ready 3024")
	})
}

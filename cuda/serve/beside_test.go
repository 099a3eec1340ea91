package serve

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/clock"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/far"
)

// A trial on this machine says no more than can be: of far's link, and of the memory that is read to copy and to compute. What it says of machines whose memory
// is shared by a rule is TestHybridBeside of plugins.
func TestWhatACopyTakesOfTheCPU(t *testing.T) {
	const link = 2e9
	c := cpu.New(2)
	defer c.Close()
	d := far.New("far", 64<<20, link, 5e9, c)
	r, err := newTrial(clock.Real(), c, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	if r.reads([]form{{layout: cuda.Plain(cuda.BF16), bytes: 1, cols: map[int]float64{1024: 1}}}) <= 0 {
		t.Fatal("nothing is read")
	}
	rate, takes := r.beside(d, nil)
	t.Logf("%.2f GB/s are copied; each byte takes %.2f of the cpu", rate/1e9, takes)
	if rate <= 0 || rate > 1.1*link || takes < 0 {
		t.Errorf("over a link of %g GB/s %g are copied, and each byte takes %g", link/1e9, rate/1e9, takes)
	}
	if u := d.Usage(); u.Used != 0 {
		t.Errorf("%d bytes are held behind the trial", u.Used)
	}
	if rate, takes := r.beside(far.New("far", 1<<20, link, 5e9, c), nil); rate != 0 || takes != 0 {
		t.Errorf("without room %g bytes a second and %g are told", rate, takes)
	}
}

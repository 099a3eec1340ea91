package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"
)

// Lines such as
//
//	device gpu.0 8GiB
//	model a wanted=4GiB largest=200MiB scratch=100MiB priority=1 busy pinned idle=3s held=4GiB,0 on=0,1
func TestDivisions(t *testing.T) {
	datadriven.Walk(t, "testdata/divisions", func(t *testing.T, file string) {
		datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
			names, devices, tenants, err := parseDivision(d.Input)
			if err != nil {
				d.Fatalf(t, "%v", err)
			}
			out := Divide(devices, tenants, Rules{Linger: 10 * time.Second, Keep: 1. / 32})
			var b strings.Builder
			for i, m := range tenants {
				fmt.Fprintf(&b, "%s:", m.Name)
				for dev, share := range out.Shares[i] {
					fmt.Fprintf(&b, " %s of %s;", size(share), names[dev])
				}
				fmt.Fprintf(&b, " %s\n", out.Why[i])
			}
			if out.Again > 0 {
				fmt.Fprintf(&b, "again after %v\n", out.Again)
			}
			return b.String()
		})
	})
}

func parseDivision(text string) (names []string, devices []int64, tenants []Tenant, err error) {
	for _, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		if words[0] == "device" {
			n, err := number(words[2])
			if err != nil {
				return nil, nil, nil, err
			}
			names, devices = append(names, words[1]), append(devices, int64(n))
			continue
		}
		t := Tenant{Name: words[1], Idle: Never, May: slices.Repeat([]bool{true}, len(devices)), Scratch: make([]int64, len(devices))}
		for _, w := range words[2:] {
			if err := t.parse(w); err != nil {
				return nil, nil, nil, err
			}
		}
		tenants = append(tenants, t)
	}
	return names, devices, tenants, nil
}

func (t *Tenant) parse(word string) (err error) {
	key, value, _ := strings.Cut(word, "=")
	n, _ := number(value)
	switch key {
	case "wanted":
		t.Wanted = int64(n)
	case "largest":
		t.Largest = int64(n)
	case "scratch":
		for d := range t.Scratch {
			t.Scratch[d] = int64(n)
		}
	case "priority":
		t.Priority = int(n)
	case "busy":
		t.Busy, t.Idle = true, 0
	case "pinned":
		t.Pinned = true
	case "idle":
		t.Idle, err = time.ParseDuration(value)
	case "held":
		for _, v := range strings.Split(value, ",") {
			n, _ := number(v)
			t.Held = append(t.Held, int64(n))
		}
	case "on":
		for d := range t.May {
			t.May[d] = slices.Contains(strings.Split(value, ","), fmt.Sprint(d))
		}
	default:
		err = fmt.Errorf("unknown word %q", word)
	}
	return err
}

func drawTenants(t *rapid.T, devices int) (tenants []Tenant) {
	for i := range rapid.IntRange(0, 5).Draw(t, "tenants") {
		m := Tenant{Name: fmt.Sprint(i), Priority: rapid.IntRange(-1, 1).Draw(t, "priority"), Wanted: rapid.Int64Range(0, 400).Draw(t, "wanted"),
			Largest: rapid.Int64Range(0, 60).Draw(t, "largest"), Pinned: rapid.Bool().Draw(t, "pinned"), Busy: rapid.Bool().Draw(t, "busy"),
			Idle: time.Duration(rapid.IntRange(0, 30).Draw(t, "idle")) * time.Second}
		for range devices {
			m.May = append(m.May, rapid.Bool().Draw(t, "may"))
			m.Scratch = append(m.Scratch, rapid.Int64Range(0, 20).Draw(t, "scratch"))
			m.Held = append(m.Held, rapid.Int64Range(0, 200).Draw(t, "held"))
		}
		tenants = append(tenants, m)
	}
	return tenants
}

// Whoever asks for what: no device is promised twice, nobody has what it may not use or has no use for, nobody who is served later
// has what somebody before needs, and dividing again changes nothing.
func TestDivisionInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		devices := rapid.SliceOfN(rapid.Int64Range(0, 600), 1, 3).Draw(t, "devices")
		tenants := drawTenants(t, len(devices))
		r := Rules{Linger: 10 * time.Second, Keep: rapid.SampledFrom([]float64{0, 1. / 16}).Draw(t, "keep")}
		out := Divide(devices, tenants, r)
		for d, all := range devices {
			left := all
			for i := range tenants {
				left -= out.Shares[i][d]
			}
			if left < 0 {
				t.Fatalf("device %d of %d bytes: %d too many are given", d, all, -left)
			}
			if r.Keep > 0 {
				continue
			}
			for i, m := range tenants {
				share := out.Shares[i][d]
				if share > 0 && (!m.may(d) || share > m.takes(d, m.Wanted) || share < m.takes(d, 0)) {
					t.Errorf("tenant %d has %d bytes of device %d: %+v", i, share, d, m)
				}
				var has int64
				for e, s := range out.Shares[i] {
					has += max(0, s-m.scratch(e))
				}
				want := m.Wanted - has
				if share == 0 && left > 0 && m.may(d) && want > 0 && m.takes(d, min(want, m.Largest)) <= left {
					t.Errorf("tenant %d has nothing of device %d, which has %d left: %+v", i, d, left, m)
				}
				if share > 0 && want > 0 && left > 0 {
					t.Errorf("tenant %d would take %d more of device %d, which has %d left", i, want, d, left)
				}
			}
		}
		again := slices.Clone(tenants)
		for i := range again {
			again[i].Held = out.Shares[i]
		}
		if twice := Divide(devices, again, r); !slices.EqualFunc(twice.Shares, out.Shares, slices.Equal) {
			t.Errorf("dividing again gives %v, was %v", twice.Shares, out.Shares)
		}
	})
}

// Two models that ask in turn, faster than they linger, keep what they have: nothing goes back and forth.
func TestNothingThrashes(t *testing.T) {
	devices, r := []int64{1000}, Rules{Linger: 10 * time.Second, Keep: 1. / 32}
	tenants := []Tenant{{Name: "a", Wanted: 900, Largest: 50, May: []bool{true}, Idle: Never}, {Name: "b", Wanted: 900, Largest: 50, May: []bool{true}, Idle: Never}}
	changes := 0
	for second := range 600 {
		for i := range tenants {
			m := &tenants[i]
			m.Busy = (second/4)%2 == i
			switch {
			case m.Busy:
				m.Idle = 0
			case m.Idle != Never:
				m.Idle += time.Second
			}
		}
		out := Divide(devices, tenants, r)
		for i := range tenants {
			if !slices.Equal(tenants[i].Held, out.Shares[i]) {
				changes++
			}
			tenants[i].Held = out.Shares[i]
		}
	}
	if changes > 4 || tenants[0].Held[0] != 500 || tenants[1].Held[0] != 500 {
		t.Errorf("%d changes of shares in ten minutes; in the end %v and %v", changes, tenants[0].Held, tenants[1].Held)
	}
}

package serve

import (
	"fmt"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/clock"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/far"
	"github.com/inference-pio/inference-pio/sdk/plan"
)

// hookLayers are as many as large models have.
const hookLayers = 94

// BenchmarkEnterLayer is the hook with nothing to do and all of it on: a second device, orders that may come, passes that are measured, and every 64th that
// times each module, in which all borders ask. What it takes is said of a layer, in the mean of 64 passes, each kind of which counts with the quickest:
// others use the machine, too. The beginning and the end of a pass are not in it.
func BenchmarkEnterLayer(b *testing.B) {
	for _, measured := range []bool{false, true} {
		b.Run(fmt.Sprintf("measured=%v", measured), func(b *testing.B) {
			s, r := hooked(b, measured)
			var least [2]time.Duration // of a pass, and of one that times
			for b.Loop() {
				r.beginPass(1)
				r.meter.begin(r, 1, 100)
				s.Begin()
				began := time.Now()
				for i := range hookLayers {
					s.EnterLayer(i)
				}
				took, kind := time.Since(began), 0
				if r.passes%sampleEvery == 0 {
					kind = 1
				}
				if least[kind] == 0 || took < least[kind] {
					least[kind] = took
				}
				if err := s.End(); err != nil {
					b.Fatal(err)
				}
				r.finish()
			}
			each := func(t time.Duration) float64 { return float64(t.Nanoseconds()) / hookLayers }
			b.ReportMetric((each(least[0])*(sampleEvery-1)+each(least[1]))/sampleEvery, "ns/layer")
			b.ReportMetric(each(least[0]), "ns/layer-settled")
			b.ReportMetric(each(least[1]), "ns/layer-timed")
		})
	}
}

// hooked is a step through layers that have nothing to do, half of them on a second device, and who places them.
func hooked(b *testing.B, measured bool) (*cuda.Step, *residency) {
	b.Helper()
	c := cpu.New(1)
	b.Cleanup(func() { c.Close() })
	machine := far.NewMachine(c, far.Now())
	devices := []cuda.Device{machine.CPU(), machine.Device("far", 1<<20, 0, 0)}
	var modules []*cuda.Module
	for i := range hookLayers {
		m := &cuda.Module{ID: fmt.Sprint("layers.", i), Layer: i}
		x, err := cuda.FromF32(make([]float32, 16))
		if err != nil {
			b.Fatal(err)
		}
		file, err := cuda.MatrixOf(x)
		if err != nil {
			b.Fatal(err)
		}
		cuda.NewWeight(16).Bind(m.ID+".weight", m, file)
		modules = append(modules, m)
	}
	st := &activations{}
	r := newResidency(devices, modules, st, nil)
	if measured {
		r.meter = &meter{clock: clock.Real(), known: func() plan.Input { return plan.Input{Devices: []plan.Device{{Name: "cpu"}, {Name: "far"}}} }}
	}
	s := cuda.NewStep([]cuda.Device{r.meter.cpuOf(devices[0]), devices[1]}, modules, r)
	st.step = s
	b.Cleanup(func() {
		r.close()
		s.Close()
	})
	for i, p := range r.layers {
		if i%2 == 1 {
			if err := r.move(p, 1); err != nil {
				b.Fatal(err)
			}
		}
	}
	return s, r
}

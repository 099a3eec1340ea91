//go:build cuda && cgo

package gpu

// experts_test.go has experts come to a GPU and leave it between passes: its table of them is what has changed, written in the queue.

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/kernels"
	"github.com/inference-pio/inference-pio/cuda/kernels/sim"
)

const (
	mixExperts, mixHidden, mixInner = 6, 64, 32
	mixRows, mixEach                = 3, 2
)

// sparse is a layer of experts on a CPU, some of which a GPU has, too.
type sparse struct {
	t       *testing.T
	d       *Device
	s       *cuda.Step
	layer   *cuda.Module
	experts []*cuda.Module
	there   []cuda.Memory // by expert
	mixture *cuda.Mixture
	home    int // device of the layer
}

// Enter implements cuda.Residency.
func (p *sparse) Enter(*cuda.Module) (int, cuda.Event, error) { return p.home, nil, nil }

func newSparse(t *testing.T, d *Device) *sparse {
	t.Helper()
	c := cpu.New(1)
	t.Cleanup(func() { c.Close() })
	p := &sparse{t: t, d: d, layer: &cuda.Module{ID: "layers.0"}, there: make([]cuda.Memory, mixExperts)}
	rng, list := rand.New(rand.NewPCG(1, 2)), []cuda.ExpertWeights(nil)
	for i := range mixExperts {
		m := &cuda.Module{ID: fmt.Sprint("layers.0.mlp.experts.", i)}
		weight := func(name string, rows, cols int) *cuda.Weight {
			data, err := cuda.FromF32(random(rng, rows*cols), rows, cols)
			if err != nil {
				t.Fatal(err)
			}
			file, err := cuda.MatrixOf(data)
			if err != nil {
				t.Fatal(err)
			}
			w := cuda.NewWeight(rows, cols)
			w.Bind(m.ID+name, m, file)
			return w
		}
		p.experts = append(p.experts, m)
		list = append(list, cuda.ExpertWeights{Gate: weight(".gate", mixInner, mixHidden), Up: weight(".up", mixInner, mixHidden), Down: weight(".down", mixHidden, mixInner)})
	}
	p.mixture = cuda.NewMixture(list)
	p.s = cuda.NewStep([]cuda.Device{c, d}, []*cuda.Module{p.layer}, p)
	for dev := range 2 {
		if err := p.s.Reserve(dev, cuda.Sizes{Step: 1 << 14, Even: 1 << 16, Odd: 1 << 12, Part: 1 << 16, Work: 1 << 16}); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for i := range p.experts {
			p.leave(i)
		}
		p.s.Release(0)
		p.s.Release(1)
		p.s.Close()
		for mem := range d.tables.rest() {
			d.Free(mem)
		}
	})
	return p
}

// come brings an expert to the GPU, into other memory each time.
func (p *sparse) come(i int) {
	m := p.experts[i]
	if p.there[i].Bytes() > 0 {
		return
	}
	var bytes int64
	for _, w := range m.Weights {
		bytes += w.File().Layout.DeviceBytes(w.File().Rows, w.File().Cols)
	}
	mem, err := p.d.Alloc(bytes, cuda.ForWeights)
	if err != nil {
		p.t.Fatal(err)
	}
	q, offset := p.d.NewQueue(), int64(0)
	defer q.Close()
	for _, w := range m.Weights {
		f := w.File()
		there, err := f.Layout.Lay(p.d, mem, offset, f.Rows, f.Cols)
		if err != nil {
			p.t.Fatal(err)
		}
		offset += f.Layout.DeviceBytes(f.Rows, f.Cols)
		q.Fill(there, f)
		w.Put(1, there)
	}
	if err := q.Sync(); err != nil {
		p.t.Fatal(err)
	}
	p.there[i] = mem
	m.Settle(1)
}

// leave has an expert computed on the CPU; whoever uses the copy still is found by the driver.
func (p *sparse) leave(i int) {
	if p.there[i].Bytes() == 0 {
		return
	}
	p.experts[i].Settle(0)
	for _, w := range p.experts[i].Weights {
		w.Drop(1)
	}
	p.s.Queue(1).Free(p.there[i])
	p.there[i] = cuda.Memory{}
}

// run sends rows to experts.
func (p *sparse) run(index []int32) []float32 {
	p.t.Helper()
	rng := rand.New(rand.NewPCG(5, 6))
	p.s.Begin()
	x, weights := p.s.InputF32(random(rng, mixRows*mixHidden), mixRows, mixHidden), p.s.InputF32(random(rng, mixRows*mixEach), mixRows, mixEach)
	at := p.s.Input(index, mixRows, mixEach)
	p.s.EnterLayer(0)
	y := p.s.ToHost(p.s.Experts(x, at, weights, p.mixture))
	if err := p.s.End(); err != nil {
		p.t.Fatal(err)
	}
	return slices.Clone(y.F32())
}

// Whichever experts have come and gone since the pass before, each row is computed with all of its own, and with none that has left.
func TestTablesFollowExperts(t *testing.T) {
	atEveryPace(t, func(t *testing.T, s *sim.Driver) {
		d := open(t, Options{})
		rng, p := rand.New(rand.NewPCG(3, 4)), newSparse(t, d)
		kept := d.Usage().For[cuda.ForScratch]
		for range 8 {
			index := make([]int32, 0, mixRows*mixEach)
			for range mixRows {
				for _, e := range rng.Perm(mixExperts)[:mixEach] {
					index = append(index, int32(e))
				}
			}
			for i := range mixExperts {
				p.leave(i)
			}
			p.home = 0
			want := p.run(index)
			for again := range 3 { // the same experts: lists that are told again find the table where it was
				if p.home = 1; again == 0 {
					for i := range mixExperts {
						if rng.IntN(2) == 0 {
							p.come(i)
						}
					}
				}
				got := p.run(index)
				for i := range want {
					if apart := got[i] - want[i]; apart > 1e-3*want[i]+1e-3 || -apart > 1e-3*want[i]+1e-3 {
						t.Fatalf("%v with experts %v there: element %d is %v, all on the cpu %v", index, p.has(), i, got[i], want[i])
					}
				}
			}
		}
		if tables := d.Usage().For[cuda.ForScratch] - kept; tables > mixExperts*expertBytes {
			t.Errorf("tables of one layer take %d bytes, and one of them %d", tables, mixExperts*expertBytes)
		}
	})
}

// has lists the experts that are there.
func (p *sparse) has() (list []int) {
	for i := range p.there {
		if p.there[i].Bytes() > 0 {
			list = append(list, i)
		}
	}
	return list
}

// More changes at once than there is pinned memory for are written in several goes, each expert as it is told.
func TestPatchesBeyondPinnedMemory(t *testing.T) {
	atEveryPace(t, func(t *testing.T, _ *sim.Driver) {
		d := open(t, Options{})
		b, p := newBoard(t, d), newSparse(t, d)
		var err error
		if b.q.patches.memory, err = d.pin(2 * int(expertBytes)); err != nil {
			t.Fatal(err)
		}
		of, moved := &cuda.ExpertTable{Experts: make([]cuda.Expert, mixExperts)}, []int(nil)
		native := b.q.tableOf(of, nil, nil).(*table)
		if native.err != nil {
			t.Fatal(native.err)
		}
		for i := range mixExperts {
			p.come(i)
			w := p.experts[i].Weights
			of.Experts[i] = cuda.Expert{Gate: w[0].On(1), Up: w[1].On(1), Down: w[2].On(1)}
			moved = append(moved, i)
		}
		if err := b.q.patch(native, of, moved); err != nil {
			t.Fatal(err)
		}
		got := make([]kernels.Matrix, 3*mixExperts)
		mem := cuda.NewMemory(native.at, mixExperts*expertBytes, cuda.ForScratch)
		there, err := cuda.DeviceTensor(d, mem, 0, cuda.U8, int(mixExperts*expertBytes))
		if err != nil {
			t.Fatal(err)
		}
		here, err := cuda.HostTensor(encodedBytes(got), cuda.U8, int(mixExperts*expertBytes))
		if err != nil {
			t.Fatal(err)
		}
		b.q.CopyOut(here, there)
		b.sync()
		var want []kernels.Matrix
		for i := range of.Experts {
			if want, err = appendExpert(want, &of.Experts[i]); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("the table is %+v, not %+v", got, want)
		}
	})
}

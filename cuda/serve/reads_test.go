package serve

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/clock"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/sdk"
)

// reads_test.go has a CPU whose products take a time that is known read for a table.

// timed is that CPU, and the clock that its products move on.
type timed struct {
	cuda.Device
	clock.Clock
	rates map[string]float64 // bytes a second, by layout
	now   time.Duration
	cols  map[int]bool // of products
}

const timedOp = 20e-6 // seconds of a product beside what it reads

func (d *timed) Now() time.Duration { return d.now }

func (d *timed) NewQueue() cuda.Queue { return &timedQueue{d.Device.NewQueue(), d} }

func (d *timed) Rates() cuda.Rates { return cuda.Rates{Copy: 1e12, Read: 1e12, FLOPS: 1e12} }

type timedQueue struct {
	cuda.Queue
	d *timed
}

func (q *timedQueue) Run(op *cuda.Op) {
	w := op.Weights[0]
	q.d.cols[w.Cols] = true
	q.d.now += time.Duration(1e9 * (timedOp + float64(w.Bytes())/q.d.rates[w.Layout.Name]))
}

// What is told is what products read: in the forms that a token reads much of, each by its share, as wide as most of it is, and without what ops take.
func TestACPUReadsWhatItsProductsDo(t *testing.T) {
	c := cpu.New(1)
	defer c.Close()
	d := &timed{Device: c, Clock: clock.Real(), rates: map[string]float64{cuda.Q8: 20e9, cuda.Q4: 8e9, "bf16": 30e9}, cols: map[int]bool{}}
	o := &opened{bound: new(nn.Bound)}
	var table sdk.LayerTable
	add := func(l *cuda.Layout, rows, cols int, part float64) {
		m := &cuda.Module{ID: fmt.Sprintf("layers.%d", len(o.bound.Modules))}
		w := cuda.NewWeight(rows, cols)
		w.Bind(m.ID, m, cuda.Matrix{Rows: rows, Cols: cols, Layout: l})
		o.bound.Modules = append(o.bound.Modules, m)
		bytes := w.File().Layout.DeviceBytes(rows, cols)
		table.Modules = append(table.Modules, sdk.Module{ID: m.ID, WeightBytes: bytes, ActiveBytesToken: int64(part * float64(bytes))})
	}
	add(cuda.Plain(cuda.BF16), 4096, 4096, 0.01) // a table of which rows are looked up
	add(cuda.Quantised(cuda.Q4), 2048, 1024, 1)
	add(cuda.Quantised(cuda.Q4), 1024, 2048, 1./4)
	add(cuda.Quantised(cuda.Q8), 1024, 1024, 1)
	q4, q8 := 1.25*4.25/8*2048*1024, 8.125/8*1024*1024
	want := (q4 + q8) / (q4/8e9 + q8/20e9)
	table.Devices = []sdk.DeviceTable{{ReadRate: 1e12}}
	o.tellReads(&table, []cuda.Device{d}, d, timedOp, false, false)
	if got := table.Devices[0].ReadRate; math.Abs(got/want-1) > 1e-3 {
		t.Errorf("%.3f GB/s are told, where products read %.3f", got/1e9, want/1e9)
	}
	if len(d.cols) != 1 || !d.cols[1024] {
		t.Errorf("products are of %v columns", d.cols)
	}
	table.Devices[0].ReadRate = 5e9
	if o.tellReads(&table, []cuda.Device{d}, d, timedOp, true, false); table.Devices[0].ReadRate != 5e9 {
		t.Errorf("a rate that was known is %g", table.Devices[0].ReadRate)
	}
}

package serve

import (
	"log/slog"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/engine"
)

// stepper.go is the engine's adapter: rows of integers in, ids or logits out. It owns nothing but its buffers, which it uses again
// for every step.

// stepper implements engine.Model.
type stepper struct {
	model  Model
	step   *cuda.Step
	cache  []*nn.Cache
	blocks int // of the caches
	vocab  int
	widest int // a table of blocks, of a whole context
	place  *residency
	vigil  *vigil
	eyes   *eyes // nil: the model sees nothing
	spill  *spill

	tokens, positions, seqs, forms, tables []int32
	slots                                  []int32 // by row of the batch: the engine's slot
	onBoard                                []int32 // by row of tables: the engine's slot
	rowOf                                  []int32 // by slot: its row of tables, -1 without one
	batch                                  nn.Batch
	sight                                  sightings
	outputs                                outputs
}

// Step implements engine.Model.
func (t *stepper) Step(b *engine.Batch) ([][]float32, error) {
	if err := t.vigil.before(); err != nil {
		return nil, err
	}
	width := t.fill(b)
	if t.eyes != nil {
		t.sight.fill(t.eyes.model, b)
	}
	t.place.beginPass(len(b.Rows))
	t.place.meter.begin(t.place, len(b.Rows), depthOf(b))
	defer t.place.finish()
	t.step.Begin()
	t.copy(b.Copies)
	t.forward(t.step, width)
	if err := t.step.End(); err != nil {
		return nil, told(err)
	}
	if err := t.vigil.after(); err != nil {
		return nil, err
	}
	answers, err := t.outputs.give(t.step)
	return answers, told(err)
}

// depthOf is how many positions of cache a row reads in the mean.
func depthOf(b *engine.Batch) int {
	sum := 0
	for _, r := range b.Rows {
		sum += int(r.Pos) + 1
	}
	return sum / max(1, len(b.Rows))
}

// copy makes what one sequence computed another's, in every layer, where the layer lies.
func (t *stepper) copy(list []engine.Copy) {
	if len(list) > 0 {
		t.place.fresh = false // in all layers
	}
	for _, c := range list {
		if c.Host != engine.Within {
			t.spill.copy(t.step, t.cache, c)
			continue
		}
		for _, cache := range t.cache {
			if c.State {
				cache.CopySlot(t.step, int(c.From), int(c.To))
			} else {
				cache.CopyBlock(t.step, int(c.From), int(c.To))
			}
		}
	}
}

// Sweep implements engine.Sweeper.
func (t *stepper) Sweep(blocks []int32) {
	t.place.begin()
	defer t.place.finish()
	t.spill.release()
	for _, b := range blocks {
		for _, cache := range t.cache {
			if err := cache.DiscardBlock(int(b)); err != nil {
				slog.Warn("memory of the cache was not given back", "error", err)
				return
			}
		}
	}
}

// Prepare implements engine.Preparer.
func (t *stepper) Prepare(media []engine.Media) (done bool, err error) {
	if t.eyes == nil {
		return false, sdk.Errorf(sdk.ReasonInvalid, "this model takes no pictures")
	}
	if err := t.vigil.before(); err != nil {
		return false, err
	}
	done, err = t.eyes.prepare(media)
	if changed := t.vigil.after(); changed != nil {
		return false, changed
	}
	return done, told(err)
}

// tableStep is what the width of tables is a multiple of, as far as contexts go: steps of one batch have equal shapes for as long, and a
// device that keeps what it was told for a step can use it again.
const tableStep = 8

// fill lays the rows out as arrays and returns the width of the tables.
func (t *stepper) fill(b *engine.Batch) (width int) {
	t.tokens, t.positions, t.seqs = t.tokens[:0], t.positions[:0], t.seqs[:0]
	t.outputs.begin(t.vocab)
	t.slots, t.forms, t.onBoard, t.batch.Segments = t.slots[:0], t.forms[:0], t.onBoard[:0], t.batch.Segments[:0]
	for len(t.rowOf) < len(b.Tables) {
		t.rowOf = append(t.rowOf, -1)
	}
	for i, r := range b.Rows {
		if t.rowOf[r.Seq] < 0 {
			t.rowOf[r.Seq] = int32(len(t.onBoard))
			t.onBoard = append(t.onBoard, r.Seq)
			width = max(width, len(b.Tables[r.Seq]))
		}
		t.tokens, t.positions, t.seqs = append(t.tokens, r.Token), append(t.positions, r.Pos), append(t.seqs, t.rowOf[r.Seq])
		t.slots, t.forms = append(t.slots, r.Seq), append(t.forms, int32(r.Form))
		t.outputs.ask(i, &b.Rows[i])
		t.extend(i, r)
	}
	width = max(width, min(t.widest, (width+tableStep-1)/tableStep*tableStep))
	t.tables = t.tables[:0]
	for _, slot := range t.onBoard {
		t.tables = append(t.tables, b.Tables[slot]...)
		for range width - len(b.Tables[slot]) {
			t.tables = append(t.tables, -1)
		}
		t.rowOf[slot] = -1
	}
	return width
}

// extend adds row i to the running segment or begins a new one.
func (t *stepper) extend(i int, r engine.Row) {
	segments, seq, form := t.batch.Segments, int(t.rowOf[r.Seq]), nn.Form(r.Form)
	if n := len(segments); n > 0 {
		last := &segments[n-1]
		if last.Seq == seq && last.Form == form && last.Start+last.To-last.From == int(r.Pos) {
			last.To++
			return
		}
	}
	t.batch.Segments = append(segments, nn.Segment{Seq: seq, From: i, To: i + 1, Start: int(r.Pos), Form: form})
}

// forward runs the model over what fill laid out; also in a step that only measures.
func (t *stepper) forward(s *cuda.Step, width int) {
	b := &t.batch
	b.Caches = t.cache
	b.Pages = s.Pages(t.positions, t.seqs, t.tables, width, t.blocks, nn.BlockSize)
	b.Tokens, b.Outputs = s.Input(t.tokens), s.Input(t.outputs.list())
	b.Slots, b.Forms = s.Input(t.slots), s.Input(t.forms)
	t.sight.input(s, b, len(t.tokens))
	t.outputs.look(s, t.model, t.model.Forward(s, b))
}

// fullest fills in the largest batch there can be, for measuring: every row of another position, and so many rows of logits.
func (t *stepper) fullest(rows, sequences, outputs, width int) int {
	if m, ok := t.model.(Seer); ok {
		t.sight.fullest(m, rows)
	}
	b := &engine.Batch{Tables: make([][]int32, sequences)}
	for i := range b.Tables {
		b.Tables[i] = make([]int32, width)
	}
	for i := range rows {
		b.Rows = append(b.Rows, engine.Row{Pos: int32(i % (width * nn.BlockSize)), Seq: int32(min(i, sequences-1)), Output: i < outputs})
	}
	return t.fill(b)
}

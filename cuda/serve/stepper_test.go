package serve

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/sdk/engine"
)

// Every row is given the blocks of its own sequence, whoever else is in the batch and wherever its slot is; and the segments are the rows,
// cut where the sequence, the form or the order of positions changes.
func TestRowsHaveTheBlocksOfTheirSequence(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	var s stepper
	for range 200 {
		b := randomBatch(r)
		width := s.fill(b)
		if len(s.tables) != width*len(s.onBoard) {
			t.Fatalf("%d blocks in %d tables of %d", len(s.tables), len(s.onBoard), width)
		}
		for i, row := range b.Rows {
			got, want := s.tables[int(s.seqs[i])*width:][:width], b.Tables[row.Seq]
			if !slices.Equal(got[:len(want)], want) || slices.ContainsFunc(got[len(want):], func(b int32) bool { return b >= 0 }) {
				t.Fatalf("row %d of slot %d has the blocks %v; its sequence has %v", i, row.Seq, got, want)
			}
			if s.tokens[i] != row.Token || s.positions[i] != row.Pos || s.slots[i] != row.Seq || s.forms[i] != int32(row.Form) {
				t.Fatalf("row %d is token %d at %d in slot %d, form %d; asked was %+v", i, s.tokens[i], s.positions[i], s.slots[i], s.forms[i], row)
			}
		}
		checkSegments(t, &s, b)
	}
}

// randomBatch is rows of some of eight slots, in parts of a prompt and single generated rows.
func randomBatch(r *rand.Rand) *engine.Batch {
	b := &engine.Batch{Tables: make([][]int32, 8)}
	for _, slot := range r.Perm(8)[:1+r.IntN(8)] {
		blocks := 1 + r.IntN(5)
		for range blocks {
			b.Tables[slot] = append(b.Tables[slot], r.Int32N(100))
		}
		at, prompt, generated := r.IntN(3), r.IntN(4), r.IntN(2)
		for i := range max(1, prompt+generated) {
			form := engine.Prefill
			if i >= prompt {
				form = engine.Decode
			}
			b.Rows = append(b.Rows, engine.Row{Token: r.Int32N(1000), Pos: int32(at + i), Seq: int32(slot), Form: form})
		}
	}
	return b
}

func checkSegments(t *testing.T, s *stepper, b *engine.Batch) {
	t.Helper()
	next := 0
	for n, seg := range s.batch.Segments {
		if seg.From != next || seg.To <= seg.From {
			t.Fatalf("segment %d is rows %d to %d; the one before ends at %d", n, seg.From, seg.To, next)
		}
		next = seg.To
		for i := seg.From; i < seg.To; i++ {
			row := b.Rows[i]
			if seg.Seq != int(s.seqs[i]) || seg.Form != nn.Form(row.Form) || seg.Start+i-seg.From != int(row.Pos) {
				t.Fatalf("row %d (%+v) is in the segment %+v", i, row, seg)
			}
		}
	}
	if next != len(b.Rows) {
		t.Fatalf("the segments end at row %d of %d", next, len(b.Rows))
	}
}

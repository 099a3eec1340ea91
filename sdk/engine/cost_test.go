package engine

import (
	"runtime"
	"testing"
)

func TestTokenAllocatesNothing(t *testing.T) {
	logits := make([]float32, fakeVocab)
	rows := make([][]float32, 0, 4)
	e, err := New(modelFunc(func(b *Batch) ([][]float32, error) {
		rows = rows[:0]
		for _, r := range b.Rows {
			if r.Output {
				logits[r.Pos%fakeVocab]++
				rows = append(rows, logits)
			}
		}
		return rows, nil
	}), Config{Blocks: 200, MaxSequences: 1, StepTokens: 64, Context: 12000, Vocab: fakeVocab})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	mallocs := func(tokens int) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := e.Generate(t.Context(), Request{Prompt: []int32{1}, MaxTokens: tokens, Sampling: Params{Temperature: 1, TopK: 5}},
			func(Sampled) (bool, error) { return false, nil }); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		return after.Mallocs - before.Mallocs
	}
	mallocs(10)
	few, many := mallocs(1000), mallocs(11000)
	if many > few+500 { // one in 20 tokens: slices double now and then, and on a busy machine the runtime allocates, too
		t.Errorf("1,000 tokens allocate %d times, 11,000 tokens %d times", few, many)
	}
}

func BenchmarkTokenOverhead(b *testing.B) {
	logits := make([]float32, fakeVocab)
	rows := [][]float32{logits}
	e, err := New(modelFunc(func(*Batch) ([][]float32, error) { return rows, nil }),
		Config{Blocks: 1 << 14, MaxSequences: 1, StepTokens: 64, Context: 1 << 20, Vocab: fakeVocab})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	n := min(b.N, 1<<20-1)
	b.ReportAllocs()
	if _, err := e.Generate(b.Context(), Request{Prompt: []int32{1}, MaxTokens: n}, func(Sampled) (bool, error) { return false, nil }); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkLookUp finds all of a prompt of 12,000 tokens in the prefix cache.
func BenchmarkLookUp(b *testing.B) {
	prompt := ids(12000, 1)
	table := newBlockTable(200, 200)
	at := content(0)
	var blocks []int32
	for i := 0; i+BlockSize <= len(prompt); i += BlockSize {
		block := table.take()
		at = table.publish(block, at, prompt[i:i+BlockSize])
		blocks = append(blocks, block)
	}
	table.release(blocks)
	b.ReportAllocs()
	for b.Loop() {
		found, _ := table.find(prompt, blocks[:0])
		if len(found) != len(prompt)/BlockSize {
			b.Fatal(len(found))
		}
		table.release(found)
	}
}

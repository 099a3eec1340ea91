package engine

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
)

// What is chosen for several answers at once, by goroutines of their own, is what each would get alone.
func TestChoicesMadeTogether(t *testing.T) {
	const vocab, answers, tokens = togetherLeast + 77, 7, 12
	var mu sync.Mutex
	most := 0 // rows in a step
	var cores atomic.Int32
	e, err := New(modelFunc(func(b *Batch) (rows [][]float32, _ error) {
		mu.Lock()
		defer mu.Unlock()
		for _, r := range b.Rows {
			if r.Output {
				source := rand.New(rand.NewPCG(uint64(r.Token), uint64(r.Pos)))
				row := make([]float32, vocab)
				for i := range row {
					row[i] = float32(source.NormFloat64() * 3)
				}
				rows = append(rows, row)
			}
		}
		most = max(most, len(rows))
		return rows, nil
	}), Config{Blocks: 64, MaxSequences: answers, StepTokens: 128, Context: 100, Vocab: vocab, PromptLogprobs: true, Cores: func() int { return int(cores.Add(1)) % 5 }})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	answer := func(i int) (list []Sampled) {
		p := []Params{{Temperature: 1}, {Temperature: .7, TopP: .9}, {Temperature: 1, MinP: .02, Logprobs: true, TopLogprobs: 3}, {Logprobs: true},
			{Temperature: 1.5, TopK: 40, TopP: .8}, {Temperature: 1, LogitBias: map[int32]float64{5: 9}, FrequencyPenalty: .5}, {}}[i]
		p.Seed = uint64(i)
		r := Request{Prompt: append([]int32{int32(i)}, ids(40, 7)...), MaxTokens: tokens, Sampling: p, ScorePrompt: p.Logprobs}
		_, err := e.Generate(t.Context(), r, func(s Sampled) (bool, error) {
			list = append(list, s)
			return false, nil
		})
		if err != nil {
			t.Error(err)
		}
		return list
	}
	var alone, together [answers][]Sampled
	for i := range answers {
		alone[i] = answer(i)
	}
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() { together[i] = answer(i) })
	}
	all.Wait()
	for i := range answers {
		if len(alone[i]) != tokens || !reflect.DeepEqual(together[i], alone[i]) {
			t.Errorf("answer %d alone: %v, with others: %v", i, fmt.Sprint(alone[i]), fmt.Sprint(together[i]))
		}
	}
	if most < 2 {
		t.Error("no step had two answers")
	}
}

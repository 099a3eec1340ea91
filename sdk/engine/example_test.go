package engine_test

import (
	"context"
	"fmt"

	"github.com/inference-pio/inference-pio/sdk/engine"
)

// counter is a model of ten words that says the next one. What a row sees is its own token, so that it needs no cache.
type counter struct{}

func (counter) Step(b *engine.Batch) (logits [][]float32, err error) {
	for _, row := range b.Rows {
		if row.Output {
			next := make([]float32, 10)
			next[(row.Token+1)%10] = 1
			logits = append(logits, next)
		}
	}
	return logits, nil
}

// A model is one method over ids; batches, chunks, the cache's blocks and sampling are the engine's.
func Example() {
	e, err := engine.New(counter{}, engine.Config{Blocks: 8, MaxSequences: 2, StepTokens: 65, Context: 128, Vocab: 10})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer e.Close()
	request := engine.Request{Prompt: []int32{3}, MaxTokens: 20, EOS: []int32{8}}
	result, err := e.Generate(context.Background(), request, func(s engine.Sampled) (stop bool, err error) {
		fmt.Print(s.ID, " ")
		return false, nil
	})
	fmt.Println(result.Reason, result.Completion, err)
	// Output: 4 5 6 7 8 stop 5 <nil>
}

package text_test

import (
	"context"
	"fmt"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/engine"
	"github.com/inference-pio/inference-pio/sdk/text"
)

// A plugin whose answers come from an engine of its own uses the two ends: Prompt has the ids to begin with, a Decoder turns each id
// that was drawn into the event that the host gets. This checkpoint has no tokenizer, so that prompts are ids and no text is shown.
func ExampleModel_NewDecoder() {
	ctx := context.Background()
	m, err := text.Open(ctx, "testdata/qwen3_coder_30b")
	if err != nil {
		fmt.Println(err)
		return
	}
	request := sdk.GenerateRequest{Tokens: []int32{5, 6, 7}}
	prompt, err := m.Prompt(ctx, request)
	if err != nil {
		fmt.Println(err)
		return
	}
	d, err := m.NewDecoder(ctx, request, prompt)
	if err != nil {
		fmt.Println(err)
		return
	}
	for i, id := range []int32{8, 9, m.EOS()[0]} { // what the engine drew
		token, stop := d.Push(engine.Sampled{Index: i, ID: id})
		fmt.Println(token.Index, token.ID, stop)
	}
	finish := d.Finish(engine.Result{Reason: sdk.FinishStop, Completion: 3}, len(prompt))
	fmt.Println(finish.Reason, finish.PromptTokens, finish.CompletionTokens)
	// Output:
	// 0 8 false
	// 1 9 false
	// 2 933 false
	// stop 3 3
}

package text_test

import (
	"context"
	"fmt"
	"slices"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/engine"
	"github.com/inference-pio/inference-pio/sdk/text"
)

// A plugin with an engine of its own uses the two ends, Prompt and a Decoder, and may draw with the Sampler in between: what it draws is
// then the same as with sdk/engine. This checkpoint has no tokenizer, so that prompts are ids and no text is shown.
func ExampleModel_NewDecoder() {
	ctx := context.Background()
	m, err := text.Open(ctx, "testdata/qwen3_coder_30b")
	if err != nil {
		fmt.Println(err)
		return
	}
	greedy := 0.0
	request := sdk.GenerateRequest{Tokens: []int32{5, 6, 7}, Sampling: sdk.Sampling{Temperature: &greedy}}
	prompt, err := m.Prompt(ctx, request)
	if err != nil {
		fmt.Println(err)
		return
	}
	decoder, err := m.NewDecoder(ctx, request, prompt)
	if err != nil {
		fmt.Println(err)
		return
	}
	sampler := engine.NewSampler(m.Params(request.Sampling), request.Choice)
	sampler.Prompt(prompt...)
	result := engine.Result{Reason: sdk.FinishLength}
	for last := prompt[len(prompt)-1]; result.Completion < 3; {
		logits := make([]float32, 16) // what the model computed: each id is followed by the next one
		logits[last+1] = 1
		id, logprob, err := sampler.Sample(logits, len(prompt)+result.Completion)
		if err != nil {
			fmt.Println(err)
			return
		}
		sampler.Answer(id)
		token, stop := decoder.Push(engine.Sampled{Index: result.Completion, ID: id, Logprob: logprob})
		fmt.Println(token.Index, token.ID)
		result.Completion++
		if stop || slices.Contains(m.EOS(), id) {
			result.Reason = sdk.FinishStop
			break
		}
		last = id
	}
	finish := decoder.Finish(result, len(prompt))
	fmt.Println(finish.Reason, finish.PromptTokens, finish.CompletionTokens)
	// Output:
	// 0 8
	// 1 9
	// 2 10
	// length 3 3
}

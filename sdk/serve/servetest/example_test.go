package servetest_test

import (
	"context"
	"fmt"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/serve/servetest"
)

// parrot answers with the prompt.
type parrot struct{}

func (parrot) Describe() sdk.Description { return sdk.Description{Name: "parrot", Version: "0.1.0"} }

func (parrot) Inspect(context.Context, sdk.InspectRequest) (sdk.Inspection, error) {
	return sdk.Inspection{Fit: sdk.FitExact}, nil
}

func (parrot) Load(context.Context, sdk.LoadRequest, func(sdk.Progress)) (sdk.LayerTable, error) {
	return sdk.LayerTable{Context: 64}, nil
}

func (parrot) Generate(_ context.Context, req sdk.GenerateRequest, send func(sdk.Event) error) error {
	for _, e := range []sdk.Event{
		{Start: &sdk.Start{Prompt: []int32{1}, ContextLength: 64}},
		{Token: &sdk.Token{ID: 1, Text: req.Text}},
		{Finish: &sdk.Finish{Reason: sdk.FinishStop, PromptTokens: 1, CompletionTokens: 1}},
	} {
		if err := send(e); err != nil {
			return err
		}
	}
	return nil
}

// The host's side of a plugin, without a process: everything is translated, checked and bounded as it is between two of them.
func ExampleInProcess() {
	host, stop, err := servetest.InProcess(parrot{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop()
	ctx := context.Background()
	if _, err := host.Load(ctx, sdk.LoadRequest{InspectRequest: sdk.InspectRequest{Path: "/checkpoint"}}, nil); err != nil {
		fmt.Println(err)
		return
	}
	err = host.Generate(ctx, sdk.GenerateRequest{Text: "good morning", HasText: true}, func(e sdk.Event) error {
		if e.Token != nil {
			fmt.Println(e.Token.Text)
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// good morning
	// <nil>
}

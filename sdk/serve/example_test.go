package serve_test

import (
	"context"
	"log/slog"
	"os"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/serve"
)

// mute is a plugin that has nothing to say. sdk/examples/echo is one that has.
type mute struct{}

func (mute) Describe() sdk.Description {
	return sdk.Description{Name: "mute", Version: "0.1.0", Architectures: []string{"MuteForCausalLM"}}
}

func (mute) Inspect(_ context.Context, req sdk.InspectRequest) (sdk.Inspection, error) {
	return sdk.Inspection{Fit: sdk.FitExact, Table: sdk.LayerTable{Context: 1024, MaxSequences: 1}}, nil
}

func (mute) Load(context.Context, sdk.LoadRequest, func(sdk.Progress)) (sdk.LayerTable, error) {
	return sdk.LayerTable{Context: 1024, MaxSequences: 1}, nil
}

func (mute) Generate(_ context.Context, _ sdk.GenerateRequest, send func(sdk.Event) error) error {
	if err := send(sdk.Event{Start: &sdk.Start{ContextLength: 1024}}); err != nil {
		return err
	}
	return send(sdk.Event{Finish: &sdk.Finish{Reason: sdk.FinishStop}})
}

// The whole main function of a plugin. Started by hand it says what it is; started by a host it serves until the host ends it.
func ExampleMain() {
	serve.Main(mute{})
}

// Main makes such a handler the default. A logger of one's own that is to reach the host's log with its levels needs one too.
func ExampleNewLogHandler() {
	log := slog.New(serve.NewLogHandler(os.Stderr, slog.LevelDebug)).With("part", "cache")
	log.Debug("a block is free")
}

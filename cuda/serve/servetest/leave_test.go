package servetest

import (
	"context"
	"errors"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/serve"
	"github.com/inference-pio/inference-pio/sdk"
)

// leaving is a host that gives up when the context has been looked at so often.
type leaving struct {
	context.Context
	looks int
}

func (l *leaving) Err() error {
	if l.looks--; l.looks < 0 {
		return context.Canceled
	}
	return nil
}

// A Load that is given up at any time says so in the context's words, and the next one on the same files goes well.
func TestLoadingStopsWhenTheHostGivesUp(t *testing.T) {
	p := toyPlugin(t, false)
	req := sdk.LoadRequest{InspectRequest: sdk.InspectRequest{Path: p.Checkpoints[0]},
		Devices: []sdk.DeviceBudget{{Name: cuda.KindCPU}, {Name: cuda.KindFar, Bytes: 1 << 20, CopyRate: 1e9, ReadRate: 1e9}}}
	given := 0
	for ; ; given++ {
		plugin := serve.New(p.Family)
		_, err := plugin.Load(&leaving{t.Context(), given}, req, func(sdk.Progress) {})
		if err == nil {
			if err := plugin.(sdk.Unloader).Unload(t.Context()); err != nil {
				t.Error(err)
			}
			break
		}
		var told *sdk.Error
		if !errors.Is(err, context.Canceled) || errors.As(err, &told) {
			t.Fatalf("given up after %d looks: %v", given, err)
		}
	}
	if given < 5 {
		t.Errorf("the context is looked at %d times", given)
	}
	var told *sdk.Error
	if _, err := serve.New(p.Family).Inspect(&leaving{t.Context(), 0}, req.InspectRequest); !errors.Is(err, context.Canceled) || errors.As(err, &told) {
		t.Errorf("Inspect: %v", err)
	}
}

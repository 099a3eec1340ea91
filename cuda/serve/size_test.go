package serve

import (
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/engine"
)

// prefix_cache and step_time as an entry writes them: 0 is the default, -1 is off, and bytes are those of all layers.
func TestWhatIsRememberedOfPrefixes(t *testing.T) {
	const position = 24 // bytes, in two layers
	table := sdk.LayerTable{Modules: []sdk.Module{{StateBytesToken: 8}, {StateBytesSeq: 100}, {StateBytesToken: 16}}}
	for _, c := range []struct {
		asked        int64
		blocks, keep int
	}{
		{0, 10, 5}, {0, 1, 1}, {-1, 10, 0}, {3 * position * engine.BlockSize, 10, 3}, {3*position*engine.BlockSize - 1, 10, 2}, {1 << 40, 10, 10},
	} {
		l := limits{blocks: c.blocks}
		if l.remember(sdk.LoadRequest{PrefixCache: c.asked}, table); l.keep != c.keep {
			t.Errorf("prefix_cache %d keeps %d of %d blocks, not %d", c.asked, l.keep, c.blocks, c.keep)
		}
	}
	for asked, want := range map[time.Duration]time.Duration{0: defaultStepTime, -1: 0, time.Second: time.Second} {
		var l limits
		if l.remember(sdk.LoadRequest{StepTime: asked}, table); l.stepTime != want {
			t.Errorf("step_time %v is %v, not %v", asked, l.stepTime, want)
		}
	}
	l := limits{blocks: 10}
	if l.remember(sdk.LoadRequest{PrefixCache: 1 << 40}, sdk.LayerTable{}); l.keep != 0 {
		t.Errorf("a model without a cache keeps %d blocks", l.keep)
	}
}

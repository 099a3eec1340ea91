package serve

import (
	"context"

	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/sdk"
)

// quantise.go makes quantised weights, before anything is computed: every token of every answer is computed with the same ones, also after
// a restart. They are the CPU's memory. What is read of the file is given back piece by piece.

// quantiseAll makes all of them, and tells of each percent.
func (i *instance) quantiseAll(ctx context.Context, progress func(sdk.Progress)) error {
	total := i.bound.QuantisedBytes()
	if total == 0 {
		return nil
	}
	if i.imagined.counted() {
		return i.outlineAll()
	}
	told := int64(-1)
	made, err := i.bound.Quantise(nn.Quantiser{
		Device: i.cpu, Stop: ctx.Err, Read: i.readWhole,
		Done: func(bytes int64) {
			if percent := 100 * bytes / total; percent > told {
				told = percent
				progress(sdk.Progress{Stage: "quantize", Done: bytes, Total: total})
			}
		},
	})
	i.made = made
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return memoryError(err)
}

// readWhole gives back pages of the file that nobody will read again.
func (i *instance) readWhole(file []byte) {
	if i.checkpoint != nil {
		i.checkpoint.Discard(file)
	}
}

// gguf.go opens the text side of a GGUF file, which is in its keys.

package text

import (
	"context"
	"errors"
	"fmt"

	"github.com/inference-pio/inference-pio/internal/gguf"
	"github.com/inference-pio/inference-pio/internal/regular"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/chat"
	"github.com/inference-pio/inference-pio/sdk/engine"
	"github.com/inference-pio/inference-pio/sdk/tokenizer"
)

// openGGUF reads the tokenizer, the chat template, how to sample and what ends an answer.
func openGGUF(ctx context.Context, path string) (*Model, error) {
	h, err := readGGUF(path)
	if err != nil {
		return nil, sdk.Errorf(sdk.ReasonCheckpoint, "%w", err)
	}
	m := new(Model)
	if m.defaults.sampling, err = ggufSampling(h); err != nil {
		return nil, sdk.Errorf(sdk.ReasonCheckpoint, "%s: %w", path, err)
	}
	if m.tokenizer, err = tokenizer.LoadGGUF(ctx, h); ctx.Err() != nil {
		return nil, ctx.Err()
	} else if err != nil {
		return nil, sdk.Errorf(sdk.ReasonCheckpoint, "%s: %w", path, err)
	}
	if m.tokenizer == nil {
		return m, nil
	}
	m.defaults.eos = tokenizer.Ends(h, m.tokenizer)
	sources := map[string]string{}
	for name, key := range map[string]string{"default": "tokenizer.chat_template", "tool_use": "tokenizer.chat_template.tool_use"} {
		v, there := h.Keys[key]
		text, ok := v.Text()
		if there && !ok {
			return nil, sdk.Errorf(sdk.ReasonCheckpoint, "%s: key %s is %v; a string is needed", path, key, v)
		}
		if there {
			sources[name] = text
		}
	}
	t, err := chat.New(sources, tokenizer.Named(h, m.tokenizer))
	if errors.Is(err, chat.ErrNoTemplate) {
		return m, nil
	}
	if err != nil {
		return nil, sdk.Errorf(sdk.ReasonCheckpoint, "%s: tokenizer.chat_template: %w", path, err)
	}
	m.use(ctx, t)
	return m, nil
}

func readGGUF(path string) (*gguf.Header, error) {
	path = gguf.FirstPart(path)
	f, size, err := regular.OpenGGUF(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h, err := gguf.Read(f, size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return h, nil
}

// ggufSampling reads what a request takes where it says nothing.
func ggufSampling(h *gguf.Header) (engine.Params, error) {
	p := engine.Params{Temperature: 1}
	for key, to := range map[string]*float64{"temp": &p.Temperature, "top_p": &p.TopP, "min_p": &p.MinP, "penalty_repeat": &p.RepetitionPenalty} {
		if v, ok := h.Keys["general.sampling."+key]; ok {
			f, number := v.Float()
			if !number {
				return p, fmt.Errorf("key general.sampling.%s is %v; a number is needed", key, v)
			}
			*to = float64(float32(f))
			if v.Type == gguf.F32 {
				*to = gguf.Shortest(float32(f))
			}
		}
	}
	if v, ok := h.Keys["general.sampling.top_k"]; ok {
		n, whole := v.Int()
		if !whole || n > 1<<30 || n < -1<<30 {
			return p, fmt.Errorf("key general.sampling.top_k is %v; a whole number up to %d is needed", v, 1<<30)
		}
		p.TopK = int(n)
	}
	return p, p.Validate(1)
}

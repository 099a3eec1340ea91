// embed.go has vectors made, many of them in parts.
package answer

import (
	"context"
	"math"

	"github.com/inference-pio/inference-pio/sdk"
)

// A model is asked for so many vectors at once at most, of so many bytes of input: what others ask comes between.
const (
	batchInputs = 64
	batchBytes  = 1 << 20
)

// Embed calls add with the vector of each input, in their order, and returns how many tokens they have together. h makes room for all of
// them as soon as it is known how long one is.
func (s *Service) Embed(ctx context.Context, h *Held, model string, inputs []Prompt, add func([]float32)) (tokens int, err error) {
	for rest := inputs; len(rest) > 0; {
		n, size := batchOf(rest)
		out, err := s.embed(ctx, model, rest[:n], size)
		if err != nil {
			return 0, err
		}
		if len(rest) == len(inputs) {
			if err := h.TakeAnswer(ctx, 8*int64(len(out.Vectors[0]))*int64(len(inputs))); err != nil {
				return 0, err
			}
		}
		for _, v := range out.Vectors {
			if !finite(v) {
				return 0, sdk.Errorf(sdk.ReasonInternal, "the plugin sent a vector that has more in it than numbers")
			}
			add(v)
		}
		for _, n := range out.Tokens {
			tokens += n
		}
		rest = rest[n:]
	}
	return tokens, nil
}

func finite(v []float32) bool {
	for _, x := range v {
		if x != x || math.IsInf(float64(x), 0) {
			return false
		}
	}
	return true
}

// batchOf is how many of the inputs are sent together, and their bytes: texts with texts, ids with ids.
func batchOf(inputs []Prompt) (n int, size int64) {
	ofIDs := inputs[0].Tokens != nil
	for _, p := range inputs {
		bytes := int64(len(p.Text) + 4*len(p.Tokens))
		if n == batchInputs || n > 0 && size+bytes > batchBytes || (p.Tokens != nil) != ofIDs {
			break
		}
		n, size = n+1, size+bytes
	}
	return n, size
}

// embed asks for the vectors of one batch.
func (s *Service) embed(ctx context.Context, model string, inputs []Prompt, size int64) (sdk.EmbedResult, error) {
	arrived, err := s.Intake.TakeSending(ctx, size)
	if err != nil {
		return sdk.EmbedResult{}, err
	}
	defer arrived()
	var req sdk.EmbedRequest
	for _, p := range inputs {
		if p.Tokens != nil {
			req.Tokens = append(req.Tokens, p.Tokens)
		} else {
			req.Texts = append(req.Texts, p.Text)
		}
	}
	return s.Backend.Embed(ctx, model, req)
}

// sampling.go resolves what a client asked for against the checkpoint's defaults.

package text

import (
	"math"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/engine"
)

// Params merges the client's wishes over generation_config.json. Ranges are checked by the engine.
func (m *Model) Params(s sdk.Sampling) engine.Params {
	p := m.defaults.sampling
	p.Seed = s.Seed
	set(&p.Temperature, s.Temperature)
	set(&p.TopP, s.TopP)
	set(&p.TopK, s.TopK)
	set(&p.MinP, s.MinP)
	set(&p.RepetitionPenalty, s.RepetitionPenalty)
	set(&p.PresencePenalty, s.PresencePenalty)
	set(&p.FrequencyPenalty, s.FrequencyPenalty)
	if s.TopP != nil && *s.TopP == 0 {
		p.TopP = math.SmallestNonzeroFloat64 // the likeliest alone; 0 in Params is "all"
	}
	p.LogitBias = s.LogitBias
	p.Logprobs, p.TopLogprobs = s.Logprobs, s.TopLogprobs
	return p
}

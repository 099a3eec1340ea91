// params.go holds the sampling parameters as the engine takes them: every default already resolved.

package engine

import (
	"fmt"
	"math"

	"github.com/inference-pio/inference-pio/sdk"
)

// Params says how the next id is drawn. The zero value is greedy; a zero in any other field is neutral.
//
// They are applied in this order, which is the reference's (Hugging Face transformers) with the two penalties and the
// bias that it lacks put where vLLM has them:
//
//	logit bias              added to the ids it names
//	repetition penalty      over the ids of prompt and answer: positive logits divided by it, negative ones multiplied
//	frequency and presence  over the ids of the answer: frequency times their count, plus presence, subtracted
//	temperature             logits divided by it; 0 takes the largest, the lowest id among equals
//	top_k                   the k largest, and all that equal the k-th
//	top_p                   the shortest run of the likeliest ids whose probability reaches it
//	min_p                   those at least min_p times as likely as the likeliest
type Params struct {
	Seed              uint64
	Temperature       float64
	TopK              int     // 0 or less: all
	TopP              float64 // 0 or 1: all
	MinP              float64 // 0: all
	RepetitionPenalty float64 // 0 or 1: none
	PresencePenalty   float64
	FrequencyPenalty  float64
	LogitBias         map[int32]float64

	// Logprobs asks for the natural-log probability of each sampled id and of the TopLogprobs likeliest ones, in the raw
	// distribution: the softmax of the model's logits, before everything above.
	Logprobs    bool
	TopLogprobs int
}

// maxTopLogprobs bounds Params.TopLogprobs, as the OpenAI API does.
const maxTopLogprobs = 20

// Validate reports the first parameter out of its range as an *sdk.Error that names the field.
func (p *Params) Validate(vocab int) error {
	within := func(field string, v, low, high float64) error {
		if v >= low && v <= high { // false for NaN
			return nil
		}
		return invalid(field, "%s is %v; it must lie between %v and %v", field, v, low, high)
	}
	checks := []error{
		within("temperature", p.Temperature, 0, 100),
		within("top_p", p.TopP, 0, 1),
		within("min_p", p.MinP, 0, 1),
		within("repetition_penalty", p.RepetitionPenalty, 0, 100),
		within("presence_penalty", p.PresencePenalty, -100, 100),
		within("frequency_penalty", p.FrequencyPenalty, -100, 100),
		within("top_logprobs", float64(p.TopLogprobs), 0, maxTopLogprobs),
	}
	for _, err := range checks {
		if err != nil {
			return err
		}
	}
	for id, bias := range p.LogitBias {
		if id < 0 || int(id) >= vocab {
			return invalid("logit_bias", "logit_bias names id %d; the vocabulary has ids 0 to %d", id, vocab-1)
		}
		if math.IsNaN(bias) || math.Abs(bias) > 1e4 {
			return invalid("logit_bias", "logit_bias of id %d is %v; it must lie between -10000 and 10000", id, bias)
		}
	}
	return nil
}

func (p *Params) greedy() bool  { return p.Temperature == 0 }
func (p *Params) nucleus() bool { return p.TopP > 0 && p.TopP < 1 }
func (p *Params) narrows(vocab int) bool { // to some of the ids
	return p.TopK > 0 && p.TopK < vocab || p.nucleus() || p.MinP > 0
}
func (p *Params) repeats() bool { return p.RepetitionPenalty != 0 && p.RepetitionPenalty != 1 }

// effect is what bias and penalties may do to a logit.
func (p *Params) effect() effect {
	e := leaves
	if p.repeats() || p.PresencePenalty != 0 || p.FrequencyPenalty != 0 || len(p.LogitBias) > 0 {
		e = lowers
	}
	if p.repeats() && p.RepetitionPenalty < 1 || p.PresencePenalty < 0 || p.FrequencyPenalty < 0 {
		return raises
	}
	for _, bias := range p.LogitBias {
		if bias > 0 {
			return raises
		}
	}
	return e
}

func invalid(field, format string, args ...any) error {
	return &sdk.Error{Reason: sdk.ReasonInvalid, Field: field, Message: fmt.Sprintf(format, args...)}
}

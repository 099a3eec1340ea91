package hfconfig

import (
	"encoding/json"
	"maps"
	"math"
	"slices"

	"github.com/inference-pio/inference-pio/cuda/nn"
)

// RopeKeys are the places in which config.json describes a rope, to be decoded into. transformers 5 writes rope_parameters; older
// versions write rope_theta and partial_rotary_factor at top level, and rope_scaling where the rope is stretched.
type RopeKeys struct {
	Parameters map[string]json.RawMessage `json:"rope_parameters"`
	Scaling    map[string]json.RawMessage `json:"rope_scaling"`
	Theta      json.RawMessage            `json:"rope_theta"`
	Partial    json.RawMessage            `json:"partial_rotary_factor"`
}

// Rope reads these places, each field in that order. A field of the objects that nobody has asked for is refused by Done: it
// would change the numbers silently.
type Rope struct {
	*Problems
	keys RopeKeys
	used map[string]bool
	kind string
}

// Read begins to read; what is wrong is added to p.
func (k RopeKeys) Read(p *Problems) *Rope {
	return &Rope{Problems: p, keys: k, used: map[string]bool{}}
}

// Theta is rope_theta.
func (r *Rope) Theta(absent float64) float64 {
	theta := r.Number("rope_theta", absent)
	r.Refuse(!(theta > 1) || math.IsInf(theta, 0), "rope_theta is %v; a number above 1 is needed", theta)
	return theta
}

// Turned is how many of a head's elements a rope turns that turns a share of them: rounded down as the reference does.
func (r *Rope) Turned(headDim int, absent float64) int {
	share := r.Number("partial_rotary_factor", absent)
	n := int(min(max(float64(headDim)*share, -1), 1<<20))
	r.Refuse(n < 2 || n%2 != 0 || n > headDim,
		"partial_rotary_factor is %v: it turns %d of head_dim %d; an even number of them is needed", share, n, headDim)
	return n
}

// Whole refuses a rope that turns only a share of each head.
func (r *Rope) Whole() {
	f := r.Number("partial_rotary_factor", 1)
	r.NotBuilt(f != 1, "partial_rotary_factor", f, "1")
}

// Kind is rope_type (once type), which must be one of those built; the first is what an absent one means.
func (r *Rope) Kind(built ...string) string {
	r.kind = r.Text("rope_type", r.Text("type", built[0]))
	if !slices.Contains(built, r.kind) {
		r.Refuse(true, "rope_type is %q, which is not built; only %s", r.kind, only(built))
	}
	return r.kind
}

// yarn reads a stretched rope; context is what original_max_position_embeddings is when it is not given.
func (r *Rope) yarn(context int) *nn.Yarn {
	y := &nn.Yarn{
		Original: r.Number("original_max_position_embeddings", float64(context)),
		BetaFast: r.Number("beta_fast", 32),
		BetaSlow: r.Number("beta_slow", 1),
		Truncate: r.Flag("truncate", true),
	}
	y.Factor = r.Number("factor", float64(context)/y.Original)
	r.Refuse(!(y.Original >= 1 && y.Original <= 1<<28), "original_max_position_embeddings is %v; a number of positions is needed", y.Original)
	r.Refuse(!(y.Factor >= 1 && y.Factor <= 1<<16), "factor is %v; a yarn rope needs a number from 1 on", y.Factor)
	r.Refuse(!(y.BetaSlow > 0 && y.BetaFast >= y.BetaSlow && y.BetaFast <= 1<<20),
		"beta_fast %v and beta_slow %v: the first must not be below the second, both above 0", y.BetaFast, y.BetaSlow)
	y.AttentionFactor = r.attentionFactor(y.Factor)
	r.Refuse(!(y.AttentionFactor > 0 && y.AttentionFactor < 1<<16), "attention_factor is %v; a number above 0 is needed", y.AttentionFactor)
	return y
}

func (r *Rope) attentionFactor(factor float64) float64 {
	m, all := r.Number("mscale", 0), r.Number("mscale_all_dim", 0)
	standard := nn.YarnAttention(factor, 1)
	if m != 0 && all != 0 {
		standard = nn.YarnAttention(factor, m) / nn.YarnAttention(factor, all)
	}
	return r.Number("attention_factor", standard)
}

// Number, Text and Flag read a field.
func (r *Rope) Number(key string, absent float64) float64 { return Lookup(r, key, "a number", absent) }

// Text reads a string.
func (r *Rope) Text(key string, absent string) string { return Lookup(r, key, "a string", absent) }

// Flag reads true or false.
func (r *Rope) Flag(key string, absent bool) bool { return Lookup(r, key, "true or false", absent) }

// Lookup reads a field of any type; what says which, for people.
func Lookup[T any](r *Rope, key, what string, absent T) T {
	raw := r.find(key)
	if raw == nil {
		return absent
	}
	var v T
	if err := json.Unmarshal(raw, &v); err != nil {
		r.Refuse(true, "%s is %s; %s is needed", key, raw, what)
		return absent
	}
	return v
}

// find returns the first of the places that has the key; null is as good as absent.
func (r *Rope) find(key string) json.RawMessage {
	r.used[key] = true
	top := map[string]json.RawMessage{"rope_theta": r.keys.Theta, "partial_rotary_factor": r.keys.Partial}
	for _, place := range []map[string]json.RawMessage{r.keys.Parameters, r.keys.Scaling, top} {
		if v := place[key]; len(v) > 0 && string(v) != "null" {
			return v
		}
	}
	return nil
}

// Done refuses what the objects say besides.
func (r *Rope) Done() {
	for _, place := range []map[string]json.RawMessage{r.keys.Parameters, r.keys.Scaling} {
		for _, key := range slices.Sorted(maps.Keys(place)) {
			r.Refuse(!r.used[key] && string(place[key]) != "null", "the rope has %q, which a rope of type %q does not use", key, r.kind)
		}
	}
}

// rope.go reads the rope from config.json. transformers 5 writes rope_parameters, older versions write rope_theta at top level and
// rope_scaling where the rope is stretched; each field is looked up in that order.

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/inference-pio/inference-pio/cuda/nn"
)

// ropeKeys are the places a rope can be described in.
type ropeKeys struct {
	Parameters map[string]json.RawMessage `json:"rope_parameters"`
	Scaling    map[string]json.RawMessage `json:"rope_scaling"`
	Theta      json.RawMessage            `json:"rope_theta"`
}

// rope is a reader of these places that collects what is wrong.
type rope struct {
	keys ropeKeys
	used map[string]bool
	errs []error
}

// apply puts the rope into c.
func (k ropeKeys) apply(c *Config) error {
	r := rope{keys: k, used: map[string]bool{}}
	c.RopeTheta = r.number("rope_theta", 10000)
	if !(c.RopeTheta > 1) || math.IsInf(c.RopeTheta, 0) {
		r.refuse("rope_theta is %v; a number above 1 is needed", c.RopeTheta)
	}
	if f := r.number("partial_rotary_factor", 1); f != 1 {
		r.refuse("partial_rotary_factor is %v, which is not built; only 1 is", f)
	}
	kind := r.text("rope_type", r.text("type", "default"))
	switch kind {
	case "default":
	case "yarn":
		c.Yarn = r.yarn(c.MaxPositionEmbeddings)
	default:
		r.refuse("rope_type is %q, which is not built; only default and yarn are", kind)
	}
	r.refuseUnused(kind)
	return errors.Join(r.errs...)
}

// yarn reads a stretched rope; context is what Original is when it is not given.
func (r *rope) yarn(context int) *nn.Yarn {
	y := &nn.Yarn{
		Original: r.number("original_max_position_embeddings", float64(context)),
		BetaFast: r.number("beta_fast", 32),
		BetaSlow: r.number("beta_slow", 1),
		Truncate: r.flag("truncate", true),
	}
	y.Factor = r.number("factor", float64(context)/y.Original)
	if !(y.Original >= 1 && y.Original <= 1<<28) {
		r.refuse("original_max_position_embeddings is %v; a number of positions is needed", y.Original)
	}
	if !(y.Factor >= 1 && y.Factor <= 1<<16) {
		r.refuse("factor is %v; a yarn rope needs a number from 1 on", y.Factor)
	}
	if !(y.BetaSlow > 0 && y.BetaFast >= y.BetaSlow && y.BetaFast <= 1<<20) {
		r.refuse("beta_fast %v and beta_slow %v: the first must not be below the second, both above 0", y.BetaFast, y.BetaSlow)
	}
	y.AttentionFactor = r.attentionFactor(y.Factor)
	if !(y.AttentionFactor > 0 && y.AttentionFactor < 1<<16) {
		r.refuse("attention_factor is %v; a number above 0 is needed", y.AttentionFactor)
	}
	return y
}

func (r *rope) attentionFactor(factor float64) float64 {
	m, all := r.number("mscale", 0), r.number("mscale_all_dim", 0)
	standard := nn.YarnAttention(factor, 1)
	if m != 0 && all != 0 {
		standard = nn.YarnAttention(factor, m) / nn.YarnAttention(factor, all)
	}
	return r.number("attention_factor", standard)
}

// find returns the first of the places that has the key; null is as good as absent.
func (r *rope) find(key string) json.RawMessage {
	r.used[key] = true
	for _, place := range []map[string]json.RawMessage{r.keys.Parameters, r.keys.Scaling, {"rope_theta": r.keys.Theta}} {
		if v := place[key]; len(v) > 0 && string(v) != "null" {
			return v
		}
	}
	return nil
}

func (r *rope) number(key string, absent float64) float64 { return lookup(r, key, "a number", absent) }
func (r *rope) text(key string, absent string) string     { return lookup(r, key, "a string", absent) }
func (r *rope) flag(key string, absent bool) bool         { return lookup(r, key, "true or false", absent) }

func lookup[T any](r *rope, key, what string, absent T) T {
	raw := r.find(key)
	if raw == nil {
		return absent
	}
	v := absent
	if err := json.Unmarshal(raw, &v); err != nil {
		r.refuse("%s is %s; %s is needed", key, raw, what)
		return absent
	}
	return v
}

func (r *rope) refuse(format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf("config.json: "+format, args...))
}

// refuseUnused names what a rope object says besides: a field nobody reads would change the numbers silently.
func (r *rope) refuseUnused(kind string) {
	for _, place := range []map[string]json.RawMessage{r.keys.Parameters, r.keys.Scaling} {
		for _, key := range slices.Sorted(maps.Keys(place)) {
			if !r.used[key] && string(place[key]) != "null" {
				r.refuse("the rope has %q, which a rope of type %q does not use", key, kind)
			}
		}
	}
}

// rope.go reads the ropes from config.json. transformers 5 writes rope_parameters, older versions write rope_theta beside
// rope_scaling, which also has the sections by time, row and column; each field is looked up in that order.

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
	part string // of config.json
	keys ropeKeys
	used map[string]bool
	errs []error
}

// apply puts the decoder's rope into c.
func (k ropeKeys) apply(c *TextConfig) error {
	r := rope{part: "text_config", keys: k, used: map[string]bool{}}
	c.RopeTheta = r.theta(500000)
	if f := r.number("partial_rotary_factor", 1); f != 1 {
		r.refuse("partial_rotary_factor is %v, which is not built; only 1 is", f)
	}
	c.MRopeSection = r.section()
	r.flag("mrope_interleaved", true) // the reference interleaves in either case
	kind := r.text("rope_type", r.text("type", "default"))
	switch kind {
	case "default", "mrope": // the second is what the first was called once
	case "yarn":
		c.Yarn = r.yarn(c.MaxPositionEmbeddings)
	default:
		r.refuse("rope_type is %q, which is not built; only default and yarn are", kind)
	}
	r.refuseUnused(kind)
	return errors.Join(r.errs...)
}

// applyVision puts the tower's rope, by row and column, into c.
func (k ropeKeys) applyVision(c *VisionConfig) error {
	r := rope{part: "vision_config", keys: k, used: map[string]bool{}}
	c.RopeTheta = r.theta(10000)
	kind := r.text("rope_type", r.text("type", "axial"))
	if kind != "axial" {
		r.refuse("rope_type is %q, which is not built; only axial is", kind)
	}
	r.refuseUnused(kind)
	return errors.Join(r.errs...)
}

func (r *rope) theta(absent float64) float64 {
	theta := r.number("rope_theta", absent)
	if !(theta > 1) || math.IsInf(theta, 0) {
		r.refuse("rope_theta is %v; a number above 1 is needed", theta)
	}
	return theta
}

// section is how many frequencies turn by time, row and column. Only those of row and column are looked at; the rest turns
// by time, however many are said to.
func (r *rope) section() (s [3]int) {
	list := lookup(r, "mrope_section", "a list of three numbers", []int{24, 20, 20})
	if len(list) != 3 || slices.Min(list) < 0 || slices.Max(list) > 1<<12 {
		r.refuse("mrope_section is %v; three numbers from 0 to %d are needed", list, 1<<12)
		return s
	}
	return [3]int(list)
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
	var v T
	if err := json.Unmarshal(raw, &v); err != nil {
		r.refuse("%s is %s; %s is needed", key, raw, what)
		return absent
	}
	return v
}

func (r *rope) refuse(format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf("config.json: "+r.part+": "+format, args...))
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

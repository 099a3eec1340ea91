package hfconfig

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Problems collects what is wrong with a config, in sentences that begin with the file and the part of it.
type Problems struct {
	part string // "text_config: ", "" for the top level
	errs []error
}

// In is a collector for an object inside config.json, such as text_config.
func In(part string) *Problems { return &Problems{part: part + ": "} }

// Refuse adds a sentence if something is wrong.
func (p *Problems) Refuse(wrong bool, format string, args ...any) {
	if wrong {
		p.errs = append(p.errs, fmt.Errorf("config.json: "+p.part+format, args...))
	}
}

// NotBuilt refuses a key that asks for a computation the model does not have.
func (p *Problems) NotBuilt(wrong bool, key string, value any, only string) {
	p.Refuse(wrong, "%s is %v, which is not built; only %s is", key, value, only)
}

// Size refuses a number that must be given and is not, or is beyond what any machine holds.
func (p *Problems) Size(key string, value, most int) {
	p.Refuse(value < 1 || value > most, "%s is %d; a number from 1 to %d is needed", key, value, most)
}

// ModelType refuses a type that is neither built nor absent.
func (p *Problems) ModelType(value string, built ...string) {
	p.Refuse(value != "" && !slices.Contains(built, value), "model_type is %q; this plugin runs %s", value, strings.Join(built, " or "))
}

// Even refuses a number of elements that do not pair up.
func (p *Problems) Even(key string, value int) {
	p.Refuse(value%2 != 0, "%s is %d; rotation needs an even number", key, value)
}

// Divides refuses a whole that its part, if there is one, does not divide.
func (p *Problems) Divides(key string, value int, part string, by int) {
	p.Refuse(by > 0 && value%by != 0, "%s is %d, which %s %d does not divide", key, value, part, by)
}

// Layers refuses a list that does not say for each layer which it is of the kinds built. nil is an absent list.
func (p *Problems) Layers(key string, list []string, layers int, built ...string) {
	p.Refuse(list != nil && len(list) != layers, "%s has %d entries for %d layers", key, len(list), layers)
	for i, kind := range list {
		p.Refuse(!slices.Contains(built, kind), "%s[%d] is %q, which is not built; only %s", key, i, kind, only(built))
	}
}

// only is words with their verb.
func only(words []string) string {
	last := len(words) - 1
	if last == 0 {
		return words[0] + " is"
	}
	return strings.Join(words[:last], ", ") + " and " + words[last] + " are"
}

// add takes over an error that says where it is by itself.
func (p *Problems) add(err error) {
	if err != nil {
		p.errs = append(p.errs, err)
	}
}

// Err is all of it, nil if nothing is wrong.
func (p *Problems) Err() error { return errors.Join(p.errs...) }

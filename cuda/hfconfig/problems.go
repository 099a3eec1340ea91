package hfconfig

import (
	"errors"
	"fmt"
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

// Add takes over an error that says where it is by itself.
func (p *Problems) Add(err error) {
	if err != nil {
		p.errs = append(p.errs, err)
	}
}

// Err is all of it, nil if nothing is wrong.
func (p *Problems) Err() error { return errors.Join(p.errs...) }

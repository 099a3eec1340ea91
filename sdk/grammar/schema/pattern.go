// pattern.go is patterns, which serve twice: as an automaton, and to check a value where there is none.

package schema

import (
	"fmt"
	"time"

	"github.com/dlclark/regexp2/v2"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/inference-pio/inference-pio/sdk/grammar/automaton"
)

// pattern is a jsonschema.Regexp.
type pattern struct {
	source string
	set    *automaton.Text // nil if there is none
	why    error           // then
	other  *regexp2.Regexp // and this decides
}

// matchTime bounds a match of a pattern that has no automaton.
const matchTime = 100 * time.Millisecond

func newPattern(source string) (jsonschema.Regexp, error) {
	p := &pattern{source: source}
	if p.set, p.why = automaton.Search(source); p.why == nil {
		return p, nil
	}
	other, err := regexp2.Compile(source, regexp2.ECMAScript|regexp2.Unicode)
	if err != nil {
		return nil, fmt.Errorf("it is no pattern: %w", p.why)
	}
	other.MatchTimeout = matchTime
	p.other = other
	return p, nil
}

func (p *pattern) String() string { return p.source }

func (p *pattern) MatchString(s string) bool {
	if p.set != nil {
		return p.set.Has(s)
	}
	found, err := p.other.MatchString(s)
	return err == nil && found
}

// forms.go is languages that need no schema and no grammar.

package grammar

import (
	"slices"

	"github.com/inference-pio/inference-pio/sdk/grammar/automaton"
)

// Pattern are the texts that a pattern of package regexp matches as a whole.
func Pattern(pattern string) (*Expr, error) {
	set, err := automaton.Match(pattern)
	if err != nil {
		return nil, err
	}
	return plain(set)
}

// Choice is one of some texts.
func Choice(texts ...string) (*Expr, error) {
	set, err := automaton.Words(texts...)
	if err != nil {
		return nil, err
	}
	return plain(set)
}

func plain(set *automaton.Text) (*Expr, error) {
	bytes, err := set.Plain()
	if err != nil {
		return nil, err
	}
	return Regular(bytes), nil
}

// ranges orders pairs of characters and joins them; others takes those between.
func ranges(pairs []rune, others bool) []rune {
	type span struct{ low, high rune }
	var list []span
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, span{pairs[i], pairs[i+1]})
	}
	slices.SortFunc(list, func(a, b span) int { return int(a.low - b.low) })
	var joined []span
	for _, s := range list {
		if n := len(joined); n > 0 && s.low <= joined[n-1].high+1 {
			joined[n-1].high = max(joined[n-1].high, s.high)
		} else {
			joined = append(joined, s)
		}
	}
	var out []rune
	from := rune(0)
	for _, s := range joined {
		if !others {
			out = append(out, s.low, s.high)
		} else if s.low > from {
			out = append(out, from, s.low-1)
		}
		from = s.high + 1
	}
	if others && from <= lastRune {
		out = append(out, from, lastRune)
	}
	return out
}

const lastRune = '\U0010ffff'

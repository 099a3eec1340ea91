// pretokenize.go builds the splitter that tokenizer.json's pre_tokenizer describes. Splitters are chained: each cuts the words of the one
// before it. What a later merge may join never crosses a cut.

package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// splitter cuts text into words and calls word with each, in order, until that returns an error. None is empty. It need not
// look at the pace itself where each word costs little to find.
type splitter interface {
	split(p *pace, text string, word func(string) error) error
}

// preTokenizer is one node of the pre_tokenizer tree, with the keys of all types together.
type preTokenizer struct {
	Type             string         `json:"type"`
	Pretokenizers    []preTokenizer `json:"pretokenizers"`     // Sequence
	Pattern          splitPattern   `json:"pattern"`           // Split
	Behavior         string         `json:"behavior"`          // Split
	Invert           bool           `json:"invert"`            // Split
	AddPrefixSpace   *bool          `json:"add_prefix_space"`  // ByteLevel, default true
	UseRegex         *bool          `json:"use_regex"`         // ByteLevel, default true
	IndividualDigits bool           `json:"individual_digits"` // Digits
}

type splitPattern struct {
	Regex  *string
	String *string
}

func parsePreTokenizer(raw []byte) (splitter, error) {
	var p *preTokenizer
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, fmt.Errorf("pre_tokenizer: %w", err)
	}
	if p == nil {
		return nil, errors.New("pre_tokenizer: byte-level BPE needs one that ends in ByteLevel; it is null")
	}
	steps, err := p.steps("pre_tokenizer", nil)
	if err != nil {
		return nil, err
	}
	if last := steps[len(steps)-1]; last.key != "ByteLevel" {
		return nil, fmt.Errorf("pre_tokenizer: ends in %s instead of ByteLevel; only byte-level BPE is read", last.key)
	}
	var all chain
	for _, s := range steps {
		all = append(all, s.splitters...)
	}
	if len(all) == 1 {
		return all[0], nil
	}
	return all, nil
}

// step is one leaf of the tree.
type step struct {
	key       string
	splitters []splitter
}

// steps flattens the tree. After ByteLevel, words are no longer text but spelled-out bytes, so it must be last.
func (p *preTokenizer) steps(at string, before []step) ([]step, error) {
	if p.Type == "Sequence" {
		if len(p.Pretokenizers) == 0 {
			return nil, fmt.Errorf("%s: an empty Sequence; it must end in ByteLevel", at)
		}
		for i := range p.Pretokenizers {
			var err error
			if before, err = p.Pretokenizers[i].steps(fmt.Sprintf("%s.pretokenizers[%d]", at, i), before); err != nil {
				return nil, err
			}
		}
		return before, nil
	}
	if n := len(before); n > 0 && before[n-1].key == "ByteLevel" {
		return nil, fmt.Errorf("%s: %q after ByteLevel is not supported", at, p.Type)
	}
	s, err := p.leaf(at)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	return append(before, step{p.Type, s}), nil
}

func (p *preTokenizer) leaf(at string) ([]splitter, error) {
	switch p.Type {
	case "Split":
		s, err := p.splitLeaf(at)
		return []splitter{s}, err
	case "Digits":
		pattern := `\p{N}+`
		if p.IndividualDigits {
			pattern = `\p{N}`
		}
		s, err := newRegexSplitter(at, pattern)
		return []splitter{s}, err
	case "ByteLevel":
		return p.byteLevel(at)
	}
	return nil, fmt.Errorf("type %q is not supported; Split, Digits, ByteLevel and Sequence are", p.Type)
}

// byteLevel has up to two steps of its own; the bytes themselves are bpe's work.
func (p *preTokenizer) byteLevel(at string) ([]splitter, error) {
	steps := []splitter{}
	if p.AddPrefixSpace == nil || *p.AddPrefixSpace {
		steps = append(steps, prefixSpace{})
	}
	if p.UseRegex == nil || *p.UseRegex {
		s, err := newRegexSplitter(at, gpt2Pattern)
		if err != nil {
			return nil, err
		}
		steps = append(steps, s)
	}
	return steps, nil
}

func (p *preTokenizer) splitLeaf(at string) (splitter, error) {
	if p.Behavior != "Isolated" && p.Behavior != "Removed" {
		return nil, fmt.Errorf("behavior %q is not supported; Isolated and Removed are", p.Behavior)
	}
	switch {
	case p.Pattern.String != nil && *p.Pattern.String != "":
		return &literalSplitter{text: *p.Pattern.String, keep: p.keep()}, nil
	case p.Pattern.Regex == nil:
		return nil, errors.New("pattern has neither Regex nor String")
	case p.Behavior == "Isolated" && *p.Pattern.Regex == qwenPattern:
		return &handSplitter{newClasses(), 1}, nil
	case p.Behavior == "Isolated" && *p.Pattern.Regex == glmPattern:
		return &handSplitter{newClasses(), 3}, nil
	}
	s, err := newRegexSplitter(at+".pattern", *p.Pattern.Regex)
	if err != nil {
		return nil, err
	}
	s.keep = p.keep()
	return s, nil
}

func (p *preTokenizer) keep() keep {
	switch {
	case p.Behavior == "Isolated":
		return keep{matches: true, gaps: true}
	case p.Invert:
		return keep{matches: true}
	}
	return keep{gaps: true}
}

// keep says which parts become words: what the pattern matches, and what lies between the matches.
type keep struct{ matches, gaps bool }

// chain cuts with each splitter in turn.
type chain []splitter

func (c chain) split(p *pace, text string, word func(string) error) error {
	if len(c) == 0 {
		return word(text)
	}
	return c[0].split(p, text, func(w string) error { return c[1:].split(p, w, word) })
}

// prefixSpace cuts nothing; it puts a space before a word that has none.
type prefixSpace struct{}

func (prefixSpace) split(_ *pace, text string, word func(string) error) error {
	if text[0] != ' ' {
		text = " " + text
	}
	return word(text)
}

// literalSplitter cuts around a fixed string.
type literalSplitter struct {
	text string
	keep
}

func (l *literalSplitter) split(p *pace, text string, word func(string) error) error {
	for text != "" {
		gap, rest, found := strings.Cut(text, l.text)
		if l.gaps && gap != "" {
			if err := word(gap); err != nil {
				return err
			}
		}
		if found && l.matches {
			if err := word(l.text); err != nil {
				return err
			}
		}
		if err := p.spend(len(text) - len(rest)); err != nil { // it may be that nothing is kept
			return err
		}
		text = rest
	}
	return nil
}

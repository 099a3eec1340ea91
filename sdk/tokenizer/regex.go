// regex.go cuts text by any other regular expression. They come from the checkpoint, are written for a backtracking engine and need one (look-ahead).

package tokenizer

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dlclark/regexp2/v2"
)

// gpt2Pattern is what ByteLevel itself cuts by when use_regex is set.
const gpt2Pattern = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`

const (
	maxPattern = 16 << 10 // bytes; DeepSeek's, the longest known, has 300
	maxStack   = 8 << 20  // backtracking slots of one match, 64 MB: more than a megabyte of text needs with a sane expression

	// An expression may backtrack without end on a few words, or find each next match only after reading all that is left. The
	// engine does ten to forty megabytes of ordinary text in a second, in matches of microseconds, and one word of 31 MB in
	// 0.2 s. It cannot be interrupted within a match.
	maxMatch   = 3 * time.Second
	maxText    = 10 * time.Second // and
	maxPerByte = time.Microsecond

	matchesPerLook = 64 // at the clock and the context: each may have read all that is left
)

type regexSplitter struct {
	at, pattern string // where in tokenizer.json it stands, and as it is written there
	re          *regexp2.Regexp
	limit       func(bytes int) time.Duration // for one text
	keep
}

func limitOf(bytes int) time.Duration { return maxText + time.Duration(bytes)*maxPerByte }

// newRegexSplitter compiles the pattern that stands at a place of tokenizer.json.
func newRegexSplitter(at, pattern string) (*regexSplitter, error) {
	if len(pattern) > maxPattern {
		return nil, fmt.Errorf("regular expression of %d bytes; at most %d are read", len(pattern), maxPattern)
	}
	ours, err := translate(pattern)
	if err != nil {
		return nil, fmt.Errorf("regular expression %q: %w", clip(pattern), err)
	}
	re, err := regexp2.Compile(ours, regexp2.OptionMaxBacktrackingStackSize(maxStack))
	if err != nil {
		return nil, fmt.Errorf("regular expression %q: %w", clip(pattern), err)
	}
	re.MatchTimeout = maxMatch
	return &regexSplitter{at, pattern, re, limitOf, keep{matches: true, gaps: true}}, nil
}

// split treats what is left as one gap if the engine gives up at maxStack: text is never lost, and the same text always gets the same ids.
// That it takes too long is an error, because the next time it may not.
func (s *regexSplitter) split(p *pace, text string, word func(string) error) error {
	c := &cutter{regexSplitter: s, text: text, runes: []rune(text), word: word}
	limit := s.limit(len(text))
	until := time.Now().Add(limit)
	err := s.re.FindRunesMatches(c.runes, 0, func(m regexp2.MatchView) bool {
		start, length, _ := m.GroupRange(0)
		if c.failed = c.cut(start, s.gaps); c.failed == nil {
			c.failed = c.cut(start+length, s.matches)
		}
		if c.found++; c.failed == nil && c.found%matchesPerLook == 0 {
			if c.failed = p.ctx.Err(); c.failed == nil && time.Now().After(until) {
				c.failed = s.tooSlow(limit)
			}
		}
		return c.failed == nil
	})
	switch {
	case c.failed != nil:
		return c.failed
	case err != nil && !errors.Is(err, regexp2.ErrBacktrackingStackLimit):
		if err := p.ctx.Err(); err != nil {
			return err
		}
		return s.tooSlow(s.re.MatchTimeout) // the engine's own error has all of the text in it
	}
	return c.cut(len(c.runes), s.gaps)
}

func (s *regexSplitter) tooSlow(limit time.Duration) error {
	return fmt.Errorf("%s: the regular expression %q takes more than %v on this text; it backtracks, and the tokenizer of another release of the model may not", s.at, clip(s.pattern), limit)
}

// cutter cuts a text from its beginning on. Matches are counted in runes.
type cutter struct {
	*regexSplitter
	text     string
	runes    []rune
	at, done int // the same place in runes and in text
	found    int // matches
	word     func(string) error
	failed   error
}

// cut makes what lies before rune number to a word, if it is kept.
func (c *cutter) cut(to int, kept bool) error {
	end := c.done
	for ; c.at < to; c.at++ {
		end += utf8.RuneLen(c.runes[c.at])
	}
	from := c.done
	if c.done = end; !kept || end == from {
		return nil
	}
	return c.word(c.text[from:end])
}

// translate writes a pattern of the reference's engine, Oniguruma, for ours. \p{L} and \p{N} get the letters and numbers that ours, which asks
// Go's tables, does not know yet. What the two engines read differently is an error.
func translate(pattern string) (string, error) {
	var out strings.Builder
	inClass := false
	for i := 0; i < len(pattern); i++ {
		rest := pattern[i:]
		switch {
		case strings.HasPrefix(rest, `\p{L}`), strings.HasPrefix(rest, `\p{N}`):
			late := lateLetters()
			if rest[3] == 'N' {
				late = lateNumbers()
			}
			if wide := rest[:5] + spans(late); inClass {
				out.WriteString(wide)
			} else {
				out.WriteString("[" + wide + "]")
			}
			i += 4
			continue
		case rest[0] == '\\' && len(rest) > 1:
			if strings.IndexByte("wWbBhHRXKGyYON", rest[1]) >= 0 {
				return "", fmt.Errorf(`\%c at byte %d is not supported: engines disagree on what it matches`, rest[1], i)
			}
			out.WriteString(rest[:2])
			i++
			continue
		case inClass && (rest[0] == '[' || strings.HasPrefix(rest, "&&")):
			return "", fmt.Errorf("a character class inside another at byte %d is not supported", i)
		case rest[0] == '[':
			inClass = true
		case rest[0] == ']':
			inClass = false
		}
		out.WriteByte(rest[0])
	}
	return out.String(), nil
}

func spans(ranges []unicode.Range32) string {
	var out strings.Builder
	for _, r := range ranges {
		out.WriteString(string(rune(r.Lo)) + "-" + string(rune(r.Hi)))
	}
	return out.String()
}

// regex.go cuts text by any other regular expression. They come from the checkpoint, are written for a backtracking engine and need one (look-ahead).

package tokenizer

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/dlclark/regexp2/v2"
)

// gpt2Pattern is what ByteLevel itself cuts by when use_regex is set.
const gpt2Pattern = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`

const (
	maxPattern = 16 << 10 // bytes; DeepSeek's, the longest known, has 300
	maxStack   = 8 << 20  // backtracking slots of one match, 64 MB: more than a megabyte of text needs with a sane expression
)

type regexSplitter struct {
	re *regexp2.Regexp
	keep
}

func newRegexSplitter(pattern string) (*regexSplitter, error) {
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
	return &regexSplitter{re, keep{matches: true, gaps: true}}, nil
}

// split treats what is left as one gap if the engine gives up at maxStack: text is never lost, and the same text always gets the same ids.
func (s *regexSplitter) split(text string, word func(string)) {
	runes := []rune(text)
	at, done := 0, 0 // the same place in runes and in text
	piece := func(to int, kept bool) {
		end := done
		for ; at < to; at++ {
			end += utf8.RuneLen(runes[at])
		}
		if kept && end > done {
			word(text[done:end])
		}
		done = end
	}
	// An error can only be the stack limit; the gap below is its answer.
	_ = s.re.FindRunesMatches(runes, 0, func(m regexp2.MatchView) bool {
		start, length, _ := m.GroupRange(0)
		piece(start, s.gaps)
		piece(start+length, s.matches)
		return true
	})
	piece(len(runes), s.gaps)
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

// added.go finds added tokens in text: the longest that matches at the leftmost place, then on behind it. Tokens with normalized = false are looked
// for in the text as given, the others, in normalised spelling, in what those leave over.

package tokenizer

import (
	"slices"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// addedToken is an entry of tokenizer.json's added_tokens.
type addedToken struct {
	ID         int32  `json:"-"` // see addTokens
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"` // not between word characters
	LStrip     bool   `json:"lstrip"`      // takes the white space before it along
	RStrip     bool   `json:"rstrip"`      // and behind it
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
}

// matcher finds one group of added tokens.
type matcher struct {
	tokens []addedToken // sorted by content
	first  [256]bool    // bytes that one of them begins with
}

func newMatcher(tokens []addedToken) *matcher {
	m := &matcher{tokens: slices.Clone(tokens)}
	slices.SortStableFunc(m.tokens, func(a, b addedToken) int { return strings.Compare(a.Content, b.Content) })
	for _, t := range m.tokens {
		m.first[t.Content[0]] = true
	}
	return m
}

// longest returns the longest token that text begins with, or nil. The candidates narrow byte by byte, so the cost is bounded by the longest token.
func (m *matcher) longest(text string) (found *addedToken) {
	left := m.tokens
	for depth := 0; len(left) > 0; depth++ {
		if len(left[0].Content) == depth {
			found = &left[0]
		}
		if depth == len(text) {
			break
		}
		c := text[depth]
		from := sort.Search(len(left), func(i int) bool { return len(left[i].Content) > depth && left[i].Content[depth] >= c })
		to := sort.Search(len(left), func(i int) bool { return len(left[i].Content) > depth && left[i].Content[depth] > c })
		left = left[from:to]
	}
	return found
}

// split calls token with the id of each added token, gap with the text between them, in order, until one returns an error.
func (m *matcher) split(text string, gap func(string) error, token func(int32) error) error {
	done, spaces := 0, 0 // spaces: where the white space ends that a token took along last
	for i := 0; i < len(text); {
		if !m.first[text[i]] {
			i++
			continue
		}
		t := m.longest(text[i:])
		if t == nil {
			i++
			continue
		}
		start, end := i, i+len(t.Content)
		i = end
		if t.SingleWord && (wordBefore(text[:start]) || wordBehind(text[end:])) {
			continue // and no shorter token is tried in its place, as in the reference
		}
		if t.LStrip {
			from := min(done, start)
			start = from + len(strings.TrimRightFunc(text[from:start], isSpace))
		}
		if t.RStrip {
			if end >= spaces { // else it lies within them: a token may itself be a space
				spaces = len(text) - len(strings.TrimLeftFunc(text[end:], isSpace))
			}
			end = spaces
		}
		if start > done {
			if err := gap(text[done:start]); err != nil {
				return err
			}
		}
		if err := token(t.ID); err != nil {
			return err
		}
		done = end
	}
	if done < len(text) {
		return gap(text[done:])
	}
	return nil
}

func wordBefore(text string) bool {
	r, n := utf8.DecodeLastRuneInString(text)
	return n > 0 && isWord(r)
}

func wordBehind(text string) bool {
	r, n := utf8.DecodeRuneInString(text)
	return n > 0 && isWord(r)
}

func isSpace(r rune) bool { return unicode.Is(unicode.White_Space, r) }

// isWord is \w of Unicode's UTS 18: alphabetic, marks, decimal digits, connectors, joiners.
func isWord(r rune) bool {
	return r == '_' || unicode.In(r, unicode.L, unicode.Nl, unicode.Other_Alphabetic, unicode.M, unicode.Nd, unicode.Pc, unicode.Join_Control)
}

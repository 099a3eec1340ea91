// bound.go says how few tokens a text can possibly have, from its length alone: whoever has room for a thousand need not have a
// hundred megabytes tokenized to be told so.

package tokenizer

import (
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// NFC makes text shorter by composing it, at most to two sevenths of its bytes: U+1FBE U+0308 U+0301, which are seven, become
// U+0390, which is two. bound_test.go looks at all of Unicode.
const shrunk, whole = 2, 7

// bound is what the fewest tokens of a text follow from.
type bound struct {
	longest int  // bytes of a text that one token can stand for, white space that it takes along not counted; 0: there is no bound
	strips  bool // some tokens take white space along, however much there is
}

// newBound is called when all tokens are known.
func (t *Tokenizer) newBound() bound {
	var b bound
	for _, start := range t.bpe.start {
		if start < 0 { // bytes without a token are dropped
			return bound{}
		}
	}
	if drops(t.words) {
		return bound{}
	}
	for _, bytes := range t.vocab.bytes {
		b.longest = max(b.longest, len(bytes))
	}
	for _, m := range []*matcher{t.raw, t.normal} {
		for _, a := range m.tokens {
			b.longest = max(b.longest, len(a.Content)) // which vocab.bytes may read as spelled-out bytes
			b.strips = b.strips || a.LStrip || a.RStrip
		}
	}
	return b
}

// drops says whether some of a text becomes no word.
func drops(s splitter) bool {
	switch s := s.(type) {
	case chain:
		for _, inner := range s {
			if drops(inner) {
				return true
			}
		}
	case *literalSplitter:
		return !s.matches || !s.gaps
	case *regexSplitter:
		return !s.matches || !s.gaps
	}
	return false
}

// AtLeast returns a number of tokens that Encode would not return fewer of. It takes a moment, and no memory.
func (t *Tokenizer) AtLeast(text string) int {
	b := t.bound
	if b.longest == 0 {
		return 0
	}
	n := len(text) // what is not UTF-8 becomes U+FFFD, which is no shorter
	if b.strips {
		n = inked(text)
	}
	if !norm.NFC.IsNormalString(text) {
		n = n * shrunk / whole
	}
	return (n + b.longest - 1) / b.longest
}

// inked is how many bytes of text are not white space.
func inked(text string) (n int) {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		if !isSpace(r) {
			n += size
		}
		i += size
	}
	return n
}

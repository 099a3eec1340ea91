// decode.go turns ids into text. Tokens are bytes and a character may be spread over several of them, so only whole
// sequences are read as UTF-8. What is not UTF-8 becomes U+FFFD, one for each maximal part of a sequence (Unicode 3.9, as Rust, Python and browsers do).

package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// Decode returns the text of ids. Ids without a token give nothing; so do special tokens if skipSpecial is set.
func (t *Tokenizer) Decode(ids []int32, skipSpecial bool) string {
	n := 0
	for _, id := range ids {
		n += len(t.bytes(id, skipSpecial))
	}
	text := make([]byte, 0, n)
	for _, id := range ids {
		text = append(text, t.bytes(id, skipSpecial)...)
	}
	return lossy(text)
}

func (t *Tokenizer) bytes(id int32, skipSpecial bool) string {
	if !t.vocab.has(id) || skipSpecial && t.special[id] {
		return ""
	}
	return t.vocab.bytes[id]
}

// Stream decodes ids as they come. It is a function of the ids pushed and nothing else, so a replay gives the same pieces.
type Stream struct {
	tokenizer   *Tokenizer
	skipSpecial bool
	held        [utf8.UTFMax - 1]byte // the beginning of a character
	n           int                   // bytes in held
}

// NewStream returns an empty Stream. The pieces that Push and Flush return, joined, are what Decode makes of all ids.
func (t *Tokenizer) NewStream(skipSpecial bool) *Stream {
	return &Stream{tokenizer: t, skipSpecial: skipSpecial}
}

// Push returns the text that has become certain with this id: all but the beginning of a character, at most three bytes, that the next id may finish.
func (s *Stream) Push(id int32) string {
	b := s.tokenizer.bytes(id, s.skipSpecial)
	if b == "" || s.n == 0 && s.tokenizer.vocab.whole[id] {
		return b
	}
	text := append(append(make([]byte, 0, s.n+len(b)), s.held[:s.n]...), b...)
	s.n = copy(s.held[:], text[len(text)-unfinished(text):])
	return lossy(text[:len(text)-s.n])
}

// Flush returns what is held back, as U+FFFD, and leaves the Stream empty.
func (s *Stream) Flush() string {
	text := lossy(s.held[:s.n])
	s.n = 0
	return text
}

// unfinished returns how many bytes at the end of text begin a character that more bytes could complete.
func unfinished(text []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if tail := text[len(text)-n:]; utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) { // whole, or beyond repair
				return 0
			}
			return n
		}
	}
	return 0
}

// lossy reads text as UTF-8, with U+FFFD for what is not.
func lossy(text []byte) string {
	if utf8.Valid(text) {
		return string(text)
	}
	var out strings.Builder
	out.Grow(len(text) + 16)
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		if r == utf8.RuneError && n == 1 {
			n = badPart(text)
		}
		out.WriteRune(r)
		text = text[n:]
	}
	return out.String()
}

// badPart returns the length of the longest beginning of text that could have been the beginning of a character, at least 1.
func badPart(text []byte) int {
	n := 1
	for n < len(text) && !utf8.FullRune(text[:n+1]) {
		n++
	}
	return n
}

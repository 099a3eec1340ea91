// vocab.go holds the tokens: content (as tokenizer.json spells it), id, and the bytes that a token stands for.
//
// Byte-level vocabularies spell each byte as one printable character, GPT-2's way: a space is Ġ, a newline Ċ. The map is part of
// the format; it is not written in the file.

package tokenizer

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxTokens bounds ids, which index tables. The largest published vocabularies have about 300,000 tokens.
const maxTokens = 1<<idBits - 1

// alphabet is the map between bytes and the characters that spell them.
type alphabet struct {
	char [256]rune
	byte [324]int16 // by character; -1: spells no byte
}

// newAlphabet gives printable Latin-1 characters themselves and the other bytes, in order, U+0100 and up.
func newAlphabet() *alphabet {
	a := &alphabet{}
	for i := range a.byte {
		a.byte[i] = -1
	}
	next := rune(256)
	for b := range a.char {
		r := rune(b)
		if printable := '!' <= r && r <= '~' || 0xa1 <= r && r != 0xad; !printable {
			r = next
			next++
		}
		a.char[b], a.byte[r] = r, int16(b)
	}
	return a
}

// appendBytes appends the bytes that content spells. Content with any other character, as added tokens may have, stands for itself.
func (a *alphabet) appendBytes(dst []byte, content string) []byte {
	start := len(dst)
	for _, r := range content {
		if int(r) >= len(a.byte) || a.byte[r] < 0 {
			return append(dst[:start], content...)
		}
		dst = append(dst, byte(a.byte[r]))
	}
	return dst
}

// spell appends the characters that stand for text's bytes.
func (a *alphabet) spell(dst []byte, text string) []byte {
	for i := range len(text) {
		dst = utf8.AppendRune(dst, a.char[text[i]])
	}
	return dst
}

// vocab maps contents to ids and ids to contents and bytes. The slices have one entry per id up to the highest; unused ids are "".
type vocab struct {
	tokens  int    // in the model; added tokens are kept apart
	index   *index // of those
	content []string
	bytes   []string
	whole   []bool // bytes is valid UTF-8 by itself
}

// parseVocab reads model.vocab: {"content": id, ...}.
func parseVocab(s *scanner) (*vocab, error) {
	type entry struct{ start, end, id int }
	var (
		entries []entry
		blob    []byte
		top     = -1
	)
	err := s.object(func(key []byte) error {
		start := len(blob)
		blob = append(blob, key...)
		id, err := s.integer()
		if err == nil && id >= maxTokens {
			err = fmt.Errorf("id %d is too high; ids below %d are read", id, maxTokens)
		}
		if err != nil {
			return fmt.Errorf("model.vocab[%q]: %w", clip(string(blob[start:])), err)
		}
		entries = append(entries, entry{start, len(blob), id})
		top = max(top, id)
		return nil
	})
	if err != nil {
		return nil, err
	}
	v := &vocab{tokens: len(entries)}
	v.grow(top + 1)
	v.index = newIndex(len(entries), v.content)
	text := string(blob) // one allocation for all contents; the file's text is not kept alive
	taken := make([]bool, top+1)
	for _, e := range entries {
		content := text[e.start:e.end]
		if taken[e.id] {
			return nil, fmt.Errorf("model.vocab: %q and %q both have id %d", clip(v.content[e.id]), clip(content), e.id)
		}
		if other := v.index.find(blob[e.start:e.end]); other >= 0 {
			return nil, fmt.Errorf("model.vocab: %q has both id %d and id %d", clip(content), other, e.id)
		}
		taken[e.id] = true
		v.content[e.id] = content
		v.index.add(blob[e.start:e.end], int32(e.id))
	}
	v.spellOut(newAlphabet())
	return v, nil
}

// spellOut fills bytes and whole for all contents, in one allocation.
func (v *vocab) spellOut(a *alphabet) {
	ends, blob := make([]int, len(v.content)), []byte(nil)
	for id, content := range v.content {
		blob = a.appendBytes(blob, content)
		ends[id] = len(blob)
	}
	text, start := string(blob), 0
	for id, end := range ends {
		v.bytes[id], start = text[start:end], end
		v.whole[id] = utf8.ValidString(v.bytes[id])
	}
}

func (v *vocab) grow(n int) {
	for len(v.content) < n {
		more := n - len(v.content)
		v.content = append(v.content, make([]string, more)...)
		v.bytes = append(v.bytes, make([]string, more)...)
		v.whole = append(v.whole, make([]bool, more)...)
	}
}

// set gives id a content that is not the model's.
func (v *vocab) set(a *alphabet, id int32, content string) {
	v.grow(int(id) + 1)
	v.content[id] = content
	v.bytes[id] = string(a.appendBytes(nil, content))
	v.whole[id] = utf8.ValidString(v.bytes[id])
}

func (v *vocab) has(id int32) bool { return 0 <= id && int(id) < len(v.content) }

// clip keeps messages short when a file has absurd strings in it.
func clip(s string) string {
	if len(s) <= 60 {
		return s
	}
	return strings.ToValidUTF8(s[:60], "") + "..."
}

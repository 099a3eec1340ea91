// bytes.go recovers the bytes of a token: a token may hold a part of a character, which no text shows.

package text

import (
	"strings"
	"unicode/utf8"
)

// bytes of the token with this id, nil if there is none. Added tokens and most others are text; the rest is spelled in
// the byte-level alphabet, where a character stands for a byte.
func (m *Model) bytes(id int32) []byte {
	if m.tokenizer == nil {
		return nil
	}
	text := m.tokenizer.Decode([]int32{id}, false)
	if !strings.ContainsRune(text, utf8.RuneError) {
		return []byte(text)
	}
	var out []byte
	for _, r := range m.tokenizer.Token(id) {
		b, ok := byteOf(r)
		if !ok {
			return []byte(text) // the token does contain U+FFFD
		}
		out = append(out, b)
	}
	return out
}

// byteOf inverts the byte-level alphabet (GPT-2): printable bytes of Latin-1 stand for themselves, the 68 others for the
// characters from U+0100 on, in their order.
func byteOf(r rune) (byte, bool) {
	if r < 256 && printable(byte(r)) {
		return byte(r), true
	}
	n := int(r) - 256
	for b := range 256 {
		if printable(byte(b)) {
			continue
		}
		if n == 0 {
			return byte(b), true
		}
		n--
	}
	return 0, false
}

func printable(b byte) bool {
	return b >= '!' && b <= '~' || b >= 0xa1 && b <= 0xac || b >= 0xae
}

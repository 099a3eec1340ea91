// json.go reads JSON without building a tree. A vocabulary is half a million short strings in one file; a general decoder needs several
// times the whole loading budget for it. Small parts of the file are cut out with value and given to encoding/json.

package tokenizer

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const maxDepth = 64 // of nesting; a real tokenizer.json has 6

var errEnd = errors.New("unexpected end of JSON")

// scanner walks over one JSON text. Each method expects its value at pos, white space before it allowed, and leaves pos behind it.
type scanner struct {
	data  []byte
	pos   int
	depth int
	pace  *pace
}

// peek returns the first byte that is not white space, or 0 at the end; it does not move past it.
func (s *scanner) peek() byte {
	for ; s.pos < len(s.data); s.pos++ {
		switch c := s.data[s.pos]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

func (s *scanner) expect(c byte) error {
	switch got := s.peek(); {
	case s.pos == len(s.data):
		return errEnd
	case got != c:
		return fmt.Errorf("%q instead of %q at byte %d", got, c, s.pos)
	}
	s.pos++
	return nil
}

// object calls member with each key, good until it reads on; member must read the value.
func (s *scanner) object(member func(key []byte) error) error {
	var scratch []byte
	return s.list('{', '}', func(int) error {
		key, err := s.str(scratch)
		if err != nil {
			return err
		}
		if err := s.expect(':'); err != nil {
			return err
		}
		return member(key)
	})
}

// array calls item with each index; item must read the value.
func (s *scanner) array(item func(i int) error) error {
	return s.list('[', ']', item)
}

func (s *scanner) list(open, close byte, item func(i int) error) error {
	if err := s.expect(open); err != nil {
		return err
	}
	if s.depth++; s.depth > maxDepth {
		return fmt.Errorf("nested deeper than %d at byte %d", maxDepth, s.pos)
	}
	defer func() { s.depth-- }()
	if s.peek() == close {
		s.pos++
		return nil
	}
	for i := 0; ; i++ {
		from := s.pos
		if err := item(i); err != nil {
			return err
		}
		if err := s.pace.spend(s.pos - from); err != nil {
			return err
		}
		if s.peek() == close {
			s.pos++
			return nil
		}
		if err := s.expect(','); err != nil {
			return err
		}
	}
}

// str reads a string. The result lies in the JSON text itself, or in scratch if the string has escapes: use it before the next call.
func (s *scanner) str(scratch []byte) ([]byte, error) {
	if err := s.expect('"'); err != nil {
		return nil, err
	}
	start, ascii := s.pos, true
	for ; s.pos < len(s.data); s.pos++ {
		c := s.data[s.pos]
		switch {
		case c == '"':
			text := s.data[start:s.pos]
			if !ascii && !utf8.Valid(text) {
				return nil, fmt.Errorf("string is not UTF-8 at byte %d", start)
			}
			s.pos++
			return text, nil
		case c == '\\':
			return s.escaped(append(scratch[:0], s.data[start:s.pos]...), start)
		case c < ' ':
			return nil, fmt.Errorf("control character in a string at byte %d", s.pos)
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return nil, errEnd
}

// escaped finishes a string from its first backslash on; text is what came before it.
func (s *scanner) escaped(text []byte, start int) ([]byte, error) {
	for s.pos < len(s.data) {
		c := s.data[s.pos]
		s.pos++
		switch {
		case c == '"':
			if !utf8.Valid(text) {
				return nil, fmt.Errorf("string is not UTF-8 at byte %d", start)
			}
			return text, nil
		case c < ' ':
			return nil, fmt.Errorf("control character in a string at byte %d", s.pos-1)
		case c != '\\':
			text = append(text, c)
		default:
			r, err := s.escape()
			if err != nil {
				return nil, err
			}
			text = utf8.AppendRune(text, r)
		}
	}
	return nil, errEnd
}

// escape reads what follows a backslash. Half a surrogate pair is an error, as it is for the reference.
func (s *scanner) escape() (rune, error) {
	if s.pos == len(s.data) {
		return 0, errEnd
	}
	c := s.data[s.pos]
	s.pos++
	switch c {
	case '"', '\\', '/':
		return rune(c), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
		return s.unicode()
	}
	return 0, fmt.Errorf("unknown escape \\%c at byte %d", c, s.pos-1)
}

func (s *scanner) unicode() (rune, error) {
	high, err := s.hex4()
	if err != nil || !utf16.IsSurrogate(high) {
		return high, err
	}
	if s.pos+1 < len(s.data) && s.data[s.pos] == '\\' && s.data[s.pos+1] == 'u' {
		s.pos += 2
		low, err := s.hex4()
		if err != nil {
			return 0, err
		}
		if r := utf16.DecodeRune(high, low); r != utf8.RuneError {
			return r, nil
		}
	}
	return 0, fmt.Errorf("half a surrogate pair at byte %d", s.pos)
}

func (s *scanner) hex4() (rune, error) {
	if s.pos+4 > len(s.data) {
		return 0, errEnd
	}
	var r rune
	for _, c := range s.data[s.pos : s.pos+4] {
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, fmt.Errorf("\\u needs four hexadecimal digits at byte %d", s.pos)
		}
	}
	s.pos += 4
	return r, nil
}

// integer reads a whole number of at most nine digits: token ids need no more.
func (s *scanner) integer() (int, error) {
	s.peek()
	start, n := s.pos, 0
	for s.pos < len(s.data) && s.pos-start < 10 && '0' <= s.data[s.pos] && s.data[s.pos] <= '9' {
		n = n*10 + int(s.data[s.pos]-'0')
		s.pos++
	}
	digits := s.pos - start
	fraction := s.pos < len(s.data) && strings.IndexByte(".eE", s.data[s.pos]) >= 0
	if digits == 0 || digits > 9 || (digits > 1 && s.data[start] == '0') || fraction {
		return 0, fmt.Errorf("no whole number below 10^9 at byte %d", start)
	}
	return n, nil
}

// value checks any one value and returns its text.
func (s *scanner) value() ([]byte, error) {
	var err error
	c := s.peek()
	start := s.pos
	switch {
	case s.pos == len(s.data):
		err = errEnd
	case c == '{':
		err = s.object(func([]byte) error { _, err := s.value(); return err })
	case c == '[':
		err = s.array(func(int) error { _, err := s.value(); return err })
	case c == '"':
		_, err = s.str(nil)
	case c == '-' || '0' <= c && c <= '9':
		err = s.number()
	default:
		err = s.literal()
	}
	return s.data[start:s.pos], err
}

func (s *scanner) literal() error {
	for _, word := range []string{"null", "true", "false"} {
		if rest := s.data[s.pos:]; len(rest) >= len(word) && string(rest[:len(word)]) == word {
			s.pos += len(word)
			return nil
		}
	}
	return fmt.Errorf("no JSON value at byte %d", s.pos)
}

// number reads -? int frac? exp? of RFC 8259.
func (s *scanner) number() error {
	start := s.pos
	if s.data[s.pos] == '-' {
		s.pos++
	}
	if s.pos < len(s.data) && s.data[s.pos] == '0' {
		s.pos++
	} else if s.digits() == 0 {
		return fmt.Errorf("malformed number at byte %d", start)
	}
	if s.pos < len(s.data) && s.data[s.pos] == '.' {
		s.pos++
		if s.digits() == 0 {
			return fmt.Errorf("malformed number at byte %d", start)
		}
	}
	if s.pos < len(s.data) && s.data[s.pos]|0x20 == 'e' {
		s.pos++
		if s.pos < len(s.data) && (s.data[s.pos] == '+' || s.data[s.pos] == '-') {
			s.pos++
		}
		if s.digits() == 0 {
			return fmt.Errorf("malformed number at byte %d", start)
		}
	}
	return nil
}

func (s *scanner) digits() (n int) {
	for s.pos < len(s.data) && '0' <= s.data[s.pos] && s.data[s.pos] <= '9' {
		s.pos++
		n++
	}
	return n
}

// end checks that nothing follows.
func (s *scanner) end() error {
	if s.peek(); s.pos != len(s.data) {
		return fmt.Errorf("text after the JSON value at byte %d", s.pos)
	}
	return nil
}

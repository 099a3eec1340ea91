package jinja

import (
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"
)

// scan.go cuts the inside of a tag: names, numbers, strings, operators.

var operators = []string{"**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "[", "]", "(", ")", "{", "}", "<", ">", "=", ".", ":", "|", ",", ";"}

// scanTag reads up to the border whose first mark is given. Inside brackets a border is not one: {{ {'a': {}} }}.
func (l *lexer) scanTag(mark byte, end tokenKind) error {
	var open []byte // closing brackets that are waited for
	for l.pos < len(l.src) {
		if len(open) == 0 {
			if pos, ok := l.closing(l.pos, mark); ok {
				l.emit(end, string(mark)+"}")
				l.advance(pos)
				return nil
			}
		}
		if l.skipSpace() {
			continue
		}
		if done, err := l.literal(); err != nil {
			return err
		} else if done {
			continue
		}
		op := l.operator()
		if op == "" {
			c, _ := utf8.DecodeRuneInString(l.src[l.pos:])
			return errorf(SyntaxError, "unexpected char %s at %d", reprString(string(c)), l.pos)
		}
		var err error
		if open, err = balance(open, op); err != nil {
			return err
		}
		l.emit(tokOp, op)
		l.advance(l.pos + len(op))
	}
	return nil // the parser meets the end of the template and says what it misses
}

func balance(open []byte, op string) ([]byte, error) {
	switch c := op[0]; c {
	case '(':
		return append(open, ')'), nil
	case '[', '{':
		return append(open, c+2), nil // ']' and '}' come two after their partner
	case ')', ']', '}':
		if len(open) == 0 {
			return nil, errorf(SyntaxError, "unexpected '%s'", op)
		}
		if want := open[len(open)-1]; want != c {
			return nil, errorf(SyntaxError, "unexpected '%s', expected '%c'", op, want)
		}
		return open[:len(open)-1], nil
	}
	return open, nil
}

func (l *lexer) skipSpace() bool {
	rest := strings.TrimLeftFunc(l.src[l.pos:], isSpace)
	end := len(l.src) - len(rest)
	if end == l.pos {
		return false
	}
	l.advance(end)
	return true
}

func (l *lexer) operator() string {
	for _, op := range operators {
		if strings.HasPrefix(l.src[l.pos:], op) {
			return op
		}
	}
	return ""
}

// literal reads a name, a string or a number, if there is one.
func (l *lexer) literal() (bool, error) {
	c, n := utf8.DecodeRuneInString(l.src[l.pos:])
	switch {
	case c == '\'' || c == '"':
		return l.stringLiteral(c)
	case c >= '0' && c <= '9':
		return l.number()
	}
	if !isNameRune(c, true) {
		return false, nil
	}
	end := l.pos + n
	for end < len(l.src) {
		c, n := utf8.DecodeRuneInString(l.src[end:])
		if !isNameRune(c, false) {
			break
		}
		end += n
	}
	l.emit(tokName, l.src[l.pos:end])
	l.advance(end)
	return true, nil
}

func (l *lexer) stringLiteral(quote rune) (bool, error) {
	for i := l.pos + 1; i < len(l.src); i++ {
		switch rune(l.src[i]) {
		case '\\':
			i++
		case quote:
			s, err := unescape(l.src[l.pos+1 : i])
			if err != nil {
				return false, err
			}
			l.emit(tokString, s)
			l.advance(i + 1)
			return true, nil
		}
	}
	return false, errorf(SyntaxError, "unexpected char %s at %d", reprString(string(quote)), l.pos)
}

var simpleEscapes = map[byte]string{
	'\n': "", '\\': "\\", '\'': "'", '"': `"`, 'a': "\a", 'b': "\b", 'f': "\f", 'n': "\n", 'r': "\r", 't': "\t", 'v': "\v",
}

// unescape reads Python's escapes. An unknown one keeps its backslash.
func unescape(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	var b strings.Builder
	for s != "" {
		i := strings.IndexByte(s, '\\')
		if i < 0 || i+1 == len(s) {
			b.WriteString(s)
			break
		}
		b.WriteString(s[:i])
		c := s[i+1]
		s = s[i+2:]
		if text, ok := simpleEscapes[c]; ok {
			b.WriteString(text)
			continue
		}
		n, err := numericEscape(&b, c, s)
		if err != nil {
			return "", err
		}
		s = s[n:]
	}
	return b.String(), nil
}

// numericEscape writes the code point of \ooo, \xhh, \uhhhh or \Uhhhhhhhh and says how many bytes of s it took.
func numericEscape(b *strings.Builder, c byte, s string) (int, error) {
	digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[c]
	if digits > 0 {
		if len(s) < digits {
			return 0, errorf(SyntaxError, `truncated \%c escape`, c)
		}
		n, err := strconv.ParseUint(s[:digits], 16, 32)
		if err != nil || n > utf8.MaxRune {
			return 0, errorf(SyntaxError, `bad \%c escape`, c)
		}
		b.WriteRune(rune(n))
		return digits, nil
	}
	if c == 'N' {
		return 0, errorf(SyntaxError, `\N escapes are not supported: write the letter itself`)
	}
	if c < '0' || c > '7' {
		b.WriteByte('\\')
		b.WriteByte(c)
		return 0, nil
	}
	n, value := 0, rune(c-'0')
	for n < 2 && n < len(s) && s[n] >= '0' && s[n] <= '7' {
		value = value*8 + rune(s[n]-'0')
		n++
	}
	b.WriteRune(value)
	return n, nil
}

// number reads an integer or a float.
func (l *lexer) number() (bool, error) {
	s := l.src[l.pos:]
	afterDot := l.pos > 0 && l.src[l.pos-1] == '.'
	if n := floatLen(s); n > 0 && !afterDot {
		f, _ := strconv.ParseFloat(strings.ReplaceAll(s[:n], "_", ""), 64) // out of range reads as infinite
		l.emitNumber(f, n)
		return true, nil
	}
	n := integerLen(s)
	z, ok := new(big.Int), false
	if n <= maxDigits {
		z, ok = z.SetString(strings.ReplaceAll(s[:n], "_", ""), 0)
	}
	if !ok {
		return false, errorf(SyntaxError, "a number of %d digits cannot be read", n)
	}
	l.emitNumber(fromBig(z), n)
	return true, nil
}

func (l *lexer) emitNumber(v Value, n int) {
	l.emit(tokNumber, l.src[l.pos:l.pos+n])
	l.tokens[len(l.tokens)-1].value = v
	l.advance(l.pos + n)
}

// digitsLen is the length of digits with single underscores between them.
func digitsLen(s, digits string) int {
	n := 0
	for n < len(s) {
		switch {
		case strings.IndexByte(digits, s[n]) >= 0:
			n++
		case s[n] == '_' && n > 0 && n+1 < len(s) && strings.IndexByte(digits, s[n+1]) >= 0:
			n += 2
		default:
			return n
		}
	}
	return n
}

const decimal = "0123456789"

// floatLen is the length of a float at the start of s: digits, then a fraction or an exponent or both; 0 if it is none.
func floatLen(s string) int {
	n := digitsLen(s, decimal)
	whole := n
	if n < len(s) && s[n] == '.' {
		if d := digitsLen(s[n+1:], decimal); d > 0 {
			n += 1 + d
		}
	}
	if n < len(s) && (s[n] == 'e' || s[n] == 'E') {
		e := n + 1
		if e < len(s) && (s[e] == '+' || s[e] == '-') {
			e++
		}
		if d := digitsLen(s[e:], decimal); d > 0 {
			n = e + d
		}
	}
	if n == whole {
		return 0
	}
	return n
}

func integerLen(s string) int {
	if len(s) > 2 && s[0] == '0' {
		digits := map[byte]string{'b': "01", 'o': "01234567", 'x': "0123456789abcdefABCDEF"}[s[1]|0x20]
		under := 2
		if s[2] == '_' {
			under++
		}
		if n := digitsLen(s[under:], digits); n > 0 {
			return under + n
		}
	}
	if s[0] == '0' {
		return digitsLen(s, "0")
	}
	return digitsLen(s, decimal)
}

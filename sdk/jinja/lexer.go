package jinja

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// lexer.go cuts a template into text and tags and decides about white space:
//
//   - one newline at the end of the template is dropped;
//   - a newline right after a block or comment tag is dropped (trim_blocks), not after {{ }};
//   - blanks between the start of a line and a block or comment tag are dropped (lstrip_blocks), not before {{ }};
//   - "-" inside a tag's border drops all white space on that side, "+" keeps it.
//
// What stands inside a tag is cut in scan.go.

type tokenKind uint8

const (
	tokEOF      tokenKind = iota
	tokText               // outside of tags
	tokPrint              // {{
	tokPrintEnd           // }}
	tokBlock              // {%
	tokBlockEnd           // %}
	tokName               // also keywords
	tokString             // text is the value
	tokNumber             // value is int64, *big.Int or float64
	tokOp                 // text is the operator
)

type token struct {
	kind  tokenKind
	text  string
	value Value
	line  int
}

type lexer struct {
	src    string
	pos    int
	line   int
	tokens []token
	// freshLine: nothing but white space can stand before pos in its line, as far as the last tag goes.
	freshLine bool
}

// lex returns the tokens of source, the last of which is tokEOF.
func lex(source string) ([]token, error) {
	if len(source) > maxSource {
		return nil, errorf(LimitError, "the template has %d bytes, more than %d", len(source), maxSource)
	}
	if !utf8.ValidString(source) {
		source = strings.ToValidUTF8(source, "\uFFFD")
	}
	source = normalizeNewlines(source)
	l := &lexer{src: strings.TrimSuffix(source, "\n"), line: 1, freshLine: true}
	for l.pos < len(l.src) {
		if err := l.next(); err != nil {
			return nil, at(err, l.line)
		}
	}
	l.emit(tokEOF, "end of template")
	return l.tokens, nil
}

func normalizeNewlines(s string) string {
	if !strings.Contains(s, "\r") {
		return s
	}
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
}

func (l *lexer) emit(kind tokenKind, text string) {
	l.tokens = append(l.tokens, token{kind: kind, text: text, line: l.line})
}

// advance moves to pos and counts the lines passed.
func (l *lexer) advance(pos int) {
	l.line += strings.Count(l.src[l.pos:pos], "\n")
	l.freshLine = pos > 0 && l.src[pos-1] == '\n'
	l.pos = pos
}

// next reads the text up to a tag, and the tag.
func (l *lexer) next() error {
	open := l.findTag(l.pos)
	if open < 0 {
		l.emit(tokText, l.src[l.pos:])
		l.advance(len(l.src))
		return nil
	}
	kind, inside := l.src[open+1], open+2
	sign := byte(0)
	if inside < len(l.src) && (l.src[inside] == '-' || l.src[inside] == '+') {
		sign = l.src[inside]
		inside++
	}
	l.text(open, sign, kind == '{')
	if kind == '%' {
		if end, ok := l.rawTag(inside, "raw", false); ok {
			l.advance(end)
			return l.raw()
		}
	}
	l.advance(inside)
	switch kind {
	case '#':
		return l.comment()
	case '%':
		l.emit(tokBlock, "{%")
		return l.scanTag('%', tokBlockEnd)
	}
	l.emit(tokPrint, "{{")
	return l.scanTag('}', tokPrintEnd)
}

// findTag returns where the next {{, {% or {# begins.
func (l *lexer) findTag(from int) int {
	for {
		i := strings.IndexByte(l.src[from:], '{')
		if i < 0 || from+i+1 >= len(l.src) {
			return -1
		}
		from += i + 1
		switch l.src[from] {
		case '{', '%', '#':
			return from - 1
		}
	}
}

// text emits what stands between pos and the tag at open, less the white space that the tag takes away.
func (l *lexer) text(open int, sign byte, print bool) {
	s := l.src[l.pos:open]
	switch {
	case sign == '-':
		s = strings.TrimRightFunc(s, isSpace)
	case sign != '+' && !print:
		line := strings.LastIndexByte(s, '\n') + 1
		if (line > 0 || l.freshLine) && strings.TrimLeftFunc(s[line:], isSpace) == "" {
			s = s[:line]
		}
	}
	if s != "" {
		l.emit(tokText, s)
	}
	l.advance(open)
}

// closing says how many bytes the border of a tag takes at pos: the sign, the two marks, and the white space that goes
// with them. The marks are mark and '}'.
func (l *lexer) closing(pos int, mark byte) (int, bool) {
	s := l.src[pos:]
	sign := byte(0)
	if s != "" && (s[0] == '-' || s[0] == '+' && mark != '}') {
		sign, s = s[0], s[1:]
	}
	if len(s) < 2 || s[0] != mark || s[1] != '}' {
		return 0, false
	}
	s = s[2:]
	switch {
	case sign == '-':
		s = strings.TrimLeftFunc(s, isSpace)
	case sign == 0 && mark != '}':
		s = strings.TrimPrefix(s, "\n")
	}
	return len(l.src) - len(s), true
}

func (l *lexer) comment() error {
	for i := l.pos; i < len(l.src); i++ {
		switch l.src[i] {
		case '-', '+', '#':
			if end, ok := l.closing(i, '#'); ok {
				l.advance(end)
				return nil
			}
		}
	}
	return errorf(SyntaxError, "Missing end of comment tag")
}

// rawTag matches the rest of {% raw %} or {% endraw %}. Only the end tag takes the newline after it.
func (l *lexer) rawTag(pos int, word string, end bool) (int, bool) {
	s := strings.TrimLeftFunc(l.src[pos:], isSpace)
	s, ok := strings.CutPrefix(s, word)
	if !ok {
		return 0, false
	}
	s = strings.TrimLeftFunc(s, isSpace)
	if rest, ok := strings.CutPrefix(s, "%}"); ok && !end {
		return len(l.src) - len(rest), true
	}
	if strings.HasPrefix(s, "+") && !end {
		return 0, false
	}
	return l.closing(len(l.src)-len(s), '%')
}

// raw emits everything up to {% endraw %} as text.
func (l *lexer) raw() error {
	for from := l.pos; ; {
		i := strings.Index(l.src[from:], "{%")
		if i < 0 {
			return errorf(SyntaxError, "Missing end of raw directive")
		}
		open := from + i
		inside, sign := open+2, byte(0)
		if inside < len(l.src) && (l.src[inside] == '-' || l.src[inside] == '+') {
			sign = l.src[inside]
			inside++
		}
		if end, ok := l.rawTag(inside, "endraw", true); ok {
			l.text(open, sign, false)
			l.advance(end)
			return nil
		}
		from = open + 2
	}
}

func isNameRune(c rune, first bool) bool {
	return c == '_' || unicode.IsLetter(c) || !first && (unicode.IsDigit(c) || unicode.IsMark(c))
}

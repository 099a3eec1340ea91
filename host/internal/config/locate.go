package config

import (
	"strconv"
	"strings"
)

// locate finds the line of every key in a document that the TOML parser has accepted, since the parser itself forgets
// the positions of all but the last element of an array of tables. The answer's keys are paths such as "server",
// "model[1]", "model[1].env.PIO_CPU", "plugins.dirs[0]".
func locate(src string) map[string]int { return walk(src).lines }

// walk goes through a document once.
func walk(src string) *locator {
	l := &locator{src: src, line: 1, lines: map[string]int{}, tables: map[string]int{}}
	prefix := ""
	for l.skip(); l.i < len(l.src); l.skip() {
		if l.src[l.i] == '[' {
			line := l.line
			prefix = l.header()
			l.headers = append(l.headers, header{prefix, line})
			continue
		}
		l.pair(prefix)
	}
	return l
}

// header is a line in brackets, with the path of what stands below it.
type header struct {
	path string
	line int
}

// locator walks a valid document. On an invalid one it may answer nonsense, but it ends and does not panic.
type locator struct {
	src    string
	i      int // next byte
	line   int // of src[i]
	lines  map[string]int
	tables map[string]int // elements seen of each array of tables

	headers []header // in their order
}

// header reads [a.b] or [[a.b]] and returns the path that the pairs below it belong to.
func (l *locator) header() string {
	line := l.line
	array := strings.HasPrefix(l.src[l.i:], "[[")
	for l.peek() == '[' {
		l.i++
	}
	parts := l.key()
	for l.peek() == ']' {
		l.i++
	}
	path := ""
	for n, part := range parts {
		path = join(path, part)
		if array && n == len(parts)-1 {
			l.note(path, line)
			l.tables[path]++
		}
		if count := l.tables[path]; count > 0 {
			path = element(path, count-1)
		}
		l.note(path, line)
	}
	return path
}

// pair reads key = value.
func (l *locator) pair(prefix string) {
	line := l.line
	path := prefix
	for _, part := range l.key() {
		path = join(path, part)
		l.note(path, line)
	}
	l.blanks()
	if l.peek() != '=' {
		l.i++ // not a valid document; go on, so that the walk ends
		return
	}
	l.i++
	l.value(path)
}

// value steps over a value, noting what lies inside arrays and inline tables.
func (l *locator) value(path string) {
	l.skip()
	switch l.peek() {
	case '"', '\'':
		l.quoted()
	case '[':
		l.i++
		for n := 0; l.more(']'); n++ {
			l.note(element(path, n), l.line)
			l.value(element(path, n))
		}
	case '{':
		l.i++
		for l.more('}') {
			l.pair(path)
		}
	default:
		for l.i < len(l.src) && !strings.ContainsRune(",]}\n#", rune(l.src[l.i])) {
			l.i++
		}
	}
}

// more steps over what separates the elements of an array or inline table, and over its end if that comes next.
func (l *locator) more(end byte) bool {
	l.skip()
	for l.peek() == ',' {
		l.i++
		l.skip()
	}
	if l.i >= len(l.src) {
		return false
	}
	if l.peek() == end {
		l.i++
		return false
	}
	if c := l.peek(); c == ']' || c == '}' { // the wrong end: not a valid document
		l.i = len(l.src)
		return false
	}
	return true
}

// key reads a dotted key.
func (l *locator) key() []string {
	var parts []string
	for {
		l.blanks()
		switch c := l.peek(); {
		case c == '"' || c == '\'':
			parts = append(parts, l.quoted())
		case bare(c):
			start := l.i
			for bare(l.peek()) {
				l.i++
			}
			parts = append(parts, l.src[start:l.i])
		default:
			return parts
		}
		l.blanks()
		if l.peek() != '.' {
			return parts
		}
		l.i++
	}
}

// quoted steps over a string of any of the four kinds and returns its text (of a key: never multi-line).
func (l *locator) quoted() string {
	quote := l.src[l.i : l.i+1]
	if triple := strings.Repeat(quote, 3); strings.HasPrefix(l.src[l.i:], triple) {
		l.i += 3
		l.until(triple, quote == `"`)
		for n := 0; n < 2 && l.peek() == quote[0]; n++ { // up to two quotes may stand before the closing three
			l.i++
		}
		return ""
	}
	start := l.i
	l.i++
	l.until(quote, quote == `"`)
	if raw := l.src[start:l.i]; len(raw) >= 2 {
		if text, err := strconv.Unquote(raw); err == nil && quote == `"` {
			return text
		}
		return raw[1 : len(raw)-1]
	}
	return ""
}

// until steps past the next occurrence of end, over escaped bytes if escapes count.
func (l *locator) until(end string, escapes bool) {
	for l.i < len(l.src) {
		switch {
		case escapes && l.src[l.i] == '\\' && l.i+1 < len(l.src):
			l.i++
		case strings.HasPrefix(l.src[l.i:], end):
			l.i += len(end)
			return
		}
		l.advance()
	}
}

// skip steps over white space, line ends and comments.
func (l *locator) skip() {
	for l.i < len(l.src) {
		switch l.src[l.i] {
		case ' ', '\t', '\r', '\n':
			l.advance()
		case '#':
			for l.i < len(l.src) && l.src[l.i] != '\n' {
				l.i++
			}
		default:
			return
		}
	}
}

func (l *locator) blanks() {
	for l.peek() == ' ' || l.peek() == '\t' {
		l.i++
	}
}

func (l *locator) advance() {
	if l.src[l.i] == '\n' {
		l.line++
	}
	l.i++
}

func (l *locator) peek() byte {
	if l.i < len(l.src) {
		return l.src[l.i]
	}
	return 0
}

// note keeps the first line a path was seen on.
func (l *locator) note(path string, line int) {
	if _, seen := l.lines[path]; !seen {
		l.lines[path] = line
	}
}

func bare(c byte) bool {
	return c == '_' || c == '-' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func element(path string, n int) string { return path + "[" + strconv.Itoa(n) + "]" }

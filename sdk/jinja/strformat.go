package jinja

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// strformat.go has str.format: {} {0} {name} {0.attr} {0[key]} {!r} {:>10.2f}.

func formatMethod(r *run, self Value, a args) (Value, error) {
	s, _ := str(self)
	if err := r.grow(len(s)); err != nil {
		return nil, err
	}
	f := &formatter{r: r, args: a}
	return f.format(s, 0)
}

type formatter struct {
	r      *run
	args   args
	auto   int // the next automatic {}
	manual bool
}

func (f *formatter) format(s string, depth int) (string, error) {
	if depth > 1 {
		return "", errorf(ValueError, "Max string recursion exceeded")
	}
	var b strings.Builder
	for s != "" {
		i := strings.IndexAny(s, "{}")
		if i < 0 {
			b.WriteString(s)
			break
		}
		b.WriteString(s[:i])
		if i+1 < len(s) && s[i+1] == s[i] {
			b.WriteByte(s[i])
			s = s[i+2:]
			continue
		}
		if s[i] == '}' {
			return "", errorf(ValueError, "Single '}' encountered in format string")
		}
		end := fieldEnd(s[i+1:])
		if end < 0 {
			return "", errorf(ValueError, "expected '}' before end of string")
		}
		text, err := f.field(s[i+1:i+1+end], depth)
		if err != nil {
			return "", err
		}
		if err := f.r.grow(i + len(text)); err != nil {
			return "", err
		}
		b.WriteString(text)
		s = s[i+end+2:]
	}
	return b.String(), nil
}

// fieldEnd finds the brace that closes a field; there may be fields in its format.
func fieldEnd(s string) int {
	open := 0
	for i := range len(s) {
		switch s[i] {
		case '{':
			open++
		case '}':
			if open == 0 {
				return i
			}
			open--
		}
	}
	return -1
}

func (f *formatter) field(s string, depth int) (string, error) {
	path, format, _ := strings.Cut(s, ":")
	path, convert, converted := strings.Cut(path, "!")
	v, err := f.value(path)
	if err != nil {
		return "", err
	}
	if converted {
		switch convert {
		case "r", "a":
			v, err = f.r.repr(v)
		case "s":
			v, err = f.r.text(v)
		default:
			err = errorf(ValueError, "Unknown conversion specifier %s", convert)
		}
		if err != nil {
			return "", err
		}
	}
	if strings.Contains(format, "{") {
		if format, err = f.format(format, depth+1); err != nil {
			return "", err
		}
	}
	return f.r.formatSpec(v, format)
}

// value finds what a path such as 0.name[key] means.
func (f *formatter) value(path string) (Value, error) {
	end := strings.IndexAny(path, ".[")
	if end < 0 {
		end = len(path)
	}
	v, err := f.root(path[:end])
	for path = path[end:]; err == nil && path != ""; {
		if path[0] == '[' {
			key, rest, ok := strings.Cut(path[1:], "]")
			if !ok {
				return nil, errorf(ValueError, "Missing ']' in format string")
			}
			var k Value = key
			if n, err := strconv.ParseInt(key, 10, 64); err == nil {
				k = n
			}
			v, err = f.r.getItem(v, k)
			path = rest
			continue
		}
		end := strings.IndexAny(path[1:], ".[")
		if end < 0 {
			end = len(path) - 1
		}
		v, err = f.r.getAttr(v, path[1:end+1])
		path = path[end+1:]
	}
	return v, err
}

func (f *formatter) root(id string) (Value, error) {
	n, err := strconv.Atoi(id)
	switch {
	case id == "":
		if f.manual {
			return nil, errorf(ValueError, "cannot switch from manual field specification to automatic field numbering")
		}
		n = f.auto
		f.auto++
	case err != nil:
		for _, k := range f.args.kw {
			if k.name == id {
				return k.value, nil
			}
		}
		return nil, errorf(KeyError, "%s", reprString(id))
	case f.auto > 0:
		return nil, errorf(ValueError, "cannot switch from automatic field numbering to manual field specification")
	default:
		f.manual = true
	}
	if n < 0 || n >= len(f.args.pos) {
		return nil, errorf(IndexError, "Replacement index %d out of range for positional args tuple", n)
	}
	return f.args.pos[n], nil
}

// formatSpec is format(v, s).
func (r *run) formatSpec(v Value, s string) (string, error) {
	if s == "" {
		return r.text(v)
	}
	sp, err := parseSpec(s)
	if err != nil {
		return "", err
	}
	_, isString := str(v)
	_, isFloat := v.(float64)
	switch {
	case isString && (sp.verb == 0 || sp.verb == 's'):
		if err := sp.checkString(); err != nil {
			return "", err
		}
		if sp.zero && sp.fill == "" {
			sp.fill = "0"
		}
		if sp.align == 0 {
			sp.align = '<'
		}
		text, _ := str(v)
		return sp.pad("", clip(text, sp.precision)), nil
	case isString:
		return "", errorf(ValueError, "Unknown format code '%c' for object of type 'str'", sp.verb)
	case !isNumber(v):
		return "", errorf(TypeError, "unsupported format string passed to %s.__format__", typeName(v))
	case sp.verb == '%':
		sp.verb = 'f'
		text, err := sp.formatFloat(toFloat(v) * 100)
		return text + "%", err
	case isFloat && sp.verb == 0 && sp.precision < 0:
		text, negative := strings.CutPrefix(reprFloat(v.(float64)), "-")
		return sp.pad(sp.sign(negative), text), nil
	case isFloat && sp.verb == 0:
		sp.verb = 'g'
	case !isFloat && sp.precision >= 0 && strings.IndexByte("\x00dxXobn", sp.verb) >= 0:
		return "", errorf(ValueError, "Precision not allowed in integer format specifier")
	}
	if sp.verb == 'n' {
		sp.verb = map[bool]byte{true: 'g', false: 'd'}[isFloat]
	}
	switch sp.verb {
	case 'f', 'F', 'e', 'E', 'g', 'G':
		return sp.formatFloat(v)
	case 0, 'd', 'x', 'X', 'o', 'b':
		if !isFloat {
			if sp.verb == 0 {
				sp.verb = 'd'
			}
			return sp.formatInt(v, sp.verb)
		}
	}
	return "", errorf(ValueError, "Unknown format code %s for object of type '%s'", reprString(string(sp.verb)), typeName(v))
}

// checkString refuses what only numbers have.
func (sp spec) checkString() error {
	switch {
	case sp.plus || sp.space:
		return errorf(ValueError, "Sign not allowed in string format specifier")
	case sp.alt:
		return errorf(ValueError, "Alternate form (#) not allowed in string format specifier")
	case sp.align == '=':
		return errorf(ValueError, "'=' alignment not allowed in string format specifier")
	case sp.comma:
		return errorf(ValueError, "Cannot specify ',' with 's'.")
	}
	return nil
}

// parseSpec reads [[fill]align][sign][#][0][width][,][.precision][verb].
func parseSpec(s string) (spec, error) {
	sp := spec{precision: -1}
	if _, n := utf8.DecodeRuneInString(s); len(s) > n && strings.IndexByte("<>^=", s[n]) >= 0 {
		sp.fill, sp.align, s = s[:n], s[n], s[n+1:]
	} else if strings.IndexByte("<>^=", s[0]) >= 0 {
		sp.align, s = s[0], s[1:]
	}
	flag := func(c byte) bool {
		if s != "" && s[0] == c {
			s = s[1:]
			return true
		}
		return false
	}
	number := func() int {
		n := digitsLen(s, decimal)
		i, err := strconv.Atoi(s[:n])
		if n > 0 && (err != nil || i > maxWidth) {
			i = maxWidth + 1
		}
		s = s[n:]
		return i
	}
	sp.plus = flag('+')
	sp.space = flag(' ')
	flag('-')
	sp.alt = flag('#')
	sp.zero = flag('0')
	sp.width = number()
	sp.comma = flag(',')
	if flag('.') {
		sp.precision = number()
	}
	if sp.width > maxWidth || sp.precision > maxWidth {
		return sp, errorf(LimitError, "a format is wider than %d", maxWidth)
	}
	if len(s) > 1 {
		return sp, errorf(ValueError, "Invalid format specifier")
	}
	if s != "" {
		sp.verb = s[0]
	}
	return sp, nil
}

package jinja

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

func runeLen(s string) int {
	if s[0] < utf8.RuneSelf {
		return 1
	}
	_, n := utf8.DecodeRuneInString(s)
	return n
}

// isSpace is Python's str.isspace for one code point: White_Space and the four information separators.
func isSpace(c rune) bool { return unicode.IsSpace(c) || c >= 0x1c && c <= 0x1f }

// writeRepr appends repr(v).
func (r *run) writeRepr(b *strings.Builder, v Value, depth int) error {
	before := b.Len()
	if err := r.step(1); err != nil {
		return err
	}
	if depth > valueDepth {
		return errorf(LimitError, "a value nests deeper than %d", valueDepth)
	}
	switch v := v.(type) {
	case *List:
		return r.writeItems(b, "[", v.Items, "]", depth)
	case *Tuple:
		if len(v.Items) == 1 {
			return r.writeItems(b, "(", v.Items, ",)", depth)
		}
		return r.writeItems(b, "(", v.Items, ")", depth)
	case *Dict:
		return r.writeDict(b, v, depth)
	case *view:
		if err := r.writeItems(b, "dict_"+v.kind+"([", v.items, "])", depth); err != nil {
			return err
		}
	case *namespace:
		b.WriteString("<Namespace ")
		if err := r.writeDict(b, v.vars, depth+1); err != nil {
			return err
		}
		b.WriteByte('>')
	case string:
		if err := r.grow(len(v)); err != nil {
			return err
		}
		b.WriteString(reprString(v))
	case Markup:
		b.WriteString("Markup(" + reprString(string(v)) + ")")
	case *undefined:
		b.WriteString("Undefined")
	case *loop:
		n, err := v.length()
		if err != nil {
			return err
		}
		fmt.Fprintf(b, "<LoopContext %d/%d>", v.index0+1, n)
	default:
		b.WriteString(scalar(v))
	}
	return r.grow(b.Len() - before)
}

func (r *run) writeItems(b *strings.Builder, open string, items []Value, close string, depth int) error {
	b.WriteString(open)
	for i, v := range items {
		if i > 0 {
			b.WriteString(", ")
		}
		if err := r.writeRepr(b, v, depth+1); err != nil {
			return err
		}
	}
	b.WriteString(close)
	return nil
}

func (r *run) writeDict(b *strings.Builder, d *Dict, depth int) error {
	b.WriteByte('{')
	for i, k := range d.keys {
		if i > 0 {
			b.WriteString(", ")
		}
		if err := r.writeRepr(b, k, depth+1); err != nil {
			return err
		}
		b.WriteString(": ")
		if err := r.writeRepr(b, d.values[i], depth+1); err != nil {
			return err
		}
	}
	b.WriteByte('}')
	return nil
}

// scalar is repr of the values that have no parts.
func scalar(v Value) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		if v {
			return "True"
		}
		return "False"
	case int64:
		return strconv.FormatInt(v, 10)
	case *big.Int:
		return v.String()
	case float64:
		return reprFloat(v)
	case rangeValue:
		if v.step == 1 {
			return "range(" + scalar(v.start) + ", " + scalar(v.stop) + ")"
		}
		return "range(" + scalar(v.start) + ", " + scalar(v.stop) + ", " + scalar(v.step) + ")"
	case *function:
		return "<function " + v.name + ">"
	}
	return "<" + typeName(v) + " object>"
}

// reprFloat is Python's repr(float): the shortest digits that read back, with an exponent from 1e16 up and below 1e-4.
func reprFloat(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	case math.IsNaN(f):
		return "nan"
	}
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.FormatFloat(f, 'e', -1, 64) // Go, like Python, writes at least two digits of exponent
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// reprString is Python's repr(str): single quotes unless there are only those inside.
func reprString(s string) string {
	quote := byte('\'')
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = '"'
	}
	var b strings.Builder
	b.Grow(len(s) + 2)
	b.WriteByte(quote)
	for _, c := range s {
		switch {
		case c == rune(quote) || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\t':
			b.WriteString(`\t`)
		case unicode.IsPrint(c):
			b.WriteRune(c)
		default:
			writeHexEscape(&b, c)
		}
	}
	b.WriteByte(quote)
	return b.String()
}

func writeHexEscape(b *strings.Builder, c rune) {
	digits, mark := 8, `\U`
	switch {
	case c < 0x100:
		digits, mark = 2, `\x`
	case c < 0x10000:
		digits, mark = 4, `\u`
	}
	h := strconv.FormatInt(int64(c), 16)
	b.WriteString(mark + strings.Repeat("0", digits-len(h)) + h)
}

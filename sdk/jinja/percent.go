package jinja

import (
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"
)

// percent.go has "%d items" % 3 and "{} items".format(3).

// spec is one conversion of either language.
type spec struct {
	left, plus, space, zero, alt bool
	fill                         string // of format(); "" means a space
	align                        byte   // of format(): '<' '>' '^' '=' or 0
	comma                        bool
	width, precision             int // precision is -1 if there is none
	verb                         byte
}

const maxWidth = 1 << 16 // of a field; more is an error rather than a megabyte of blanks

// percent formats as the % operator does: with a dict by name, with a tuple one by one, with anything else once.
func (r *run) percent(format string, v Value) (Value, error) {
	if err := r.grow(len(format)); err != nil {
		return nil, err
	}
	given := []Value{v}
	if t, ok := v.(*Tuple); ok {
		given = t.Items
	}
	names, _ := v.(*Dict)
	_, isText := str(v)
	spare := isSequence(v) && !isTuple(v) && !isText // what can be indexed may be a mapping, so it need not be used up
	var b strings.Builder
	used := 0
	take := func() (Value, error) {
		if used == len(given) {
			return nil, errorf(TypeError, "not enough arguments for format string")
		}
		used++
		return given[used-1], nil
	}
	for {
		before, rest, found := strings.Cut(format, "%")
		b.WriteString(before)
		if !found {
			break
		}
		s, err := r.conversion(&rest, names, take)
		if err != nil {
			return nil, err
		}
		if err := r.grow(len(s)); err != nil {
			return nil, err
		}
		b.WriteString(s)
		format = rest
	}
	if used < len(given) && !spare {
		return nil, errorf(TypeError, "not all arguments converted during string formatting")
	}
	return b.String(), nil
}

// conversion reads one conversion from the front of *format and applies it.
func (r *run) conversion(format *string, names *Dict, take func() (Value, error)) (string, error) {
	s := *format
	var v Value
	named := false
	if strings.HasPrefix(s, "(") {
		key, rest, ok := strings.Cut(s[1:], ")")
		if !ok {
			return "", errorf(ValueError, "incomplete format key")
		}
		if names == nil {
			return "", errorf(TypeError, "format requires a mapping")
		}
		if v, named = names.Get(key); !named {
			return "", errorf(KeyError, "%s", reprString(key))
		}
		s = rest
	}
	sp, s, err := parsePercent(s, take)
	if err != nil {
		return "", err
	}
	before := *format
	*format = s
	if sp.verb == '%' && len(*format) != len(before)-1 {
		return "", errorf(ValueError, "unsupported format character '%%'")
	}
	if sp.verb == '%' {
		return "%", nil
	}
	if !named {
		if v, err = take(); err != nil {
			return "", err
		}
	}
	return r.applyPercent(sp, v)
}

func parsePercent(s string, take func() (Value, error)) (spec, string, error) {
	sp := spec{precision: -1}
	for ; s != ""; s = s[1:] {
		flag := map[byte]*bool{'-': &sp.left, '+': &sp.plus, ' ': &sp.space, '0': &sp.zero, '#': &sp.alt}[s[0]]
		if flag == nil {
			break
		}
		*flag = true
	}
	number := func() (int, error) {
		if strings.HasPrefix(s, "*") {
			s = s[1:]
			v, err := take()
			if err != nil {
				return 0, err
			}
			return toInt(v)
		}
		n := digitsLen(s, decimal)
		i, _ := strconv.Atoi(s[:n])
		if n > 6 {
			i = maxWidth + 1
		}
		s = s[n:]
		return i, nil
	}
	var err error
	if sp.width, err = number(); err != nil {
		return sp, s, err
	}
	if sp.width < 0 {
		sp.left, sp.width = true, -sp.width
	}
	if strings.HasPrefix(s, ".") {
		s = s[1:]
		if sp.precision, err = number(); err != nil {
			return sp, s, err
		}
	}
	if sp.width > maxWidth || sp.precision > maxWidth {
		return sp, s, errorf(LimitError, "a format is wider than %d", maxWidth)
	}
	s = strings.TrimLeft(s, "hlL")
	if s == "" {
		return sp, s, errorf(ValueError, "incomplete format")
	}
	sp.verb = s[0]
	return sp, s[1:], nil
}

func (r *run) applyPercent(sp spec, v Value) (string, error) {
	switch sp.verb {
	case 's', 'r', 'a':
		s, err := r.text(v)
		if sp.verb != 's' {
			s, err = r.repr(v)
		}
		if err != nil {
			return "", err
		}
		sp.zero = false
		return sp.pad("", clip(s, sp.precision)), nil
	case 'c':
		if s, ok := str(v); ok && utf8.RuneCountInString(s) == 1 {
			return sp.pad("", s), nil
		}
		n, ok := small64(v)
		switch {
		case !ok:
			return "", errorf(TypeError, "%%c requires int or char")
		case n < 0 || n > utf8.MaxRune:
			return "", errorf(OverflowError, "%%c arg not in range(0x110000)")
		}
		return sp.pad("", string(rune(n))), nil
	case 'd', 'i', 'u', 'x', 'X', 'o':
		return sp.formatInt(v, sp.verb)
	case 'f', 'F', 'e', 'E', 'g', 'G':
		return sp.formatFloat(v)
	}
	return "", errorf(ValueError, "unsupported format character %s", reprString(string(sp.verb)))
}

func clip(s string, n int) string {
	if n < 0 {
		return s
	}
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// pad puts s, with its sign or prefix before it, into a field.
func (sp spec) pad(sign, s string) string {
	n := sp.width - utf8.RuneCountInString(sign) - utf8.RuneCountInString(s)
	if n <= 0 {
		return sign + s
	}
	fill := sp.fill
	if fill == "" {
		fill = " "
	}
	switch {
	case sp.left || sp.align == '<':
		return sign + s + strings.Repeat(fill, n)
	case sp.align == '^':
		return strings.Repeat(fill, n/2) + sign + s + strings.Repeat(fill, n-n/2)
	case sp.zero && sp.align == 0:
		return sign + strings.Repeat("0", n) + s
	case sp.align == '=':
		return sign + strings.Repeat(fill, n) + s
	}
	return strings.Repeat(fill, n) + sign + s
}

func (sp spec) sign(negative bool) string {
	switch {
	case negative:
		return "-"
	case sp.plus:
		return "+"
	case sp.space:
		return " "
	}
	return ""
}

func (sp spec) formatInt(v Value, verb byte) (string, error) {
	n, ok := integer(v)
	if f, isFloat := v.(float64); isFloat && (verb == 'd' || verb == 'i' || verb == 'u') {
		n, ok = floatToInt(f)
	}
	if !ok {
		return "", errorf(TypeError, "%%%c format: a real number is required, not %s", verb, typeName(v))
	}
	base, prefix := 10, ""
	switch verb {
	case 'x', 'X':
		base, prefix = 16, "0"+string(verb)
	case 'o':
		base, prefix = 8, "0o"
	case 'b':
		base, prefix = 2, "0b"
	}
	digits := new(big.Int).Abs(n).Text(base)
	if verb == 'X' {
		digits = strings.ToUpper(digits)
	}
	if len(digits) < sp.precision {
		digits = strings.Repeat("0", sp.precision-len(digits)) + digits
	}
	if sp.comma {
		digits = groupThousands(digits)
	}
	sign := sp.sign(n.Sign() < 0)
	if sp.alt && base != 10 {
		sign += prefix
	}
	return sp.pad(sign, digits), nil
}

func groupThousands(digits string) string {
	var parts []string
	for len(digits) > 3 {
		parts = append([]string{digits[len(digits)-3:]}, parts...)
		digits = digits[:len(digits)-3]
	}
	return strings.Join(append([]string{digits}, parts...), ",")
}

func (sp spec) formatFloat(v Value) (string, error) {
	if !isNumber(v) {
		return "", errorf(TypeError, "must be real number, not %s", typeName(v))
	}
	f := toFloat(v)
	precision := sp.precision
	if precision < 0 {
		precision = 6
	}
	s := fixedFloat(f, sp.verb, precision, sp.alt)
	s, negative := strings.CutPrefix(s, "-")
	if sp.comma {
		whole, rest, _ := strings.Cut(s, ".")
		s = groupThousands(whole) + strings.TrimPrefix("."+rest, ".")
		if rest != "" {
			s = groupThousands(whole) + "." + rest
		}
	}
	return sp.pad(sp.sign(negative), s), nil
}

// fixedFloat is C's %f, %e and %g.
func fixedFloat(f float64, verb byte, precision int, alt bool) string {
	var s string
	switch verb | 0x20 {
	case 'g':
		precision = max(precision, 1)
		s = strconv.FormatFloat(f, 'g', precision, 64)
		if e := strings.IndexByte(strconv.FormatFloat(f, 'e', precision-1, 64), 'e'); e >= 0 {
			exp, _ := strconv.Atoi(strconv.FormatFloat(f, 'e', precision-1, 64)[e+1:])
			if exp < -4 || exp >= precision {
				s = strconv.FormatFloat(f, 'e', precision-1, 64)
			} else {
				s = strconv.FormatFloat(f, 'f', precision-1-exp, 64)
			}
			if !alt {
				s = trimZeros(s)
			}
		}
	default:
		s = strconv.FormatFloat(f, verb|0x20, precision, 64)
	}
	s = strings.Replace(strings.ToLower(strings.TrimPrefix(s, "+")), "+inf", "inf", 1)
	if verb < 'a' {
		s = strings.ToUpper(s)
	}
	return s
}

// trimZeros drops the zeros that end a fraction, before an exponent too.
func trimZeros(s string) string {
	digits, exp := s, ""
	if e := strings.IndexByte(s, 'e'); e >= 0 {
		digits, exp = s[:e], s[e:]
	}
	if strings.Contains(digits, ".") {
		digits = strings.TrimRight(strings.TrimRight(digits, "0"), ".")
	}
	return digits + exp
}

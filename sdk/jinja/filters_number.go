package jinja

import (
	"math"
	"math/big"
	"strconv"
	"strings"
)

func numberFilters() map[string]builtin {
	return map[string]builtin{
		"abs":   {run: absFilter},
		"int":   {params: []param{opt("default", int64(0)), opt("base", int64(10))}, run: intFilter},
		"float": {params: []param{opt("default", 0.0)}, run: floatFilter},
		"round": {params: []param{opt("precision", int64(0)), opt("method", "common")}, run: roundFilter},
	}
}

func absFilter(r *run, v Value, _ args) (Value, error) {
	if !isNumber(v) {
		return nil, errorf(TypeError, "bad operand type for abs(): '%s'", typeName(v))
	}
	if f, ok := v.(float64); ok {
		return math.Abs(f), nil
	}
	n, _ := integer(v)
	return fromBig(new(big.Int).Abs(n)), nil
}

// floatToInt cuts off the fraction; infinities and NaN have no integer.
func floatToInt(f float64) (*big.Int, bool) {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return nil, false
	}
	n, _ := big.NewFloat(f).Int(nil)
	return n, true
}

func intFilter(r *run, v Value, a args) (Value, error) {
	if err := used(v); err != nil {
		return nil, err
	}
	if n, ok := integer(v); ok {
		return fromBig(n), nil
	}
	f, ok := v.(float64)
	if s, isText := str(v); isText {
		base, err := toInt(a.pos[1])
		if err == nil {
			err = r.grow(len(s))
		}
		if err != nil {
			return nil, err
		}
		if n, ok := parseInt(s, base); ok {
			return fromBig(n), nil
		}
		f, ok = parseFloat(s)
		if !ok {
			return a.pos[0], nil
		}
	} else if !ok {
		return a.pos[0], nil
	}
	if n, ok := floatToInt(f); ok {
		return fromBig(n), nil
	}
	return a.pos[0], nil
}

// parseInt is Python's int(s, base).
func parseInt(s string, base int) (*big.Int, bool) {
	s = strings.TrimFunc(s, isSpace)
	if len(s) > maxDigits || base == 1 || base < 0 || base > 36 || strings.Contains(s, "__") || strings.HasPrefix(s, "_") || strings.HasSuffix(s, "_") {
		return nil, false
	}
	if base != 0 {
		s = strings.ReplaceAll(s, "_", "")
		if prefix := map[int]string{2: "0b", 8: "0o", 16: "0x"}[base]; prefix != "" {
			s = strings.TrimPrefix(strings.ToLower(s), prefix)
		}
	}
	return new(big.Int).SetString(s, base)
}

// parseFloat is Python's float(s).
func parseFloat(s string) (float64, bool) {
	s = strings.TrimFunc(s, isSpace)
	if strings.ContainsAny(s, "xXpP_") {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	if e, ok := err.(*strconv.NumError); ok && e.Err == strconv.ErrRange {
		err = nil
	}
	return f, err == nil
}

func floatFilter(r *run, v Value, a args) (Value, error) {
	if err := used(v); err != nil {
		return nil, err
	}
	if isNumber(v) {
		return toFloat(v), nil
	}
	s, ok := str(v)
	if !ok {
		return a.pos[0], nil
	}
	if f, ok := parseFloat(s); ok {
		return f, nil
	}
	return a.pos[0], r.grow(len(s))
}

func roundFilter(_ *run, v Value, a args) (Value, error) {
	precision, err := toInt(a.pos[0])
	if err != nil {
		return nil, err
	}
	method, _ := str(a.pos[1])
	if method != "common" && method != "ceil" && method != "floor" {
		return nil, errorf(FilterArgument, "method must be common, ceil or floor")
	}
	if !isNumber(v) {
		return nil, errorf(TypeError, "type %s doesn't define __round__ method", typeName(v))
	}
	precision = max(min(precision, 400), -400)
	f, isFloat := v.(float64)
	switch {
	case method != "common":
		scale := math.Pow(10, float64(precision))
		if x := toFloat(v) * scale; method == "ceil" {
			return math.Ceil(x) / scale, nil
		} else {
			return math.Floor(x) / scale, nil
		}
	case !isFloat && precision >= 0:
		n, _ := integer(v)
		return fromBig(n), nil
	case !isFloat:
		n, _ := integer(v)
		return fromBig(roundInt(n, -precision)), nil
	case precision < 0:
		scale := math.Pow(10, float64(-precision))
		return math.RoundToEven(f/scale) * scale, nil
	}
	// the decimal digits are exact, so this rounds halves as Python does: by what the float really is
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(f, 'f', precision, 64), 64)
	return rounded, nil
}

// roundInt rounds to a multiple of 10**digits, halves to the even one.
func roundInt(n *big.Int, digits int) *big.Int {
	unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(digits)), nil)
	q, m := floorDivide(n, unit)
	twice := new(big.Int).Lsh(m, 1)
	if c := twice.Cmp(unit); c > 0 || c == 0 && q.Bit(0) == 1 {
		q.Add(q, big.NewInt(1))
	}
	return q.Mul(q, unit)
}

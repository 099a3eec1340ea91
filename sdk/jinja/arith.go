package jinja

import (
	"math"
	"math/big"
	"strings"
)

// binary is a op b for + - * / // % **.
func (r *run) binary(op string, a, b Value) (Value, error) {
	if s, ok := str(a); ok && op == "%" {
		return r.percent(s, b)
	}
	if err := used(a, b); err != nil {
		return nil, err
	}
	if isNumber(a) && isNumber(b) {
		return r.arithmetic(op, a, b)
	}
	switch op {
	case "+":
		return r.add(a, b)
	case "*":
		return r.repeat(a, b)
	}
	return nil, unsupported(op, a, b)
}

func unsupported(op string, a, b Value) error {
	if op == "**" {
		op = "** or pow()"
	}
	return errorf(TypeError, "unsupported operand type(s) for %s: '%s' and '%s'", op, typeName(a), typeName(b))
}

func (r *run) add(a, b Value) (Value, error) {
	if s, ok := str(a); ok {
		t, ok := str(b)
		if !ok {
			return nil, errorf(TypeError, "can only concatenate str (not \"%s\") to str", typeName(b))
		}
		return r.join(a, b, s, t)
	}
	x, ok := sequence(a)
	y, ok2 := sequence(b)
	if !ok || !ok2 || typeName(a) != typeName(b) {
		if ok {
			return nil, errorf(TypeError, "can only concatenate %s (not \"%s\") to %s", typeName(a), typeName(b), typeName(a))
		}
		return nil, unsupported("+", a, b)
	}
	if err := r.growItems(len(x) + len(y)); err != nil {
		return nil, err
	}
	items := append(append(make([]Value, 0, len(x)+len(y)), x...), y...)
	if isTuple(a) {
		return &Tuple{Items: items}, nil
	}
	return &List{items}, nil
}

// join adds two strings. Text that was marked safe escapes what is added to it.
func (r *run) join(a, b Value, s, t string) (Value, error) {
	_, safeA := a.(Markup)
	_, safeB := b.(Markup)
	if safeA && !safeB {
		t = escapeHTML(t)
	}
	if safeB && !safeA {
		s = escapeHTML(s)
	}
	if err := r.grow(len(s) + len(t)); err != nil {
		return nil, err
	}
	if safeA || safeB {
		return Markup(s + t), nil
	}
	return s + t, nil
}

func (r *run) repeat(a, b Value) (Value, error) {
	n, ok := small64(b)
	if !ok {
		a, b = b, a
		if n, ok = small64(b); !ok {
			return nil, unsupported("*", b, a)
		}
	}
	n = max(n, 0)
	if s, ok := str(a); ok {
		if err := r.grow(times(len(s), n)); err != nil {
			return nil, err
		}
		return strings.Repeat(s, int(n)), nil
	}
	items, ok := sequence(a)
	if !ok {
		return nil, unsupported("*", a, b)
	}
	if err := r.growItems(times(len(items), n)); err != nil {
		return nil, err
	}
	var out []Value
	for range n {
		if len(items) == 0 {
			break
		}
		out = append(out, items...)
	}
	if isTuple(a) {
		return &Tuple{Items: out}, nil
	}
	return &List{out}, nil
}

// times multiplies sizes; what does not fit any limit becomes the largest int.
func times(size int, n int64) int {
	if size > 0 && n > int64(math.MaxInt/size) {
		return math.MaxInt
	}
	return size * int(n)
}

func (r *run) arithmetic(op string, a, b Value) (Value, error) {
	_, fa := a.(float64)
	_, fb := b.(float64)
	if fa || fb || op == "/" {
		return floatArithmetic(op, toFloat(a), toFloat(b))
	}
	x, okX := small64(a)
	y, okY := small64(b)
	if okX && okY {
		if v, ok := smallArithmetic(op, x, y); ok {
			return v, nil
		}
	}
	p, _ := integer(a)
	q, _ := integer(b)
	return r.bigArithmetic(op, p, q)
}

// smallArithmetic works where neither operand nor result leaves 32 bits by much, so nothing can overflow.
func smallArithmetic(op string, x, y int64) (Value, bool) {
	const safe = 1 << 31
	if x < -safe || x > safe || y < -safe || y > safe {
		return nil, false
	}
	switch op {
	case "+":
		return x + y, true
	case "-":
		return x - y, true
	case "*":
		return x * y, true
	}
	return nil, false
}

func (r *run) bigArithmetic(op string, x, y *big.Int) (Value, error) {
	z := new(big.Int)
	switch op {
	case "+":
		z.Add(x, y)
	case "-":
		z.Sub(x, y)
	case "*":
		z.Mul(x, y)
	case "//", "%":
		if y.Sign() == 0 {
			return nil, errorf(ZeroDivisionError, "integer division or modulo by zero")
		}
		q, m := floorDivide(x, y)
		if z = q; op == "%" {
			z = m
		}
	case "**":
		if y.Sign() < 0 {
			return floatArithmetic(op, toFloat(x), toFloat(y))
		}
		if x.BitLen() > 1 && (!y.IsInt64() || y.Int64() > int64(maxIntBits/(x.BitLen()-1))) {
			return nil, errorf(LimitError, "a power has more than %d bits", maxIntBits)
		}
		z.Exp(x, y, nil)
	}
	if z.BitLen() > maxIntBits {
		return nil, errorf(LimitError, "an integer has more than %d bits", maxIntBits)
	}
	return fromBig(z), r.grow(z.BitLen() / 8)
}

func fromBig(z *big.Int) Value {
	if z.IsInt64() {
		return z.Int64()
	}
	return z
}

// floorDivide rounds towards minus infinity, as Python does; the remainder has the sign of y.
func floorDivide(x, y *big.Int) (q, m *big.Int) {
	q, m = new(big.Int).QuoRem(x, y, new(big.Int))
	if m.Sign() != 0 && (m.Sign() < 0) != (y.Sign() < 0) {
		q.Sub(q, big.NewInt(1))
		m.Add(m, y)
	}
	return q, m
}

func floatArithmetic(op string, x, y float64) (Value, error) {
	switch op {
	case "+":
		return x + y, nil
	case "-":
		return x - y, nil
	case "*":
		return x * y, nil
	case "**":
		return floatPower(x, y)
	}
	if y == 0 {
		return nil, errorf(ZeroDivisionError, "division by zero")
	}
	if op == "/" {
		return x / y, nil
	}
	m := math.Mod(x, y)
	if m == 0 {
		m = math.Copysign(0, y)
	} else if (m < 0) != (y < 0) {
		m += y
	}
	if op == "%" {
		return m, nil
	}
	return math.Round((x - m) / y), nil
}

func floatPower(x, y float64) (Value, error) {
	if x == 0 && y < 0 {
		return nil, errorf(ZeroDivisionError, "0.0 cannot be raised to a negative power")
	}
	z := math.Pow(x, y)
	if math.IsInf(z, 0) && !math.IsInf(x, 0) && !math.IsInf(y, 0) {
		return nil, errorf(OverflowError, "(34, 'Numerical result out of range')")
	}
	if math.IsNaN(z) && !math.IsNaN(x) && !math.IsNaN(y) {
		return nil, errorf(ValueError, "a negative number to a fractional power is complex")
	}
	return z, nil
}

func (r *run) negate(v Value) (Value, error) {
	if err := used(v); err != nil {
		return nil, err
	}
	if f, ok := v.(float64); ok {
		return -f, nil
	}
	n, ok := integer(v)
	if !ok {
		return nil, errorf(TypeError, "bad operand type for unary -: '%s'", typeName(v))
	}
	return fromBig(new(big.Int).Neg(n)), nil
}

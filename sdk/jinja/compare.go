package jinja

import (
	"math"
	"math/big"
	"strings"
)

// equal is Python's ==. Values of different kinds are not equal, which is never an error; numbers compare by value, and
// true counts as 1.
func (r *run) equal(a, b Value, depth int) (bool, error) {
	if err := r.step(1); err != nil {
		return false, err
	}
	if depth > valueDepth {
		return false, errorf(LimitError, "a value nests deeper than %d", valueDepth)
	}
	if s, ok := str(a); ok {
		t, ok := str(b)
		return ok && s == t, r.scan(min(len(s), len(t)))
	}
	if isNumber(a) && isNumber(b) {
		c, ok := compareNumbers(a, b)
		return ok && c == 0, nil
	}
	switch a := a.(type) {
	case nil:
		return b == nil, nil
	case *List:
		if b, ok := b.(*List); ok {
			return r.equalItems(a.Items, b.Items, depth)
		}
		return false, nil
	case *Tuple:
		if b, ok := b.(*Tuple); ok {
			return r.equalItems(a.Items, b.Items, depth)
		}
		return false, nil
	case *Dict:
		if b, ok := b.(*Dict); ok {
			return r.equalDicts(a, b, depth)
		}
		return false, nil
	case *undefined:
		_, ok := b.(*undefined)
		return ok, nil
	case rangeValue:
		b, ok := b.(rangeValue)
		return ok && a == b, nil
	}
	if !hashable(a) || !hashable(b) || isTuple(b) {
		return false, nil
	}
	return a == b, nil
}

func isTuple(v Value) bool { _, ok := v.(*Tuple); return ok }

func (r *run) equalItems(a, b []Value, depth int) (bool, error) {
	if len(a) != len(b) {
		return false, nil
	}
	for i := range a {
		if same, err := r.equal(a[i], b[i], depth+1); err != nil || !same {
			return false, err
		}
	}
	return true, nil
}

func (r *run) equalDicts(a, b *Dict, depth int) (bool, error) {
	if a.Len() != b.Len() {
		return false, nil
	}
	for i, k := range a.keys {
		h, err := r.hash(k, depth)
		if err != nil {
			return false, err
		}
		v, ok := b.find(h)
		if !ok {
			return false, nil
		}
		if same, err := r.equal(a.values[i], v, depth+1); err != nil || !same {
			return false, err
		}
	}
	return true, nil
}

func isNumber(v Value) bool {
	switch v.(type) {
	case bool, int64, *big.Int, float64:
		return true
	}
	return false
}

// integer returns v as an int if it is one; true and false are.
func integer(v Value) (*big.Int, bool) {
	switch v := v.(type) {
	case bool:
		if v {
			return big.NewInt(1), true
		}
		return new(big.Int), true
	case int64:
		return big.NewInt(v), true
	case *big.Int:
		return v, true
	}
	return nil, false
}

// small64 returns v as an int64 if it is an integer that fits.
func small64(v Value) (int64, bool) {
	switch v := v.(type) {
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	case int64:
		return v, true
	}
	return 0, false
}

// toFloat is float(v) of a number.
func toFloat(v Value) float64 {
	switch v := v.(type) {
	case float64:
		return v
	case int64:
		return float64(v)
	case *big.Int:
		f, _ := new(big.Float).SetInt(v).Float64()
		return f
	}
	n, _ := small64(v)
	return float64(n)
}

// compareNumbers is exact; ok is false where NaN is compared.
func compareNumbers(a, b Value) (order int, ok bool) {
	if x, ok := small64(a); ok {
		if y, ok := small64(b); ok {
			return compareInts(x, y), true
		}
	}
	fa, aIsFloat := a.(float64)
	fb, bIsFloat := b.(float64)
	switch {
	case math.IsNaN(fa) || math.IsNaN(fb):
		return 0, false
	case aIsFloat && bIsFloat:
		return new(big.Float).SetFloat64(fa).Cmp(new(big.Float).SetFloat64(fb)), true
	case aIsFloat:
		y, _ := integer(b)
		return new(big.Float).SetFloat64(fa).Cmp(new(big.Float).SetInt(y)), true
	case bIsFloat:
		x, _ := integer(a)
		return new(big.Float).SetInt(x).Cmp(new(big.Float).SetFloat64(fb)), true
	}
	x, _ := integer(a)
	y, _ := integer(b)
	return x.Cmp(y), true
}

func compareInts(x, y int64) int {
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// compare orders a and b for the operator op, which an error names. ok is false for NaN, which is in no order.
func (r *run) compare(op string, a, b Value, depth int) (order int, ok bool, err error) {
	if err := r.step(1); err != nil {
		return 0, false, err
	}
	if depth > valueDepth {
		return 0, false, errorf(LimitError, "a value nests deeper than %d", valueDepth)
	}
	if err := used(a, b); err != nil {
		return 0, false, err
	}
	if s, ok := str(a); ok {
		if t, ok := str(b); ok {
			return strings.Compare(s, t), true, r.scan(min(len(s), len(t)))
		}
	}
	if isNumber(a) && isNumber(b) {
		order, ok = compareNumbers(a, b)
		return order, ok, nil
	}
	if x, ok := sequence(a); ok {
		if y, ok := sequence(b); ok && typeName(a) == typeName(b) {
			return r.compareItems(op, x, y, depth)
		}
	}
	return 0, false, errorf(TypeError, "'%s' not supported between instances of '%s' and '%s'", op, typeName(a), typeName(b))
}

func (r *run) compareItems(op string, a, b []Value, depth int) (int, bool, error) {
	for i := range min(len(a), len(b)) {
		same, err := r.equal(a[i], b[i], depth+1)
		if err != nil {
			return 0, false, err
		}
		if !same {
			return r.compare(op, a[i], b[i], depth+1)
		}
	}
	return compareInts(int64(len(a)), int64(len(b))), true, nil
}

// used fails if one of vs is undefined: using it is the error, not making it.
func used(vs ...Value) error {
	for _, v := range vs {
		if u, ok := v.(*undefined); ok {
			return u.err()
		}
	}
	return nil
}

// contains is Python's "item in container".
func (r *run) contains(item, container Value) (bool, error) {
	if s, ok := str(container); ok {
		sub, ok := str(item)
		if !ok {
			return false, errorf(TypeError, "'in <string>' requires string as left operand, not %s", typeName(item))
		}
		return strings.Contains(s, sub), r.scan(len(s))
	}
	if d, ok := container.(*Dict); ok {
		h, err := r.hash(item, 0)
		if err != nil {
			return false, err
		}
		_, found := d.find(h)
		return found, nil
	}
	next, err := r.iterate(container)
	if err != nil {
		if e, ok := err.(*Error); ok && e.Kind == TypeError {
			return false, errorf(TypeError, "argument of type '%s' is not iterable", typeName(container))
		}
		return false, err
	}
	for {
		v, ok, err := next()
		if err != nil || !ok {
			return false, err
		}
		if same, err := r.equal(item, v, 0); err != nil || same {
			return same, err
		}
	}
}

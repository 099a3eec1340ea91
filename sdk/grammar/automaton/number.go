// number.go is numbers as JSON writes them without an exponent: within bounds, and multiples.

package automaton

import (
	"errors"
	"math/big"
	"strings"
	"sync"
)

const digits = "0123456789"

// The digits of a number are bounded, at 64 on either side of the point: readers of floating point fail beyond some 300, and a model could write them for ever.
const (
	integer    = `-?(0|[1-9][0-9]{0,63})`
	decimals   = integer + `(\.[0-9]{1,64})?`
	scientific = `-?[0-9](\.[0-9]{1,64})?[eE][+-]?([0-9]{1,2}|[12][0-9]{2}|30[0-7])`
)

// Integer and Decimal are numbers without and with a fraction, Number also those with an exponent.
var (
	Integer = sync.OnceValues(func() (*Text, error) { return Match(integer) })
	Decimal = sync.OnceValues(func() (*Text, error) { return Match(decimals) })
	Number  = sync.OnceValues(func() (*Text, error) { return Match(decimals + `|` + scientific) })

	// OneInteger and OneDecimal are the same with one spelling for each number.
	OneInteger = sync.OnceValues(func() (*Text, error) { return Match(`0|-?[1-9][0-9]{0,63}`) })
	OneDecimal = sync.OnceValues(func() (*Text, error) { return Match(`0|-?([1-9][0-9]{0,63}|(0|[1-9][0-9]{0,63})\.[0-9]{0,63}[1-9])`) })

	// unbounded has no bound on the digits, and therefore few states: bounds and multiples are joined with it, and with one of the above in the end.
	unbounded = sync.OnceValues(func() (*Text, error) { return Match(`-?(0|[1-9][0-9]*)(\.[0-9]+)?`) })
)

// errDecimal is of numbers that have no end in decimal, which JSON does not write.
var errDecimal = errors.New("it is no decimal number of less than a thousand digits")

// AtLeast are the numbers not below a bound, or above it if strict is set.
func AtLeast(bound *big.Rat, strict bool) (*Text, error) {
	return compare(bound, func(sign int) bool { return sign > 0 || sign == 0 && !strict })
}

// AtMost are the numbers not above a bound, or below it if strict is set.
func AtMost(bound *big.Rat, strict bool) (*Text, error) {
	return compare(bound, func(sign int) bool { return sign < 0 || sign == 0 && !strict })
}

// Others are the numbers that are not in a set.
func Others(set *Text) (*Text, error) {
	number, err := unbounded()
	if err != nil {
		return nil, err
	}
	return number.Without(set)
}

// stage is how much of a number was read.
type stage uint8

const (
	begin stage = iota
	minus
	whole
	point
	fraction
)

// next is the stage behind a character. A number may end after whole and fraction.
func (s stage) next(r rune) (stage, bool) {
	switch {
	case r == '-':
		return minus, s == begin
	case r == '.':
		return point, s == whole
	case s <= whole:
		return whole, true
	}
	return fraction, true
}

func (s stage) ends() bool { return s == whole || s == fraction }

// compared is a number read so far beside a bound's digits.
type compared struct {
	stage    stage
	negative bool
	nonzero  bool
	at       int // digits of the stage
	order    int // of the digits so far, first difference: -1, 0, 1
}

// compare are the numbers whose order to the bound is wanted: -1 below, 0 equal, 1 above.
func compare(bound *big.Rat, wanted func(order int) bool) (*Text, error) {
	wholeDigits, fractionDigits, err := decimal(new(big.Rat).Abs(bound))
	if err != nil {
		return nil, err
	}
	step := func(c compared, r rune) (compared, bool) {
		next, ok := c.stage.next(r)
		if next == point && c.order != 2 && c.at < len(wholeDigits) {
			c.order = -1 // shorter
		}
		if next != c.stage {
			c.at = 0
		}
		c.stage, c.negative = next, c.negative || r == '-'
		if !ok || r == '-' || r == '.' {
			return c, ok
		}
		c.nonzero = c.nonzero || r != '0'
		return c.digit(r, wholeDigits, fractionDigits), true
	}
	limits, err := build(compared{}, "-."+digits, step, func(c compared) bool {
		return c.stage.ends() && wanted(c.against(bound.Sign(), len(wholeDigits), len(fractionDigits)))
	})
	if err != nil {
		return nil, err
	}
	number, err := unbounded()
	if err != nil {
		return nil, err
	}
	return limits.And(number)
}

// digit takes the next one. What has more digits before its point is larger, as none begins with a zero but 0.
func (c compared) digit(r rune, wholeDigits, fractionDigits string) compared {
	against := wholeDigits
	if c.stage == fraction {
		against = fractionDigits
	}
	other := '0'
	if c.at < len(against) {
		other = rune(against[c.at])
	}
	switch {
	case c.stage == whole && c.at >= len(against):
		c.order, c.at = 2, len(against) // longer
		return c
	case c.order != 0:
	case r > other:
		c.order = 1
	case r < other:
		c.order = -1
	}
	c.at = min(c.at+1, len(against))
	return c
}

// against is the order of the number to the bound.
func (c compared) against(sign, wholeDigits, fractionDigits int) int {
	size := c.order // of the number without its sign
	switch {
	case c.order == 2:
		size = 1
	case c.stage == whole && c.at < wholeDigits:
		size = -1
	case c.order == 0 && fractionDigits > 0 && (c.stage == whole || c.at < fractionDigits):
		size = -1
	}
	switch {
	case !c.nonzero && sign == 0:
		return 0
	case !c.nonzero: // also -0
		return -sign
	case c.negative && sign < 0:
		return -size
	case c.negative:
		return -1
	case sign < 0:
		return 1
	}
	return size
}

// decimal writes a number that is not negative: digits before the point, digits behind it without zeros at the end.
func decimal(r *big.Rat) (before, behind string, err error) {
	places, exact := r.FloatPrec()
	if !exact || places > 1000 || r.Num().BitLen()-r.Denom().BitLen() > 3300 {
		return "", "", errDecimal
	}
	before, behind, _ = strings.Cut(r.FloatString(places), ".")
	return before, strings.TrimRight(behind, "0"), nil
}

// divided is a number read so far, its digits up to the last place that counts divided by the divisor's.
type divided struct {
	stage  stage
	rest   int
	places int // behind the point that were read; of a divisor like 1000 the zeros just read
}

// MultipleOf are the numbers that a positive one divides: ErrSize if it has more than three or four digits that are no zeros at its end.
func MultipleOf(m *big.Rat) (*Text, error) {
	before, behind, err := decimal(m)
	if err != nil {
		return nil, err
	}
	all, places := strings.TrimLeft(before+behind, "0"), len(behind)
	if places == 0 && len(all) > 1 && strings.HasSuffix(all, "0") && !small(all) {
		return multipleOfTens(m)
	}
	if !small(all) {
		return nil, ErrSize
	}
	n := 0
	for _, d := range all {
		n = n*10 + int(d-'0')
	}
	step := func(d divided, r rune) (divided, bool) {
		next, ok := d.stage.next(r)
		d.stage = next
		switch {
		case !ok || r == '-' || r == '.':
			return d, ok
		case next == fraction && d.places == places:
			return d, r == '0'
		case next == fraction:
			d.places++
		}
		d.rest = (d.rest*10 + int(r-'0')) % n
		return d, true
	}
	t, err := build(divided{}, "-."+digits, step, func(d divided) bool {
		rest := d.rest
		for range places - d.places {
			rest = rest * 10 % n
		}
		return d.stage.ends() && rest == 0
	})
	if err != nil {
		return nil, err
	}
	number, err := unbounded()
	if err != nil {
		return nil, err
	}
	return t.And(number)
}

func small(digits string) bool { return len(digits) < 4 || len(digits) == 4 && digits <= "4096" }

// multipleOfTens is of a multiple of ten too large to count remainders: what it divides ends in as many zeros, and the rest is
// divided by the rest.
func multipleOfTens(m *big.Rat) (*Text, error) {
	before, _, err := decimal(m)
	if err != nil {
		return nil, err
	}
	head := strings.TrimRight(before, "0")
	if !small(head) {
		return nil, ErrSize
	}
	n, zeros := 0, len(before)-len(head)
	for _, d := range head {
		n = n*10 + int(d-'0')
	}
	// A number a*10^zeros+b is divided if b is 0 and n divides a; rest is that of what stands before the zeros just read.
	type tens struct {
		stage stage
		rest  int // of all but the zeros at the end
		zeros int // at the end, as far as they count
		null  bool
	}
	t, err := build(tens{null: true}, "-."+digits, func(d tens, r rune) (tens, bool) {
		next, ok := d.stage.next(r)
		d.stage = next
		switch {
		case !ok || r == '-' || r == '.':
			return d, ok
		case next == fraction:
			return d, r == '0'
		case r == '0' && d.zeros < zeros:
			d.zeros++
			return d, true
		case r == '0':
			d.rest = d.rest * 10 % n
			return d, true
		}
		for range d.zeros {
			d.rest = d.rest * 10 % n
		}
		d.rest, d.zeros, d.null = (d.rest*10+int(r-'0'))%n, 0, false
		return d, true
	}, func(d tens) bool { return d.stage.ends() && (d.null || d.rest == 0 && d.zeros == zeros) })
	if err != nil {
		return nil, err
	}
	number, err := unbounded()
	if err != nil {
		return nil, err
	}
	return t.And(number)
}

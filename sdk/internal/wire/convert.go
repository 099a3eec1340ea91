package wire

// convert.go: what all translations share.

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/proto"

	"github.com/inference-pio/inference-pio/sdk"
)

// Size is how many bytes a message takes on the wire, 0 for what is none.
func Size(m any) int {
	if p, ok := m.(proto.Message); ok {
		return proto.Size(p)
	}
	return 0
}

func each[A, B any](in []A, f func(A) B) []B {
	if len(in) == 0 {
		return nil
	}
	out := make([]B, len(in))
	for i, a := range in {
		out[i] = f(a)
	}
	return out
}

func int64s(in []int) []int64 { return each(in, func(i int) int64 { return int64(i) }) }
func ints(in []int64) []int   { return each(in, func(i int64) int { return int(i) }) }

func texts[A ~string](in []A) []string   { return each(in, func(s A) string { return string(s) }) }
func textsAs[B ~string](in []string) []B { return each(in, func(s string) B { return B(s) }) }
func optional[A, B any](p *A, f func(A) B) *B {
	if p == nil {
		return nil
	}
	v := f(*p)
	return &v
}

// checks collects the first complaint about the fields of one message.
type checks struct{ err *sdk.Error }

func (c *checks) fail(field, format string, args ...any) {
	if c.err == nil {
		c.err = sdk.Errorf(sdk.ReasonInvalid, field+" "+format, args...)
		c.err.Field = field
	}
}

func (c *checks) count(field string, n int64) {
	if n < 0 {
		c.fail(field, "is %d: it cannot be negative", n)
	}
}

func (c *checks) finite(field string, x float64) {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		c.fail(field, "is %v: it must be a finite number", x)
	}
}

// error is the complaint about a request: the sender's fault.
func (c *checks) error() error {
	if c.err == nil {
		return nil
	}
	return c.err
}

// blame is the complaint about an answer: the plugin's fault.
func (c *checks) blame(what string) error {
	if c.err == nil {
		return nil
	}
	return sdk.Errorf(sdk.ReasonInternal, "the plugin's %s cannot be: %s", what, c.err.Message)
}

// f32Bytes is the little-endian form of x.
func f32Bytes(x []float32) []byte {
	out := make([]byte, 4*len(x))
	for i, v := range x {
		binary.LittleEndian.PutUint32(out[4*i:], math.Float32bits(v))
	}
	return out
}

// f32 reads the form f32Bytes writes.
func f32(field string, b []byte) ([]float32, error) {
	if len(b)%4 != 0 {
		return nil, sdk.Errorf(sdk.ReasonInternal, "%s has %d bytes: not a whole number of float32", field, len(b))
	}
	out := make([]float32, len(b)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return out, nil
}

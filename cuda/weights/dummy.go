// Invented weights: any shape, no file. They let a model of any published size be loaded, counted and timed without its
// checkpoint.

package weights

import (
	"encoding/binary"
	"errors"
	"hash/fnv"
	"math"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/inference-pio/inference-pio/cuda"
)

// Dummy returns a source that has every tensor it is asked for, filled with numbers that depend on the seed and the
// name only. Matrices have entries uniform in ±sqrt(3/columns), which keeps the size of what passes through them; vectors are
// uniform in 1 ± 0.25, because they scale in norms. The dtype is BF16, F16, F32 or F8E4M3; another makes Get find nothing.
// With F8E4M3 matrices have block scales, named as in checkpoints and uniform in (1 ± 0.25)/256, and vectors are BF16.
func Dummy(seed uint64, dtype cuda.DType) Source { return dummy{seed, dtype, nil} }

type dummy struct {
	seed  uint64
	dtype cuda.DType
	room  *Invention // nil: the heap
}

// Invention is Dummy outside the Go heap, for a model that is loaded: what lies on the heap has the collector wait for as much garbage as
// its share of that.
type Invention struct {
	dummy
	mapped [][]byte
	rest   []byte // of the last one
}

// atOnce is what is mapped at a time, at least: mappings are few, and what of them nothing was written to takes no memory.
const atOnce = 64 << 20

// Invent makes one. Close it.
func Invent(seed uint64, dtype cuda.DType) *Invention {
	v := &Invention{dummy: dummy{seed: seed, dtype: dtype}}
	v.room = v
	return v
}

// bytes is room for a tensor; nil if there is none.
func (d dummy) bytes(n int) []byte {
	if d.room == nil || n == 0 {
		return make([]byte, n)
	}
	return d.room.take(n)
}

func (v *Invention) take(n int) []byte {
	size := (n + 63) &^ 63
	if size > len(v.rest) {
		m, err := unix.Mmap(-1, 0, max(size, atOnce), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			return nil
		}
		v.mapped, v.rest = append(v.mapped, m), m
	}
	b := v.rest[:n:n]
	v.rest = v.rest[size:]
	return b
}

// Close unmaps its tensors.
func (v *Invention) Close() (err error) {
	for _, m := range v.mapped {
		err = errors.Join(err, unix.Munmap(m))
	}
	v.mapped, v.rest = nil, nil
	return err
}

func (dummy) Names() []string { return nil }

// fp8Scale is the mean of a block's factor: with it the largest entry a matrix can have is below F8E4M3's 448.
const fp8Scale = 1.0 / 256

func (d dummy) Get(name string, shape []int) (View, bool) {
	if d.dtype == cuda.F8E4M3 {
		switch {
		case strings.HasSuffix(name, "_scale_inv"):
			return d.f32(name, shape, newTable(fp8Scale, fp8Scale/4))
		case len(shape) < 2:
			d.dtype = cuda.BF16
		}
	}
	v := View{DType: d.dtype, Known: true, Shape: shape}
	n := 1
	for _, dim := range shape {
		n *= dim
	}
	table := newTable(spreadOf(shape))
	switch d.dtype {
	case cuda.F32:
		return d.f32(name, shape, table)
	case cuda.BF16:
		v.Format, v.Data = "BF16", d.bytes(2*n)
		table.fill16(v.Data, d.stream(name), bfloat16)
	case cuda.F16:
		v.Format, v.Data = "F16", d.bytes(2*n)
		table.fill16(v.Data, d.stream(name), float16)
	case cuda.F8E4M3:
		v.Format, v.Data = "F8_E4M3", d.bytes(n)
		_, spread := spreadOf(shape)
		newTable(0, spread/fp8Scale).fill8(v.Data, d.stream(name))
	default:
		return View{}, false
	}
	return v, v.Data != nil
}

// spreadOf is what the entries of a tensor are around, and how far.
func spreadOf(shape []int) (mean, spread float64) {
	if len(shape) > 1 {
		return 0, math.Sqrt(3 / float64(max(1, shape[len(shape)-1])))
	}
	return 1, 0.25
}

func (d dummy) f32(name string, shape []int, t *table) (View, bool) {
	n := 4
	for _, dim := range shape {
		n *= dim
	}
	v := View{Format: "F32", DType: cuda.F32, Known: true, Shape: shape, Data: d.bytes(n)}
	t.fill32(v.Data, d.stream(name))
	return v, v.Data != nil
}

func (d dummy) stream(name string) splitmix {
	h := fnv.New64a()
	h.Write([]byte(name))
	return splitmix(d.seed*0x9E3779B97F4A7C15 ^ h.Sum64())
}

// splitmix is the generator of Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
type splitmix uint64

func (s *splitmix) next() uint64 {
	*s += 0x9E3779B97F4A7C15
	z := uint64(*s)
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// table holds the values entries are drawn from: 4096 keep it in the first-level cache, so that a gigabyte takes about a second.
type table [1 << 12]float32

func newTable(mean, spread float64) *table {
	var t table
	for i := range t {
		t[i] = float32(mean + spread*(2*(float64(i)+0.5)/float64(len(t))-1))
	}
	return &t
}

// from is the generator after so many draws.
func (s splitmix) from(draws int) splitmix { return s + splitmix(uint64(draws)*0x9E3779B97F4A7C15) }

func (t *table) fill32(out []byte, s splitmix) {
	inRuns(len(out)/4, func(from, to int) {
		s := s.from(from)
		for i := from; i < to; i++ {
			binary.LittleEndian.PutUint32(out[4*i:], math.Float32bits(t[s.next()>>52]))
		}
	})
}

// four are the places in the table of the four draws that a word is.
func four(r uint64) [4]uint64 {
	return [4]uint64{r >> 52, r >> 40 & 0xFFF, r >> 28 & 0xFFF, r >> 16 & 0xFFF}
}

func (t *table) fill16(out []byte, s splitmix, encode func(float32) uint16) {
	var short [len(table{})]uint16
	for i, x := range t {
		short[i] = encode(x)
	}
	words := len(out) / 8
	inRuns(words, func(from, to int) {
		s := s.from(from)
		for i := from; i < to; i++ {
			p := four(s.next())
			word := uint64(short[p[0]]) | uint64(short[p[1]])<<16 | uint64(short[p[2]])<<32 | uint64(short[p[3]])<<48
			binary.LittleEndian.PutUint64(out[8*i:], word)
		}
	})
	s = s.from(words)
	for out = out[8*words:]; len(out) >= 2; out = out[2:] {
		binary.LittleEndian.PutUint16(out, short[s.next()>>52])
	}
}

func (t *table) fill8(out []byte, s splitmix) {
	var short [len(table{})]byte
	for i, x := range t {
		short[i] = float8(x)
	}
	words := len(out) / 4
	inRuns(words, func(from, to int) {
		s := s.from(from)
		for i := from; i < to; i++ {
			p := four(s.next())
			o := out[4*i : 4*i+4]
			o[0], o[1], o[2], o[3] = short[p[0]], short[p[1]], short[p[2]], short[p[3]]
		}
	})
	s = s.from(words)
	for out = out[4*words:]; len(out) > 0; out = out[1:] {
		out[0] = short[s.next()>>52]
	}
}

// inRuns cuts n pieces of work into a run for each processor, unless it is little.
func inRuns(n int, run func(from, to int)) {
	var all sync.WaitGroup
	runs := max(1, min(runtime.GOMAXPROCS(0), n>>14))
	for i := range runs {
		all.Go(func() { run(n*i/runs, n*(i+1)/runs) })
	}
	all.Wait()
}

// bfloat16 rounds to nearest, ties to even. x is finite.
func bfloat16(x float32) uint16 {
	b := math.Float32bits(x)
	return uint16((b + 0x7FFF + b>>16&1) >> 16)
}

// float16 rounds to nearest, ties to even. Values below the smallest normal number become zero: nothing here needs them.
func float16(x float32) uint16 {
	b := math.Float32bits(x)
	sign, b := uint16(b>>16&0x8000), b&0x7FFFFFFF
	if b < 0x38800000 { // 2^-14
		return sign
	}
	b += 0xFFF + b>>13&1
	return sign | uint16((b-0x38000000)>>13)
}

// float8 rounds to the nearest number of F8E4M3, ties to even. |x| is below 464, half a step above the largest.
func float8(x float32) byte {
	sign := byte(math.Float32bits(x) >> 24 & 0x80)
	v := math.Abs(float64(x))
	if v < 1.0/64 { // 2^-6: subnormal, in steps of 2^-9
		return sign | byte(math.RoundToEven(v*512))
	}
	exponent := math.Ilogb(v)
	steps := math.RoundToEven(math.Ldexp(v, 3-exponent)) // 8 to 16: a carry goes into the exponent
	return sign | byte((exponent+7)<<3+int(steps)-8)
}

package cpu_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

// full is sequences of one length in caches of layers, that together are more than any cache of the machine keeps.
type full struct {
	length, seqs, kvHeads, heads, dim, vdim int
	caches                                  []byte // keys, then values, of each layer
	typ                                     cuda.DType
}

// layerBytes is what keys or values of a layer take, where each has dim elements.
func (f *full) layerBytes(dim int) int {
	return f.seqs * f.length * f.kvHeads * f.typ.RowLen(dim) * f.typ.Size()
}

// fill makes the caches of so many layers that they take at least least bytes.
func (f *full) fill(rng *rand.Rand, least int) {
	layer := f.layerBytes(f.dim) + f.layerBytes(f.vdim)
	f.caches = make([]byte, (least+layer-1)/layer*layer)
	some := random(rng, 1<<16)
	few := bytesOf(some)
	switch f.typ {
	case cuda.BF16:
		few = bytesOf(spec.Round(some))
	case cuda.Q8Row:
		few = spec.CodeRows(some[:len(some)/f.dim*f.dim], f.dim)
	}
	for at := 0; at < len(f.caches); at += len(few) {
		copy(f.caches[at:], few)
	}
}

// ops are attention of a few rows at the end of each sequence in every layer.
func (f *full) ops(y, q []float32, rows int) (list []*cuda.Op) {
	blocks := f.length / 64
	g := spec.Pages{Width: blocks}
	for i := range f.seqs * blocks {
		g.Tables = append(g.Tables, int32(i*7919%(f.seqs*blocks))) // a prime
	}
	for s := range f.seqs {
		for r := range rows {
			g.Positions, g.Seqs = append(g.Positions, int32(f.length-rows+r)), append(g.Seqs, int32(s))
		}
	}
	n := len(g.Seqs)
	y, q = y[:n*f.heads*f.value()], q[:n*f.heads*f.dim]
	for at := 0; at < len(f.caches); {
		k := view(f.caches[at:][:f.layerBytes(f.dim)], f.typ, []int{f.kvHeads, 64, f.typ.RowLen(f.dim)})
		at += f.layerBytes(f.dim)
		scale := float32(1 / math.Sqrt(float64(f.dim)))
		if f.latent() {
			list = append(list, cuda.NewOp(cuda.OpLatentAttention).Gives(f32(y, f.heads, f.value())).Takes(f32(q, f.heads, f.dim), k).Takes(pages(g)...).With(scale))
			continue
		}
		v := view(f.caches[at:][:f.layerBytes(f.vdim)], f.typ, []int{f.kvHeads, 64, f.typ.RowLen(f.vdim)})
		at += f.layerBytes(f.vdim)
		list = append(list, cuda.NewOp(cuda.OpAttention).Gives(f32(y, f.heads, f.vdim)).Takes(f32(q, f.heads, f.dim), k, v).Takes(pages(g)...).With(scale))
	}
	return list
}

// latent says that keys hold the values, and value is the elements of one.
func (f *full) latent() bool { return f.vdim == 0 }

func (f *full) value() int {
	if f.latent() {
		return f.dim - 64
	}
	return f.vdim
}

// The published shapes: kv heads, heads, elements of a key and of a value.
var attentionShapes = []struct {
	name                      string
	kvHeads, heads, dim, vdim int
}{{"0.6B", 8, 16, 128, 128}, {"30B", 4, 32, 128, 128}, {"GLM", 1, 20, 576, 0}}

// BenchmarkAttentionDecode is one new row of one stream, and of eight, through caches that lie in memory, in turn with the same bytes only
// read: %read is of that time.
func BenchmarkAttentionDecode(b *testing.B) {
	for _, c := range attentionShapes {
		for _, typ := range []cuda.DType{cuda.F32, cuda.BF16, cuda.Q8Row} {
			for _, context := range []int{1024, 4096, 8192} {
				for _, rows := range []int{1, 8} {
					f := &full{length: context, seqs: rows, kvHeads: c.kvHeads, heads: c.heads, dim: c.dim, vdim: c.vdim, typ: typ}
					b.Run(fmt.Sprintf("%s/%s/context=%d/rows=%d", c.name, typ, context, rows), func(b *testing.B) { f.besideRead(b) })
				}
			}
		}
	}
}

func (f *full) besideRead(b *testing.B) {
	rng := rand.New(rand.NewPCG(3, 3))
	f.fill(rng, 96<<20)
	d := newDevice(b, 0, timedTable())
	y, q := make([]float32, f.seqs*f.heads*f.dim), random(rng, f.seqs*f.heads*f.dim)
	ops := f.ops(y, q, 1)
	var attending, reading time.Duration
	for b.Loop() {
		start := time.Now()
		for _, op := range ops {
			d.run(b, op)
		}
		attending += time.Since(start)
		start = time.Now()
		d.Read(f.caches)
		reading += time.Since(start)
	}
	b.ReportMetric(float64(len(f.caches))*float64(b.N)/attending.Seconds()/1e9, "GB/s")
	b.ReportMetric(100*reading.Seconds()/attending.Seconds(), "%read")
}

// BenchmarkAttentionPrefill is chunks of a prompt at its end, in turn with arithmetic in registers alone.
func BenchmarkAttentionPrefill(b *testing.B) {
	for _, c := range attentionShapes[:2] {
		for _, typ := range []cuda.DType{cuda.F32, cuda.BF16, cuda.Q8Row} {
			for _, at := range [][2]int{{1024, 256}, {8192, 128}, {8192, 256}, {8192, 512}} {
				context, rows := at[0], at[1]
				b.Run(fmt.Sprintf("%s/%s/context=%d/rows=%d", c.name, typ, context, rows), func(b *testing.B) {
					f := &full{length: context, seqs: 1, kvHeads: c.kvHeads, heads: c.heads, dim: c.dim, vdim: c.vdim, typ: typ}
					rng := rand.New(rand.NewPCG(3, 3))
					f.fill(rng, 1)
					pairs := rows * (2*context - rows + 1) / 2
					besidePeak(b, pairs*f.heads*2*(f.dim+f.vdim), f.ops(make([]float32, rows*f.heads*f.vdim), random(rng, rows*f.heads*f.dim), rows)...)
				})
			}
		}
	}
}

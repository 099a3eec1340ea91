// Package nntest tests models. A [Suite] names a model and the checkpoints that a reference was run on, and has the tests that every
// model needs: the numbers of each layer, greedy tokens and perplexity as the reference has them; the same bits however a prompt is
// cut and whoever is computed beside it; the same numbers with every table of kernels. A [Bench] times it.
//
// Below them a [Runner] drives a model's Forward without a server: sequences, their cache blocks and batches, as an engine makes
// them.
package nntest

import (
	"fmt"
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/nn"
)

// Model is what is driven.
type Model interface {
	Caches() []nn.CacheSpec
	Forward(s *cuda.Step, b *nn.Batch) cuda.Tensor
	Unembed(s *cuda.Step, x cuda.Tensor) cuda.Tensor
}

// Limits are what a Runner reserves memory for.
type Limits struct {
	Rows      int // of one step
	Sequences int // alive at a time
	Positions int // of one sequence

	Cache cuda.DType // of keys, values and latents

	On cuda.Device // where everything is computed; nil: on the CPU

	Features, Hidden int // of a model that sees: how many features a row can have, and their width
}

// Chunk appends tokens to a sequence.
type Chunk struct {
	Seq    int // 0..Sequences-1
	Tokens []int32
	Form   nn.Form
	All    bool // wants the logits of every token, not only the last

	// Of a model that sees. Without Axes all three positions of a row are its place in the sequence.
	Axes     []int32     // (tokens, 3)
	Visible  []int32     // which of the tokens stand for pieces of pictures
	Features [][]float32 // for each feature (visible, hidden)
}

// Runner runs steps of one model on one device. It belongs to one goroutine.
type Runner struct {
	Step *cuda.Step

	model  Model
	dev    cuda.Device // that computes
	at     int         // its number in the step
	limits Limits
	blocks int // of one sequence
	caches []*nn.Cache
	mem    []cuda.Memory // of the caches
	copies []cuda.Memory // of weights
	length []int         // positions of each sequence
	tables [][]int32     // blocks of each sequence
	free   []int32
	batch  nn.Batch
	logits []float32 // of the last step

	tokens, positions, seqs, forms, table, outputs []int32 // scratch of a batch
	axes, visible                                  []int32
	features                                       [][]float32
}

// stride is a prime: with it as the step, neighbours in a sequence are not neighbours in the cache.
const stride = 7919

// NewRunner reserves caches and activations for a bound model on a CPU, or where limits say. Close gives them back.
func NewRunner(m Model, b *nn.Bound, c cuda.Device, l Limits) (*Runner, error) {
	devices := []cuda.Device{c}
	if l.On != nil {
		devices = append(devices, l.On)
	}
	r := &Runner{
		Step: cuda.NewStep(devices, b.Layers, nil), model: m, dev: devices[len(devices)-1], at: len(devices) - 1, limits: l,
		blocks: (l.Positions + nn.BlockSize - 1) / nn.BlockSize,
		length: make([]int, l.Sequences), tables: make([][]int32, l.Sequences),
	}
	total := r.blocks * l.Sequences
	if total%stride == 0 {
		return nil, fmt.Errorf("%d blocks cannot be shuffled; ask for other limits", total)
	}
	for i := range total {
		r.free = append(r.free, int32(i*stride%total))
	}
	err := r.place(b)
	if err == nil {
		err = r.reserve(b, total)
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// reserve takes the memory: caches of so many blocks, and activations of the largest step.
func (r *Runner) reserve(b *nn.Bound, blocks int) error {
	for i, spec := range r.model.Caches() {
		spec.Type = r.limits.Cache
		size := nn.Size{Blocks: blocks, Slots: r.limits.Sequences}
		mem, err := r.dev.Alloc(spec.Bytes(size), cuda.ForState)
		if err != nil {
			return err
		}
		r.mem = append(r.mem, mem)
		c, err := nn.NewCache(b.Layers[i], spec, r.dev, mem, size)
		if err != nil {
			return err
		}
		r.caches = append(r.caches, c)
	}
	r.clear()
	for i := range r.limits.Rows {
		r.row(0, i, 0, nn.Prefill, true)
	}
	r.see(r.everythingVisible(), 0)
	r.batch.Segments = append(r.batch.Segments, nn.Segment{To: r.limits.Rows})
	sizes, err := r.Step.Measure(func(s *cuda.Step) { s.Argmax(r.forward(s)) })
	if err != nil {
		return err
	}
	for dev := range r.at + 1 {
		if err := r.Step.Reserve(dev, sizes); err != nil {
			return err
		}
	}
	return nil
}

// place brings all weights to a device that is not the CPU. Those that lie in the same bytes are brought once, and then copied there.
func (r *Runner) place(b *nn.Bound) error {
	if r.at == 0 {
		return nil
	}
	q, there := r.Step.Queue(r.at), map[inBytes]cuda.Matrix{}
	for _, m := range b.Modules {
		for _, w := range m.Weights {
			file := w.File()
			layout := r.dev.Layout(file)
			mem, err := r.dev.Alloc(layout.DeviceBytes(file.Rows, file.Cols), cuda.ForWeights)
			if err != nil {
				return err
			}
			r.copies = append(r.copies, mem)
			to, err := layout.Lay(r.dev, mem, 0, file.Rows, file.Cols)
			if err != nil {
				return err
			}
			if key := bytesOf(file); !copied(q, to, there[key]) {
				q.Fill(to, file)
				there[key] = to
			}
			w.Put(r.at, to)
		}
		m.Settle(r.at)
	}
	return q.Sync()
}

// inBytes is what a matrix of the host is made of: two that are equal have the same numbers.
type inBytes struct {
	layout     string
	rows, cols int
	planes     [cuda.MaxPlanes]unsafe.Pointer
}

func bytesOf(m cuda.Matrix) inBytes {
	b := inBytes{layout: m.Layout.Name, rows: m.Rows, cols: m.Cols}
	for i := range m.Layout.Planes {
		b.planes[i] = m.Pointer(i)
	}
	return b
}

// copied copies a matrix on a device whose queue can; there is nothing to copy from in the zero Matrix.
func copied(q cuda.Queue, to, from cuda.Matrix) bool {
	n, ok := q.(cuda.Neighbour)
	if !ok || from.IsZero() {
		return false
	}
	for i := range to.Layout.Planes {
		if !n.CopyFrom(to.Plane(i), from.Plane(i), q) {
			return false
		}
	}
	return true
}

// Close frees caches and activations.
func (r *Runner) Close() {
	for dev := range r.at + 1 {
		r.Step.Release(dev)
	}
	r.Step.Close()
	for _, m := range append(r.mem, r.copies...) {
		r.dev.Free(m)
	}
}

// Reset ends a sequence: its blocks are free again.
func (r *Runner) Reset(seq int) {
	r.free = append(r.free, r.tables[seq]...)
	r.tables[seq], r.length[seq] = r.tables[seq][:0], 0
}

// Extend lengthens a sequence by positions whose cache is whatever its blocks hold: for timing at a context without the time of
// getting there, after Fill.
func (r *Runner) Extend(seq, positions int) error {
	for range positions {
		if err := r.grow(seq); err != nil {
			return err
		}
		r.length[seq]++
	}
	return nil
}

// Fill writes invented numbers into all caches. Memory that was never written is one page of zeros to the machine, which is
// read faster than any cache could be.
func (r *Runner) Fill() error {
	numbers := make([]float32, 1<<18)
	for i := range numbers {
		numbers[i] = float32(i%17-8) / 64
	}
	for _, mem := range r.mem {
		for at, left := int64(0), int(mem.Bytes()/4); left > 0; {
			n := min(left, len(numbers))
			src, err := cuda.FromF32(numbers[:n], n)
			if err != nil {
				return err
			}
			dst, err := cuda.DeviceTensor(r.dev, mem, at, cuda.F32, n)
			if err != nil {
				return err
			}
			r.Step.Queue(r.at).CopyIn(dst, src)
			at, left = at+int64(4*n), left-n
		}
	}
	return r.Step.Queue(r.at).Sync()
}

// Run appends all chunks in one step and returns the logits asked for, in the order of the chunks. They are valid until the
// next Run.
func (r *Runner) Run(chunks ...Chunk) ([][]float32, error) {
	if err := r.add(chunks); err != nil {
		return nil, err
	}
	r.Step.Begin()
	logits := r.Step.ToHost(r.forward(r.Step))
	if err := r.Step.End(); err != nil {
		return nil, err
	}
	r.logits = append(r.logits[:0], logits.F32()...)
	rows := make([][]float32, len(r.outputs))
	width := logits.Dim(1)
	for i := range rows {
		rows[i] = r.logits[i*width : (i+1)*width]
	}
	return rows, nil
}

// Choose is Run of which only the place of the largest logit of each row is brought back, as a server does that chooses greedily. They are
// valid until the next step.
func (r *Runner) Choose(chunks ...Chunk) ([]int32, error) {
	if err := r.add(chunks); err != nil {
		return nil, err
	}
	r.Step.Begin()
	index, _ := r.Step.Argmax(r.forward(r.Step))
	chosen := r.Step.ToHost(index)
	if err := r.Step.End(); err != nil {
		return nil, err
	}
	return chosen.I32(), nil
}

// add makes the batch of a step.
func (r *Runner) add(chunks []Chunk) error {
	r.clear()
	for _, c := range chunks {
		r.see(c, r.length[c.Seq])
		r.batch.Segments = append(r.batch.Segments, nn.Segment{
			Seq: c.Seq, From: len(r.tokens), To: len(r.tokens) + len(c.Tokens), Start: r.length[c.Seq], Form: c.Form,
		})
		for i, token := range c.Tokens {
			if err := r.grow(c.Seq); err != nil {
				return err
			}
			r.row(token, r.length[c.Seq], c.Seq, c.Form, c.All || i == len(c.Tokens)-1)
			r.length[c.Seq]++
		}
	}
	for seq, blocks := range r.tables {
		copy(r.table[seq*r.blocks:], blocks)
	}
	return nil
}

func (r *Runner) forward(s *cuda.Step) cuda.Tensor {
	b := &r.batch
	b.Pages = s.Pages(r.positions, r.seqs, r.table, r.blocks, r.blocks*r.limits.Sequences, nn.BlockSize)
	b.Tokens, b.Outputs, b.Caches = s.Input(r.tokens), s.Input(r.outputs), r.caches
	b.Slots, b.Forms = s.Input(r.seqs), s.Input(r.forms)
	r.show(s)
	return r.model.Unembed(s, r.model.Forward(s, b))
}

func (r *Runner) clear() {
	r.tokens, r.positions, r.seqs, r.forms, r.outputs = r.tokens[:0], r.positions[:0], r.seqs[:0], r.forms[:0], r.outputs[:0]
	r.batch.Segments = r.batch.Segments[:0]
	r.axes, r.visible, r.features = r.axes[:0], r.visible[:0], make([][]float32, r.limits.Features)
	if r.table == nil {
		r.table = make([]int32, r.limits.Sequences*r.blocks)
	}
}

func (r *Runner) row(token int32, position, seq int, form nn.Form, output bool) {
	if output {
		r.outputs = append(r.outputs, int32(len(r.tokens)))
	}
	r.tokens, r.positions, r.seqs = append(r.tokens, token), append(r.positions, int32(position)), append(r.seqs, int32(seq))
	r.forms = append(r.forms, int32(form))
}

// grow gives a sequence the block its next position needs.
func (r *Runner) grow(seq int) error {
	if r.length[seq] < len(r.tables[seq])*nn.BlockSize {
		return nil
	}
	if r.length[seq] >= r.blocks*nn.BlockSize || len(r.free) == 0 {
		return fmt.Errorf("sequence %d is full at %d positions", seq, r.length[seq])
	}
	r.tables[seq] = append(r.tables[seq], r.free[0])
	r.free = r.free[1:]
	return nil
}

// Argmax is the lowest index of the largest logit.
func Argmax(logits []float32) int32 {
	best := 0
	for i, x := range logits {
		if x > logits[best] {
			best = i
		}
	}
	return int32(best)
}

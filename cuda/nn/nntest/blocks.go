package nntest

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/weights"
	"github.com/inference-pio/inference-pio/cuda/weights/blocks"
	"github.com/inference-pio/inference-pio/internal/gguf/gguftest"
)

// blocks.go runs GGUF files of invented models whose rows are multiples of 256, so that their weights can be in every type of blocks, which those
// of the tiny models cannot.

// Blocked is such a model.
type Blocked struct {
	Keys    map[string]any // of the file, with general.architecture
	Config  string         // config.json of the same
	Tensors []BlockedTensor
}

// BlockedTensor is a tensor by its name in a file and in a checkpoint, where E stands for the experts that the first dimension counts. A matrix of
// more than 16 rows is in blocks.
type BlockedTensor struct {
	File, Model string
	Shape       []int
}

// blockType is a type by its number, and where in a block factors are.
type blockType struct {
	number uint32
	halves []int   // in half precision
	second float32 // the second of them in parts of the first, so that numbers are about 0 in the mean
	bytes  []int   // of a byte, which become one
	one    byte
}

var blockTypes = []blockType{
	{2, []int{0}, 0, nil, 0}, {3, []int{0, 2}, -7.5, nil, 0}, {6, []int{0}, 0, nil, 0}, {7, []int{0, 2}, -15.5, nil, 0}, {8, []int{0}, 0, nil, 0},
	{10, []int{80, 82}, 1.5, nil, 0}, {11, []int{108}, 0, nil, 0}, {12, []int{0, 2}, 7.5, nil, 0}, {13, []int{0, 2}, 15.5, nil, 0}, {14, []int{208}, 0, nil, 0},
	{20, []int{0}, 0, nil, 0}, {23, []int{0}, 0, nil, 0}, {39, nil, 0, []int{0}, 122}, {40, nil, 0, []int{0, 1, 2, 3}, 0x10},
}

// blocksBound is repackedBound of codes that are as likely as another, whose blocks have factors up to twice another's, where one type becomes q4.
const blocksBound = 0.1

// InBlocks writes the model with weights of random codes, whose types take turns, so that one role has others in other layers. The file gives the
// layers of a folder with the numbers that the blocks stand for, read by no rule of files; packed as a server does, exactly and fast, within what
// rounding costs.
func (s Suite) InBlocks(t *testing.T, b Blocked) {
	file, views := b.invent(t, rand.New(rand.NewPCG(s.Seed, 256)))
	path, dir := file.Write(t, "blocks.gguf"), t.TempDir()
	limits := Limits{Rows: 64, Sequences: 1, Positions: 64}
	r, _ := s.Load(t, []byte(b.Config), Tensors(views), limits)
	if err := r.record(dir, []int32{3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3}); err != nil {
		t.Fatal(err)
	}
	m, src := OpenGGUF(t, s.GGUF, path)
	compare := func(what string, src weights.Source, bound float64) {
		r, _ := s.Load(t, m.Config, src, limits)
		how, err := r.Layers(dir, bound)
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		t.Logf("%s: %s", what, how)
	}
	compare("as the file has them", src, 1e-6)
	for _, s.Numerics = range []string{cpu.Exact, cpu.Fast} {
		s.Coded = nn.Repack
		compare("packed, "+s.Numerics, m.Source, blocksBound)
		s.Coded = nn.RepackForAll
		compare("packed for devices of any kind, "+s.Numerics, m.Source, blocksBound)
	}
}

// invent is the file, and the numbers of its tensors by the checkpoint's names.
func (b Blocked) invent(t *testing.T, rng *rand.Rand) (gguftest.File, map[string]weights.View) {
	t.Helper()
	file, views, used := gguftest.File{Keys: b.Keys}, map[string]weights.View{}, 0
	for _, x := range b.Tensors {
		n := elements(x.Shape)
		numbers := make([]float32, n)
		if len(x.Shape) == 1 || x.Shape[len(x.Shape)-2] <= 16 { // norms and routers
			for i := range numbers {
				numbers[i] = float32(rng.NormFloat64()) / 4
				if len(x.Shape) == 1 {
					numbers[i]++
				}
			}
			file.Tensors = append(file.Tensors, gguftest.F32(x.File, x.Shape, numbers...))
		} else {
			kind := blockTypes[(used+9)%len(blockTypes)] // the embedding is in Q6_K, as it mostly is
			used++
			data := kind.random(rng, numbers)
			file.Tensors = append(file.Tensors, gguftest.Tensor{Name: x.File, Type: kind.number, Shape: x.Shape, Data: data})
			if kind.bytes != nil { // which have factors beside them
				file.Tensors = append(file.Tensors, factorsOf(x, numbers))
			}
		}
		put(views, x, numbers)
	}
	if used < len(blockTypes) {
		t.Fatalf("%d tensors for %d types", used, len(blockTypes))
	}
	return file, views
}

// random is blocks of any codes, of which a block's factors are up to twice another's, and the numbers that they stand for, which keep the size of
// what passes through them.
func (k blockType) random(rng *rand.Rand, numbers []float32) []byte {
	f := blocks.Of(k.number)
	data, first := make([]byte, len(numbers)/f.Values*f.Bytes), make([]float32, len(numbers)/f.Values)
	for i := range data {
		data[i] = byte(rng.UintN(256))
	}
	for i := range first {
		first[i] = 1 + rng.Float32()
	}
	scaled := func(by float32) {
		for i, d := range first {
			block := data[i*f.Bytes:]
			for n, at := range k.halves {
				binary.LittleEndian.PutUint16(block[at:], half(d*by*[]float32{1, k.second}[n]))
			}
			for _, at := range k.bytes {
				block[at] = k.one
			}
		}
		f.Widen(numbers, data)
	}
	scaled(1.0 / 256)
	sum := 0.0
	for _, x := range numbers {
		sum += float64(x) * float64(x)
	}
	scaled(1.0 / 256 / 16 / float32(math.Sqrt(sum/float64(len(numbers)))))
	return data
}

// half rounds a number down to half precision, which has it but for its fraction.
func half(x float32) uint16 {
	b := math.Float32bits(x)
	sign := uint16(b >> 16 & 0x8000)
	if b>>23&255 <= 112 { // below 2^-14
		return sign | uint16(math.Abs(float64(x))*(1<<24))
	}
	return sign | uint16((b>>23&255-112)<<10|b>>13&1023)
}

// factorsOf multiplies numbers by one factor, or one for each expert, and gives the tensor that has them.
func factorsOf(x BlockedTensor, numbers []float32) gguftest.Tensor {
	n := 1
	if len(x.Shape) == 3 {
		n = x.Shape[0]
	}
	factors := make([]float32, n)
	for i := range factors {
		factors[i] = 0.75 + float32(i)/4
	}
	for i := range numbers {
		numbers[i] *= factors[i/(len(numbers)/n)]
	}
	return gguftest.F32(strings.TrimSuffix(x.File, ".weight")+".scale", []int{n}, factors...)
}

// put adds a tensor's numbers, one for each expert where it has them all.
func put(views map[string]weights.View, x BlockedTensor, numbers []float32) {
	one := func(shape []int, numbers []float32) weights.View {
		data := make([]byte, 0, 4*len(numbers))
		for _, n := range numbers {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(n))
		}
		return weights.View{Format: "F32", DType: cuda.F32, Known: true, Shape: shape, Data: data}
	}
	if !strings.Contains(x.Model, ".E.") {
		views[x.Model] = one(x.Shape, numbers)
		return
	}
	each := len(numbers) / x.Shape[0]
	for e := range x.Shape[0] {
		views[strings.Replace(x.Model, ".E.", fmt.Sprintf(".%d.", e), 1)] = one(x.Shape[1:], numbers[e*each:(e+1)*each])
	}
}

// record writes what the model computes of a prompt as a reference does.
func (r *Runner) record(dir string, prompt []int32) error {
	var entries []weights.Entry
	data := map[string][]byte{}
	add := func(name, format string, raw []byte, width int) {
		at := int64(0)
		if n := len(entries); n > 0 {
			at = entries[n-1].To
		}
		entries, data[name] = append(entries, weights.Entry{Name: name, Format: format, Shape: []int{len(raw) / width}, From: at, To: at + int64(len(raw))}), raw
	}
	show := func(name string, x []float32) {
		raw := []byte{}
		for _, f := range x {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(f))
		}
		add(name, "F32", raw, 4)
	}
	ids := []byte{}
	for _, id := range prompt {
		ids = binary.LittleEndian.AppendUint64(ids, uint64(id))
	}
	add("input_ids", "I64", ids, 8)
	r.Step.SetObserver(func(name string, i int, x cuda.Tensor) {
		if name == "layer" {
			name = fmt.Sprintf("layer.%d", i)
		}
		show(name, x.F32())
	})
	defer r.Step.SetObserver(nil)
	r.Reset(0)
	logits, err := r.Run(Chunk{Tokens: prompt, All: true})
	if err != nil {
		return err
	}
	show("logits", slices.Concat(logits...))
	return WriteTensors(filepath.Join(dir, "golden.safetensors"), entries, func(e weights.Entry) []byte { return data[e.Name] })
}

package nntest

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/golden"
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

	Tower *Blocked // of a model that sees: the file beside it, whose Config is preprocessor_config.json

	// Bound is how far packed weights may be from the file's numbers, in parts of the largest of a layer's; 0 is blocksBound.
	Bound float64
	// Undo makes, of the numbers that a file has, those of the checkpoint, by its names: what the converters change besides names. nil: nothing.
	Undo func(checkpoint map[string]Numbers)
	// Look gives a model what it is to see behind a prompt's first tokens; nil: it is given tokens alone.
	Look func(t testing.TB, m Model, prompt []int32) Chunk
}

// BlockedTensor is a tensor by its name in a file and in a checkpoint, where E stands for the experts that the first dimension counts. A matrix of
// more than 16 rows is in blocks, but where it is Plain or no block divides its rows.
type BlockedTensor struct {
	File, Model string
	Shape       []int
	Plain       bool
	Mean        float32 // of a vector's numbers; 0 is 1
}

// Numbers are a tensor's.
type Numbers struct {
	Shape []int
	Of    []float32
}

// InArchitecture is keys of a file as they are called in one of an architecture, whole numbers as files mostly have them, and general.architecture.
func InArchitecture(name string, keys map[string]any) map[string]any {
	all := map[string]any{"general.architecture": name}
	for key, v := range keys {
		switch n := v.(type) {
		case int:
			v = uint32(n)
		case float64:
			v = float32(n)
		}
		all[name+"."+key] = v
	}
	return all
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
// rounding costs. Those numbers are blocks' by their plain formulas, which its TestEveryBlockIsTheReferences holds to the package gguf's to the bit.
func (s Suite) InBlocks(t *testing.T, b Blocked) {
	rng, dir, checkpoint := rand.New(rand.NewPCG(s.Seed, 256)), t.TempDir(), map[string]Numbers{}
	path, used := filepath.Join(dir, "blocks.gguf"), map[uint32]int{}
	b.write(t, path, rng, used, checkpoint)
	var preprocessor []byte
	if b.Tower != nil {
		b.Tower.write(t, filepath.Join(dir, "mmproj-blocks.gguf"), rng, used, checkpoint)
		preprocessor = []byte(b.Tower.Config)
	}
	if b.Undo != nil {
		b.Undo(checkpoint)
	}
	if len(used) != len(blockTypes) {
		t.Fatalf("of %d types there are %d", len(blockTypes), len(used))
	}
	prompt := []int32{3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3}
	load := func(config, preprocessor []byte, src weights.Source) (*Runner, Chunk) {
		m, bound, err := s.Bind(config, 0, src)
		if err != nil {
			t.Fatal(err)
		}
		if err := readPictures(m, preprocessor); err != nil {
			t.Fatal(err)
		}
		r, c := s.Runner(t, m, bound, Limits{Rows: 64, Sequences: 1, Positions: 64}), Chunk{Tokens: prompt}
		if b.Look != nil {
			c = b.Look(t, m, prompt)
		}
		c.All = true
		return r, c
	}
	r, want := load([]byte(b.Config), preprocessor, Tensors(views(checkpoint)))
	if err := r.record(dir, want); err != nil {
		t.Fatal(err)
	}
	m, src := OpenGGUF(t, s.GGUF, path)
	compare := func(what string, src weights.Source, bound float64) {
		r, c := load(m.Config, m.Preprocessor, src)
		for i, f := range c.Features {
			off := golden.Compare(f, want.Features[i])
			if !(off.Rel <= bound) {
				t.Errorf("%s: feature %d is more than %v off", what, i, bound)
			}
			t.Logf("%s: feature %d: %+v", what, i, off)
		}
		how, err := r.SeeingLayers(dir, bound, func([]int32) Chunk { return c })
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		t.Logf("%s: %s", what, how)
	}
	compare("as the file has them", src, 1e-6)
	bound := cmp.Or(b.Bound, blocksBound)
	for _, s.Numerics = range []string{cpu.Exact, cpu.Fast} {
		s.Coded = nn.Repack
		compare("packed, "+s.Numerics, m.Source, bound)
		s.Coded = nn.RepackForAll
		compare("packed for devices of any kind, "+s.Numerics, m.Source, bound)
	}
}

// write writes the file, and adds the numbers of its tensors by the checkpoint's names. used counts types.
func (b Blocked) write(t *testing.T, path string, rng *rand.Rand, used map[uint32]int, checkpoint map[string]Numbers) {
	t.Helper()
	file, turn := gguftest.File{Keys: b.Keys}, 9 // the embedding is in Q6_K, as it mostly is
	for _, x := range b.Tensors {
		numbers := make([]float32, elements(x.Shape))
		kind, blocked := blockType{}, false
		if n := len(x.Shape); n > 1 && x.Shape[n-2] > 16 && !x.Plain { // no norm, and no router
			kind, turn, blocked = nextType(turn, x.Shape[n-1])
		}
		if blocked {
			used[kind.number]++
			data := kind.random(rng, numbers)
			file.Tensors = append(file.Tensors, gguftest.Tensor{Name: x.File, Type: kind.number, Shape: x.Shape, Data: data})
			if kind.bytes != nil { // which have factors beside them
				file.Tensors = append(file.Tensors, factorsOf(x, numbers))
			}
		} else {
			x.draw(rng, numbers)
			file.Tensors = append(file.Tensors, gguftest.F32(x.File, x.Shape, numbers...))
		}
		put(checkpoint, x, numbers)
	}
	if err := os.WriteFile(path, file.Bytes(t), 0o600); err != nil {
		t.Fatal(err)
	}
}

// nextType is the type whose turn it is, of those whose blocks divide a row.
func nextType(turn, cols int) (kind blockType, next int, ok bool) {
	for i := range blockTypes {
		kind = blockTypes[(turn+i)%len(blockTypes)]
		if cols%blocks.Of(kind.number).Values == 0 {
			return kind, turn + i + 1, true
		}
	}
	return kind, turn, false
}

// draw gives a tensor that is in no blocks its numbers.
func (x BlockedTensor) draw(rng *rand.Rand, numbers []float32) {
	mean := float32(0)
	if len(x.Shape) == 1 {
		mean = cmp.Or(x.Mean, 1)
	}
	for i := range numbers {
		numbers[i] = mean + float32(rng.NormFloat64())/4
	}
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
	f.Plain(numbers, data)
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
func put(checkpoint map[string]Numbers, x BlockedTensor, numbers []float32) {
	if !strings.Contains(x.Model, ".E.") {
		checkpoint[x.Model] = Numbers{x.Shape, numbers}
		return
	}
	each := len(numbers) / x.Shape[0]
	for e := range x.Shape[0] {
		checkpoint[strings.Replace(x.Model, ".E.", fmt.Sprintf(".%d.", e), 1)] = Numbers{x.Shape[1:], numbers[e*each : (e+1)*each]}
	}
}

// views are tensors of numbers in f32.
func views(checkpoint map[string]Numbers) map[string]weights.View {
	all := map[string]weights.View{}
	for name, x := range checkpoint {
		data := make([]byte, 0, 4*len(x.Of))
		for _, n := range x.Of {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(n))
		}
		all[name] = weights.View{Format: "F32", DType: cuda.F32, Known: true, Shape: x.Shape, Data: data}
	}
	return all
}

// record writes what the model computes of a prompt as a reference does.
func (r *Runner) record(dir string, prompt Chunk) error {
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
	for _, id := range prompt.Tokens {
		ids = binary.LittleEndian.AppendUint64(ids, uint64(id))
	}
	add("input_ids", "I64", ids, 8)
	r.Step.SetObserver(func(name string, i int, x cuda.Tensor) {
		if name == "layer" || name == "input" {
			name = fmt.Sprintf("%s.%d", name, i)
		}
		show(name, x.F32())
	})
	defer r.Step.SetObserver(nil)
	r.Reset(0)
	logits, err := r.Run(prompt)
	if err != nil {
		return err
	}
	show("logits", slices.Concat(logits...))
	return WriteTensors(filepath.Join(dir, "golden.safetensors"), entries, func(e weights.Entry) []byte { return data[e.Name] })
}

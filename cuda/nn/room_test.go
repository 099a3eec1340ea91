package nn

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// shelf is a Room in memory.
type shelf struct {
	modules [][]byte
	made    []bool
	fails   int // the module that cannot be kept
}

var errShelf = errors.New("it has fallen down")

func newShelf(sizes []int64) *shelf {
	s := &shelf{made: make([]bool, len(sizes)), fails: -1}
	for _, n := range sizes {
		words := make([]uint64, n/8+8) // from a multiple of 8 on, as kernels want it
		s.modules = append(s.modules, unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), n))
	}
	return s
}

func (s *shelf) Module(i int) (cuda.Memory, bool) {
	b := s.modules[i]
	return cuda.NewMemory(unsafe.Pointer(unsafe.SliceData(b)), int64(len(b)), cuda.ForWeights), s.made[i]
}

func (s *shelf) Made(i int) error {
	if i == s.fails {
		return errShelf
	}
	s.made[i] = true
	return nil
}

// TestWeightsInARoom: what is made in a room is what is made in memory, what is there already is not made again, and nothing of the source is read for it.
func TestWeightsInARoom(t *testing.T) {
	c := cpu.New(2)
	defer c.Close()
	_, plain := bindWide(t, cuda.BF16)
	mems, err := plain.Quantise(Quantiser{Device: c})
	if err != nil {
		t.Fatal(err)
	}
	var want [][]byte
	for _, m := range mems {
		want = append(want, slices.Clone(unsafe.Slice((*byte)(m.Pointer()), m.Bytes())))
		c.Free(m)
	}
	_, b := bindWide(t, cuda.BF16)
	s := newShelf(b.QuantisedModules())
	s.fails = 2
	made, err := b.Quantise(Quantiser{Device: c, Room: s})
	var room *RoomError
	if !errors.As(err, &room) || !errors.Is(err, errShelf) || !strings.Contains(err.Error(), "the weights of layers.0") || len(made) > 0 {
		t.Fatalf("a room that cannot keep a module: %v, %d pieces of memory", err, len(made))
	}
	s.fails = -1
	read, told := int64(0), []int64{}
	q := Quantiser{Device: c, Room: s, Read: func(file []byte) { read += int64(len(file)) }, Done: func(n int64) { told = append(told, n) }}
	if _, err := b.Quantise(q); err != nil {
		t.Fatal(err)
	}
	if !slices.IsSorted(told) || told[len(told)-1] != b.QuantisedBytes() || read == 0 {
		t.Errorf("told %v of %d", told, b.QuantisedBytes())
	}
	for i := range want {
		if !bytes.Equal(s.modules[i], want[i]) {
			t.Errorf("module %d is another than in memory", i)
		}
	}
	read = 0
	m, again := bindWide(t, cuda.BF16)
	if _, err := again.Quantise(q); err != nil || read != 0 {
		t.Errorf("%v; %d bytes are read of what is there", err, read)
	}
	if used := c.Usage().Used; used != 0 {
		t.Errorf("the device counts %d bytes", used)
	}
	near(t, "from a room", c, m.Layers[0].Q.W, again.later[1])
}

// TestRecipe tells models apart by what is made of them, and by nothing else.
func TestRecipe(t *testing.T) {
	recipe := func(dtype cuda.DType, form string) string {
		t.Helper()
		b, err := Bind(newWide(), invented(dtype), BindOptions{Quantise: form, FP8Block: [2]int{24, 40}})
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		b.Recipe(&text)
		return text.String()
	}
	q8 := recipe(cuda.BF16, cuda.Q8)
	if recipe(cuda.F16, cuda.Q8) != q8 || recipe(cuda.BF16, cuda.Q4) == q8 {
		t.Error("recipes are of another form's, or of a type's")
	}
	if want := `"layers.0" "layers.0.q.weight" 96 x 128 in q8`; !strings.Contains(q8, want+"\n") || strings.Contains(q8, "gate") {
		t.Errorf("%s is not in\n%s", want, q8)
	}
}

// TestPackedVersion: whoever changes what packing gives raises PackedVersion, for users keep it in files; then the hash here is another, too.
func TestPackedVersion(t *testing.T) {
	const version, want = 1, "d0b3d5ce2abc1e0dcffd94eab6ea9f6c533562692cf1f5d92ccd30f141900a7c"
	h, c := sha256.New(), cpu.New(2)
	defer c.Close()
	for _, form := range []string{cuda.Q8, cuda.Q4} {
		for _, dtype := range []cuda.DType{cuda.BF16, cuda.F32, cuda.F8E4M3} {
			b, err := Bind(newWide(), invented(dtype), BindOptions{Quantise: form, FP8Block: [2]int{24, 40}})
			if err != nil {
				t.Fatal(err)
			}
			s := newShelf(b.QuantisedModules())
			if _, err := b.Quantise(Quantiser{Device: c, Room: s}); err != nil {
				t.Fatal(err)
			}
			for _, m := range s.modules {
				h.Write(m)
			}
		}
	}
	if got := hex.EncodeToString(h.Sum(nil)); PackedVersion != version || got != want {
		t.Errorf("version %d packs to %s; version %d to %s", PackedVersion, got, version, want)
	}
}

// counted is codes of which is counted how many bytes of numbers are there at once: made by Widen, and not told to be read.
type counted struct {
	rows, cols int

	mu         sync.Mutex
	there, top int
	file       []byte // a byte for each row
}

func (*counted) Names() []string { return []string{} }

func (k *counted) Get(_ string, shape []int) (weights.View, bool) {
	return weights.View{DType: cuda.BF16, Known: true, Shape: shape, Coded: k}, true
}

func (k *counted) Widen(to []float32, row int) {
	for i := range to {
		to[i] = float32((row+i)%13) - 6
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.there += 4 * len(to)
	k.top = max(k.top, k.there)
}

func (k *counted) File(from, to int) []byte { return k.file[from:to] }

func (k *counted) read(file []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.there -= 4 * k.cols * len(file)
}

// TestNeverTwoCopies: while weights are made there is of their source what pieceBytes allow, however large they are, and of what is made no more
// than the whole.
func TestNeverTwoCopies(t *testing.T) {
	const rows, cols = 40_000, 512 // 80 MB in f32
	for _, form := range []string{cuda.Q8, cuda.Q4} {
		k := &counted{rows: rows, cols: cols, file: make([]byte, rows)}
		m := &struct {
			Embed Embedding `weight:"embed_tokens"`
		}{NewEmbedding(rows, cols)}
		b, err := Bind(m, k, BindOptions{Quantise: form})
		if err != nil {
			t.Fatal(err)
		}
		c := cpu.New(2)
		made, err := b.Quantise(Quantiser{Device: c, Read: k.read})
		if err != nil {
			t.Fatal(err)
		}
		if k.there != 0 || k.top > pieceBytes || k.top < pieceBytes/2 {
			t.Errorf("%s: %d bytes of the source are there at once, and %d at last", form, k.top, k.there)
		}
		if u := c.Usage(); u.Peak != b.QuantisedBytes() {
			t.Errorf("%s: %d bytes are taken at once, for %d", form, u.Peak, b.QuantisedBytes())
		}
		for _, mem := range made {
			c.Free(mem)
		}
		c.Close()
	}
}

// What is invented to be quantised is never there as a whole: its source has no memory for it.
func TestInventedWeightsAreMadeInPieces(t *testing.T) {
	src := onlyRows{weights.Dummy(1, cuda.BF16), weights.Dummy(1, cuda.BF16).(weights.Piecewise)}
	b, err := Bind(newWide(), src, BindOptions{Quantise: cuda.Q8})
	if err != nil {
		t.Fatal(err)
	}
	c := cpu.New(2)
	defer c.Close()
	s, whole := newShelf(b.QuantisedModules()), newShelf(b.QuantisedModules())
	if _, err := b.Quantise(Quantiser{Device: c, Room: s}); err != nil {
		t.Fatal(err)
	}
	_, want := bindWide(t, cuda.BF16)
	if _, err := want.Quantise(Quantiser{Device: c, Room: whole}); err != nil {
		t.Fatal(err)
	}
	for i := range s.modules {
		if !bytes.Equal(s.modules[i], whole.modules[i]) {
			t.Errorf("module %d is another than of the whole tensor", i)
		}
	}
}

// onlyRows gives no matrix whole that is worth quantising.
type onlyRows struct {
	weights.Source
	weights.Piecewise
}

func (s onlyRows) Get(name string, shape []int) (weights.View, bool) {
	if len(shape) == 2 && shape[0] >= 64 && shape[1] >= 128 && !strings.Contains(name, "gate") {
		return weights.View{}, false
	}
	return s.Source.Get(name, shape)
}

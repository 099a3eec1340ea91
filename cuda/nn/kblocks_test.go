package nn

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/spec"
	"github.com/inference-pio/inference-pio/cuda/weights"
	"github.com/inference-pio/inference-pio/cuda/weights/blocks"
)

// kTypes are those with a form of their own, and the upper bytes of their factors.
var kTypes = []struct {
	number uint32
	form   string
	upper  []int
}{{12, cuda.Q4K, []int{1, 3}}, {14, cuda.Q6K, []int{209}}}

// randomBlocks is a matrix of blocks of any bytes whose factors are numbers.
func randomBlocks(rng *rand.Rand, number uint32, upper []int, rows, cols int) inBlocks {
	f := blocks.Of(number)
	s := inBlocks{f, make([]byte, rows*cols/f.Values*f.Bytes), cols}
	for i := range s.data {
		s.data[i] = byte(rng.UintN(256))
	}
	for at := 0; at < len(s.data); at += f.Bytes {
		for _, i := range upper {
			s.data[at+i] &= 0xbf
		}
	}
	return s
}

// TestBlocksKeepTheirNumbers: Q4_K and Q6_K become forms of their own by themselves, in which every number is the file's to the bit, whatever the sizes;
// also of some rows of a tensor, as experts are. For devices of any kind they become q8, as they do where q8 is asked for.
func TestBlocksKeepTheirNumbers(t *testing.T) {
	c := cpu.New(2)
	defer c.Close()
	rng := rand.New(rand.NewPCG(12, 14))
	for _, kind := range kTypes {
		for _, shape := range [][2]int{{16, 256}, {31, 512}, {33, 768}, {1100, 1024}} {
			src := randomBlocks(rng, kind.number, kind.upper, shape[0]+5, shape[1])
			view, _ := src.Get("", []int{shape[0] + 5, shape[1]})
			cut := weights.Cut(view, 5, shape[0], shape[:])
			if Repack(cut) != kind.form || RepackForAll(cut) != cuda.Q8 {
				t.Errorf("%s is packed to %q, for all to %q", src.format.Name, Repack(cut), RepackForAll(cut))
			}
			m := &struct {
				Embed Embedding `weight:"embed_tokens"`
			}{NewEmbedding(shape[0], shape[1])}
			b, err := Bind(m, oneView{cut}, BindOptions{Coded: Repack})
			if err != nil {
				t.Fatal(err)
			}
			read := 0
			made, err := b.Quantise(Quantiser{Device: c, Read: func(file []byte) { read += len(file) }})
			if err != nil {
				t.Fatal(err)
			}
			w := m.Embed.W.File()
			if per := len(src.data) / (shape[0] + 5); w.Layout.Name != kind.form || read != shape[0]*per {
				t.Errorf("%v is in %s; of %d bytes %d were read", shape, w.Layout.Name, shape[0]*per, read)
			}
			want := make([]float32, len(src.data)/src.format.Bytes*src.format.Values)
			src.format.Plain(want, src.data)
			for i, v := range want[5*shape[1]:] {
				if got := spec.Element(w, i); math.Float32bits(got) != math.Float32bits(v) {
					t.Fatalf("%s %v: element %d is %v, in the file %v", src.format.Name, shape, i, got, v)
				}
			}
			for _, mem := range made {
				c.Free(mem)
			}
		}
	}
}

// oneView is a source that has one tensor under every name.
type oneView struct{ weights.View }

func (oneView) Names() []string                          { return []string{} }
func (s oneView) Get(string, []int) (weights.View, bool) { return s.View, true }

// TestPackedBlocksHaveNoBytesOfBefore: what a block has besides rows is zeros, whatever lay there, for files keep it.
func TestPackedBlocksHaveNoBytesOfBefore(t *testing.T) {
	for _, kind := range kTypes {
		src := randomBlocks(rand.New(rand.NewPCG(12, 15)), kind.number, kind.upper, 19, 512)
		l := cuda.Quantised(kind.form)
		var first []byte
		for _, before := range []byte{0, 0xff} {
			data := slices.Repeat([]byte{before}, 4*l.Planes[0].Bytes)
			m, err := cuda.HostMatrix(l, 19, 512, data)
			if err != nil {
				t.Fatal(err)
			}
			(&Quantiser{}).reorder(m, src, 0, 19)
			if first == nil {
				first = data
			} else if !slices.Equal(first, data) {
				t.Errorf("%s has bytes of what was there before", kind.form)
			}
		}
	}
}

package blocks

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/inference-pio/inference-pio/internal/gguf"
)

// golden is random blocks of a type and what the reference makes of them.
type golden struct {
	Number         uint32
	Blocks, Values []byte
}

func goldens(t testing.TB) (all map[string]golden) {
	t.Helper()
	text, err := os.ReadFile("testdata/blocks.json")
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Every number of every block is the reference's, to the bit.
func TestEveryBlockIsTheReferences(t *testing.T) {
	all := goldens(t)
	for number, f := range formats {
		want, ok := all[f.Name]
		if !ok || want.Number != number {
			t.Errorf("the reference has no %s of number %d", f.Name, number)
			continue
		}
		for how, widen := range map[string]func([]float32, []byte){"by its formula": f.Plain, "in loops": f.Widen} {
			got := make([]float32, len(want.Values)/4)
			widen(got, want.Blocks)
			wrong := 0
			for i, x := range got {
				if w := binary.LittleEndian.Uint32(want.Values[4*i:]); math.Float32bits(x) != w && wrong < 4 {
					wrong++
					t.Errorf("%s %s: element %d of block %d is %v, not %v", f.Name, how, i%f.Values, i/f.Values, x, math.Float32frombits(w))
				}
			}
		}
	}
	if len(all) != len(formats) {
		t.Errorf("the reference has %d types, this package %d", len(all), len(formats))
	}
}

// The sizes are those that the container counts with, and what it calls read is read.
func TestSizesAreTheContainers(t *testing.T) {
	for number := range uint32(64) {
		e, _ := gguf.ElementOf(number)
		plain := number == gguf.TypeF32 || number == gguf.TypeF16 || number == gguf.TypeBF16
		if e.Read != (plain || Of(number) != nil) {
			t.Errorf("%s is read: %v, says the container", e.Name, e.Read)
		}
	}
	for number, f := range formats {
		if e, ok := gguf.ElementOf(number); !ok || e.Name != f.Name || e.Values != f.Values || e.Bytes != f.Bytes {
			t.Errorf("%s: %d values in %d bytes; the container says %+v", f.Name, f.Values, f.Bytes, e)
		}
	}
}

// A row that ends inside a block, and blocks that end inside one, are not read beyond.
func TestWidenKeepsWithinWhatItIsGiven(t *testing.T) {
	for _, f := range formats {
		to := make([]float32, 2*f.Values)
		for i := range to {
			to[i] = 7
		}
		f.Widen(to[:2*f.Values-1], make([]byte, 2*f.Bytes))
		f.Widen(to[f.Values:], make([]byte, f.Bytes-1))
		f.Widen(nil, nil)
		if to[f.Values-1] == 7 || to[f.Values] != 7 {
			t.Errorf("%s: wrote to other blocks than the first: %v", f.Name, to)
		}
	}
}

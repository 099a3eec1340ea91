package nntest

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// gptq.go makes a folder in the form of GPTQ of one that has plain weights, as simply as can be: to the nearest of 15 levels.

// gptqGroup is how many inputs share a factor.
const gptqGroup = 128

// WriteGPTQ writes a checkpoint like that of a folder, whose projections are codes of 4 bits: symmetric, in groups of 128, whose zeros are 8 and
// are written as 7. All other files are the folder's.
func WriteGPTQ(t testing.TB, dir string) string {
	t.Helper()
	to, src := t.TempDir(), Checkpoint(t, dir)
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	var config map[string]any
	if err := json.Unmarshal(Read(t, dir, "config.json"), &config); err != nil {
		t.Fatal(err)
	}
	config["quantization_config"] = map[string]any{"quant_method": "gptq", "bits": 4, "group_size": gptqGroup, "sym": true, "checkpoint_format": "gptq"}
	text, err := json.Marshal(config)
	if err == nil {
		err = os.WriteFile(filepath.Join(to, "config.json"), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	var entries []weights.Entry
	data := map[string][]byte{}
	add := func(name, format string, shape []int, b []byte) {
		at := int64(0)
		if n := len(entries); n > 0 {
			at = entries[n-1].To
		}
		entries, data[name] = append(entries, weights.Entry{Name: name, Format: format, Shape: shape, From: at, To: at + int64(len(b))}), b
	}
	for _, name := range src.Names() {
		v, _ := src.Get(name, nil)
		base, projection := strings.CutSuffix(name, "_proj.weight")
		if !projection || v.Shape[1]%gptqGroup != 0 {
			add(name, v.Format, v.Shape, v.Data)
			continue
		}
		codes, zeros, factors := gptqOf(t, v)
		out, in := v.Shape[0], v.Shape[1]
		add(base+"_proj.qweight", "I32", []int{in / 8, out}, codes)
		add(base+"_proj.qzeros", "I32", []int{in / gptqGroup, out / 8}, zeros)
		add(base+"_proj.scales", "BF16", []int{in / gptqGroup, out}, factors)
	}
	if err := WriteTensors(filepath.Join(to, "model.safetensors"), entries, func(e weights.Entry) []byte { return data[e.Name] }); err != nil {
		t.Fatal(err)
	}
	return to
}

// gptqOf is a matrix as codes, zeros and factors.
func gptqOf(t testing.TB, v weights.View) (codes, zeros, factors []byte) {
	t.Helper()
	out, in := v.Shape[0], v.Shape[1]
	numbers, ok := weights.Numbers(v)
	if !ok || out%8 != 0 {
		t.Fatalf("%s %v is no matrix for GPTQ", v.Format, v.Shape)
	}
	line := make([]float32, in)
	codes, zeros, factors = make([]byte, in*out/2), slices.Repeat([]byte{0x77}, in/gptqGroup*out/2), make([]byte, 2*in/gptqGroup*out)
	for o := range out {
		numbers.Widen(line, o)
		for g := range in / gptqGroup {
			part, most := line[g*gptqGroup:(g+1)*gptqGroup], float32(0)
			for _, x := range part {
				most = max(most, float32(math.Abs(float64(x))))
			}
			half := cuda.NearestBF16(most / 7)
			binary.LittleEndian.PutUint16(factors[2*(g*out+o):], half)
			factor := math.Float32frombits(uint32(half) << 16)
			for i, x := range part {
				code := byte(8)
				if factor > 0 {
					code = byte(8 + min(7, max(-8, math.Round(float64(x/factor)))))
				}
				at := g*gptqGroup + i
				codes[4*(at/8*out+o)+at%8/2] |= code << (at % 2 * 4)
			}
		}
	}
	return codes, zeros, factors
}

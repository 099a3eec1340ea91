package golden

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// file writes a golden file with embeddings, layer.0, layer.1 of four numbers each, and ids.
func file(t *testing.T) File {
	t.Helper()
	const f32 = `"%s":{"dtype":"F32","shape":[2,2],"data_offsets":[%d,%d]},`
	header, data := "{", []byte{}
	for i, name := range []string{"embeddings", "layer.0", "layer.1"} {
		header += fmt.Sprintf(f32, name, 16*i, 16*i+16)
		for j := range 4 {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(i+1)*float32(j-2)))
		}
	}
	header += `"ids":{"dtype":"I64","shape":[1],"data_offsets":[48,56]}}`
	data = binary.LittleEndian.AppendUint64(data, math.MaxUint64)
	path := filepath.Join(t.TempDir(), "golden.safetensors")
	content := append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...)
	if err := os.WriteFile(path, append(content, data...), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestCompare(t *testing.T) {
	nan, inf := float32(math.NaN()), math.Inf(1)
	tests := []struct {
		name      string
		got, want []float32
		rel       float64
		at        int
	}{
		{"equal", []float32{1, 2}, []float32{1, 2}, 0, 0},
		{"zeros", []float32{0, 0}, []float32{0, 0}, 0, 0},
		{"half of the largest", []float32{1, 3, 4}, []float32{1, 1, 4}, 0.5, 1},
		{"something where zeros should be", []float32{0, 1}, []float32{0, 0}, inf, 1},
		{"not a number", []float32{1, nan}, []float32{1, 2}, inf, 1},
		{"short", []float32{1}, []float32{1, 2}, inf, 1},
		{"long", []float32{1, 2, 3}, []float32{1, 2}, inf, 2},
	}
	for _, tt := range tests {
		if d := Compare(tt.got, tt.want); d.Rel != tt.rel || d.At != tt.at {
			t.Errorf("%s: %+v, want rel %v at %d", tt.name, d, tt.rel, tt.at)
		}
	}
}

func TestTraceNamesTheFirstThatDiffers(t *testing.T) {
	f := file(t)
	trace := NewTrace(f, 1e-4)
	trace.Show("embeddings", []float32{-2, -1, 0, 1})
	trace.Show("layer.0", []float32{-4, -2, 0.1, 2}) // 0.1 of 4
	trace.Show("layer.1", []float32{9, 9, 9, 9})
	err := trace.Err()
	for _, want := range []string{"layer.0 is the first that differs", "2.5e-02", "at element 2 of 4", "before it: embeddings 0.0e+00"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v\nshould contain %q", err, want)
		}
	}
}

func TestTraceWantsToSeeEverything(t *testing.T) {
	trace := NewTrace(file(t), 1e-4)
	trace.Show("embeddings", []float32{-2, -1, 0, 1})
	if err := trace.Err("embeddings"); err != nil {
		t.Error(err)
	}
	if err := trace.Err("embeddings", "layer.0", "layer.1"); err == nil || !strings.Contains(err.Error(), "did not show layer.0, layer.1") {
		t.Errorf("error %v", err)
	}
}

func TestWrongNamesAndTypes(t *testing.T) {
	f := file(t)
	if ids, err := f.I64("ids"); err != nil || len(ids) != 1 || ids[0] != -1 {
		t.Errorf("ids %v, %v", ids, err)
	}
	if _, err := f.F32("ids"); err == nil || err.Error() != `golden tensor "ids" is I64, not F32` {
		t.Errorf("error %v", err)
	}
	trace := NewTrace(f, 1)
	trace.Show("layer.9", nil)
	if err := trace.Err(); err == nil || !strings.Contains(err.Error(), `no "layer.9", only embeddings, ids, layer.0, layer.1`) {
		t.Errorf("error %v", err)
	}
}

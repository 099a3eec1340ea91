package hfquant

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/weights"
)

// FuzzOpen reads any file beside any config: it is refused, or the first and the last row of whatever becomes codes can be read.
func FuzzOpen(f *testing.F) {
	for name, config := range configs(f) {
		file, err := os.ReadFile(filepath.Join("testdata", name+".safetensors"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(config), file)
	}
	path := filepath.Join(f.TempDir(), "model.safetensors")
	f.Fuzz(func(t *testing.T, config, file []byte) {
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := weights.OpenFile(path)
		if err != nil {
			return
		}
		defer c.Close()
		src, err := Open(config, c)
		if err != nil {
			return
		}
		for _, name := range src.Names() {
			v, _ := src.Get(name, nil)
			if v.Coded == nil || elements(v.Shape) < 1 {
				continue
			}
			cols := v.Shape[len(v.Shape)-1]
			if cols > 1<<16 {
				continue
			}
			for _, row := range []int{0, elements(v.Shape)/cols - 1} {
				v.Coded.Widen(make([]float32, cols), row)
				v.Coded.File(row, row+1)
				if w, whole := v.Coded.(weights.Whole); whole {
					w.Codes(make([]int8, cols), make([]float32, (cols+blockCols-1)/blockCols), row)
				}
			}
		}
	})
}

package nntest

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// write.go writes checkpoints: real files of invented weights, for what depends on files, like the time to load.

// Write writes a checkpoint of a config, of its first layers if layers > 0, with invented weights in bf16: config.json and
// model.safetensors, one tensor at a time. It returns the bytes of the tensors.
func (s Suite) Write(dir string, config []byte, layers int) (int64, error) {
	var asked []weights.Entry
	var at int64
	var zeros []byte
	src := Source{nil, func(name string, shape []int) (weights.View, bool) {
		n := 2 * elements(shape)
		asked = append(asked, weights.Entry{Name: name, Format: "BF16", Shape: shape, From: at, To: at + int64(n)})
		at += int64(n)
		if len(zeros) < n {
			zeros = make([]byte, n) // never written to, so the machine gives no memory for it
		}
		return weights.View{Format: "BF16", DType: cuda.BF16, Known: true, Shape: shape, Data: zeros[:n]}, true
	}}
	if _, _, err := s.Bind(config, layers, src); err != nil {
		return 0, err
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), config, 0o600); err != nil {
		return 0, err
	}
	invented := weights.Dummy(1, cuda.BF16)
	return at, WriteTensors(filepath.Join(dir, "model.safetensors"), asked, func(e weights.Entry) []byte {
		v, _ := invented.Get(e.Name, e.Shape)
		return v.Data
	})
}

// WriteTensors writes a safetensors file of entries that follow each other from 0 on. data is asked for each, in their order, and
// needs to stay as it is until it is asked for the next.
func WriteTensors(path string, entries []weights.Entry, data func(weights.Entry) []byte) (err error) {
	type tensor struct {
		Format  string   `json:"dtype"`
		Shape   []int    `json:"shape"`
		Offsets [2]int64 `json:"data_offsets"`
	}
	header := map[string]tensor{}
	for _, e := range entries {
		header[e.Name] = tensor{e.Format, e.Shape, [2]int64{e.From, e.To}}
	}
	text, err := json.Marshal(header)
	if err != nil {
		return err
	}
	text = append(text, strings.Repeat(" ", -len(text)&7)...)
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	w.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(text)))) // Flush tells of errors
	w.Write(text)
	for _, e := range entries {
		raw := data(e)
		if int64(len(raw)) != e.To-e.From {
			return fmt.Errorf("%s: %s has %d bytes for %d to %d", path, e.Name, len(raw), e.From, e.To)
		}
		w.Write(raw)
	}
	return w.Flush()
}

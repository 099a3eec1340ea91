package nn

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/hfquant"
	"github.com/inference-pio/inference-pio/cuda/weights"
	"github.com/inference-pio/inference-pio/cuda/weights/blocks"
)

// formOfFile is one matrix as a file has it, with random codes.
type formOfFile struct {
	config  string // of a folder; "" is a type of GGUF
	number  uint32
	tensors map[string][]int // shapes by "name FORMAT"
}

// formsOfFiles are the forms in which weights come, each as a matrix of rows by cols. FP8 in blocks is not among them: it is computed from the mapped file.
func formsOfFiles(rows, cols int) map[string]formOfFile {
	all := map[string]formOfFile{}
	for name, number := range map[string]uint32{"Q8_0": 8, "Q4_0": 2, "Q4_1": 3, "Q5_0": 6, "Q5_1": 7, "Q2_K": 10, "Q3_K": 11, "Q4_K": 12, "Q5_K": 13, "Q6_K": 14, "IQ4_NL": 20, "IQ4_XS": 23,
		"MXFP4 of GGUF": 39, "NVFP4 of GGUF": 40} {
		all[name] = formOfFile{number: number}
	}
	const ct = `{"quant_method": "compressed-tensors", "config_groups": {"a": {"weights": {"num_bits": 4}}}}`
	all["GPTQ"] = formOfFile{config: `{"quant_method": "gptq", "bits": 4, "checkpoint_format": "gptq_v2"}`, tensors: map[string][]int{"m.qweight I32": {cols / 8, rows},
		"m.qzeros I32": {cols / 128, rows / 8}, "m.scales BF16": {cols / 128, rows}}}
	all["AWQ"] = formOfFile{config: `{"quant_method": "awq"}`, tensors: map[string][]int{"m.qweight I32": {cols, rows / 8}, "m.qzeros I32": {cols / 128, rows / 8}, "m.scales BF16": {cols / 128, rows}}}
	all["MLX, 4 bits"] = formOfFile{config: `{"group_size": 64, "bits": 4}`, tensors: map[string][]int{"m.weight U32": {rows, cols / 8}, "m.scales BF16": {rows, cols / 64}, "m.biases BF16": {rows, cols / 64}}}
	all["compressed-tensors, int4"] = formOfFile{config: ct, tensors: map[string][]int{"m.weight_packed I32": {rows, cols / 8}, "m.weight_scale BF16": {rows, cols / 128}, "m.weight_shape I64": {2}}}
	all["FP8 by row"] = formOfFile{config: ct, tensors: map[string][]int{"m.weight F8_E4M3": {rows, cols}, "m.weight_scale BF16": {rows, 1}}}
	all["MXFP4"] = formOfFile{config: ct, tensors: map[string][]int{"m.weight_packed U8": {rows, cols / 2}, "m.weight_scale U8": {rows, cols / 32}}}
	all["NVFP4"] = formOfFile{config: ct, tensors: map[string][]int{"m.weight_packed U8": {rows, cols / 2}, "m.weight_scale F8_E4M3": {rows, cols / 16}, "m.weight_global_scale F32": {1}}}
	return all
}

// source is the matrix, whatever name it is asked for by, and the bytes that it takes of a file.
func (f formOfFile) source(b *testing.B, rows, cols int) (weights.View, int) {
	r := rand.New(rand.NewPCG(1, 2))
	random := func(n int) []byte {
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(r.UintN(256))
		}
		return data
	}
	if f.config == "" {
		kind := blocks.Of(f.number)
		data := random(rows * cols / kind.Values * kind.Bytes)
		halves := map[uint32][]int{10: {80, 82}, 11: {108}, 14: {208}}[f.number]
		if halves == nil && f.number < 30 {
			halves = map[bool][]int{false: {0}, true: {0, 2}}[slices.Contains([]uint32{3, 7, 12, 13}, f.number)]
		}
		for i := 0; i < len(data); i += kind.Bytes { // factors that are numbers
			for _, at := range halves {
				binary.LittleEndian.PutUint16(data[i+at:], 0x1c00+uint16(r.UintN(1024)))
			}
		}
		return weights.View{Format: kind.Name, DType: cuda.BF16, Known: true, Shape: []int{rows, cols}, Coded: inBlocks{kind, data, cols}}, len(data)
	}
	views, size := map[string]weights.View{}, 0
	for _, tensor := range slices.Sorted(maps.Keys(f.tensors)) {
		var name, format string
		fmt.Sscan(tensor, &name, &format)
		shape, n := f.tensors[tensor], map[string]int{"I32": 4, "U32": 4, "F32": 4, "BF16": 2, "I64": 8}[format]
		v := weights.View{Format: format, Shape: shape}
		for _, d := range shape {
			n = max(1, n) * d
		}
		v.Data = random(n)
		switch format {
		case "BF16", "F32":
			v.DType, v.Known = map[string]cuda.DType{"BF16": cuda.BF16, "F32": cuda.F32}[format], true
			for i := 0; i < n; i += v.DType.Size() {
				bits := math.Float32bits(float32(1+r.UintN(100)) / 8192)
				if format == "BF16" {
					binary.LittleEndian.PutUint16(v.Data[i:], uint16(bits>>16))
				} else {
					binary.LittleEndian.PutUint32(v.Data[i:], bits)
				}
			}
		case "F8_E4M3":
			v.DType, v.Known = cuda.F8E4M3, true
			for i := range v.Data {
				v.Data[i] &= 0x7B // numbers, all of them
			}
		case "I64":
			binary.LittleEndian.PutUint64(v.Data, uint64(rows))
			binary.LittleEndian.PutUint64(v.Data[8:], uint64(cols))
		}
		if name == "m.qzeros" && f.tensors["m.qweight I32"][0] < cols { // of GPTQ, symmetric
			for i := range v.Data {
				v.Data[i] = 0x88
			}
		}
		views[name], size = v, size+n
	}
	src, err := hfquant.Open([]byte(fmt.Sprintf(`{"quantization_config": %s}`, f.config)), viewsOf(views))
	if err != nil {
		b.Fatal(err)
	}
	v, _ := src.Get("m.weight", nil)
	return v, size
}

type viewsOf map[string]weights.View

func (v viewsOf) Names() []string { return slices.Sorted(maps.Keys(v)) }
func (v viewsOf) Get(name string, _ []int) (weights.View, bool) {
	view, ok := v[name]
	return view, ok
}

// theOnly has one matrix by any name.
type theOnly struct{ v weights.View }

func (theOnly) Names() []string                          { return []string{} }
func (o theOnly) Get(string, []int) (weights.View, bool) { return o.v, true }

// processor is the time that all threads have computed.
func processor() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkForms loads a matrix of 4096 x 4096 in each form that files have, by all cores, into the form that a server packs it to, from memory. MB/s are
// of the file; what a load takes is told by the ns of a weight, and by those of all
// cores together, which depend less on what else a machine does.
//
//	go test ./cuda/nn -run '^$' -bench Forms
func BenchmarkForms(b *testing.B) {
	const rows, cols = 4096, 4096
	c := cpu.New(runtime.GOMAXPROCS(0))
	defer c.Close()
	all := formsOfFiles(rows, cols)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		v, size := all[name].source(b, rows, cols)
		b.Run(name+" to "+Repack(v), func(b *testing.B) {
			b.SetBytes(int64(size))
			before := processor()
			for range b.N {
				m := &struct {
					Embed Embedding `weight:"embed_tokens"` // which q4 takes as such
				}{NewEmbedding(rows, cols)}
				bound, err := Bind(m, theOnly{v}, BindOptions{Coded: Repack})
				if err != nil {
					b.Fatal(err)
				}
				made, err := bound.Quantise(Quantiser{Device: c})
				if err != nil {
					b.Fatal(err)
				}
				for _, mem := range made {
					c.Free(mem)
				}
			}
			weights := float64(b.N) * rows * cols
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/weights, "ns/weight")
			b.ReportMetric(float64((processor()-before).Nanoseconds())/weights, "cpu-ns/weight")
		})
	}
}

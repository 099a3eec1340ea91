package hfquant

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/weights"
	"github.com/inference-pio/inference-pio/cuda/weights/blocks"
)

// plain is a module as each form is defined: one number at a time, from the tensors' bytes.
type plain struct {
	config    string
	rows      int
	cols      int
	tensors   map[string]weights.View
	number    func(p *plain, row, col int) float32
	randomise map[string]func(r *rand.Rand, data []byte) // how a tensor is made where not any bytes do
}

func (p *plain) word(tensor string, at int) uint32 {
	return binary.LittleEndian.Uint32(p.tensors[tensor].Data[4*at:])
}

func (p *plain) bf16(tensor string, at int) float32 {
	return math.Float32frombits(uint32(binary.LittleEndian.Uint16(p.tensors[tensor].Data[2*at:])) << 16)
}

func (p *plain) byte(tensor string, at int) byte { return p.tensors[tensor].Data[at] }

func tensor(format string, shape ...int) weights.View {
	size := map[string]int{"I32": 4, "U32": 4, "F32": 4, "BF16": 2, "U8": 1, "I8": 1, "F8_E4M3": 1, "I64": 8}[format]
	types := map[string]cuda.DType{"F32": cuda.F32, "BF16": cuda.BF16, "F8_E4M3": cuda.F8E4M3, "I32": cuda.I32}
	d, known := types[format]
	return weights.View{Format: format, DType: d, Known: known, Shape: shape, Data: make([]byte, size*elements(shape))}
}

func sizes(rows, cols int) weights.View {
	v := tensor("I64", 2)
	binary.LittleEndian.PutUint64(v.Data, uint64(rows))
	binary.LittleEndian.PutUint64(v.Data[8:], uint64(cols))
	return v
}

func gptqOf(bits, rows, cols, groups int, format string, index bool) plain {
	p := plain{config: fmt.Sprintf(`{"quant_method": "gptq", "bits": %d, "checkpoint_format": %q}`, bits, format), rows: rows, cols: cols, tensors: map[string]weights.View{
		"m.qweight": tensor("I32", cols*bits/32, rows), "m.qzeros": tensor("I32", groups, rows*bits/32), "m.scales": tensor("BF16", groups, rows)}}
	if index {
		p.tensors["m.g_idx"] = tensor("I32", cols)
		p.randomise = map[string]func(*rand.Rand, []byte){"m.g_idx": func(r *rand.Rand, data []byte) {
			for i := range cols {
				binary.LittleEndian.PutUint32(data[4*i:], uint32(r.IntN(groups)))
			}
		}}
	}
	p.number = func(p *plain, row, col int) float32 {
		each, g := 32/bits, col/(cols/groups)
		if index {
			g = int(p.word("m.g_idx", col))
		}
		zeros := p.word("m.qzeros", g*(rows/each)+row/each)
		if format == "gptq" {
			zeros += map[int]uint32{2: 0x55555555, 4: 0x11111111, 8: 0x01010101}[bits]
		}
		mask := uint32(1)<<bits - 1
		code, zero := p.word("m.qweight", col/each*rows+row)>>(col%each*bits)&mask, zeros>>(row%each*bits)&mask
		return float32(int(code)-int(zero)) * p.bf16("m.scales", g*rows+row)
	}
	return p
}

func awqOf(rows, cols, groups int) plain {
	return plain{config: `{"quant_method": "awq"}`, rows: rows, cols: cols, tensors: map[string]weights.View{
		"m.qweight": tensor("I32", cols, rows/8), "m.qzeros": tensor("I32", groups, rows/8), "m.scales": tensor("BF16", groups, rows)},
		number: func(p *plain, row, col int) float32 {
			g, shift := col/(cols/groups), 4*[]int{0, 4, 1, 5, 2, 6, 3, 7}[row%8]
			code, zero := p.word("m.qweight", col*(rows/8)+row/8)>>shift&15, p.word("m.qzeros", g*(rows/8)+row/8)>>shift&15
			return float32(int(code)-int(zero)) * p.bf16("m.scales", g*rows+row)
		}}
}

func compressedOf(bits, rows, cols, groups int) plain {
	return plain{config: fmt.Sprintf(`{"quant_method": "compressed-tensors", "config_groups": {"a": {"weights": {"num_bits": %d}}}}`, bits), rows: rows, cols: cols,
		tensors:   map[string]weights.View{"m.weight_packed": tensor("I32", rows, cols*bits/32), "m.weight_scale": tensor("BF16", rows, groups), "m.weight_shape": sizes(rows, cols)},
		randomise: map[string]func(*rand.Rand, []byte){"m.weight_shape": func(*rand.Rand, []byte) {}},
		number: func(p *plain, row, col int) float32 {
			at := col * bits
			two := uint64(p.word("m.weight_packed", row*(cols*bits/32)+at/32))
			if at%32+bits > 32 {
				two |= uint64(p.word("m.weight_packed", row*(cols*bits/32)+at/32+1)) << 32
			}
			code := int(two >> (at % 32) & (1<<bits - 1))
			return float32(code-1<<(bits-1)) * p.bf16("m.weight_scale", row*groups+col/(cols/groups))
		}}
}

func mlxOf(bits, rows, cols, size int) plain {
	groups := cols / size
	return plain{config: fmt.Sprintf(`{"group_size": %d, "bits": %d}`, size, bits), rows: rows, cols: cols, tensors: map[string]weights.View{
		"m.weight": tensor("U32", rows, cols*bits/32), "m.scales": tensor("BF16", rows, groups), "m.biases": tensor("BF16", rows, groups)},
		number: func(p *plain, row, col int) float32 {
			code, at := 0, 8*row*(cols*bits/8)+col*bits
			for i := range bits {
				code |= int(p.byte("m.weight", (at+i)/8)>>((at+i)%8)&1) << i
			}
			return float32(float32(code)*p.bf16("m.scales", row*groups+col/size)) + p.bf16("m.biases", row*groups+col/size)
		}}
}

func smallFloats(config string, rows, cols int, tensors map[string]weights.View, factor func(p *plain, row, col int) float32) plain {
	return plain{config: config, rows: rows, cols: cols, tensors: tensors, number: func(p *plain, row, col int) float32 {
		code := blocks.E4M3
		at, name := row*cols+col, "m.weight"
		if _, packed := tensors["m.weight_packed"]; packed {
			return blocks.E2M1(p.byte("m.weight_packed", at/2)>>(at%2*4)) * factor(p, row, col)
		}
		if tensors[name].Format == "I8" {
			return float32(int8(p.byte(name, at))) * factor(p, row, col)
		}
		return code(p.byte(name, at)) * factor(p, row, col)
	}}
}

const compressedTensors = `{"quant_method": "compressed-tensors", "config_groups": {"a": {"weights": {"num_bits": 4}}}}`

// plains are all forms, in shapes of whole groups.
func plains(rows, cols int) map[string]plain {
	each := func(p *plain, row, col int) float32 { return p.bf16("m.weight_scale", row) }
	return map[string]plain{
		"GPTQ":             gptqOf(4, rows, cols, cols/128, "gptq", false),
		"GPTQ, v2":         gptqOf(4, rows, cols, cols/32, "gptq_v2", false),
		"GPTQ, any order":  gptqOf(4, rows, cols, cols/64, "gptq", true),
		"GPTQ, 8 bits":     gptqOf(8, rows, cols, 1, "gptq", false),
		"GPTQ, 2 bits":     gptqOf(2, rows, cols, cols/16, "gptq", false),
		"AWQ":              awqOf(rows, cols, cols/128),
		"AWQ, small":       awqOf(rows, cols, cols/32),
		"compressed, int4": compressedOf(4, rows, cols, cols/128),
		"compressed, int8": compressedOf(8, rows, cols, 1),
		"compressed, int5": compressedOf(5, rows, cols, cols/32),
		"MLX, 4 bits":      mlxOf(4, rows, cols, 64),
		"MLX, 8 bits":      mlxOf(8, rows, cols, 32),
		"MLX, 3 bits":      mlxOf(3, rows, cols, 128),
		"FP8 by row":       smallFloats(compressedTensors, rows, cols, map[string]weights.View{"m.weight": tensor("F8_E4M3", rows, cols), "m.weight_scale": tensor("BF16", rows, 1)}, each),
		"int8 by row":      smallFloats(compressedTensors, rows, cols, map[string]weights.View{"m.weight": tensor("I8", rows, cols), "m.weight_scale": tensor("BF16", rows, 1)}, each),
		"MXFP4": smallFloats(compressedTensors, rows, cols, map[string]weights.View{"m.weight_packed": tensor("U8", rows, cols/2), "m.weight_scale": tensor("U8", rows, cols/32)},
			func(p *plain, row, col int) float32 {
				return blocks.E8M0(p.byte("m.weight_scale", row*(cols/32)+col/32))
			}),
		"NVFP4": smallFloats(compressedTensors, rows, cols, map[string]weights.View{"m.weight_packed": tensor("U8", rows, cols/2), "m.weight_scale": tensor("F8_E4M3", rows, cols/16),
			"m.weight_global_scale": tensor("F32", 1)}, func(p *plain, row, col int) float32 {
			return blocks.E4M3(p.byte("m.weight_scale", row*(cols/16)+col/16)) / math.Float32frombits(p.word("m.weight_global_scale", 0))
		}),
	}
}

// open fills the tensors and reads them.
func (p *plain) open(t testing.TB, r *rand.Rand) weights.View {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(p.tensors)) {
		v := p.tensors[name]
		switch special := p.randomise[name]; {
		case special != nil:
			special(r, v.Data)
		case v.Format == "BF16" || v.Format == "F32":
			for i := 0; i < len(v.Data); i += v.DType.Size() {
				bits := math.Float32bits(float32(r.NormFloat64()) / 100)
				if v.Format == "BF16" {
					binary.LittleEndian.PutUint16(v.Data[i:], uint16(bits>>16))
				} else {
					binary.LittleEndian.PutUint32(v.Data[i:], bits)
				}
			}
		default:
			for i := range v.Data {
				v.Data[i] = byte(r.UintN(256))
			}
		}
	}
	if !json.Valid([]byte(p.config)) {
		t.Fatal(p.config)
	}
	src, err := Open([]byte(fmt.Sprintf(`{"quantization_config": %s}`, p.config)), named{p.tensors})
	if err != nil {
		t.Fatal(err)
	}
	v, ok := src.Get("m.weight", nil)
	if !ok || v.Coded == nil {
		t.Fatalf("%q has no codes", src.Names())
	}
	return v
}

// Random tensors of each form become, to the bit, the numbers that its definition has; so do codes of whole numbers times their factors, wherever a
// row is begun with.
func TestEveryFormIsItsDefinition(t *testing.T) {
	for _, shape := range [][2]int{{48, 256}, {144, 1280}} {
		for name, p := range plains(shape[0], shape[1]) {
			v := p.open(t, rand.New(rand.NewPCG(1, uint64(shape[0]))))
			for _, from := range []int{0, 7} {
				got := make([]float32, (p.rows-from)*p.cols)
				v.Coded.Widen(got, from)
				for i, x := range got {
					row, col := from+i/p.cols, i%p.cols
					if want := p.number(&p, row, col); math.Float32bits(x+0) != math.Float32bits(want+0) && (x == x || want == want) {
						t.Fatalf("%s: row %d, column %d is %v, not %v", name, row, col, x, want)
					}
				}
			}
			if w, whole := v.Coded.(weights.Whole); whole {
				if least, _ := w.Range(); least >= -128 {
					sameNumbers(t, name, w, p.rows, p.cols)
				}
			}
		}
	}
}

// BenchmarkCodes widens 64 rows at a time of a matrix of 2048 x 4096 on one core, and takes them as whole numbers where they are, in numbers a second:
//
//	go test ./cuda/hfquant -run '^$' -bench Codes
func BenchmarkCodes(b *testing.B) {
	const rows, cols, n = 2048, 4096, 64
	all := plains(rows, cols)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		p := all[name]
		v := p.open(b, rand.New(rand.NewPCG(1, 1)))
		tell := func(b *testing.B) {
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(n*cols), "ns/weight")
		}
		b.Run(name+"/widened", func(b *testing.B) {
			to := make([]float32, n*cols)
			for i := range b.N {
				v.Coded.Widen(to, i%(rows/n)*n)
			}
			tell(b)
		})
		if w, whole := v.Coded.(weights.Whole); whole {
			b.Run(name+"/whole", func(b *testing.B) {
				to, factors := make([]int8, n*cols), make([]float32, n*cols/128)
				for i := range b.N {
					w.Codes(to, factors, i%(rows/n)*n)
				}
				tell(b)
			})
		}
	}
}

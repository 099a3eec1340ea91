package gguf

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func header(t testing.TB, data []byte) *Header {
	t.Helper()
	h, err := Read(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// What PyPI's gguf wrote is read as it was written: each type of value, each kind of tensor.
func TestReadsWhatTheReferenceWrites(t *testing.T) {
	data := read(t, "kinds.gguf")
	h := header(t, data)
	for key, want := range map[string]string{
		"general.architecture": `"kinds"`, "general.alignment": "64", "kinds.u8": "200", "kinds.i8": "-100", "kinds.u16": "60000", "kinds.i16": "-30000",
		"kinds.u32": "4000000000", "kinds.i32": "-2000000000", "kinds.u64": "4611686018427387904", "kinds.i64": "-4611686018427387904",
		"kinds.f32": "0.5", "kinds.f64": "1e+300", "kinds.yes": "true", "kinds.no": "false", "kinds.text": `"naïve ☃"`, "kinds.words": "a list of 4",
	} {
		if got := h.Keys[key].String(); got != want {
			t.Errorf("%s is %s, not %s", key, got, want)
		}
	}
	var words []string
	if !h.Keys["kinds.words"].Texts(func(i int, text []byte) bool { words = append(words, fmt.Sprint(i, string(text))); return true }) ||
		!slices.Equal(words, []string{"0", "1one", "2zwei", "3☃"}) && !slices.Equal(words, []string{"0 ", "1 one", "2 zwei", "3 ☃"}) {
		t.Errorf("words are %q", words)
	}
	if n, ok := h.Keys["kinds.numbers"].Ints(); !ok || !slices.Equal(n, []int64{1, -2, 3}) {
		t.Errorf("numbers are %v", n)
	}
	if n, ok := h.Keys["kinds.flags"].Ints(); !ok || !slices.Equal(n, []int64{1, 0, 1}) {
		t.Errorf("flags are %v", n)
	}
	if n, ok := h.Keys["kinds.reals"].Floats(); !ok || !slices.Equal(n, []float64{0.5, -1.25}) {
		t.Errorf("reals are %v", n)
	}
	if n, ok := h.Keys["kinds.u8"].Ints(); !ok || !slices.Equal(n, []int64{200}) {
		t.Errorf("one number as a list is %v", n)
	}
	var tensors []string
	for _, x := range h.Tensors {
		n, _ := x.Bytes()
		tensors = append(tensors, fmt.Sprint(x.Name, x.Shape, TypeName(x.Type), n))
		if x.Name == "cube" && math.Float32frombits(binary.LittleEndian.Uint32(data[x.Offset+4*23:])) != 23 {
			t.Error("the last element of cube is not where it should be")
		}
	}
	if got, want := strings.Join(tensors, "; "), "vector[5]F3220; matrix[2 3]F1612; cube[2 3 4]F3296; blocks[1 64]Q8_068"; got != want {
		t.Errorf("tensors are %s, not %s", got, want)
	}
}

func TestPartsAreFoundByTheirNames(t *testing.T) {
	const first = "testdata/parts-00001-of-00003.gguf"
	h := header(t, read(t, "parts-00001-of-00003.gguf"))
	parts, err := h.Parts(first)
	if err != nil || len(parts) != 3 || parts[0] != first {
		t.Fatal(parts, err)
	}
	tensors := 0
	for i, p := range parts {
		h := header(t, read(t, filepath.Base(p)))
		tensors += len(h.Tensors)
		if err := h.CheckPart(i, 3); err != nil {
			t.Error(err)
		}
		if h.CheckPart(i+1, 3) == nil || h.CheckPart(i, 4) == nil {
			t.Error("another part is accepted in place of", i)
		}
	}
	if total, _ := h.Keys["split.tensors.count"].Int(); int64(tensors) != total {
		t.Errorf("%d tensors in all parts, not %d", tensors, total)
	}
	if _, err := h.Parts("testdata/renamed.gguf"); err == nil {
		t.Error("the parts of a file of another name are found")
	}
	if got := FirstPart("a/parts-00003-of-00003.gguf"); got != "a/parts-00001-of-00003.gguf" {
		t.Error(got)
	}
	if got := FirstPart("a/model.gguf"); got != "a/model.gguf" {
		t.Error(got)
	}
	whole := header(t, read(t, "kinds.gguf"))
	if parts, err := whole.Parts("x.gguf"); err != nil || !slices.Equal(parts, []string{"x.gguf"}) {
		t.Error(parts, err)
	}
}

// le is numbers and strings as files have them.
func le(parts ...any) (out []byte) {
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			out = append(binary.LittleEndian.AppendUint64(out, uint64(len(p))), p...)
		default:
			out, _ = binary.Append(out, binary.LittleEndian, p)
		}
	}
	return out
}

func file(version uint32, tensors, keys uint64, rest ...any) []byte {
	return append([]byte("GGUF"), le(append([]any{version, tensors, keys}, rest...)...)...)
}

// pad fills up to a multiple of the alignment and adds so much data.
func pad(head []byte, data int) []byte {
	return append(head, make([]byte, (32-len(head)%32)%32+data)...)
}

func TestLiesAreRefusedInWords(t *testing.T) {
	f32 := func(name string, offset uint64, dims ...uint64) []byte {
		return le(name, uint32(len(dims)), dims, uint32(0), offset)
	}
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "behind the end of the file"},
		{"another file", []byte("GGML, which is older"), "does not begin with GGUF"},
		{"version 1", file(1, 0, 0), "version 1"},
		{"big-endian", file(3<<24, 0, 0), "big-endian"},
		{"many tensors", file(3, 1<<40, 0), "it says that it has"},
		{"many keys", file(3, 0, 1<<40), "it says that it has"},
		{"cut", read(t, "kinds.gguf")[:200], "behind the end of the file"},
		{"long name", file(3, 0, 1, uint64(1)<<63), "a name of"},
		{"long text", file(3, 0, 1, "k", uint32(String), uint64(1)<<62), "behind the end of the file"},
		{"long list", file(3, 0, 1, "k", uint32(Array), uint32(U64), uint64(1)<<61), "more elements than"},
		{"deep list", file(3, 0, 1, "k", bytes.Repeat(le(uint32(Array), uint64(1)), 9)[:4+12*8]), ""},
		{"unknown type", file(3, 0, 1, "k", uint32(13)), "type 13"},
		{"unknown element", file(3, 0, 1, "k", uint32(Array), uint32(13), uint64(0)), "list of type 13"},
		{"twice a key", file(3, 0, 2, "k", uint32(U8), uint8(1), "k", uint32(U8), uint8(1)), "twice"},
		{"alignment", file(3, 0, 1, "general.alignment", uint32(U32), uint32(48)), "power of two"},
		{"dimensions", file(3, 1, 0, "t", uint32(5)), "5 dimensions"},
		{"overflow", append(file(3, 1, 0), f32("t", 0, 1<<30, 1<<30, 1<<30, 1<<30)...), "more than any file holds"},
		{"beyond", pad(append(file(3, 1, 0), f32("t", 1<<40, 1)...), 4), "but the file has"},
		{"longer", pad(append(file(3, 1, 0), f32("t", 0, 9)...), 32), "takes 36 bytes"},
		{"unaligned", pad(append(file(3, 1, 0), f32("t", 4, 1)...), 32), "not at a multiple of 32"},
		{"overlap", pad(append(append(file(3, 2, 0), f32("a", 0, 16)...), f32("b", 32, 1)...), 64), "inside tensor \"a\""},
		{"twice a tensor", pad(append(append(file(3, 2, 0), f32("a", 0, 1)...), f32("a", 32, 1)...), 64), "twice"},
		{"part of a block", pad(append(file(3, 1, 0), le("t", uint32(1), uint64(31), uint32(8), uint64(0))...), 64), "no whole number of blocks"},
	} {
		_, err := Read(bytes.NewReader(c.data), int64(len(c.data)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, not %q", c.name, err, c.want)
		}
	}
}

// A number that no int64 has is told as it is.
func TestTheLargestNumber(t *testing.T) {
	v := header(t, file(3, 0, 1, "k", uint32(U64), uint64(math.MaxUint64))).Keys["k"]
	f, ok := v.Float()
	if _, whole := v.Int(); whole || !ok || f != math.MaxUint64 || v.String() != "1.8446744073709552e+19" {
		t.Error(v, f, ok, whole)
	}
}

// A type that is newer than this reader is the matter of who asks for the tensor.
func TestUnknownElementTypesAreNoError(t *testing.T) {
	data := pad(append(file(2, 1, 0), le("t", uint32(1), uint64(31), uint32(999), uint64(0))...), 64)
	h := header(t, data)
	if _, known := h.Tensors[0].Bytes(); known || h.Version != 2 || TypeName(999) != "type 999" {
		t.Errorf("%+v", h)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(read(f, "kinds.gguf"))
	f.Add(read(f, "parts-00002-of-00003.gguf"))
	f.Add(file(3, 1, 1, "general.alignment", uint32(U8), uint8(8), "t", uint32(1), uint64(8), uint32(0), uint64(0)))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := Read(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		for _, x := range h.Tensors {
			if n, known := x.Bytes(); known && (x.Offset < h.Data && n > 0 || n < 0 || x.Offset+n > int64(len(data))) {
				t.Errorf("accepted: %+v in %d bytes", x, len(data))
			}
		}
		for key, v := range h.Keys { // whatever is asked for, nothing panics
			v.Ints()
			v.Floats()
			v.Texts(func(int, []byte) bool { return true })
			if v.String() == "" && key == "" {
				continue
			}
		}
		h.Parts("x-00001-of-00003.gguf")
	})
}

package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// verdicts are files of every shape a header can lie in, with what the reference implementation says of each.
func verdicts(t testing.TB) (cases []struct {
	Case     string
	File     []byte
	Accepted bool
}) {
	text, err := os.ReadFile("testdata/verdicts.json")
	if err != nil {
		t.Fatal(err)
	}
	file := struct{ Cases any }{&cases}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	return cases
}

// build makes a safetensors file from a header given as text.
func build(header string, data string) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

func TestHeadersAreJudgedAsTheReferenceJudgesThem(t *testing.T) {
	// What is accepted here and refused there: an unknown type is an error only for who asks for the tensor.
	wider := map[string]bool{"unknown dtype": true}
	for _, c := range verdicts(t) {
		t.Run(c.Case, func(t *testing.T) {
			_, err := Read(bytes.NewReader(c.File), int64(len(c.File)))
			if got, want := err == nil, c.Accepted || wider[c.Case]; got != want {
				t.Errorf("accepted %v, the reference says %v; error: %v", got, want, err)
			}
		})
	}
}

func TestBadHeadersAreToldApart(t *testing.T) {
	one := `"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}`
	tests := []struct {
		name, want string
		file       []byte
	}{
		{"short file", "has 3 bytes, too few for a safetensors header", []byte("abc")},
		{"length lies", "says its header has 99 bytes but the file ends after 10", append([]byte{99, 0, 0, 0, 0, 0, 0, 0}, "{}"...)},
		{"length is huge", "more than the 104857600 allowed", append([]byte{0, 0, 0, 0, 0, 0, 0, 0x80}, "{}"...)},
		{"not json", "the header is broken JSON", build("garbage", "")},
		{"cut json", `tensor "a" is broken JSON`, build(`{"a":{`, "")},
		{"truncated data", `tensor "a": ends at byte 4 of the data but the file holds only 3`, build("{"+one+"}", "abc")},
		{"tail", "has 2 bytes behind its last tensor", build("{"+one+"}", "abcdef")},
		{"name twice", `the header has "a" twice`, build("{"+one+","+one+"}", "abcd")},
		{"key twice", `has "dtype" twice`, build(`{"a":{"dtype":"U8","dtype":"F32","shape":[4],"data_offsets":[0,4]}}`, "abcd")},
		{"hole", `tensor "b": begins at byte 6 of the data where 4 was expected`, build("{"+one+`,"b":{"dtype":"U8","shape":[2],"data_offsets":[6,8]}}`, "abcdefgh")},
		{"wrong size", `tensor "a": shape [3] of F32 does not take the 4 bytes`, build(`{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,4]}}`, "abcd")},
		{"overflow", `tensor "a": shape [4294967296 4294967296 4294967296] of U8 does not take`, build(`{"a":{"dtype":"U8","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,4]}}`, "abcd")},
		{"overflow to nothing", `tensor "a": shape [4294967296 4294967296 4294967296] of U8 does not take the 0 bytes`, build(`{"a":{"dtype":"U8","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,0]}}`, "")},
		{"overflow to what is there", `tensor "a": shape [4611686018427387904 4 3] of F32 does not take the 0 bytes`, build(`{"a":{"dtype":"F32","shape":[4611686018427387904,4,3],"data_offsets":[0,0]}}`, "")},
		{"many dimensions", "has 9 dimensions, more than the 8 allowed", build(`{"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}}`, "a")},
		{"fraction", `tensor "a"`, build(`{"a":{"dtype":"U8","shape":[1.5],"data_offsets":[0,1]}}`, "a")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Read(bytes.NewReader(tt.file), int64(len(tt.file)))
			if err == nil {
				t.Fatal("accepted")
			}
			if got := err.Error(); !strings.Contains(got, tt.want) {
				t.Errorf("error %q\nshould contain %q", got, tt.want)
			}
		})
	}
}

// A product that is too large never passes for what is left of it in 64 bits.
func TestBytesOfAShape(t *testing.T) {
	for _, c := range []struct {
		format string
		shape  []int
		bytes  int64
		ok     bool
	}{
		{"F32", nil, 4, true},
		{"F32", []int{3, 5}, 60, true},
		{"F4", []int{3, 2}, 3, true},
		{"F4", []int{3}, 0, false},
		{"F5", []int{8}, 0, false},
		{"F32", []int{1 << 62, 1 << 62, 0}, 0, true},
		{"U8", []int{1<<60 - 1}, 1<<60 - 1, true},
		{"U8", []int{1 << 60}, 0, false},             // 2^63 bits
		{"U8", []int{1 << 61}, 0, false},             // 2^64 bits: 0 in 64
		{"U8", []int{1 << 61, 3}, 0, false},          // and stays so
		{"U8", []int{1<<61 + 1}, 0, false},           // 8 in 64
		{"F32", []int{1 << 32, 1<<32 + 1}, 0, false}, // 2^69 + 2^37 bits
	} {
		if got, ok := Size(c.format, c.shape); ok && got != c.bytes || ok != c.ok {
			t.Errorf("%v of %s: %d, %v; want %d, %v", c.shape, c.format, got, ok, c.bytes, c.ok)
		}
	}
}

// FuzzHeader feeds whole files. Whatever is accepted must tile the file and can be read at every offset.
func FuzzHeader(f *testing.F) {
	for _, c := range verdicts(f) {
		f.Add(c.File)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		h, err := Read(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			return
		}
		at, names := int64(len(file)), map[string]bool{}
		if len(h.Entries) > 0 {
			at = h.Entries[0].From
		}
		for _, e := range h.Entries {
			if e.From != at || e.To < e.From || e.To > int64(len(file)) || names[e.Name] {
				t.Fatalf("accepted %+v at %d", h.Entries, at)
			}
			if _, known := Bits(e.Format); known {
				if n, ok := Size(e.Format, e.Shape); !ok || n != int64(len(file[e.From:e.To])) {
					t.Fatalf("accepted %+v, which needs %d bytes", e, n)
				}
			}
			at, names[e.Name] = e.To, true
		}
		if at != int64(len(file)) {
			t.Fatalf("accepted a file of %d bytes whose tensors end at %d", len(file), at)
		}
	})
}

// FuzzIndex: whatever is accepted names only files of the checkpoint's own directory.
func FuzzIndex(f *testing.F) {
	for _, shard := range []string{"a.safetensors", "../a", "/a", "a/b", "..", "", `a\\b`, "a\\u0000"} {
		f.Add([]byte(`{"weight_map":{"x":"` + shard + `"}}`))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		index, err := parseIndex(text)
		if err != nil {
			return
		}
		for _, shard := range index {
			if dir := filepath.Dir(filepath.Join("/checkpoint", shard)); dir != "/checkpoint" && shard != "." {
				t.Fatalf("accepted shard %q, which lies in %s", shard, dir)
			}
		}
	})
}

func TestWhatAnIndexSays(t *testing.T) {
	has := map[string]string{"x": "a", "y": "b", "z": "b"}
	if err := Holds(map[string]string{"x": "a", "y": "b"}, has); err != nil {
		t.Error(err)
	}
	for tensor, file := range map[string]string{"x": "b", "none": "a"} {
		if err := Holds(map[string]string{"z": "b", tensor: file}, has); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("tensor %q is in %s, which does not hold it", tensor, file)) {
			t.Errorf("%s in %s: %v", tensor, file, err)
		}
	}
}

package weights

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/cuda"
)

func TestValuesAreWhatTheReferenceWrote(t *testing.T) {
	c, err := OpenFile("testdata/reference/written_by_numpy.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	v, ok := c.Get("b.f32", nil)
	if !ok || !v.Known || v.DType != cuda.F32 || !slices.Equal(v.Shape, []int{2, 3}) {
		t.Fatalf("b.f32 is %+v, %v", v, ok)
	}
	for i, want := range []float32{-2.5, -1.5, -0.5, 0.5, 1.5, 2.5} {
		if got := math.Float32frombits(binary.LittleEndian.Uint32(v.Data[4*i:])); got != want {
			t.Errorf("b.f32[%d] = %v, want %v", i, got, want)
		}
	}
	if v, _ := c.Get("a.i64", nil); v.Known || v.Format != "I64" || int64(binary.LittleEndian.Uint64(v.Data[16:])) != 1<<40 {
		t.Errorf("a.i64 is %+v", v)
	}
	if v, _ := c.Get("scalar", nil); len(v.Shape) != 0 || !slices.Equal(v.Data, []byte{0x80, 0x47}) { // 7.5 in binary16
		t.Errorf("scalar is %+v", v)
	}
	if v, ok := c.Get("empty", nil); !ok || len(v.Data) != 0 {
		t.Errorf("empty is %+v", v)
	}
	if want := []string{"a.i64", "b.f32", "empty", "scalar", "u8"}; !slices.Equal(c.Names(), want) {
		t.Errorf("Names() = %v", c.Names())
	}
	if c.Bytes() != 24+24+2+4 {
		t.Errorf("Bytes() = %d", c.Bytes())
	}
}

// shard makes a file with tensors of four bytes, each filled with the first letter of its name.
func shard(names ...string) []byte {
	var entries, data []string
	for i, n := range names {
		entries = append(entries, fmt.Sprintf(`%q:{"dtype":"U8","shape":[4],"data_offsets":[%d,%d]}`, n, 4*i, 4*i+4))
		data = append(data, strings.Repeat(n[:1], 4))
	}
	return build("{"+strings.Join(entries, ",")+"}", strings.Join(data, ""))
}

// directory lays out a checkpoint.
func directory(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestShardsAreOneTableOfNames(t *testing.T) {
	dir := directory(t, map[string]string{
		indexFile:             `{"metadata":{"total_size":12},"weight_map":{"x":"1.safetensors","y":"2.safetensors","z":"2.safetensors"}}`,
		"1.safetensors":       string(shard("x")),
		"2.safetensors":       string(shard("y", "z")),
		"ignored.safetensors": "not named by the index, so not opened",
	})
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, name := range []string{"x", "y", "z"} {
		if v, ok := c.Get(name, nil); !ok || string(v.Data) != strings.Repeat(name, 4) {
			t.Errorf("%s holds %q, %v", name, v.Data, ok)
		}
	}
	entries, err := ReadHeaders(dir)
	if err != nil || len(entries) != 3 {
		t.Errorf("ReadHeaders gives %d entries, %v", len(entries), err)
	}
}

func TestBadCheckpoints(t *testing.T) {
	index := func(weightMap string) string { return `{"weight_map":{` + weightMap + `}}` }
	tests := []struct {
		name, want string
		files      map[string]string
	}{
		{"empty directory", "holds neither model.safetensors nor model.safetensors.index.json", nil},
		{"broken index", "model.safetensors.index.json: is broken", map[string]string{indexFile: "{"}},
		{"index without a map", "has no weight_map", map[string]string{indexFile: "{}"}},
		{"missing shard", "a.safetensors: there is no such file", map[string]string{indexFile: index(`"x":"a.safetensors"`)}},
		{"shard above the directory", `is in "../a.safetensors", which is no plain file name`, map[string]string{indexFile: index(`"x":"../a.safetensors"`)}},
		{"shard at an absolute path", `is in "/etc/passwd", which is no plain file name`, map[string]string{indexFile: index(`"x":"/etc/passwd"`)}},
		{"shard is the parent", `is in "..", which is no plain file name`, map[string]string{indexFile: index(`"x":".."`)}},
		{"shard is the directory", "is a directory", map[string]string{indexFile: index(`"x":"."`)}},
		{"index and shard disagree", `says that tensor "y" is in a.safetensors, which does not hold it`,
			map[string]string{indexFile: index(`"x":"a.safetensors","y":"a.safetensors"`), "a.safetensors": string(shard("x"))}},
		{"tensor in two shards", `tensor "x" is in`,
			map[string]string{indexFile: index(`"x":"a.safetensors","y":"b.safetensors"`), "a.safetensors": string(shard("x")), "b.safetensors": string(shard("y", "x"))}},
		{"truncated shard", `b.safetensors: tensor "y": ends at byte 4 of the data but the file holds only 2`,
			map[string]string{indexFile: index(`"x":"a.safetensors","y":"b.safetensors"`), "a.safetensors": string(shard("x")), "b.safetensors": string(shard("y")[:len(shard("y"))-2])}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Open(directory(t, tt.files))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v\nshould contain %q", err, tt.want)
			}
		})
	}
	if _, err := Open(write(t, "model.safetensors", shard("x"))); err == nil || !strings.Contains(err.Error(), "is a file; name the directory") {
		t.Errorf("Open of a file: %v", err)
	}
}

func TestOddHeaderLengthStillGivesAlignedData(t *testing.T) {
	for pad := range 8 {
		header := `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}` + strings.Repeat(" ", pad)
		c, err := OpenFile(write(t, "m.safetensors", build(header, "\x00\x00\x80\x3f")))
		if err != nil {
			t.Fatal(err)
		}
		v, _ := c.Get("a", nil)
		if b := aligned(v.Data, 4); &b[0] != &v.Data[0] {
			t.Errorf("padding %d: data is not aligned", pad)
		}
		if math.Float32frombits(binary.LittleEndian.Uint32(v.Data)) != 1 {
			t.Errorf("padding %d: value changed", pad)
		}
		c.Close()
	}
}

func TestChangedFilesAreNoticed(t *testing.T) {
	changes := map[string]func(path string) error{
		"had 72 bytes when it was mapped and has 70 now": func(p string) error { return os.Truncate(p, 70) },
		"was written to since it was mapped":             func(p string) error { return os.Chtimes(p, time.Now(), time.Now().Add(-time.Hour)) },
		"can no longer be examined":                      os.Remove,
	}
	for want, change := range changes {
		path := write(t, "m.safetensors", build(`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}       `, "abcd"))
		c, err := OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Unchanged(); err != nil {
			t.Errorf("untouched: %v", err)
		}
		if err := change(path); err != nil {
			t.Fatal(err)
		}
		if err := c.Unchanged(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Unchanged() = %v; want %q", err, want)
		}
		c.Close()
	}
}

func TestReplacedFileKeepsTheOldValues(t *testing.T) {
	path := write(t, "m.safetensors", shard("x"))
	c, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := os.WriteFile(path+".new", shard("y"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	if v, _ := c.Get("x", nil); string(v.Data) != "xxxx" {
		t.Errorf("mapping shows %q", v.Data)
	}
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

// A page that a shorter file no longer has cannot be read as zeros: the process dies, and the next one refuses the file.
func TestReadingBehindANewEndKillsTheProcess(t *testing.T) {
	if path := os.Getenv("WEIGHTS_TEST_CUT"); path != "" {
		c, err := OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		v, _ := c.Get("a", nil)
		if err := os.Truncate(path, 4096); err != nil {
			t.Fatal(err)
		}
		fmt.Println("read", v.Data[len(v.Data)-1]) // not reached
		return
	}
	const size = 1 << 16
	path := write(t, "m.safetensors", build(fmt.Sprintf(`{"a":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}`, size, size), strings.Repeat("x", size)))
	cmd := exec.Command(os.Args[0], "-test.run", "^TestReadingBehindANewEndKillsTheProcess$")
	cmd.Env = append(os.Environ(), "WEIGHTS_TEST_CUT="+path)
	out, err := cmd.CombinedOutput()
	if err == nil || strings.Contains(string(out), "read ") || !strings.Contains(string(out), "SIGBUS") {
		t.Errorf("the process ended with %v:\n%s", err, out)
	}
	if _, err := OpenFile(path); err == nil || !strings.Contains(err.Error(), `tensor "a": ends at byte 65536 of the data but the file holds only`) {
		t.Errorf("opened again: %v", err)
	}
}

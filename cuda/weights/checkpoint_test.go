package weights

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/internal/safetensors"
	"golang.org/x/sys/unix"
)

func write(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// build makes a safetensors file from a header given as text.
func build(header string, data string) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

func TestPathsThatAreNoFiles(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		dir:                          "is a directory",
		pipe:                         "is a named pipe", // and does not hang
		filepath.Join(dir, "nobody"): "there is no such file",
	} {
		if _, err := OpenFile(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("OpenFile(%s) = %v; want %q", path, err, want)
		}
	}
}

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
		safetensors.IndexFile: `{"metadata":{"total_size":12},"weight_map":{"x":"1.safetensors","y":"2.safetensors","z":"2.safetensors"}}`,
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
		{"broken index", "model.safetensors.index.json: is broken", map[string]string{safetensors.IndexFile: "{"}},
		{"index without a map", "has no weight_map", map[string]string{safetensors.IndexFile: "{}"}},
		{"missing shard", "a.safetensors: there is no such file", map[string]string{safetensors.IndexFile: index(`"x":"a.safetensors"`)}},
		{"shard above the directory", `is in "../a.safetensors", which is no plain file name`, map[string]string{safetensors.IndexFile: index(`"x":"../a.safetensors"`)}},
		{"shard at an absolute path", `is in "/etc/passwd", which is no plain file name`, map[string]string{safetensors.IndexFile: index(`"x":"/etc/passwd"`)}},
		{"shard is the parent", `is in "..", which is no plain file name`, map[string]string{safetensors.IndexFile: index(`"x":".."`)}},
		{"shard is the directory", "is a directory", map[string]string{safetensors.IndexFile: index(`"x":"."`)}},
		{"index and shard disagree", `says that tensor "y" is in a.safetensors, which does not hold it`,
			map[string]string{safetensors.IndexFile: index(`"x":"a.safetensors","y":"a.safetensors"`), "a.safetensors": string(shard("x"))}},
		{"tensor in two shards, the index names the second", `b.safetensors: tensor "x" is in`,
			map[string]string{safetensors.IndexFile: index(`"x":"b.safetensors","y":"a.safetensors"`), "a.safetensors": string(shard("y", "x")), "b.safetensors": string(shard("x"))}},
		{"tensor in two shards", `tensor "x" is in`,
			map[string]string{safetensors.IndexFile: index(`"x":"a.safetensors","y":"b.safetensors"`), "a.safetensors": string(shard("x")), "b.safetensors": string(shard("y", "x"))}},
		{"truncated shard", `b.safetensors: tensor "y": ends at byte 4 of the data but the file holds only 2`,
			map[string]string{safetensors.IndexFile: index(`"x":"a.safetensors","y":"b.safetensors"`), "a.safetensors": string(shard("x")), "b.safetensors": string(shard("y")[:len(shard("y"))-2])}},
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
	copied := 0
	for pad := range 8 {
		header := `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}` + strings.Repeat(" ", pad)
		c, err := OpenFile(write(t, "m.safetensors", build(header, "\x00\x00\x80\x3f")))
		if err != nil {
			t.Fatal(err)
		}
		v, _ := c.Get("a", nil)
		at := uintptr(unsafe.Pointer(&v.Data[0]))
		if at%4 != 0 {
			t.Errorf("padding %d: data begins at %#x", pad, at)
		}
		if from := uintptr(unsafe.Pointer(&c.files[0].data[0])); at < from || at >= from+uintptr(len(c.files[0].data)) {
			copied++
		}
		if math.Float32frombits(binary.LittleEndian.Uint32(v.Data)) != 1 {
			t.Errorf("padding %d: value changed", pad)
		}
		c.Close()
	}
	if copied != 6 { // of eight lengths two are multiples of four
		t.Errorf("%d of 8 were copied", copied)
	}
}

func TestChangedFilesAreNoticed(t *testing.T) {
	changes := map[string]func(path string) error{
		"had 72 bytes when it was mapped and has 76 now": func(p string) error {
			info, err := os.Stat(p)
			if err == nil {
				err = os.Truncate(p, 76)
			}
			return errors.Join(err, os.Chtimes(p, time.Now(), info.ModTime())) // as copying with its times would
		},
		"was written to since":                           func(p string) error { return os.Chtimes(p, time.Now(), time.Now().Add(time.Hour)) },
		"had 72 bytes when it was mapped and has 70 now": func(p string) error { return os.Truncate(p, 70) },
		"was written to since it was mapped":             func(p string) error { return os.Chtimes(p, time.Now(), time.Now().Add(-time.Hour)) },
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
	if v, _ := c.Get("x", nil); string(v.Data) != "xxxx" || c.Unchanged() != nil {
		t.Errorf("mapping shows %q, %v", v.Data, c.Unchanged())
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := c.Unchanged(); err != nil {
		t.Errorf("of a name that is gone: %v", err)
	}
}

// A page that a shorter file no longer has is read as zeros, by any thread, and whoever asks is told.
func TestReadingBehindANewEndIsTold(t *testing.T) {
	const size = 1 << 18
	data := strings.Repeat("x", size)
	path := write(t, "m.safetensors", build(fmt.Sprintf(`{"a":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}`, size, size), data))
	c, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	whole := c.Identity()
	v, _ := c.Get("a", nil)
	if err := os.Truncate(path, 1<<16); err != nil {
		t.Fatal(err)
	}
	if err := c.Cut(); err != nil {
		t.Errorf("before anything is read: %v", err)
	}
	if err := c.Unchanged(); err == nil || !strings.Contains(err.Error(), "bytes when it was mapped and has 65536 now") {
		t.Errorf("before anything is read: %v", err)
	}
	sums := make(chan int)
	for range 4 {
		go func() {
			sum := 0
			for _, b := range v.Data {
				sum += int(b)
			}
			sums <- sum
		}()
	}
	for range 4 {
		if sum := <-sums; sum%'x' != 0 || sum >= size*'x' || sum < (1<<15)*'x' {
			t.Errorf("the sum is %d", sum)
		}
	}
	const want = "m.safetensors: was cut, or its disk failed, while it was mapped"
	for how, err := range map[string]error{"Cut": c.Cut(), "Unchanged": c.Unchanged()} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", how, err)
		}
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := OpenFile(path); err == nil || !strings.Contains(err.Error(), fmt.Sprintf(`tensor "a": ends at byte %d of the data but the file holds only`, size)) {
		t.Errorf("opened again: %v", err)
	}
	if err := os.WriteFile(path, build(fmt.Sprintf(`{"a":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}`, size, size), data), 0o644); err != nil {
		t.Fatal(err)
	}
	again, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if again.Cut() != nil || again.Unchanged() != nil || again.Identity() == whole {
		t.Errorf("the next mapping: %v, %v, identity %s as before", again.Cut(), again.Unchanged(), again.Identity())
	}
}

// The threads of the kernels go on as well, though they take no other signal. In a few rounds each of them comes upon the end.
func TestKernelsGoOnBehindANewEnd(t *testing.T) {
	d := cpu.New(4)
	defer d.Close()
	for range 10 {
		multiplyCut(t, d.NewQueue())
	}
}

func multiplyCut(t *testing.T, q cuda.Queue) {
	t.Helper()
	const n = 1024
	header := fmt.Sprintf(`{"a":{"dtype":"F32","shape":[%d,%d],"data_offsets":[0,%d]}}`, n, n, 4*n*n)
	header += strings.Repeat(" ", 8-len(header)%8) // aligned, or it would be copied
	path := write(t, "m.safetensors", build(header, strings.Repeat("\x00\x00\x80\x3f", n*n)))
	c, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	v, _ := c.Get("a", nil)
	if err := os.Truncate(path, 1<<16); err != nil {
		t.Fatal(err)
	}
	x, y := make([]float32, n), make([]float32, n)
	for i := range x {
		x[i] = 1
	}
	w, err := cuda.HostMatrix(cuda.Plain(cuda.F32), n, n, v.Data)
	if err != nil {
		t.Fatal(err)
	}
	from, err := cuda.FromF32(x, 1, n)
	if err != nil {
		t.Fatal(err)
	}
	to, err := cuda.FromF32(y, 1, n)
	if err != nil {
		t.Fatal(err)
	}
	q.Run(cuda.NewOp(cuda.OpMatMul).Gives(to).Takes(from).By(w))
	if err := q.Sync(); err != nil {
		t.Fatal(err)
	}
	if y[0] != n || y[n-1] != 0 || c.Cut() == nil {
		t.Errorf("the first row gives %v, the last %v; cut: %v", y[0], y[n-1], c.Cut())
	}
}

// Every other bus error is Go's: it ends the process with a trace.
func TestOtherBusErrorsAreGos(t *testing.T) {
	if path := os.Getenv("WEIGHTS_TEST_BUS"); path != "" {
		c, err := OpenFile(path) // installs the guard
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		data, err := unix.Mmap(int(f.Fd()), 0, 1<<20, unix.PROT_READ, unix.MAP_SHARED)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("read", data[len(data)-1]) // behind the end: not reached
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^TestOtherBusErrorsAreGos$")
	cmd.Env = append(os.Environ(), "WEIGHTS_TEST_BUS="+write(t, "m.safetensors", shard("x")))
	out, err := cmd.CombinedOutput()
	if err == nil || strings.Contains(string(out), "read ") || !strings.Contains(string(out), "SIGBUS") {
		t.Errorf("the process ended with %v:\n%s", err, out)
	}
}

// resident is what this process has in memory of a mapped file.
func resident(t *testing.T, path string) (kb int) {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Skip("capability: /proc tells what a mapping has in memory: ", err)
	}
	inside := false
	for line := range strings.Lines(string(maps)) {
		if !strings.Contains(line, "kB") && !strings.HasPrefix(line, "VmFlags") { // the line that begins a mapping
			inside = strings.HasSuffix(strings.TrimSpace(line), path)
		}
		var n int
		if _, err := fmt.Sscanf(line, "Rss: %d kB", &n); err == nil && inside {
			kb += n
		}
	}
	return kb
}

// What was discarded of a file takes no memory any more, and is there when it is read again. What lies elsewhere is left alone.
func TestDiscardGivesPagesBack(t *testing.T) {
	data := make([]byte, 2<<20)
	for i := range data {
		data[i] = byte(i % 251)
	}
	file := build(fmt.Sprintf(`{"w":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}`, len(data), len(data)), string(data))
	path := filepath.Join(t.TempDir(), "model.safetensors")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	v, _ := c.Get("w", nil)
	sum := func() (n int) {
		for _, b := range v.Data {
			n += int(b)
		}
		return n
	}
	before, has := sum(), resident(t, path)
	c.Discard(v.Data)
	if left := resident(t, path); has < 2<<10 || left > 64 {
		t.Errorf("%d kB of 2048 were in memory, %d are left", has, left)
	}
	if sum() != before {
		t.Error("the file reads otherwise")
	}
	c.Discard(data)
	if !bytes.Equal(data, v.Data) {
		t.Error("memory that is not the file's was given back")
	}
}

package weights

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/internal/weightcache"
)

// openPacked is a file of three modules.
func openPacked(t *testing.T, dir string) *Packed {
	t.Helper()
	file, err := weightcache.Folder{Path: dir}.Open(context.Background(), weightcache.Wish{Key: [32]byte{7}, Modules: []int64{100, 9000, 3}}, func(int64) {})
	if err != nil {
		t.Fatal(err)
	}
	p, err := MapPacked(file)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func bytesOf(m cuda.Memory) []byte { return unsafe.Slice((*byte)(m.Pointer()), m.Bytes()) }

// makePacked writes to what is not there, and gives how many modules that were.
func makePacked(t *testing.T, p *Packed) (made int) {
	t.Helper()
	for i := range 3 {
		mem, there := p.Module(i)
		if there {
			continue
		}
		made++
		for j := range bytesOf(mem) {
			bytesOf(mem)[j] = byte(i + j)
		}
		if err := p.Made(i); err != nil {
			t.Fatal(err)
		}
	}
	return made
}

func rightPacked(t *testing.T, p *Packed) {
	t.Helper()
	for i := range 3 {
		mem, there := p.Module(i)
		for j, b := range bytesOf(mem) {
			if b != byte(i+j) || !there {
				t.Fatalf("module %d: byte %d is %d, there %v", i, j, b, there)
			}
		}
	}
}

// What is made in the memory of a file is there for the next one who maps it, who makes nothing, and whom nobody keeps from noticing a writer.
func TestPackedIsMadeOnce(t *testing.T) {
	dir := t.TempDir()
	p := openPacked(t, dir)
	if p.Whole() || makePacked(t, p) != 3 {
		t.Error("it is there before it is made")
	}
	ended := make(chan error, 1)
	if err := p.Finish(func(err error) { ended <- err }); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	again := openPacked(t, dir)
	if !again.Whole() || again.Finish(nil) != nil {
		t.Error("it is made again")
	}
	rightPacked(t, p)
	rightPacked(t, again)
	for _, x := range []*Packed{p, again} {
		if x.Unchanged() != nil || x.Cut() != nil {
			t.Errorf("%v, %v", x.Unchanged(), x.Cut())
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.packed"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	writeAt(t, files[0], "X", 40)
	for _, x := range []*Packed{p, again} {
		if err := x.Unchanged(); err == nil || !strings.Contains(err.Error(), "was written to") {
			t.Errorf("a writer is not noticed: %v", err)
		}
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	}
}

func writeAt(t *testing.T, path, text string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte(text), at); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// Of what was left unfinished what is whole stays.
func TestPackedGoesOn(t *testing.T) {
	dir := t.TempDir()
	p := openPacked(t, dir)
	mem, _ := p.Module(1)
	for j := range bytesOf(mem) {
		bytesOf(mem)[j] = byte(1 + j)
	}
	if err := p.Made(1); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	p = openPacked(t, dir)
	if made := makePacked(t, p); made != 2 {
		t.Errorf("%d modules are made again, not 2", made)
	}
	rightPacked(t, p)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}

// What a disk has lost without anybody's writing is found while the file is in use, and mended by the next one who opens it.
func TestPackedThatADiskHasLost(t *testing.T) {
	dir := t.TempDir()
	p := openPacked(t, dir)
	makePacked(t, p)
	if err := p.Finish(func(err error) {
		if err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	at := p.file.At[1] + 8000
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.packed"))
	info, err := os.Stat(files[0])
	if err != nil {
		t.Fatal(err)
	}
	p = openPacked(t, dir)
	p.Check()
	p.finishing.Wait()
	if err := errors.Join(p.Cut(), p.Close()); err != nil {
		t.Errorf("a whole file is damaged: %v", err)
	}
	writeAt(t, files[0], "lost", at)
	if err := os.Chtimes(files[0], info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	p = openPacked(t, dir)
	if p.Check(); !p.Whole() {
		t.Error("a writer is noticed who has hidden")
	}
	p.finishing.Wait()
	if err := p.Cut(); err == nil || !strings.Contains(err.Error(), "has lost") {
		t.Errorf("it is not found: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	p = openPacked(t, dir)
	if made := makePacked(t, p); made != 1 {
		t.Errorf("%d modules are made again, not 1", made)
	}
	rightPacked(t, p)
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// A page of the file that a disk has no room for, as one that was cut away, is told once the module is made, and the process lives: here it is a
// hole that is cut away under the writer.
func TestPackedWithoutRoomOnTheDisk(t *testing.T) {
	p := openPacked(t, t.TempDir())
	defer p.Close()
	if err := p.m.file.Truncate(int64(p.file.At[1])); err != nil {
		t.Fatal(err)
	}
	mem, _ := p.Module(1)
	copy(bytesOf(mem), bytes.Repeat([]byte{5}, 9000))
	if err := p.Made(1); err == nil || !strings.Contains(err.Error(), "full") {
		t.Errorf("a module that has no place on the disk is made: %v", err)
	}
	if err := p.Give(); err != nil {
		t.Error(err)
	}
}

// TestFingerprint: what a checkpoint is called and where it lies does not matter; what is in it does, and when it was written, but for what a store names by
// its hash.
func TestFingerprint(t *testing.T) {
	print := func(path string) [32]byte {
		t.Helper()
		c, err := OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.Fingerprint()
	}
	dir := t.TempDir()
	first, data := filepath.Join(dir, "a.safetensors"), oneTensor(t)
	place := func(path string, data []byte, changed int64) string {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		times := []unix.Timespec{{Sec: changed}, {Sec: changed}}
		if err := unix.UtimesNanoAt(unix.AT_FDCWD, path, times, 0); err != nil {
			t.Fatal(err)
		}
		return path
	}
	place(first, data, 1000)
	want := print(first)
	link := filepath.Join(dir, "link.safetensors")
	if err := os.Symlink(first, link); err != nil {
		t.Fatal(err)
	}
	for what, same := range map[string]string{"itself": first, "a link": link, "a copy": place(filepath.Join(dir, "x", "b.safetensors"), data, 1000)} {
		if print(same) != want {
			t.Errorf("%s has another fingerprint", what)
		}
	}
	other := bytes.Clone(data)
	other[len(other)-1] ^= 1
	for what, path := range map[string]string{"a later time": place(filepath.Join(dir, "c.safetensors"), data, 1001),
		"other bytes": place(filepath.Join(dir, "d.safetensors"), other, 1000)} {
		if print(path) == want {
			t.Errorf("%s has the same fingerprint", what)
		}
	}
	blob := filepath.Join(dir, "models--a", "blobs", strings.Repeat("0a", 32))
	stored := print(place(blob, data, 1000))
	if print(place(blob, data, 2000)) != stored {
		t.Error("a blob is another when its time is")
	}
	if print(place(filepath.Join(dir, "models--a", "blobs", strings.Repeat("0b", 32)), data, 1000)) == stored {
		t.Error("a blob of another hash is the same")
	}
	if print(place(blob, other, 1000)) == stored {
		t.Error("a blob whose sample is another is the same")
	}
}

// oneTensor is a file in safetensors of one tensor.
func oneTensor(t *testing.T) []byte {
	t.Helper()
	head := `{"w":{"dtype":"U8","shape":[5000],"data_offsets":[0,5000]}}`
	b := append([]byte{byte(len(head)), 0, 0, 0, 0, 0, 0, 0}, head...)
	return append(b, make([]byte, 5000)...)
}

package weights

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// large is a checkpoint of two tensors of some megabytes, and what is in them.
func large(t *testing.T) (c *Checkpoint, first, second []byte) {
	t.Helper()
	const size = aheadStretch + 3*aheadStep + 5
	header := fmt.Sprintf(`{"a":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]},"b":{"dtype":"U8","shape":[%d],"data_offsets":[%d,%d]}}`,
		size, size, size, size, 2*size)
	c, err := OpenFile(write(t, "m.safetensors", build(header, string(bytes.Repeat([]byte("ab"), size)))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	a, _ := c.Get("a", nil)
	b, _ := c.Get("b", nil)
	return c, a.Data, b.Data
}

// inTable counts the pages of data that this process has in its page table, of all that it touches.
func inTable(t *testing.T, data []byte) (present, all int) {
	t.Helper()
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		t.Skipf("capability: %v", err)
	}
	defer f.Close()
	page := uintptr(unix.Getpagesize())
	from := uintptr(unsafe.Pointer(&data[0])) / page
	to := (uintptr(unsafe.Pointer(&data[len(data)-1])))/page + 1
	entries := make([]byte, 8*(to-from))
	if _, err := f.ReadAt(entries, int64(8*from)); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(entries); i += 8 {
		present += int(binary.LittleEndian.Uint64(entries[i:]) >> 63)
	}
	return present, len(entries) / 8
}

// mapsAhead skips where the system has no call for it.
func mapsAhead(t *testing.T) {
	t.Helper()
	data, err := unix.Mmap(-1, 0, 1<<16, unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(data)
	if err := unix.Madvise(data, unix.MADV_POPULATE_READ); err != nil {
		t.Skipf("capability: pages cannot be mapped ahead: %v", err)
	}
}

// What lies in memory is mapped to its last page, and what was not asked for stays as it is.
func TestAheadMapsWhatIsInMemory(t *testing.T) {
	c, first, second := large(t)
	mapsAhead(t)
	if n, all := inTable(t, first); n > all/2 {
		t.Fatalf("%d of %d pages are mapped before", n, all)
	}
	c.Ahead([][]byte{first, nil, make([]byte, 10)})
	c.ahead.running.Wait()
	if n, all := inTable(t, first); n != all {
		t.Errorf("%d of %d pages are mapped", n, all)
	}
	if n, all := inTable(t, second[aheadStep:]); n > all/2 {
		t.Errorf("%d of %d pages are mapped that were not asked for", n, all)
	}
}

// What lies on the disk alone is left there: a checkpoint may be larger than memory.
func TestAheadReadsNoDisk(t *testing.T) {
	c, first, second := large(t)
	f := c.files[0].file
	if err := f.Sync(); err != nil { // what is not on the disk yet cannot be forgotten
		t.Fatal(err)
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
	if (stretch{c.files[0], aheadStretch, 2 * aheadStretch}).inMemory() {
		t.Skip("capability: this file system keeps its files in memory")
	}
	for range aheadMisses {
		c.ahead.touch(stretch{c.files[0], aheadStretch, 2 * aheadStretch})
	}
	c.Ahead([][]byte{first, second})
	c.ahead.running.Wait()
	if n, all := inTable(t, second[aheadStretch:]); n > 0 {
		t.Errorf("%d of %d pages are mapped of what is not in memory", n, all)
	}
}

// A checkpoint may be closed at once, and a file be cut: what is mapped ahead of a need that never comes is nobody's loss.
func TestAheadEndsWithTheCheckpoint(t *testing.T) {
	c, first, second := large(t)
	if err := os.Truncate(c.files[0].path, aheadStretch); err != nil {
		t.Fatal(err)
	}
	c.Ahead([][]byte{second, first})
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// Data is looked for in the file it lies in, in stretches that begin with a page and end where it does.
func TestStretches(t *testing.T) {
	c, first, second := large(t)
	for _, data := range [][]byte{first, second, first[:1]} {
		list, at := c.stretches(data), uintptr(unsafe.Pointer(&data[0]))
		base := uintptr(unsafe.Pointer(&c.files[0].data[0]))
		end := int(at-base) + len(data)
		if len(list) == 0 || list[0].from > int(at-base) || list[len(list)-1].to != end {
			t.Fatalf("%d bytes at %d are %v", len(data), at-base, list)
		}
		for i, p := range list {
			if p.from%unix.Getpagesize() != 0 || p.to-p.from > aheadStretch || i > 0 && p.from != list[i-1].to {
				t.Errorf("stretch %d is %d to %d", i, p.from, p.to)
			}
		}
	}
	if list := c.stretches(make([]byte, 100)); len(list) > 0 {
		t.Errorf("what is in no file is %v", list)
	}
}

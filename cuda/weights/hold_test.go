package weights

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// holdable is a checkpoint of one tensor with room for some parts, of random bytes, and a copy of these. Nothing runs in the background.
func holdable(t *testing.T) (c *Checkpoint, data, want []byte) {
	t.Helper()
	const size = 2*holdPiece + 2*hugePage + 12345 // whole huge pages of it are an odd number
	want = make([]byte, size)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range want {
		want[i] = byte(r.Uint32())
	}
	c, err := OpenFile(write(t, "m.safetensors", build(fmt.Sprintf(`{"a":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}`, size, size), string(want))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	a, _ := c.Get("a", nil)
	return c, a.Data, want
}

// held is how many bytes are copies, in place.
func (c *Checkpoint) held() (n int64) {
	c.holder.mu.Lock()
	defer c.holder.mu.Unlock()
	for _, p := range c.holder.parts {
		if p.held {
			n += int64(p.to - p.from)
		}
	}
	return n
}

func always(int64) bool { return true }

// unread puts a copy in place where nobody reads.
func unread(exchange func()) (busy bool) {
	exchange()
	return false
}

// more has copies made and put in place.
func (c *Checkpoint) more(t *testing.T, room func(int64) bool) (left int) {
	t.Helper()
	left, err := c.holder.copyMore(room, unread)
	if err != nil {
		t.Fatal(err)
	}
	return left
}

// Copies in place of the file, and the file in place of copies, are the same bytes, at every border between them.
func TestHeldBytesAreTheFiles(t *testing.T) {
	c, data, want := holdable(t)
	h := &c.holder
	h.parts = c.parts([][]byte{data[holdPiece+9:], make([]byte, 100), data[:holdPiece+7], nil})
	least := int64(len(data)) - 4*hugePage
	for range 3 {
		if left := c.more(t, always); left != 0 || c.held() < least || !bytes.Equal(data, want) {
			t.Fatalf("%d bytes are held, %d parts are left; right: %v", c.held(), left, bytes.Equal(data, want))
		}
		c.Release()
		if n := c.held(); n != 0 || !bytes.Equal(data, want) {
			t.Fatalf("%d bytes are held after all were given back; right: %v", n, bytes.Equal(data, want))
		}
	}
	if left := c.more(t, func(bytes int64) bool { return bytes < holdPiece }); left == 0 || c.held() == 0 || !bytes.Equal(data, want) {
		t.Errorf("of what is not of the full size %d bytes are held, %d parts are left; right: %v", c.held(), left, bytes.Equal(data, want))
	}
}

// In the background copies are made, and put in place while nobody reads; an engine that has ended puts none there.
func TestHoldInTheBackground(t *testing.T) {
	c, data, want := holdable(t)
	var reading sync.Mutex
	ended := false
	c.Hold([][]byte{data}, always, func(exchange func()) bool {
		reading.Lock()
		defer reading.Unlock()
		if !ended {
			exchange()
		}
		return false
	})
	released := false
	for range 200 {
		reading.Lock()
		if !bytes.Equal(data, want) {
			t.Fatal("the bytes are others")
		}
		if c.held() > 0 && !released { // somebody needs the memory
			c.Release()
			released = true
		}
		reading.Unlock()
	}
	reading.Lock()
	ended = true
	reading.Unlock()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if !released {
		t.Error("no copy was put in place")
	}
}

// What is held stays what it was when the file is cut, and nothing more is held of that.
func TestHeldBytesOutliveTheFile(t *testing.T) {
	c, data, want := holdable(t)
	h := &c.holder
	h.parts = c.parts([][]byte{data})
	first := h.parts[0]
	c.more(t, func(int64) bool { return h.parts[0].copied == nil })
	if err := os.Truncate(c.files[0].path, int64(first.from)); err != nil {
		t.Fatal(err)
	}
	begin := len(c.files[0].data) - len(data) // of the tensor
	if !bytes.Equal(data[first.from-begin:first.to-begin], want[first.from-begin:first.to-begin]) {
		t.Error("what is held has changed with the file")
	}
	if err := c.Cut(); err != nil {
		t.Errorf("nothing was read that is not there: %v", err)
	}
	if err := c.Unchanged(); err == nil {
		t.Error("that the file was cut is not told")
	}
	if _, err := h.parts[1].copy(); err == nil {
		t.Error("a part was copied of a file that has it no more")
	}
}

// Nothing is taken for which there is no room, and what is on the disk alone is left there.
func TestHoldTakesNoMoreThanThereIs(t *testing.T) {
	c, data, _ := holdable(t)
	c.holder.parts = c.parts([][]byte{data})
	room := int64(holdPiece)
	left := c.more(t, func(bytes int64) bool {
		room -= bytes
		return room >= 0
	})
	if n := c.held(); n != holdPiece || left != len(c.holder.parts)-1 {
		t.Errorf("%d bytes are held where there was room for %d, %d parts are left", n, holdPiece, left)
	}
	c.Release()
	f := c.files[0].file
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Madvise(c.files[0].data, unix.MADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
	if c.holder.parts[0].inMemory() {
		t.Skip("capability: this file system keeps its files in memory")
	}
	if c.more(t, always); c.held() != 0 {
		t.Errorf("%d bytes were copied of what is on the disk alone", c.held())
	}
}

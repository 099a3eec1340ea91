// A checkpoint: one or several safetensors files mapped into memory under one table of names.

package weights

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
	"unsafe"

	"github.com/inference-pio/inference-pio/internal/regular"
	"github.com/inference-pio/inference-pio/internal/safetensors"
	"golang.org/x/sys/unix"
)

// Checkpoint is a Source over mapped files. It is safe for concurrent use until Close.
type Checkpoint struct {
	files   []*mapped
	tensors map[string]View
	names   []string
	ahead   ahead
	holder  holder
}

// mapped is one file in memory.
type mapped struct {
	path   string
	file   *os.File           // what is mapped, whatever the path names by now
	header safetensors.Header // of a safetensors file
	data   []byte             // the whole file
	size   int64
	mtime  time.Time
	guard  guard
}

// Open maps the checkpoint in a Hugging Face directory: model.safetensors, or else the shards that
// model.safetensors.index.json names.
func Open(dir string) (*Checkpoint, error) {
	paths, index, err := files(dir)
	if err != nil {
		return nil, err
	}
	c, err := open(paths)
	if err != nil {
		return nil, err
	}
	if err := c.holds(index); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", filepath.Join(dir, safetensors.IndexFile), err), c.Close())
	}
	return c, nil
}

// OpenFile maps a single safetensors file.
func OpenFile(path string) (*Checkpoint, error) { return open([]string{path}) }

// Entry is one tensor as a header describes it.
type Entry = safetensors.Entry

// ReadHeaders reads the headers of a checkpoint without mapping its data: what a plugin needs to say whether it fits.
func ReadHeaders(dir string) ([]Entry, error) {
	paths, _, err := files(dir)
	if err != nil {
		return nil, err
	}
	var all []Entry
	for _, p := range paths {
		h, err := safetensors.ReadFile(p, regular.Open)
		if err != nil {
			return nil, err
		}
		all = append(all, h.Entries...)
	}
	return all, nil
}

// files lists the safetensors files of a directory, and what its index says lies where (nil without one).
func files(dir string) (paths []string, index map[string]string, err error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("checkpoint %s: %w", dir, err)
	}
	if !info.IsDir() {
		return nil, nil, fmt.Errorf("checkpoint %s: is a file; name the directory that holds config.json and %s", dir, safetensors.SingleFile)
	}
	paths, index, err = safetensors.Files(dir, regular.Read)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, regular.NoTensors(dir, safetensors.SingleFile, safetensors.IndexFile)
	}
	return paths, index, err
}

func open(paths []string) (*Checkpoint, error) {
	c := &Checkpoint{tensors: map[string]View{}}
	from := map[string]string{} // tensor -> file, to tell where a duplicate stands
	for _, p := range paths {
		m, err := mapFile(p)
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		c.files = append(c.files, m)
		for _, e := range m.header.Entries {
			if other, twice := from[e.Name]; twice {
				return nil, errors.Join(fmt.Errorf("%s: tensor %q is in %s as well", p, e.Name, other), c.Close())
			}
			from[e.Name] = p
			c.tensors[e.Name] = m.view(e)
		}
	}
	c.names = slices.Sorted(maps.Keys(c.tensors))
	return c, nil
}

func mapFile(path string) (*mapped, error) {
	f, _, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	var h safetensors.Header
	m, err := mapOpen(f, path, func(size int64) (err error) {
		if h, err = safetensors.Read(f, size); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	m.header = h
	return m, nil
}

// mapOpen maps an open file, which is closed with the mapping, once its header is read.
func mapOpen(f *os.File, path string, header func(size int64) error) (_ *mapped, err error) {
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	info, err := f.Stat() // of the open file: the name may mean another one by now
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	m := &mapped{path: path, file: f, size: info.Size(), mtime: info.ModTime()}
	if err = header(m.size); err != nil {
		return nil, err
	}
	if m.data, err = unix.Mmap(int(f.Fd()), 0, int(m.size), unix.PROT_READ, unix.MAP_SHARED); err != nil {
		return nil, fmt.Errorf("%s: cannot be mapped: %w", path, err)
	}
	m.guard = newGuard(m.data, false)
	return m, nil
}

// unchanged compares the file that is mapped with what it was.
func (m *mapped) unchanged() error {
	info, err := m.file.Stat()
	switch {
	case err != nil:
		return fmt.Errorf("%s: is mapped and can no longer be examined: %w", m.path, err)
	case m.guard.cut():
		return fmt.Errorf("%s: was cut, or its disk failed, while it was mapped; load the model again", m.path)
	case info.Size() != m.size:
		return fmt.Errorf("%s: had %d bytes when it was mapped and has %d now; load the model again", m.path, m.size, info.Size())
	case !info.ModTime().Equal(m.mtime):
		return fmt.Errorf("%s: was written to since it was mapped; load the model again", m.path)
	}
	return nil
}

func (m *mapped) close() error {
	m.guard.remove()
	return errors.Join(unix.Munmap(m.data), m.file.Close())
}

func (m *mapped) view(e Entry) View {
	dtype, known := dtypes[e.Format]
	v := View{Format: e.Format, DType: dtype, Known: known, Shape: e.Shape, Data: m.data[e.From:e.To:e.To]}
	if width, sized := safetensors.Bits(e.Format); sized {
		v.Data = aligned(v.Data, max(1, width/8))
	}
	return v
}

// aligned returns b, or a copy of it if it does not begin at a multiple of n. Writers pad their headers so that copies are not
// needed; a file whose header has an odd length is legal all the same.
func aligned(b []byte, n int) []byte {
	if len(b) == 0 || uintptr(unsafe.Pointer(&b[0]))%uintptr(n) == 0 {
		return b
	}
	words := make([]uint64, (len(b)+7)/8)
	out := unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), len(b))
	copy(out, b)
	return out
}

// holds checks that each tensor of the index is in the file the index says.
func (c *Checkpoint) holds(index map[string]string) error {
	in := map[string]string{}
	for _, m := range c.files {
		for _, e := range m.header.Entries {
			in[e.Name] = filepath.Base(m.path)
		}
	}
	return safetensors.Holds(index, in)
}

// Get returns a tensor of the checkpoint; the shape is not looked at.
func (c *Checkpoint) Get(name string, _ []int) (View, bool) {
	v, ok := c.tensors[name]
	return v, ok
}

// Names lists the tensors, sorted.
func (c *Checkpoint) Names() []string { return c.names }

// Unchanged returns an error if a mapped file was written to since Open (see the package comment). That another file has its name
// now is no change: the mapping keeps the old one.
func (c *Checkpoint) Unchanged() error {
	for _, m := range c.files {
		if err := m.unchanged(); err != nil {
			return err
		}
	}
	return nil
}

// Cut returns an error if some of the weights could not be read, and zeros were computed with in their place. It costs next to
// nothing.
func (c *Checkpoint) Cut() error {
	for _, m := range c.files {
		if m.guard.cut() {
			return m.unchanged()
		}
	}
	return nil
}

// Identity names the weights: it is another one when a file was written to or replaced. Two loads with the same identity compute
// with the same bits.
func (c *Checkpoint) Identity() string {
	h := sha256.New()
	for _, m := range c.files {
		fmt.Fprintf(h, "%q %d %d\n", filepath.Base(m.path), m.size, m.mtime.UnixNano())
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Bytes is the size of all files.
func (c *Checkpoint) Bytes() (n int64) {
	for _, m := range c.files {
		n += m.size
	}
	return n
}

// Discard gives back the memory that a piece of the mapping has, if it is one. Whoever reads it again has it from the file.
func (c *Checkpoint) Discard(piece []byte) {
	at, page := uintptr(unsafe.Pointer(unsafe.SliceData(piece))), uintptr(unix.Getpagesize())
	for _, m := range c.files {
		first := uintptr(unsafe.Pointer(unsafe.SliceData(m.data)))
		if at < first || at-first+uintptr(len(piece)) > uintptr(len(m.data)) {
			continue
		}
		from, to := (at-first)&^(page-1), at-first+uintptr(len(piece))
		_ = unix.Madvise(m.data[from:to], unix.MADV_DONTNEED) // the memory is the kernel's to give back later, too
	}
}

// Close unmaps the files. No View may be used after it.
func (c *Checkpoint) Close() error {
	c.ahead.stop()
	c.holder.stop()
	var errs []error
	for _, m := range c.files {
		errs = append(errs, m.close())
	}
	c.files, c.tensors, c.names = nil, nil, nil
	return errors.Join(errs...)
}

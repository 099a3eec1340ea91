// packed.go maps weights that were packed once and are kept in a file, or are being made there.

package weights

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/internal/weightcache"
)

// Packed is modules of weights in a file of weightcache. While there are modules to make, their memory can be written to; then the file is
// finished in the background.
type Packed struct {
	file  *weightcache.File
	m     *mapped
	view  Checkpoint // of the same file, to map pages ahead
	whole bool       // all modules are there: nothing is written to any more

	finishing sync.WaitGroup // and what is compared
	closing   atomic.Bool
	sealed    atomic.Bool
	compared  atomic.Bool           // nobody reads the file in the background
	failed    atomic.Pointer[error] // why the file could not be finished
}

// MapPacked maps a file and compares what there is of one that was left unfinished. The Packed closes the file.
func MapPacked(file *weightcache.File) (*Packed, error) {
	p := &Packed{file: file, whole: file.IsSealed()}
	protection := unix.PROT_READ
	if !p.whole {
		protection |= unix.PROT_WRITE
	}
	f := file.Descriptor()
	data, err := unix.Mmap(int(f.Fd()), 0, int(file.Size), protection, unix.MAP_SHARED)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: cannot be mapped: %w", f.Name(), err), file.Close())
	}
	p.m = &mapped{path: f.Name(), file: f, data: data, size: file.Size, guard: newGuard(data, !p.whole)}
	p.view.files = []*mapped{p.m}
	p.sealed.Store(p.whole)
	p.compared.Store(true)
	if err := p.look(); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// look notes when a finished file was last changed, and finds out which modules of another are there.
func (p *Packed) look() error {
	if !p.whole {
		for i := range p.file.Modules {
			if p.file.Made(i) {
				p.file.Compare(i, p.m.data)
			}
		}
		return p.Cut()
	}
	info, err := p.m.file.Stat()
	if err != nil {
		return fmt.Errorf("%s: %w", p.m.path, err)
	}
	p.m.mtime = info.ModTime()
	return nil
}

// Module is the memory of a module, and whether its weights are there.
func (p *Packed) Module(i int) (mem cuda.Memory, made bool) {
	b := p.file.Module(i, p.m.data)
	return cuda.NewMemory(unsafe.Pointer(unsafe.SliceData(b)), int64(len(b)), cuda.ForWeights), p.whole || p.file.Made(i)
}

// Made says that the weights of a module are in its memory. An error, which is the disk's, makes all that was made worthless.
func (p *Packed) Made(i int) error {
	if err := p.Cut(); err != nil {
		return err
	}
	return p.file.Note(i, p.m.data)
}

// Whole says that all modules were there from the beginning.
func (p *Packed) Whole() bool { return p.whole }

// Finish is called when all modules are made: nothing can be written to their memory any more, and the file is brought to the disk, which may take
// as long as to write it. told learns how that has ended.
func (p *Packed) Finish(told func(error)) error {
	if p.whole {
		return nil
	}
	if err := unix.Mprotect(p.m.data, unix.PROT_READ); err != nil {
		return fmt.Errorf("%s: cannot be closed to writers: %w", p.m.path, err)
	}
	p.finishing.Go(func() {
		err := p.file.Seal()
		if disk := (*weightcache.DiskError)(nil); errors.As(err, &disk) {
			p.failed.Store(&err)
		}
		if err != nil {
			err = errors.Join(err, p.Give())
		} else if info, e := p.m.file.Stat(); e == nil {
			p.m.mtime = info.ModTime()
			p.sealed.Store(true)
		}
		told(err)
	})
	return nil
}

// Check begins to compare a file that was finished by somebody else with its checksums, module by module, as far as it lies in memory: what does not is left on
// the disk. Of damage that no writer has done, and the file's times do not tell of, Cut tells then, and the next load mends it.
func (p *Packed) Check() {
	if !p.whole {
		return
	}
	p.compared.Store(false)
	p.finishing.Go(func() {
		defer p.compared.Store(true)
		for i, n := range p.file.Modules {
			switch at := int(p.file.At[i]); {
			case p.closing.Load():
				return
			case !(stretch{p.m, at, at + int(n)}).inMemory() || p.file.Compare(i, p.m.data):
			default:
				err := fmt.Errorf("%s: has lost some of what was written to it; load the model again", p.m.path)
				p.failed.Store(&err)
				_ = p.file.Doubt() // who may not write here may load it again, and is told again
				return
			}
		}
	})
}

// Ahead begins to map what of the data lies in memory already: see Checkpoint.Ahead.
func (p *Packed) Ahead(data [][]byte) { p.view.Ahead(data) }

// Hold begins to put copies in the place of the data, once the file is finished: see Checkpoint.Hold.
func (p *Packed) Hold(data [][]byte, room func(bytes int64) bool, between func(func()) (busy bool)) {
	p.view.Hold(data, func(bytes int64) bool { return p.sealed.Load() && p.compared.Load() && room(bytes) }, between)
}

// InMemory and Maps are those of Checkpoint.
func (p *Packed) InMemory(data []byte) bool { return p.view.InMemory(data) }

// Maps says whether data lies in the file.
func (p *Packed) Maps(data []byte) bool { return p.view.Maps(data) }

// Release gives their memory back: see Checkpoint.Release.
func (p *Packed) Release() { p.view.Release() }

// Unchanged returns an error if somebody else has written to the file.
func (p *Packed) Unchanged() error {
	if !p.sealed.Load() { // its maker writes to it
		return p.Cut()
	}
	return p.m.unchanged()
}

// Cut returns an error if some of the weights could not be read, or written: then there are zeros in their place.
func (p *Packed) Cut() error {
	if err := p.failed.Load(); err != nil {
		return *err
	}
	if p.m.guard.cut() {
		return fmt.Errorf("%s: was cut, or its disk is full or has failed, while it was mapped; load the model again", p.m.path)
	}
	return nil
}

// Give gives up what is being made: the file is removed. Close it all the same.
func (p *Packed) Give() error {
	err := p.file.Give()
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// Close unmaps the file, once it is finished.
func (p *Packed) Close() error {
	p.closing.Store(true)
	p.view.ahead.stop()
	p.view.holder.stop()
	p.finishing.Wait()
	p.m.guard.remove()
	return errors.Join(unix.Munmap(p.m.data), p.file.Close())
}

// Package limits measures what the machine can do at best, for figures to stand beside: how fast threads read memory together, and
// how fast they multiply and add in f32.
package limits

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Rates are those of a number of threads together.
type Rates struct {
	Read  float64 // bytes/s from memory
	FLOPS float64 // multiplications and additions/s in f32, in registers; 0: this kind of processor is not known here
}

const (
	readBytes = 256 << 20 // beyond what a last-level cache keeps of what is read over and over
	passes    = 6         // of which the best counts: a neighbour of a shared machine slows some
)

// Measure takes half a second and 256 MiB.
func Measure(threads int) (Rates, error) {
	data, err := unix.Mmap(-1, 0, readBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return Rates{}, fmt.Errorf("no %d MiB of memory to measure its rate with: %w", readBytes>>20, err)
	}
	_ = unix.Madvise(data, unix.MADV_HUGEPAGE) // as weights are copied into; where there are none it is slower
	read, err := readRate(data, threads)
	return Rates{Read: read, FLOPS: peak(threads)}, errors.Join(err, unix.Munmap(data))
}

// readRate looks for a byte that is nowhere, which the standard library does with the widest loads there are.
func readRate(data []byte, threads int) (float64, error) {
	for i := 0; i < len(data); i += 4096 {
		data[i] = 1 // untouched pages would all be one page of zeros
	}
	part, best := len(data)/threads, 0.0
	for range passes {
		found := make([]int, threads)
		took := together(threads, func(i int) { found[i] = bytes.IndexByte(data[i*part:][:part], 2) })
		for _, at := range found {
			if at >= 0 {
				return 0, errors.New("the memory that was to be read is not as it was written")
			}
		}
		best = max(best, float64(part*threads)/took.Seconds())
	}
	return best, nil
}

const peakTime = 20 * time.Millisecond // of a pass

// peak is 0 where there is no loop for the processor.
func peak(threads int) float64 {
	rounds, flops := widest()
	if rounds == nil {
		return 0
	}
	n, best := 1<<12, 0.0
	for together(1, func(int) { rounds(n) }) < peakTime {
		n *= 2
	}
	for range passes {
		took := together(threads, func(int) { rounds(n) })
		best = max(best, float64(n*threads)*flops/took.Seconds())
	}
	return best
}

// together runs work on so many threads of the system at once and says how long they took.
func together(threads int, work func(i int)) time.Duration {
	var ready, done sync.WaitGroup
	begin := make(chan struct{})
	for i := range threads {
		ready.Add(1)
		done.Go(func() {
			runtime.LockOSThread() // and never unlocked: the thread ends with it
			ready.Done()
			<-begin
			work(i)
		})
	}
	ready.Wait()
	start := time.Now()
	close(begin)
	done.Wait()
	return time.Since(start)
}

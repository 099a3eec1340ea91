// Package clock is the time of the host: who measures, who runs something beside a step, and who moves bytes within the host's memory does
// it through a Clock, so that a test can have all of that happen in a time that is counted (cuda/kernels/sim/imagined).
package clock

import (
	"runtime"
	"sync"
	"time"

	"github.com/inference-pio/inference-pio/cuda"
)

// Clock is the time that a step runs in.
type Clock interface {
	// Now is the time since some moment.
	Now() time.Duration
	// Beside runs f beside the caller. The event happens when f has returned, and has its error.
	Beside(f func() error) cuda.Event
	// Copy copies within the host's memory, as the built-in function.
	Copy(dst, src []byte) int
	// Rest lets so much time pass.
	Rest(d time.Duration)
}

// Real is the clock of this machine.
func Real() Clock { return ownTime{time.Now()} }

// IsReal says whether a clock is this machine's.
func IsReal(c Clock) bool {
	_, real := c.(ownTime)
	return real
}

type ownTime struct{ began time.Time }

func (t ownTime) Now() time.Duration { return time.Since(t.began) }

func (ownTime) Rest(d time.Duration) { time.Sleep(d) }

// What is copied by several threads at once: one alone reaches a part of what the memory gives, and of what a link takes.
const (
	copyThreads = 8         // at most
	copyLeast   = 256 << 10 // bytes of a part
)

// Parts is how many threads share a copy of n bytes where there are as many.
func Parts(n int) int { return max(1, min(copyThreads, n/copyLeast)) }

func (ownTime) Copy(dst, src []byte) int {
	n := min(len(dst), len(src))
	parts := min(Parts(n), runtime.GOMAXPROCS(0))
	if parts < 2 {
		return copy(dst, src)
	}
	var all sync.WaitGroup
	for i := range parts {
		all.Go(func() { copy(dst[n*i/parts:n*(i+1)/parts], src[n*i/parts:n*(i+1)/parts]) })
	}
	all.Wait()
	return n
}

func (ownTime) Beside(f func() error) cuda.Event {
	b := &beside{done: make(chan struct{})}
	go func() {
		defer close(b.done)
		b.err = f()
	}()
	return b
}

// beside is what runs in a goroutine.
type beside struct {
	done chan struct{}
	err  error // after done
}

func (b *beside) Happened() bool {
	select {
	case <-b.done:
		return true
	default:
		return false
	}
}

func (b *beside) Wait() error {
	<-b.done
	return b.err
}

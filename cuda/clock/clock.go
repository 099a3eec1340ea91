// Package clock is the time of the host: who measures, who runs something beside a step, and who moves bytes within the host's memory does
// it through a Clock, so that a test can have all of that happen in a time that is counted (cuda/kernels/sim/imagined).
package clock

import (
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
}

// Real is the clock of this machine.
func Real() Clock { return ownTime{time.Now()} }

type ownTime struct{ began time.Time }

func (t ownTime) Now() time.Duration { return time.Since(t.began) }

func (ownTime) Copy(dst, src []byte) int { return copy(dst, src) }

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

package serve

import (
	"sync"
	"time"

	"github.com/inference-pio/inference-pio/cuda/weights"
	"github.com/inference-pio/inference-pio/sdk"
)

// vigil.go notices that the files which weights are mapped from were written to. What is computed from then on is worth nothing:
// the process says so to every request, and its host starts another one.

// lookEvery is how old the last look at the files may be when something is computed.
const lookEvery = time.Second

// watched is files that weights are mapped from.
type watched interface {
	Unchanged() error
	Cut() error
}

// vigil watches over a checkpoint, and over what is kept of it in other forms; invented weights have nothing to watch.
type vigil struct {
	files []watched
	now   func() time.Time

	mu     sync.Mutex
	looked time.Time
	found  error // never forgotten
}

func newVigil(c *weights.Checkpoint, kept *weights.Packed) *vigil {
	v := &vigil{now: time.Now}
	if c != nil {
		v.files = append(v.files, c)
	}
	if kept != nil {
		v.files = append(v.files, kept)
	}
	return v
}

// before is asked before weights are computed with, after before the result is passed on: zeros may have stood in for what could not
// be read.
func (v *vigil) before() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if now := v.now(); now.Sub(v.looked) >= lookEvery {
		v.looked = now
		for _, f := range v.files {
			v.note(f.Unchanged())
		}
	}
	return v.found
}

func (v *vigil) after() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, f := range v.files {
		v.note(f.Cut())
	}
	return v.found
}

// note keeps the first thing found. mu is held.
func (v *vigil) note(err error) {
	if err != nil && v.found == nil {
		v.found = sdk.Errorf(sdk.ReasonChanged, "%w", err)
	}
}

//go:build cuda && cgo

package gpu

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/gpu/driver"
)

// lost.go sees to it that nothing waits for a device for ever. Every wait for it has an end, and once it is lost nobody begins another: a driver that
// waits for a kernel that does not end does not come back from there, also where all that is asked of it is to take memory away. Only the load of a module
// has no end of ours: how long the driver compiles it nobody can say.

// loss is why a device cannot be used any more.
type loss struct{ atomic.Pointer[cuda.LostError] }

// is is the error of a device that is lost, nil of any other.
func (l *loss) is() error {
	if e := l.Load(); e != nil {
		return e
	}
	return nil
}

// found gives an error of the driver's that means the loss of the device its type, and keeps the first.
func (d *Device) found(err error) error {
	var lost *cuda.LostError
	if !errors.As(err, &lost) {
		if !driver.Lost(err) {
			return err
		}
		lost = &cuda.LostError{Device: d.name, Err: err}
		err = lost
	}
	d.lost.CompareAndSwap(nil, lost)
	return err
}

// within makes a call of the driver's that may wait for what the device does, and gives up when patience ends. What the call goes on to do
// then is nobody's: the process is to end.
func (d *Device) within(call func() error) error {
	if err := d.lost.is(); err != nil {
		return err
	}
	made := make(chan error, 1)
	go func() { made <- call() }()
	limit := time.NewTimer(d.patience)
	defer limit.Stop()
	select {
	case err := <-made:
		return d.found(err)
	case <-limit.C:
		return d.found(&cuda.LostError{Device: d.name, Err: fmt.Errorf("the driver has not answered within %v", d.patience)})
	}
}

// pin is pinned memory.
func (d *Device) pin(bytes int) (memory []byte, err error) {
	err = d.within(func() (err error) { memory, err = d.context.Pinned(int64(bytes)); return err })
	if err != nil {
		return nil, err
	}
	return memory, nil
}

// unpin gives pinned memory back, which nothing uses any more; that of a lost device goes with the process.
func (d *Device) unpin(memory []byte) {
	_ = d.within(func() error { return d.context.FreePinned(memory) }) // there is nobody to tell
}

// patience is how long a wait may take.
func patience(o Options) (time.Duration, error) {
	text := os.Getenv(EnvPatience)
	switch {
	case o.Patience != 0:
		return o.Patience, nil
	case text == "":
		return Patience, nil
	}
	limit, err := time.ParseDuration(text)
	if err != nil || limit <= 0 {
		return 0, fmt.Errorf("%s=%q is no duration, like 90s: set it right, or leave it out", EnvPatience, text)
	}
	return limit, nil
}

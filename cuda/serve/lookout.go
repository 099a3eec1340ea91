package serve

import (
	"errors"
	"time"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/sdk"
)

// lookout.go notices when what a device has free changes, by whose hand ever: a GPU is not this process's alone, and its host is to know
// soon enough to have models give way before anybody finds no room. By the same question it notices that a device is lost while nothing runs there.

const (
	// lookOutEvery is how often it is looked: the host is told within a quarter of a second and has its own part of that.
	lookOutEvery = 80 * time.Millisecond
	// newsPart is the part of a device's memory that is worth a report of its own.
	newsPart = 256
)

// shared is a device whose memory other processes take, too. Its methods may be called from any goroutine, also while queues run.
type shared interface {
	// Available is how many bytes this process could take now, and how many the device has in all.
	Available() (free, total int64, err error)
	// Trim gives back to others what the device keeps of freed memory for its next allocations.
	Trim()
}

// lookout is what the host was last told of the devices whose memory others take, too.
type lookout map[string]sdk.DeviceReport

// newLookout is nil where every device is this process's alone.
func newLookout(devices []cuda.Device) lookout {
	for _, d := range devices {
		if _, ok := d.(shared); ok {
			return lookout{}
		}
	}
	return nil
}

// ticks comes when it is time to look; never where there is nothing to look at.
func (l lookout) ticks() (<-chan time.Time, func()) {
	if l == nil {
		return nil, func() {}
	}
	t := time.NewTicker(lookOutEvery)
	return t.C, t.Stop
}

// news says whether a report tells something that the last one did not.
func (l lookout) news(r sdk.Report) bool {
	for _, d := range r.Devices {
		was, least := l[d.Name], d.Total/newsPart
		if d.Lost != was.Lost || d.Total > 0 && (was.Total == 0 || apart(d.Free, was.Free) > least || apart(d.Used, was.Used) > least) {
			return true
		}
	}
	return false
}

// told keeps what a report tells.
func (l lookout) told(r sdk.Report) {
	for _, d := range r.Devices {
		if d.Total > 0 || d.Lost != "" {
			l[d.Name] = d
		}
	}
}

func apart(a, b int64) int64 { return max(a-b, b-a) }

// available is what a device has free for this process, and in all, or why the process cannot use it any more; nothing of a device that is this
// process's alone.
func available(d cuda.Device) (free, total int64, lost string) {
	s, ok := d.(shared)
	if !ok {
		return 0, 0, ""
	}
	free, total, err := s.Available()
	switch loss := (*cuda.LostError)(nil); {
	case err == nil:
		return free, total, ""
	case errors.As(err, &loss):
		return 0, 0, loss.Err.Error()
	}
	return 0, 0, "" // it is asked again
}

// trim gives what a device keeps of freed memory back to others.
func trim(d cuda.Device) {
	if s, ok := d.(shared); ok {
		s.Trim()
	}
}

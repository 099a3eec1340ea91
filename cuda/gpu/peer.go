//go:build cuda && cgo

package gpu

import (
	"sync"

	"github.com/inference-pio/inference-pio/cuda"
)

// peer.go copies between GPUs whose memory the driver lets each other read.

// CopyFrom implements cuda.Neighbour.
func (q *Queue) CopyFrom(dst, src cuda.Tensor, from cuda.Queue) bool {
	f, ok := from.(*Queue)
	if !ok || dst.Bytes() != src.Bytes() || dst.Device() != q.dev || src.Device() != f.dev || !q.dev.peers.with(q.dev, f.dev) {
		return false
	}
	q.Wait(f.Mark())
	q.mu.Lock()
	if q.err == nil {
		q.apart()
		if q.dev == f.dev {
			q.list.Copy(dst.Pointer(), src.Pointer(), dst.Bytes())
		} else {
			q.list.CopyPeer(q.dev.context, dst.Pointer(), f.dev.context, src.Pointer(), dst.Bytes())
		}
		q.added++
	}
	q.mu.Unlock()
	f.Wait(q.Mark())
	return true
}

// peers are the devices that one may read, asked once.
type peers struct {
	mu  sync.Mutex
	may map[*Device]bool
}

func (p *peers) with(d, other *Device) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	may, asked := p.may[other]
	if !asked {
		if p.may == nil {
			p.may = map[*Device]bool{}
		}
		may = d == other || d.context.CanAccessPeer(other.context) && d.context.EnablePeer(other.context) == nil
		p.may[other] = may
	}
	return may
}

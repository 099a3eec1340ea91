//go:build cuda && cgo

package gpu

import "github.com/inference-pio/inference-pio/cuda"

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
		q.list.CopyPeer(dst.Pointer(), q.dev.context, src.Pointer(), f.dev.context, dst.Bytes())
		q.added++
	}
	q.mu.Unlock()
	f.Wait(q.Mark())
	return true
}

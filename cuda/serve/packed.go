package serve

import (
	"context"
	"errors"

	"github.com/inference-pio/inference-pio/cuda"
)

// packed.go keeps copies of weights in the form that the CPU computes with best, where that is not the file's. They have the CPU's budget
// like all other memory, and are a luxury: a module without one is computed from the mapped file, so that they are made with what is left
// when everything else has its place, and given up first when something else needs room. Only bits that do not depend on the form are
// computed with them, so that all this changes times and nothing else.

// packs says of a module whether the CPU would have a packed copy of it, and has none. One that is to go over has the CPU for a moment only.
func (r *residency) packs(p *place) bool {
	return p.dev == 0 && p.weights.Bytes() == 0 && weightBytes(r.devices[0], p.m) > 0 && r.arrivalOf(p) == nil
}

// pack makes the packed copy of a module on the CPU, if there is room for it.
func (r *residency) pack(p *place) error {
	if !r.packs(p) {
		return nil
	}
	if err := p.startTransfer(r.clock, r.devices[0], nil); err != nil {
		return err
	}
	return p.await(r.stage.Queue(0))
}

// packSettled packs the modules that have come back to the CPU, or that were to leave it and stay, by whatever way: an order, a device that was given up or
// lost, a plan that wants them elsewhere no more. Without room the CPU computes from the file, which is right if perhaps slower.
func (r *residency) packSettled() {
	for _, p := range r.settled {
		_ = r.pack(p)
	}
	clear(r.settled)
	r.settled = r.settled[:0]
}

// packAll packs the modules on the CPU in the order of the forward pass as long as so many bytes of the budget stay free. Between two modules
// others have their turn.
func (r *residency) packAll(ctx context.Context, spare int64) error {
	for p := range r.all {
		if more, err := r.packWithin(ctx, p, spare); err != nil || !more {
			return err
		}
	}
	return nil
}

// packWithin packs a module; false if there is no room for it.
func (r *residency) packWithin(ctx context.Context, p *place, spare int64) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if u := r.usage(0); r.packs(p) && u.Budget > 0 && u.Budget-u.Used-spare < weightBytes(r.devices[0], p.m) {
		return false, nil
	}
	err := r.pack(p)
	if budget := (*cuda.BudgetError)(nil); errors.As(err, &budget) {
		return false, nil
	}
	return err == nil, err
}

// unpack gives up packed copies until the CPU holds no more than so many bytes, or none are left.
func (r *residency) unpack(bytes int64) {
	for r.usage(0).Used > bytes && r.unpackLast() {
	}
}

// unpackLast gives up the packed copy that is computed with last in a pass; false if there is none.
func (r *residency) unpackLast() bool {
	var last *place
	for p := range r.all {
		if p.dev == 0 && p.weights.Bytes() > 0 {
			last = p
		}
	}
	if last == nil {
		return false
	}
	r.unpackOne(last)
	return true
}

func (r *residency) unpackOne(p *place) {
	if p.dev == 0 && p.weights.Bytes() > 0 {
		p.dropWeights(r.stage.Queue(0))
		r.counts.evictions.Add(1)
	}
}

// packedBytes is what packed copies take.
func (r *residency) packedBytes() (n int64) {
	for p := range r.all {
		if p.dev == 0 {
			n += p.weights.Bytes()
		}
	}
	return n
}

package serve

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/sdk"
)

// album.go keeps pictures: who uses them, which are remembered, and what their bytes are. Kept here: whatever a picture takes,
// while it is decoded and afterwards, has been taken from the CPU's budget before it exists and is given back after it is gone.
//
// No two requests wait for each other: for what is being decoded each waits, since that always ends; for the pictures that other
// requests have only one that has none itself.

// Pictures are remembered after their requests have ended, so that a conversation that sends them again with every turn has them
// looked at once.
const (
	recentSights  = 32
	recentWeight  = 256 << 20 // bytes of what was seen of them, in all
	looksTogether = 2         // files that are decoded at the same time: a large one takes hundreds of megabytes

	// A decoder leaves garbage as large as the picture. From this size on it is cleared away before its bytes are given back.
	largeLook = 16 << 20
)

type album struct {
	cpu   *cpu.Device
	looks chan struct{} // one for each file that is being decoded

	mu       sync.Mutex
	freed    chan struct{} // closed when bytes were given back
	decoding int           // files whose bytes come back by themselves
	recent   []*sight      // the newest last
	used     int           // sights that requests have
}

func newAlbum(c *cpu.Device) *album {
	return &album{cpu: c, looks: make(chan struct{}, looksTogether), freed: make(chan struct{})}
}

// reserve waits for the bytes that decoding a file takes, giving up what is only remembered. patient also waits for pictures
// that other requests have.
func (a *album) reserve(ctx context.Context, bytes int64, patient bool) error {
	for {
		a.mu.Lock()
		err := a.grab(bytes)
		freed, hope := a.freed, a.decoding > 0 || patient && a.used > 0
		if err == nil {
			a.decoding++
		}
		a.mu.Unlock()
		if err == nil || !hope {
			return err
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// grab takes bytes now. mu is held.
func (a *album) grab(bytes int64) error {
	for {
		err := a.cpu.Take(bytes, cuda.ForPictures)
		if err == nil || !a.forgetOldest() {
			return err
		}
	}
}

// give returns bytes. mu is held.
func (a *album) give(bytes int64) {
	a.cpu.Give(bytes, cuda.ForPictures)
	close(a.freed)
	a.freed = make(chan struct{})
}

// forgetOldest gives up the sight that was remembered longest ago and that nobody has. mu is held.
func (a *album) forgetOldest() bool {
	i := slices.IndexFunc(a.recent, func(s *sight) bool { return s.users == 0 })
	if i >= 0 {
		a.drop(i)
	}
	return i >= 0
}

// drop stops remembering one. mu is held.
func (a *album) drop(i int) {
	s := a.recent[i]
	a.recent = slices.Delete(a.recent, i, i+1)
	s.remembered = false
	a.settle(s)
}

// settle gives back the bytes of a sight that is gone: nobody has it and it is not remembered. mu is held.
func (a *album) settle(s *sight) {
	if s.users == 0 && !s.remembered {
		a.give(s.bytes)
		s.bytes = 0
	}
}

// decode has a file decoded while the bytes that this takes are counted, and turns them into those of the sight.
func (a *album) decode(ctx context.Context, cost int64, patient bool, look func() (*sight, error)) (*sight, error) {
	if err := a.reserve(ctx, cost, patient); err != nil {
		return nil, costError("while it is decoded", err)
	}
	s, err := a.inTurn(ctx, look)
	if cost >= largeLook {
		debug.FreeOSMemory()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.decoding--
	a.give(cost)
	if err != nil {
		return nil, err
	}
	return a.admit(s)
}

// inTurn decodes a few files at a time.
func (a *album) inTurn(ctx context.Context, look func() (*sight, error)) (*sight, error) {
	select {
	case a.looks <- struct{}{}:
		defer func() { <-a.looks }()
		return look()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// admit counts a new sight for the request that it was decoded for; one that is remembered takes its place. mu is held.
func (a *album) admit(s *sight) (*sight, error) {
	if i := slices.IndexFunc(a.recent, func(r *sight) bool { return r.Hash() == s.Hash() }); i >= 0 {
		s = a.recent[i]
		a.recent = append(slices.Delete(a.recent, i, i+1), s)
	} else {
		if err := a.grab(s.weight); err != nil {
			return nil, costError(fmt.Sprintf("for the %d tokens that it is seen as", s.Tokens()), err)
		}
		s.bytes, s.remembered = s.weight, true
		a.recent = append(a.recent, s)
	}
	if s.users++; s.users == 1 {
		a.used++
	}
	a.trim()
	return s, nil
}

// trim keeps what is remembered within its bounds; the newest stays. mu is held.
func (a *album) trim() {
	weight, kept := int64(0), 0
	for _, s := range slices.Backward(a.recent) {
		if weight += s.weight; kept == recentSights || kept > 0 && weight > recentWeight {
			break
		}
		kept++
	}
	for len(a.recent) > kept {
		a.drop(0)
	}
}

// fit gives up what is only remembered as long as the CPU holds more than its budget.
func (a *album) fit() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for u := a.cpu.Usage(); u.Budget > 0 && u.Used > u.Budget && a.forgetOldest(); u = a.cpu.Usage() {
	}
}

// leave ends a request's use of a sight.
func (a *album) leave(s *sight) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.users--; s.users == 0 {
		a.used--
		a.settle(s)
		a.give(0) // who waits for others' pictures looks again
	}
}

// extend counts more bytes of a sight that is in use, without waiting: the engine is on this goroutine.
func (a *album) extend(s *sight, bytes int64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	err := a.grab(bytes)
	if err == nil {
		s.bytes += bytes
	}
	return err
}

// shorten gives back some of a sight's bytes.
func (a *album) shorten(s *sight, bytes int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s.bytes -= bytes
	a.give(bytes)
}

// forget stops remembering a sight that failed.
func (a *album) forget(s *sight) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if i := slices.Index(a.recent, s); i >= 0 {
		a.drop(i)
	}
}

// close stops remembering. No request has a picture any more.
func (a *album) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.recent) > 0 {
		a.drop(0)
	}
}

// costError tells a client what a picture takes and what there is.
func costError(when string, err error) error {
	var budget *cuda.BudgetError
	if !errors.As(err, &budget) {
		return err
	}
	return sdk.Errorf(sdk.ReasonMemory, "it takes %d MB %s, and of this model's %d MB on the cpu %d MB are free; send a smaller one, or fewer at a time",
		(budget.Asked+999_999)/1e6, when, budget.Budget/1e6, max(0, budget.Budget-budget.Used)/1e6)
}

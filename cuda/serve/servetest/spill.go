package servetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/far"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
	"github.com/inference-pio/inference-pio/sdk/plan"
)

// spill.go has more requests than the cache has room for on a device: what gives way goes to the host's memory and comes back, and no token
// changes.

// What the requests of a spilling plugin are: each may fill the context, and the cache holds a few of them.
const (
	spillContext   = 256
	spillRequests  = 8
	spillPositions = 9 * 64 // of the cache, at least
)

// Spilling is one case.
type Spilling struct {
	Device sdk.DeviceBudget // besides the CPU; the zero value is none
	Seed   uint64           // of random orders and kills; 0 is none
}

// Spills runs plugins on the far device, and one on the CPU alone, which has no use for it.
func (p Plugin) Spills(t *testing.T) {
	far := sdk.DeviceBudget{Name: "far", Bytes: 64 << 20, CopyRate: 1e12, ReadRate: 1e12}
	p.Each(t, func(t *testing.T, dir string) {
		t.Run("peace", func(t *testing.T) { p.Spill(t, dir, Spilling{Device: far}) })
		t.Run("cpu", func(t *testing.T) { p.Spill(t, dir, Spilling{}) })
		t.Run("prompts", func(t *testing.T) { p.SpillPrompts(t, dir, far) })
	})
}

// SpillsInDisorder has random orders move layers and change budgets meanwhile, and the process end, on devices that run at random.
func (p Plugin) SpillsInDisorder(t *testing.T) {
	far := sdk.DeviceBudget{Name: "far", Bytes: 64 << 20, CopyRate: 1e12, ReadRate: 1e12}
	p.Each(t, func(t *testing.T, dir string) { p.atRandomPace(t).Spill(t, dir, Spilling{Device: far, Seed: 1}) })
}

// atRandomPace is p with far devices that run at random; no use of memory may be accused.
func (p Plugin) atRandomPace(t *testing.T) Plugin {
	p.Family.Far, p.pace = machines(t, far.Random(7)), far.Random(7)
	return p
}

// Spill compares the answers to requests that come all at once with those to each alone.
func (p Plugin) Spill(t *testing.T, dir string, s Spilling) {
	requests := spillRequestsOf(t, dir)
	alone, orders, load := p.spilling(t, dir, s.Device)
	want := make([][]int32, len(requests))
	for i, req := range requests {
		want[i] = IDs(Tokens(t, alone, req, nil))
	}
	if r := orders.Query(); r.Preemptions != 0 {
		t.Fatalf("%d requests gave way though each was alone", r.Preemptions)
	}
	a := &crowd{t: t, p: p, load: load, s: s, requests: requests, got: make([][]int32, len(requests))}
	a.run()
	for i := range requests {
		SameIDs(t, fmt.Sprintf("the ids of request %d", i), a.got[i], want[i])
	}
	if s.Seed == 0 {
		a.told()
	}
}

// spillRequestsOf are requests of different lengths, most of which begin alike.
func spillRequestsOf(t testing.TB, dir string) (list []sdk.GenerateRequest) {
	req := Sampled(t, dir)
	req.Tokens = req.Tokens[:min(len(req.Tokens), 100)]
	for i := range spillRequests {
		one := req
		one.Tokens = append([]int32{req.Tokens[i%len(req.Tokens)]}, req.Tokens...)
		if i%2 == 0 {
			one.Tokens = append(append([]int32(nil), req.Tokens...), req.Tokens[:i]...)
		}
		one.Sampling.Seed, one.MaxTokens = uint64(i), min(110, spillContext-len(one.Tokens))
		list = append(list, one)
	}
	return list
}

// SpillPrompts asks more prompts than the cache has room for, and all of them again: their beginnings come back from the host, with the states
// that a model has besides keys and values, and no token changes.
func (p Plugin) SpillPrompts(t *testing.T, dir string, d sdk.DeviceBudget) {
	const prompts, length = 5, 200
	req := Sampled(t, dir)
	req.MaxTokens = 4
	c, orders := p.spillingWith(t, sdk.LoadRequest{InspectRequest: sdk.InspectRequest{Path: dir, Context: spillContext, MaxSequences: 3, StepTokens: 128},
		KVSpill: 1 << 30, Devices: []sdk.DeviceBudget{{Name: "cpu"}, d}})
	var want [prompts][]int32
	before := orders.Query().Spill
	for round := range 2 {
		for i := range prompts {
			one := req
			one.Tokens = nil
			for n := range length {
				one.Tokens = append(one.Tokens, req.Tokens[(n*(i+1)+i)%len(req.Tokens)])
			}
			got := IDs(Tokens(t, c, one, nil))
			if round == 0 {
				want[i] = got
			}
			SameIDs(t, fmt.Sprintf("round %d, the ids of prompt %d", round, i), got, want[i])
		}
	}
	after := orders.Query().Spill
	if after.Saved < before.Saved+length || after.Back == before.Back || after.Used > after.Budget {
		t.Errorf("spilled were %+v", after)
	}
	t.Logf("%+v", after)
}

// spilling loads a plugin with a cache of few positions and, for one on a device, room to spill all that one request has, its state too: with less,
// how much of it comes back, if anything, is left to who finishes first. All of its layers are on the device.
func (p Plugin) spilling(t testing.TB, dir string, d sdk.DeviceBudget) (*client.Client, *Orders, sdk.LoadRequest) {
	t.Helper()
	req := sdk.LoadRequest{InspectRequest: sdk.InspectRequest{Path: dir, Context: spillContext, MaxSequences: spillRequests, StepTokens: 128}, KVSpill: 1 << 30}
	table, room := p.inspected(t, req.InspectRequest), int64(0)
	need, share := plan.NeedOf(table, req.InspectRequest).WithSpill(req.KVSpill), int64(0)
	if d.Name != "" {
		room = spillContext * need.Position
		for _, m := range table.Modules {
			room += m.StateBytesSeq
		}
	}
	for share = need.Least(); ; share += 16 * max(need.Position, 1) {
		if f, ok := need.Fit(share); ok && f.Positions >= spillPositions && f.Spill >= room {
			break
		}
	}
	if req.Devices = []sdk.DeviceBudget{{Name: "cpu", Bytes: share}}; d.Name != "" {
		req.Devices = append(req.Devices, d)
	}
	c, orders := p.spillingWith(t, req)
	return c, orders, req
}

func (p Plugin) spillingWith(t testing.TB, req sdk.LoadRequest) (*client.Client, *Orders) {
	c := p.Loaded(t, req)
	orders := NewOrders(t, c)
	if len(req.Devices) == 1 {
		return c, orders
	}
	for _, m := range orders.Query().Modules {
		if layer(m.ID) && m.Device == "cpu" {
			orders.Move(m.ID, req.Devices[1].Name)
		}
	}
	return c, orders
}

// layer says that an id is a whole layer's.
func layer(id string) bool { return strings.HasPrefix(id, "layers.") && strings.Count(id, ".") == 1 }

// crowd is requests that run all at once.
type crowd struct {
	t        *testing.T
	p        Plugin
	load     sdk.LoadRequest
	s        Spilling
	requests []sdk.GenerateRequest
	got      [][]int32
	last     sdk.Report
}

var errKilled = errors.New("the process was killed")

// run answers all of them, some in a second process where the first is killed.
func (a *crowd) run() {
	random := rand.New(rand.NewPCG(a.s.Seed, 1))
	kill := a.s.Seed != 0
	for again := true; again; kill = false {
		c, orders := a.p.spillingWith(a.t, a.load)
		ctx, cancel := context.WithCancelCause(a.t.Context())
		tokens := make(chan struct{}, 1<<16)
		var work sync.WaitGroup
		for i := range a.requests {
			work.Go(func() { a.answer(ctx, c, i, tokens) })
		}
		ended := make(chan struct{})
		go func() {
			work.Wait()
			close(ended)
		}()
		again = a.disturb(orders, random, tokens, ended, kill)
		if again {
			cancel(errKilled)
		}
		<-ended
		cancel(nil)
		a.last = orders.Query()
	}
}

// answer runs a request from where it was.
func (a *crowd) answer(ctx context.Context, c *client.Client, i int, tokens chan<- struct{}) {
	req := a.requests[i]
	if len(a.got[i]) == req.MaxTokens {
		return
	}
	req.ID = fmt.Sprintf("%s %d", a.t.Name(), i)
	if len(a.got[i]) > 0 {
		req.Resume = &sdk.Resume{Prompt: req.Tokens, Generated: append([]int32(nil), a.got[i]...)}
	}
	err := c.Generate(ctx, req, func(e sdk.Event) error {
		if e.Token != nil {
			a.got[i] = append(a.got[i], e.Token.ID)
			tokens <- struct{}{}
		}
		return nil
	})
	if err != nil && !errors.Is(context.Cause(ctx), errKilled) {
		a.t.Errorf("request %d: %v", i, err)
	}
}

// disturb gives an order now and then, and says whether the process is to be killed.
func (a *crowd) disturb(orders *Orders, random *rand.Rand, tokens <-chan struct{}, ended <-chan struct{}, kill bool) bool {
	n, due, killAt := 0, 20, 200+random.IntN(200)
	for {
		select {
		case <-ended:
			return false
		case <-tokens:
		}
		if n++; kill && n == killAt {
			return true
		}
		if a.s.Seed == 0 || n < due {
			continue
		}
		due = n + 10 + random.IntN(60)
		a.order(orders, random)
	}
}

// order moves a layer, or changes what the CPU or the device may hold. An order that cannot be carried out is refused, and that is all.
func (a *crowd) order(orders *Orders, random *rand.Rand) {
	share := a.load.Devices[0].Bytes
	switch random.IntN(3) {
	case 0:
		var layers []sdk.ModuleReport
		for _, m := range orders.Query().Modules {
			if layer(m.ID) {
				layers = append(layers, m)
			}
		}
		m, to := layers[random.IntN(len(layers))], "cpu"
		if m.Device == "cpu" {
			to = a.load.Devices[1].Name
		}
		orders.Give(sdk.Order{Move: &sdk.MoveOrder{Module: m.ID, Device: to}})
	case 1:
		orders.budget(share - random.Int64N(share/4))
	case 2:
		orders.budget(share)
	}
	r := orders.Query()
	if s := r.Spill; s.Used > s.Budget && s.Used > 0 {
		a.t.Logf("%d bytes are spilled of %d that there may be, until a step ends", s.Used, s.Budget)
	}
	for _, d := range r.Devices {
		if d.Budget > 0 && d.Used > d.Budget {
			a.t.Errorf("%s holds %d bytes of %d", d.Name, d.Used, d.Budget)
		}
	}
}

// told checks what the reports say in the end.
func (a *crowd) told() {
	s := a.last.Spill
	switch {
	case a.last.Preemptions == 0:
		a.t.Errorf("nothing gave way: the test shows nothing (%+v)", a.last)
	case s.Resumed == 0:
		a.t.Error("all of the positions of what gave way were computed again")
	case a.s.Device.Name == "" && (s.Out != 0 || s.Used != 0):
		a.t.Errorf("a cache that lies in the host's memory was spilled there: %+v", s)
	case a.s.Device.Name != "" && (s.Out == 0 || s.Back == 0 || s.Saved == 0 || s.Used > s.Budget):
		a.t.Errorf("spilled were %+v", s)
	}
	a.t.Logf("%d requests gave way: %+v", a.last.Preemptions, s)
}

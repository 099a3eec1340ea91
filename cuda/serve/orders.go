package serve

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/plan"
)

// orders.go carries out what the host says on the Scheduler stream. An order waits in the mailbox until the running step
// reaches its next border, or until no step runs, whichever comes first; what an order needs that a step forbids (see
// residency.go) is owed until that step ends. A border comes with every layer, so that orders are obeyed long before any
// deadline a person would set; the deadline itself is the host's to watch. Reports go on meanwhile.

// mailbox holds orders that nobody has looked at yet.
type mailbox struct {
	mu   sync.Mutex
	list []*order
	n    atomic.Int32
	wake chan struct{} // holds one token while there may be orders
	owed []*order      // looked at; to be finished when the step ends. Under residency.mu.
}

// order is one of the host's and where its outcome goes.
type order struct {
	sdk.Order
	before  *int64             // of a budget: what it was, once the order was looked at
	modules []sdk.ModuleReport // of a query, when it is done
	done    chan error         // buffered: one outcome
}

func (b *mailbox) waiting() bool { return b.n.Load() > 0 }

func (b *mailbox) put(o *order) {
	b.mu.Lock()
	b.list = append(b.list, o)
	b.n.Store(int32(len(b.list)))
	b.mu.Unlock()
	b.poke()
}

// poke has run look whether there is something to do.
func (b *mailbox) poke() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *mailbox) take() []*order {
	if !b.waiting() {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.list
	b.list = nil
	b.n.Store(0)
	return list
}

// post has an order carried out, in its turn: its outcome is in done then.
func (r *residency) post(o sdk.Order) *order {
	job := &order{Order: o, done: make(chan error, 1)}
	r.mailbox.put(job)
	for _, p := range r.places {
		p.m.Unsettle() // the running step asks at its next border
	}
	return job
}

// await waits until an order is carried out.
func (o *order) await(ctx context.Context) error {
	select {
	case err := <-o.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run carries out orders that come while no step runs, until ctx ends.
func (r *residency) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.mailbox.wake:
		}
		r.mu.Lock() // a step that runs gets there first, at its next border
		if r.closed {
			r.mu.Unlock()
			return
		}
		r.carry()
		r.betweenSteps(true)
		r.packSettled()
		r.settleDebts()
		r.tell()
		r.mu.Unlock()
	}
}

// carry carries out the orders that wait. mu is held.
func (r *residency) carry() {
	for _, o := range r.mailbox.take() {
		clear(r.quiet)
		err := r.execute(o)
		r.packSettled()
		if err == nil && r.inStep && r.owes(o) {
			r.mailbox.owed = append(r.mailbox.owed, o)
			continue
		}
		if !r.inStep {
			r.releaseLeft() // before anybody hears that the order is carried out
		}
		o.done <- r.outcome(o, err)
	}
}

// outcome is err, or what is still owed when nothing is left to wait for: a budget that cannot be kept is as it was then.
func (r *residency) outcome(o *order, err error) error {
	if err != nil || !r.owes(o) {
		return err
	}
	err = r.overBudget(o)
	if o.Budget != nil {
		dev, _ := r.device(o.Budget.Device)
		if o.Budget.AsFar {
			r.devices[dev].SetBudget(r.usage(dev).Used)
			return nil
		}
		r.restore(dev, *o.before)
	}
	return err
}

// settleDebts finishes what steps put off. mu is held and no step runs.
func (r *residency) settleDebts() {
	r.releaseLeft()
	for _, o := range r.mailbox.owed {
		err := r.execute(o)
		r.packSettled()
		r.releaseLeft()
		o.done <- r.outcome(o, err)
	}
	r.mailbox.owed = nil
}

// owes says that an order needs the end of the step.
func (r *residency) owes(o *order) bool {
	switch {
	case o.Budget != nil:
		dev, err := r.device(o.Budget.Device)
		return err == nil && r.usage(dev).Used > o.Budget.Bytes
	case o.Move != nil:
		p := r.place(o.Move.Module)
		return p != nil && r.devices[p.dev].Name() != o.Move.Device
	}
	return false
}

func (r *residency) overBudget(o *order) error {
	if o.Budget == nil {
		return fmt.Errorf("module %s could not be moved to %s", o.Move.Module, o.Move.Device)
	}
	dev, _ := r.device(o.Budget.Device)
	return fmt.Errorf("device %s still holds %d bytes of the %d allowed", o.Budget.Device, r.usage(dev).Used, o.Budget.Bytes)
}

func (r *residency) execute(o *order) error {
	switch {
	case o.Budget != nil:
		return r.setBudget(o)
	case o.Move != nil:
		return r.moveByOrder(*o.Move)
	case o.Query != nil:
		o.modules = r.modules()
	}
	return nil
}

// device finds a device by name.
func (r *residency) device(name string) (int, error) {
	for i, d := range r.devices {
		if d.Name() == name {
			return i, nil
		}
	}
	return 0, fmt.Errorf("no device %q in this process", name)
}

// place finds a module by id.
func (r *residency) place(id string) *place {
	return r.byID[id]
}

// moveByOrder puts one module on a device and keeps plans from moving it again.
func (r *residency) moveByOrder(o sdk.MoveOrder) error {
	p := r.place(o.Module)
	if p == nil {
		return fmt.Errorf("no module %q in this model; layers are named layers.0, layers.1 and so on", o.Module)
	}
	dev, err := r.device(o.Device)
	if err != nil {
		return err
	}
	if r.inStep && p.m.Layer < 0 {
		return nil // owed
	}
	if p.expert {
		if err := r.moveExpert(p, dev); err != nil {
			return fmt.Errorf("move %s to %s: %w", o.Module, o.Device, err)
		}
		p.fixed = true
		return nil
	}
	r.stay(p)
	r.journal.because(r.clock.Now(), "it was ordered")
	from := p.dev
	if err := r.move(p, dev); err != nil {
		return fmt.Errorf("move %s to %s: %w", o.Module, o.Device, err)
	}
	if !p.hasWeights() {
		if err := r.fetch(p); err != nil {
			if back := r.move(p, from); back != nil {
				return back
			}
			return fmt.Errorf("move %s to %s: %w", o.Module, o.Device, err)
		}
		r.journal.ordered(p, from)
	}
	p.fixed = true
	return nil
}

// setBudget changes what may be held on a device: less is obeyed here and now as far as the step allows, more is filled
// as modules are entered.
func (r *residency) setBudget(o *order) error {
	dev, err := r.device(o.Budget.Device)
	if err != nil {
		return err
	}
	bytes, d := o.Budget.Bytes, r.devices[dev]
	if o.before == nil {
		budget := d.Usage().Budget
		o.before = &budget
	}
	if dev == 0 {
		if o.Budget.AsFar {
			bytes = max(1, bytes, r.leastCPU()) // 0 would be no limit
			o.settleFor(bytes)
		}
		return r.setCPUBudget(bytes)
	}
	d.SetBudget(ledgerBudget(dev, bytes))
	r.journal.because(r.clock.Now(), fmt.Sprintf("%s may hold %s", d.Name(), plan.Size(bytes)))
	r.follow()
	r.shrink(dev, bytes)
	if least := r.stranded(dev, bytes); least > 0 {
		if o.Budget.AsFar {
			o.settleFor(least)
			d.SetBudget(least)
			return nil
		}
		r.restore(dev, *o.before)
		return fmt.Errorf("%d bytes are too few for %s: what its layers hold beside weights would have to go to the cpu, whose budget has no room "+
			"for it, so the least that works is %d; for less, give the cpu more first", bytes, d.Name(), least)
	}
	return nil
}

// settleFor makes an order that is to be obeyed as far as that can be one for so many bytes.
func (o *order) settleFor(bytes int64) {
	b := *o.Budget
	b.Bytes = bytes
	o.Budget = &b
}

// stranded is the least budget of a device with which every layer can be computed somewhere, if so many bytes are less: the device holds
// the states that are left there and no weights of a layer beside them, and the CPU's budget has no room for its states. Layers go to the
// CPU in the order in which they are entered, as bring has it. 0: the bytes do.
func (r *residency) stranded(dev int, bytes int64) int64 {
	u, cpu := r.usage(dev), r.devices[0].Usage()
	if cpu.Budget == 0 {
		return 0 // without a limit
	}
	held, free, least := u.For[cuda.ForState]+u.For[cuda.ForScratch], cpu.Budget-cpu.Used+r.packedBytes(), int64(0)
	for _, p := range r.layers {
		need, states := held+weightBytes(r.devices[dev], p.m), p.m.StateBytes()
		switch {
		case p.dev != dev || need <= bytes:
		case states <= free:
			held, free = held-states, free-states
		default:
			least = max(least, need)
		}
	}
	return least
}

// restore gives a device back the budget that it had before an order that cannot be carried out.
func (r *residency) restore(dev int, budget int64) {
	r.devices[dev].SetBudget(budget)
	if dev != 0 {
		r.follow()
	}
}

// setCPUBudget changes what may be held in the memory of this process. Weights, caches and activations cannot be given up while
// the model is loaded, so less than they take is refused; pictures come and go.
func (r *residency) setCPUBudget(bytes int64) error {
	u, packed := r.devices[0].Usage(), r.packedBytes()
	if least := r.leastCPU(); bytes < least {
		return fmt.Errorf("%d bytes are too few for the cpu: %d of weights, %d of cache and %d of scratch stay as long as the model is loaded, so "+
			"the least that works is %d; for less, set context or max_sequences in its [[model]]",
			bytes, u.For[cuda.ForWeights]-packed, u.For[cuda.ForState]-r.spilt(), u.For[cuda.ForScratch], least)
	}
	if bytes < u.Budget {
		r.copies.release()
		r.pins.giveBack()
	}
	r.devices[0].SetBudget(bytes)
	if r.crowded != nil {
		r.crowded()
	}
	r.unpack(bytes)
	return nil
}

// spilt is what the CPU holds of states for which their devices have no room. It is given up when it has to be.
func (r *residency) spilt() int64 {
	if r.spill == nil {
		return 0
	}
	return r.spill.used.Load()
}

// leastCPU is what stays in the memory of this process as long as the model is loaded.
func (r *residency) leastCPU() int64 {
	u := r.devices[0].Usage()
	return u.Used - u.For[cuda.ForPictures] - r.spilt() - r.packedBytes()
}

// ledgerBudget writes a budget as a device's ledger does, where 0 is no limit: nothing at all is one byte.
func ledgerBudget(dev int, bytes int64) int64 {
	if dev != 0 && bytes <= 0 {
		return 1
	}
	return bytes
}

// usage is what a device holds once the queue of its steps has freed all that it is to free.
func (r *residency) usage(dev int) cuda.Usage {
	if e := r.stage.Queue(dev).Mark(); e != nil {
		_ = e.Wait() // the step tells the error
	}
	return r.devices[dev].Usage()
}

// shrink makes a device hold no more than bytes: first experts and weights, which cost nothing to give up, then whole modules,
// then what orders put there.
func (r *residency) shrink(dev int, bytes int64) {
	before, evicted := r.usage(dev).Used, r.counts.evictions.Load()
	over := func() bool { return r.usage(dev).Used > bytes }
	if over() {
		r.recall(dev)
	}
	for over() && r.evictExpert(dev) {
	}
	now := r.places[len(r.places)-1] // the distance is counted from the end of the pass: later modules go first
	for over() {
		victim := r.neededLast(dev, now)
		if victim == nil {
			break
		}
		r.evict(victim)
	}
	r.journal.gaveUp(dev, int(r.counts.evictions.Load()-evicted), before-r.usage(dev).Used)
	for i := len(r.places) - 1; i >= 0 && over(); i-- {
		p := r.places[i]
		if p.dev == dev && !(r.inStep && p.m.Layer < 0) {
			_ = r.move(p, 0) // what the CPU has no room for stays, and setBudget sees to it
		}
	}
	if over() {
		r.dismissAll(dev)
	}
	if !r.inStep {
		r.releaseLeft()
	}
	trim(r.devices[dev])
}

// follow asks the planner anew and moves what it places elsewhere; what is to leave the CPU comes as steps go on.
func (r *residency) follow() {
	plan, err := r.planner(r.budgets())
	if err != nil {
		return // what does not fit goes to the CPU by shrink
	}
	r.apply(plan, func(from, to int) bool { return to == 0 })
	r.apply(plan, func(from, to int) bool { return from != 0 && to != 0 })
	r.expect(plan)
	r.noteStreamed(plan)
}

// noteStreamed keeps which modules a plan that was applied wants streamed, of those that are where it wants them.
func (r *residency) noteStreamed(plan []sdk.Placement) {
	for _, pl := range plan {
		p := r.place(pl.Module)
		if dev, err := r.device(pl.Device); p != nil && err == nil && p.dev == dev {
			p.streamed = pl.Streamed
		}
	}
}

// apply moves the modules of a plan whose move passes the filter: away from devices first, so that there is room.
func (r *residency) apply(plan []sdk.Placement, filter func(from, to int) bool) {
	for _, pl := range plan {
		p := r.place(pl.Module)
		dev, err := r.device(pl.Device)
		if p == nil || err != nil || p.fixed || p.expert || p.dev == dev || !filter(p.dev, dev) || r.inStep && p.m.Layer < 0 {
			continue
		}
		_ = r.move(p, dev) // without room it stays, which is always right if slower
	}
}

// report tells the host how things stand. It does not wait for a step.
func (r *residency) report() sdk.Report {
	fetched, registered := r.pins.share()
	rep := sdk.Report{Fetched: fetched, Registered: registered, Moves: r.counts.moves.Load(), Prefetches: r.counts.prefetches.Load(), Evictions: r.counts.evictions.Load(),
		ExpertHits: r.counts.hits.Load(), ExpertMisses: r.counts.misses.Load()}
	for n, d := range r.devices {
		u, resident := d.Usage(), cuda.Resident()
		if !cuda.OnHost(d) {
			resident = u.Used
		}
		free, total, lost := available(d)
		rep.Devices = append(rep.Devices, sdk.DeviceReport{Name: d.Name(), Budget: u.Budget, Used: u.Used, Peak: u.Peak, Resident: resident, Free: free, Total: total,
			Slower: r.meter.slower(min(n, 1)), CopyRate: r.meter.copyRate(d), Lost: lost})
	}
	return rep
}

// modules says of each where it is. mu is held.
func (r *residency) modules() (list []sdk.ModuleReport) {
	for p := range r.all {
		m := sdk.ModuleReport{ID: p.m.ID, Device: r.devices[p.dev].Name(), Seconds: p.seconds, Resident: []string{cuda.KindCPU}}
		if p.dev != 0 && p.arrived() {
			m.Resident = append(m.Resident, r.devices[p.dev].Name())
		}
		if a := r.arrivalOf(p); a != nil && a.arrived() {
			m.Resident = append(m.Resident, r.devices[a.dev].Name())
		}
		list = append(list, m)
	}
	return list
}

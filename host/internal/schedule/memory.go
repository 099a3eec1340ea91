// memory.go promises the CPU's memory, each byte once. A model asks for a share before it loads, with what its plugin says it
// takes, and keeps it through deaths and restarts, until it is stopped, taken out, or in quarantine. Those that come
// together are served together: the division waits until each has asked or has failed to come so far.
package schedule

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/host/internal/telemetry"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/machine"
	sdkplan "github.com/inference-pio/inference-pio/sdk/plan"
)

// dealTime is how long those that have asked wait for those that are expected: a plugin that hangs at its start does not
// hold up the others. It is left what they leave.
const dealTime = 15 * time.Second

// Budget is what there is of the CPU's memory for models.
type Budget struct {
	Bytes int64  // 0: unknown, and nothing is limited
	From  string // where the number comes from
}

// BudgetOf is what an entry for the cpu says, or what the machine and its cgroups have, less a reserve.
func BudgetOf(c *config.Config, m machine.Memory) Budget {
	for _, d := range c.Devices {
		if d.Name == "cpu" && d.Memory > 0 {
			from := `memory of [[device]] "cpu"`
			if m.Total > 0 && d.Memory > m.Total {
				from += fmt.Sprintf(", which is more than there is: %s in %s", sdkplan.Size(m.Total), m.From)
			}
			return Budget{d.Memory, from}
		}
	}
	return Budget{m.Usable(), fmt.Sprintf("%s in %s, less a reserve", sdkplan.Size(m.Total), m.From)}
}

// memory is the CPU's.
type memory struct {
	log *slog.Logger

	mu      sync.Mutex
	budget  Budget // what holds now: base, or less while the machine runs short
	base    Budget
	tight   bool                    // the machine runs short
	ceiling int64                   // of all shares, then
	tenants []*tenant               // in the order in which they were first expected
	known   map[*model]sdkplan.Need // of those that come on demand
	changed chan struct{}           // closed when a share is given back, and renewed
}

// tenant is a model that has a share, asks for one, or is expected to.
type tenant struct {
	model  *model
	need   sdkplan.Need
	asks   chan struct{} // non-nil while it waits for the division, which closes it
	served bool          // it has a share
	share  int64
	whole  int64 // its share before the machine ran short; 0: it has all of it
	late   bool  // it is not waited for any more
	err    error
}

func newMemory(b Budget, log *slog.Logger) *memory {
	return &memory{budget: b, base: b, log: log, known: map[*model]sdkplan.Need{}, changed: make(chan struct{})}
}

// know keeps what a model takes that is loaded on demand. While it is away the others are given shares as if it were there.
func (y *memory) know(m *model, need sdkplan.Need) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.known[m] = need
}

// forget is for a model that does not come any more.
func (y *memory) forget(m *model) {
	y.mu.Lock()
	defer y.mu.Unlock()
	delete(y.known, m)
}

// tooLarge is the error of a model that does not fit even alone.
func (y *memory) tooLarge(need sdkplan.Need) error {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.budget.Bytes == 0 || need.Least() <= y.budget.Bytes {
		return nil
	}
	return y.refusal(&tenant{need: need}, nil)
}

// news is closed when somebody next gives a share back.
func (y *memory) news() <-chan struct{} {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.changed
}

// left is what nobody has.
func (y *memory) left() int64 {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.free(nil)
}

// announce says what there is. What other programs hold now is not taken off: it comes and goes, and a [[device]] says less
// where it stays.
func (y *memory) announce(available int64) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.budget.Bytes == 0 {
		y.log.Warn("the system does not tell how much memory it has; models take what they want")
		return
	}
	y.log.Info("memory for models", "bytes", sdkplan.Size(y.budget.Bytes), "from", y.budget.From, "available now", sdkplan.Size(available))
}

// resize changes what there is. Those that have shares keep them.
func (y *memory) resize(b Budget) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.base = b
	y.limit()
	if free := y.free(nil); b.Bytes > 0 && free < 0 {
		y.log.Warn("the models hold more than there now is for them; restart some", "held", sdkplan.Size(b.Bytes-free), "bytes", sdkplan.Size(b.Bytes))
	}
}

// expect has the next division wait for a model, unless it has its share.
func (y *memory) expect(m *model) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.tenant(m).late = false
}

// find is a model's tenant, nil if it has none. mu is held.
func (y *memory) find(m *model) *tenant {
	i := slices.IndexFunc(y.tenants, func(t *tenant) bool { return t.model == m })
	if i < 0 {
		return nil
	}
	return y.tenants[i]
}

// tenant finds or makes a model's. mu is held.
func (y *memory) tenant(m *model) *tenant {
	t := y.find(m)
	if t == nil {
		t = &tenant{model: m}
		y.tenants = append(y.tenants, t)
	}
	return t
}

// held is the share that a model has, with what it was given for.
func (y *memory) held(m *model) (share int64, need sdkplan.Need, ok bool) {
	y.mu.Lock()
	defer y.mu.Unlock()
	t := y.find(m)
	if t == nil || !t.served {
		return 0, sdkplan.Need{}, false
	}
	return t.share, t.need, true
}

// claim waits for the division and returns the model's share, 0 if nothing is limited. An error of sdk.ReasonMemory says
// that it does not fit beside the others.
func (y *memory) claim(ctx context.Context, m *model, need sdkplan.Need) (int64, error) {
	y.mu.Lock()
	t := y.tenant(m)
	if t.served {
		y.mu.Unlock()
		return t.share, nil
	}
	asks := make(chan struct{})
	t.need, t.asks, t.err = need, asks, nil
	y.deal()
	y.mu.Unlock()
	late := time.NewTimer(dealTime)
	defer late.Stop()
	for {
		select {
		case <-asks:
			y.mu.Lock()
			defer y.mu.Unlock()
			return t.share, t.err
		case <-ctx.Done():
			y.leave(m, false)
			return 0, context.Cause(ctx)
		case <-late.C:
			y.overdue()
		}
	}
}

// Asked is a model with what it needs, and Share what it gets of it.
type (
	Asked struct {
		Model config.Model
		Need  sdkplan.Need
	}
	Share struct {
		Bytes int64
		Err   error // why it gets none
	}
)

// Shares divides what there is between models as a host does that starts with them.
func Shares(b Budget, models []Asked) []Share {
	y := newMemory(b, telemetry.Discard())
	for _, a := range models {
		y.tenants = append(y.tenants, &tenant{model: &model{entry: a.Model}, need: a.Need, asks: make(chan struct{})})
	}
	y.deal()
	shares := make([]Share, len(models))
	for i, t := range y.tenants {
		shares[i] = Share{t.share, t.err}
	}
	return shares
}

// overdue ends the wait for those that have not asked.
func (y *memory) overdue() {
	y.mu.Lock()
	defer y.mu.Unlock()
	for _, t := range y.tenants {
		if !t.served && t.asks == nil && !t.late {
			t.late = true
			y.log.Warn("memory is divided without a model that has not come so far as to say what it needs", "model", t.model.entry.ID)
		}
	}
	y.deal()
}

// leave takes a model out: it gives its share back, or is not expected any more. scarce says that the machine is to have the bytes.
func (y *memory) leave(m *model, scarce bool) (gave bool) {
	y.mu.Lock()
	defer y.mu.Unlock()
	t := y.find(m)
	if t == nil {
		return false
	}
	y.tenants = slices.DeleteFunc(y.tenants, func(o *tenant) bool { return o == t })
	if t.served {
		if y.tight && scarce {
			y.ceiling -= t.share
			y.limit()
		}
		close(y.changed)
		y.changed = make(chan struct{})
	}
	y.deal()
	return t.served
}

// deal divides what is free between those that ask, once nobody is waited for. mu is held.
func (y *memory) deal() {
	var asking []*tenant
	var claims []sdkplan.Claim
	for _, t := range y.tenants {
		switch {
		case t.asks != nil:
			asking = append(asking, t)
			claims = append(claims, sdkplan.Claim{Priority: t.model.entry.Priority, Least: t.need.Least(), Wanted: t.need.Wanted()})
		case !t.served && !t.late:
			return
		}
	}
	free := y.free(nil)
	shares := sdkplan.Share(max(0, free), append(claims, y.absent(claims)...))[:len(claims)]
	if y.budget.Bytes == 0 {
		clear(shares)
	}
	for i, t := range asking {
		if t.served = shares[i] != sdkplan.NoShare; t.served {
			t.share = shares[i]
		}
	}
	for _, t := range asking {
		if !t.served {
			t.err = y.refusal(t, asking)
		}
	}
	for _, t := range asking {
		close(t.asks)
		if t.asks = nil; !t.served {
			t.late = true // until it comes again
		}
	}
}

// absent are the claims that those who are away would make: as many as fit leave the others what they would if all had come together.
// None of them comes before one that is there. mu is held.
func (y *memory) absent(present []sdkplan.Claim) (claims []sdkplan.Claim) {
	if len(present) == 0 {
		return nil
	}
	lowest := slices.MinFunc(present, func(a, b sdkplan.Claim) int { return cmp.Compare(a.Priority, b.Priority) }).Priority
	for m, need := range y.known {
		if t := y.find(m); t == nil || !t.served && t.asks == nil {
			claims = append(claims, sdkplan.Claim{Priority: min(lowest, m.entry.Priority), Least: need.Least(), Wanted: need.Wanted()})
		}
	}
	slices.SortFunc(claims, func(a, b sdkplan.Claim) int { return cmp.Compare(a.Least, b.Least) })
	return claims
}

// free is what nobody has but perhaps one. mu is held.
func (y *memory) free(but *tenant) int64 {
	free := y.budget.Bytes
	for _, t := range y.tenants {
		if t.served && t != but {
			free -= t.share
		}
	}
	return free
}

// refusal says what a model lacks, who has it, and what to change. Those that were served with it would do with their least.
// mu is held.
func (y *memory) refusal(t *tenant, together []*tenant) error {
	least := func(o *tenant) int64 {
		if slices.Contains(together, o) {
			return o.need.Least()
		}
		return o.share
	}
	free := y.budget.Bytes
	for _, o := range y.tenants {
		if o.served {
			free -= least(o)
		}
	}
	free = max(0, free)
	text := fmt.Sprintf("there is not enough memory for it: it takes at least %s (%s), and of %s for models (%s) %s are free",
		sdkplan.Size(t.need.Least()), t.need.Takes(), sdkplan.Size(y.budget.Bytes), y.budget.From, sdkplan.Size(free))
	if others := y.others(least); others != "" {
		text += " beside " + others
	}
	switch advice := t.need.Advice(free); {
	case advice != "":
		text += "; " + advice + " in its [[model]]"
	case free < y.budget.Bytes:
		text += "; stop one of them, or set a smaller context or max_sequences in its [[model]]"
	default:
		text += "; it needs a machine with more, or a smaller model"
	}
	return sdk.Errorf(sdk.ReasonMemory, "%s", text)
}

// others lists who has how much, the largest first. mu is held.
func (y *memory) others(has func(*tenant) int64) string {
	have := slices.DeleteFunc(slices.Clone(y.tenants), func(t *tenant) bool { return !t.served || has(t) == 0 })
	slices.SortStableFunc(have, func(a, b *tenant) int { return cmp.Compare(has(b), has(a)) })
	var names []string
	for _, t := range have {
		names = append(names, fmt.Sprintf("%s (%s)", t.model.entry.ID, sdkplan.Size(has(t))))
	}
	return strings.Join(names, ", ")
}

// yield gives the model's share back; others may wait for it.
func (m *model) yield() {
	m.vacate()
	if m.host.memory.leave(m, false) {
		m.host.freed(m)
	}
}

// inspectTime bounds the question what a checkpoint takes, which is answered from its headers.
const inspectTime = time.Minute

// promise is the model's share of the CPU's memory. One that has none asks its plugin what the checkpoint takes, and then for it.
func (m *model) promise(ctx context.Context, l *life) (int64, error) {
	if share, _, ok := m.host.memory.held(m); ok {
		return share, nil
	}
	in, err := m.inspect(ctx, l)
	if err != nil {
		return 0, err
	}
	need := sdkplan.NeedOf(in.Table, m.entry.Inspect()).WithSpill(m.entry.Spill())
	share, err := m.claim(ctx, need)
	if fit, ok := need.Fit(share); ok && err == nil {
		in.Table.CachePositions = fit.Positions
		m.expected(in.Table)
	}
	return share, err
}

// inspect asks a process what the checkpoint takes. One that cannot say is no error.
func (m *model) inspect(ctx context.Context, l *life) (sdk.Inspection, error) {
	limited, cancel := context.WithTimeout(ctx, inspectTime)
	defer cancel()
	in, err := l.Inspect(limited, m.entry.Inspect())
	switch {
	case limited.Err() != nil && ctx.Err() == nil:
		return in, fmt.Errorf("its plugin does not say within %v what the checkpoint takes", inspectTime)
	case err != nil && sdk.ReasonOf(err) != sdk.ReasonUnimplemented:
		return in, err
	case err == nil && in.Fit == sdk.FitNone:
		return in, sdk.Errorf(sdk.ReasonCheckpoint, "%s", in.Reason)
	}
	return in, nil
}

// tell logs what a model that was loaded takes of its share.
func (m *model) tell(t sdk.LayerTable) {
	share, n, _ := m.host.memory.held(m)
	if !n.Known() {
		return
	}
	m.log.Info("memory of the model", "share", sdkplan.Size(share), "weights", sdkplan.Size(n.Weights), "cache", sdkplan.Size(int64(t.CachePositions)*n.Position),
		"state", sdkplan.Size(n.State), "scratch", sdkplan.Size(t.ScratchBytes), "context", t.Context, "sequences", t.MaxSequences)
	if n.Context == 0 && t.Context < n.Positions {
		m.log.Info("no context is set in the model's entry: the largest that fits is taken", "context", t.Context, "checkpoint", n.Positions)
	}
	if f, ok := n.Fit(share); ok && f.Weights < n.Weights {
		m.log.Warn("the weights do not all stay in memory; the others are read from the disk when they are needed",
			"weights", sdkplan.Size(n.Weights), "in memory", sdkplan.Size(f.Weights))
	}
}

// reshare changes a model's share by an operator's order, as far as it is free and the next process could load with it: the one
// there is may hold less than it was counted with, as long as nobody shows it a picture. undo takes that back.
func (y *memory) reshare(m *model, bytes int64) (before int64, undo func(), err error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	t := y.find(m)
	if t == nil || !t.served {
		return 0, nil, fmt.Errorf("model %s has no share of the cpu's memory yet", m.entry.ID)
	}
	if least := t.need.Least(); bytes < least {
		return 0, nil, fmt.Errorf("%d bytes are too few for the cpu: model %s takes at least %s, so the least that works is %d; for less, set context or max_sequences in its [[model]]",
			bytes, m.entry.ID, t.need.Takes(), least)
	}
	before = t.share
	if most := y.free(t); y.budget.Bytes > 0 && bytes > before && bytes > most {
		return 0, nil, fmt.Errorf("%d bytes of the cpu's memory are more than there is for model %s: of %d for models (%s) the others have %d, so the most that works is %d",
			bytes, m.entry.ID, y.budget.Bytes, y.budget.From, y.budget.Bytes-most, max(0, most))
	}
	whole := t.whole
	t.share = bytes
	if t.whole = 0; bytes < whole {
		t.whole = whole
	}
	return before, func() {
		y.mu.Lock()
		defer y.mu.Unlock()
		t.share, t.whole = before, whole
	}, nil
}

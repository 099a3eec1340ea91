// room.go makes room in the CPU's memory for a model that is called and does not fit beside the others. One makes room at a time, in the
// order in which they came: whoever was just loaded answers all who waited for it before it may have to leave again.
package schedule

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
	sdkplan "github.com/inference-pio/inference-pio/sdk/plan"
)

// claim is the model's share of the memory. One that comes on demand and does not fit has others leave.
func (m *model) claim(ctx context.Context, need sdkplan.Need) (int64, error) {
	y := m.host.memory
	if !m.pushes() {
		return y.claim(ctx, m, need)
	}
	y.know(m, need)
	mine := turn{all: m.host.making}
	if err := mine.take(ctx); err != nil {
		return 0, err
	}
	defer mine.yield()
	for {
		share, err := y.claim(ctx, m, need)
		if sdk.ReasonOf(err) != sdk.ReasonMemory {
			m.set(func(s *Status) { s.Reason = "" })
			return share, err
		}
		changed := y.news()
		made, ended := m.makeRoom(ctx, need.Least(), changed)
		if ended != nil || !made {
			return 0, cmp.Or(ended, err)
		}
	}
}

func (m *model) pushes() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.demand.pushes
}

// makeRoom has others leave: idle ones, the least recently used first; if that is not enough, whoever first has answered those who
// have asked it so far. It returns when somebody has left. made is false if all that may leave are not enough.
func (m *model) makeRoom(ctx context.Context, least int64, changed <-chan struct{}) (made bool, err error) {
	lacking := least - m.host.memory.left()
	if lacking <= 0 { // somebody has left by itself
		return true, nil
	}
	list := m.host.loaded(m)
	var sum int64
	for _, r := range list {
		sum += r.share
	}
	if sum < lacking {
		return false, nil
	}
	m.set(func(s *Status) { s.Reason = "it waits for room: " + inTheWay(list, least) })
	going := idle(list, lacking)
	if going == nil {
		going = list
	}
	for _, r := range going {
		r.model.give()
	}
	defer func() {
		for _, r := range going {
			r.model.stay()
		}
	}()
	select {
	case <-changed:
		return true, nil
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}

// roomer is a model that may have to leave.
type roomer struct {
	model *model
	share int64
	busy  bool
	used  time.Time
}

// loaded lists those that may leave, in the order in which they should: the lowest priority first, of equals the least recently used.
func (h *Host) loaded(but *model) (list []roomer) {
	h.mu.Lock()
	models := slices.Clone(h.models)
	h.mu.Unlock()
	for _, m := range models {
		share, _, held := h.memory.held(m)
		if m == but || !held || share == 0 {
			continue
		}
		m.mu.Lock()
		if d := &m.demand; !d.pinned && m.will.wish == wishRun {
			list = append(list, roomer{m, share, m.will.admitted > 0 || m.comesUp(), d.used})
		}
		m.mu.Unlock()
	}
	slices.SortStableFunc(list, func(a, b roomer) int {
		return cmp.Or(cmp.Compare(a.model.entry.Priority, b.model.entry.Priority), a.used.Compare(b.used))
	})
	return list
}

// idle picks one that nobody uses: if one alone makes enough room, the first of those. nil if all are in use.
func idle(list []roomer, lacking int64) []roomer {
	var first []roomer
	for _, r := range list {
		if r.busy {
			continue
		}
		if r.share >= lacking {
			return []roomer{r}
		}
		if first == nil {
			first = []roomer{r}
		}
	}
	return first
}

func inTheWay(list []roomer, least int64) string {
	var names []string
	for _, r := range list {
		names = append(names, fmt.Sprintf("%s (%s)", r.model.entry.ID, sdkplan.Size(r.share)))
	}
	return fmt.Sprintf("it takes at least %s, and there are %s", sdkplan.Size(least), strings.Join(names, ", "))
}

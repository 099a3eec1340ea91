// outdated.go: the files of a checkpoint were written to while a process had them mapped. What it would compute is worth nothing, so
// it is replaced by one that loads what lies there now, and no answer that was begun with the old weights goes on with the new.
package schedule

import (
	"context"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
)

// settleMost is how long the next start waits for files that keep changing.
const settleMost = 10 * time.Minute

// outdates says whether the error of a call means that its process is of no use any more: its weights, or a device that it computes on.
func outdates(err error) bool { return sdk.ReasonOf(err) == sdk.ReasonChanged || forsakes(err) }

// outdate has l replaced, for the first who was told why, and waits until it is gone.
func (m *model) outdate(ctx context.Context, l *life, why error) error {
	l.outdating.Do(func() { l.outdated <- why })
	select {
	case <-l.buried:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// begun says that the client may have seen something that depends on the weights.
func (f *flight) begun() bool {
	return len(f.ids) > 0 || f.start != nil && len(f.start.PromptLogprobs) > 0
}

// tie notes the weights that an answer is begun with; it does not go on with others.
func (f *flight) tie(l *life) error {
	if !f.begun() {
		f.weights = l.weights
	}
	if f.weights != l.weights {
		return sdk.Errorf(sdk.ReasonChanged, "the model was loaded anew with other weights after %d tokens of this answer; ask again", len(f.ids))
	}
	return nil
}

// settleFiles waits until what the next start depends on has come to rest: files are written to for a while.
func (m *model) settleFiles(ctx context.Context, why error) {
	m.set(func(s *Status) {
		s.State, s.Reason, s.Retry, s.PID = StateRestarting, why.Error(), time.Now().Add(markEvery), 0
	})
	m.log.Warn("the checkpoint was written to; it is loaded anew when its files have come to rest", "error", why)
	limit := time.NewTimer(settleMost)
	defer limit.Stop()
	ticker := time.NewTicker(markEvery)
	defer ticker.Stop()
	for last := m.host.o.Mark(m.entry); ; {
		select {
		case <-ticker.C:
		case <-limit.C:
			return
		case <-m.poke:
			return
		case <-ctx.Done():
			return
		}
		now := m.host.o.Mark(m.entry)
		if now == last {
			return
		}
		last = now
	}
}

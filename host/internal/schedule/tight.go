// tight.go is the CPU's memory while the machine runs short of it: shares are less than they were, and all together have a ceiling, so that
// what one gives up is not the next one's.
package schedule

import "cmp"

// limit is what holds of the base. mu is held.
func (y *memory) limit() {
	y.budget = y.base
	if y.tight && y.base.Bytes > 0 && y.ceiling < y.base.Bytes {
		y.budget = Budget{max(1, y.ceiling), "what other programs leave: the machine runs short of memory"}
	}
}

// rebase takes what there now is, without what others hold. It says whether that is more than it was.
func (y *memory) rebase(b Budget) (more bool) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if b == y.base {
		return false
	}
	more = b.Bytes > y.base.Bytes
	y.base = b
	y.limit()
	return more
}

// over is by how much the shares exceed what there is.
func (y *memory) over() int64 {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.base.Bytes == 0 {
		return 0
	}
	return max(0, y.sum()-y.base.Bytes)
}

// promised is what all shares come to.
func (y *memory) promised() int64 {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.sum()
}

// sum is what all shares come to. mu is held.
func (y *memory) sum() (sum int64) {
	for _, t := range y.tenants {
		if t.served {
			sum += t.share
		}
	}
	return sum
}

// strain keeps the shares together from growing by more than what is spare. What they could be at some time they can be from then on.
func (y *memory) strain(spare int64) {
	y.mu.Lock()
	defer y.mu.Unlock()
	most := y.sum() + max(0, spare)
	if y.tight {
		most = max(most, y.ceiling)
	}
	y.tight, y.ceiling = true, most
	y.limit()
}

// relax ends that.
func (y *memory) relax() {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.tight, y.ceiling = false, 0
	y.limit()
}

// squeezed notes that a model's process holds no more than so many bytes from now on. Its share is not less than what the next one needs.
func (y *memory) squeezed(m *model, bytes int64) {
	y.mu.Lock()
	defer y.mu.Unlock()
	t := y.find(m)
	if t == nil || !t.served {
		return
	}
	if share := max(bytes, t.need.Least()); share < t.share {
		if y.tight {
			y.ceiling -= t.share - share
			y.limit()
		}
		t.whole, t.share = cmp.Or(t.whole, t.share), share
	}
}

// squeezedLast is a model that has less than it had, and what it can have; nil if all have what they had.
func (y *memory) squeezedLast() (m *model, bytes int64) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for i := len(y.tenants) - 1; i >= 0; i-- {
		if t := y.tenants[i]; t.served && t.whole > t.share {
			return t.model, max(t.share, min(t.whole, t.share+y.free(nil)))
		}
	}
	return nil, 0
}

// unsqueeze forgets that a model had more.
func (y *memory) unsqueeze(m *model) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if t := y.find(m); t != nil {
		t.whole = 0
	}
}

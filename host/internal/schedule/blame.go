// blame.go finds the request that a plugin dies of, and keeps those that only happened to be on board.
//
// A request gets on when it has had `enough` tokens since it boarded; whoever got on is trusted. A death tells something of those
// on board that had not. The rules are in doc.go; each is a few lines here. Everything is under the model's mu.
package schedule

import (
	"cmp"
	"slices"
)

const (
	// maxStrikes is how many deaths a request may cause before it fails.
	maxStrikes = 3
	// enough tokens since it boarded show that a request does not kill its plugin.
	enough = 32
	// firstPatience is how many deaths in a row a request may be near before it is suspected; it doubles when a search found
	// nobody to blame, up to lastPatience.
	firstPatience, lastPatience = 2, 64
	// contrast is how much longer than with it the others must live without a suspect before its death counts.
	contrast = 3
)

// conduct is what the deaths so far say of one request.
type conduct struct {
	trusted bool // it got on in this process or the one before
	gained  int  // tokens since it boarded
	joined  int  // life.tokens when it boarded
	deaths  int  // in a row that it was on board of, untrusted
	strikes int  // of those, as a suspect and the only one untrusted
	blank   int  // in a row that it was on board of alone, without a token
	bar     int  // tokens that the others have to have without it before it may board again; 0: none
}

// guilty says that the request is to fail.
func (c *conduct) guilty() bool { return max(c.strikes, c.blank) >= maxStrikes }

// mayBoard says whether f may run in l now.
func (m *model) mayBoard(f *flight, l *life) bool {
	if !m.status.Silent.IsZero() { // frozen, perhaps: it is waited for, or for the next process
		return false
	}
	next := m.nextSuspect()
	switch {
	case f == next:
		return untrusted(l) == nil
	case f.bar > 0:
		return false
	case slices.Contains(m.suspects, f):
		return false // it is not its turn
	}
	return f.trusted || next == nil
}

// nextSuspect is whose turn it is to show that the plugin does not die of it; nil if nobody's.
func (m *model) nextSuspect() *flight {
	for _, s := range m.suspects {
		if s.bar == 0 {
			return s
		}
	}
	return nil
}

// untrusted lists those on board that have not got on.
func untrusted(l *life) (list []*flight) {
	for f := range l.aboard {
		if !f.trusted {
			list = append(list, f)
		}
	}
	slices.SortFunc(list, func(a, b *flight) int { return cmp.Compare(a.number, b.number) })
	return list
}

// blame draws the consequences of the death of l.
func (m *model) blame(l *life) {
	list := untrusted(l)
	for _, f := range list {
		f.deaths++
	}
	switch len(list) {
	case 0: // it died without any suspect
		m.acquit(true)
		for f := range l.aboard {
			if f.gained < enough {
				f.trusted, f.deaths = false, 1
			}
		}
	case 1:
		m.charge(list[0], l)
	}
	for _, f := range list {
		if f.deaths >= m.patience && !slices.Contains(m.suspects, f) {
			m.suspects = append(m.suspects, f)
		}
	}
	m.endSearch()
}

// charge notes a death for which one request alone can be to blame.
func (m *model) charge(f *flight, l *life) {
	alone := len(l.aboard) == 1
	switch {
	case !alone:
	case f.gained == 0:
		f.blank++
	default:
		f.blank = 0
		if m.flying == 1 { // nobody else suffers, and it gets on, in whatever steps
			m.suspects, f.deaths, f.strikes = nil, 0, 0
		}
	}
	struck := alone && f.gained == 0
	if f.deaths >= m.patience {
		struck = true
		f.strikes++
		f.bar = max(enough, contrast*(l.tokens-f.joined))
		m.suspects = append(slices.DeleteFunc(m.suspects, func(s *flight) bool { return s == f }), f) // behind the others
	}
	if struck {
		m.host.o.Metrics.Strikes.WithLabelValues(m.entry.ID).Inc()
	}
}

// advance notes a token of f in l.
func (m *model) advance(f *flight, l *life) {
	f.gained++
	m.trouble = 0 // the process has done something of what it is for
	if f.gained == enough {
		m.patience = firstPatience
		f.trusted, f.deaths, f.strikes, f.blank = true, 0, 0, 0
		m.dropSuspect(f)
	}
	m.lived(l, 1)
}

// lived notes that the process has done work of that many tokens, all of them without the suspects that sit out: those may board
// again when it was enough.
func (m *model) lived(l *life, tokens int) {
	l.tokens += tokens
	for _, s := range m.suspects {
		if s.bar > 0 && l.tokens >= s.bar {
			s.bar = 0
			m.change()
		}
	}
}

// dropSuspect takes a request off the suspects: it got on, or it has ended.
func (m *model) dropSuspect(f *flight) {
	m.suspects = slices.DeleteFunc(m.suspects, func(s *flight) bool { return s == f })
	m.endSearch()
	m.change()
}

// endSearch ends a search that cannot go on, since all there are sit out: nobody is left to show what the plugin does without them.
func (m *model) endSearch() {
	if m.flying == 0 || len(m.suspects) < m.flying || m.nextSuspect() != nil {
		return
	}
	m.acquit(false)
}

// acquit ends a search that found nobody to blame. outside says that the process died with no suspect on board: then also those
// that were alone with it are cleared.
func (m *model) acquit(outside bool) {
	if len(m.suspects) > 0 {
		m.patience = min(2*m.patience, lastPatience)
	}
	for _, f := range m.suspects {
		f.deaths, f.strikes, f.bar = 0, 0, 0
		if outside {
			f.blank = 0
		}
	}
	m.suspects = nil
}

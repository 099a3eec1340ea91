// snapshots.go keeps states of a fixed size as they were at block borders. A model that has such a state cannot begin in the
// middle of a prompt from the blocks alone: it needs the state that belongs there, and that is overwritten as the sequence
// goes on. So copies are kept, each in a place of its own, of the borders where prompts are expected to part.

package engine

type snapshots struct {
	list  []snapshot
	clock uint64
	// leaves, if set, is told of one whose place is taken for another.
	leaves func(snapshot)
}

type snapshot struct {
	place int32
	of    content // 0: empty
	at    int     // behind so many positions
	used  uint64  // by the clock
}

// newSnapshots has n places, numbered from first on.
func newSnapshots(first, n int) *snapshots {
	s := &snapshots{}
	for i := range n {
		s.list = append(s.list, snapshot{place: int32(first + i)})
	}
	return s
}

// find returns the place of the state behind some content.
func (s *snapshots) find(c content) (place int32, ok bool) {
	for i := range s.list {
		if e := &s.list[i]; c != 0 && e.of == c {
			s.clock++
			e.used = s.clock
			return e.place, true
		}
	}
	return 0, false
}

// keep gives a place to the state behind some content, which is of so many positions: that of the one that was used longest ago. False: it
// has one, or there is no place at all.
func (s *snapshots) keep(c content, positions int) (place int32, ok bool) {
	if _, known := s.find(c); known || len(s.list) == 0 {
		return 0, false
	}
	oldest := &s.list[0]
	for i := range s.list {
		if s.list[i].used < oldest.used {
			oldest = &s.list[i]
		}
	}
	if s.leaves != nil && oldest.of != 0 {
		s.leaves(*oldest)
	}
	s.clock++
	oldest.of, oldest.at, oldest.used = c, positions, s.clock
	return oldest.place, true
}

// drop empties a place.
func (s *snapshots) drop(place int32) {
	for i := range s.list {
		if s.list[i].place == place {
			s.list[i].of, s.list[i].used = 0, 0
		}
	}
}

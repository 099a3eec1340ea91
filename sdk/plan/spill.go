package plan

// spill.go weighs the two ways to what a sequence needs and its device has no room for: a copy in the host's memory, or computing it again.

// Spill is one case of it.
type Spill struct {
	Links      []Link
	Positions  int     // that would be computed again
	RowSeconds float64 // that one of them takes beside others of a step, as measured; 0: not known
	// Chance is how likely it is that what is copied out is wanted back. Of a sequence that lost its place it is 1, of the beginning of a prompt
	// what share of prompts was found in the cache so far.
	Chance float64
}

// Link is what lies on one device and how fast it is copied.
type Link struct {
	Bytes int64
	Rate  float64 // bytes per second to and from the host's memory, as measured; 0: no limit is known
}

// CopySeconds is a copy in one direction: of one device after the other, since they share the host's memory.
func (s Spill) CopySeconds() (t float64) {
	for _, l := range s.Links {
		if l.Rate > 0 {
			t += float64(l.Bytes) / l.Rate
		}
	}
	return t
}

// ComputeSeconds is computing it again.
func (s Spill) ComputeSeconds() float64 { return float64(s.Positions) * s.RowSeconds }

// Back says whether a copy in the host's memory is brought back in less time than is computed. As long as nobody knows how long that takes, it
// is: a link that is slower than a processor is rare.
func (s Spill) Back() bool { return s.RowSeconds <= 0 || s.CopySeconds() < s.ComputeSeconds() }

// Out says whether to copy to the host's memory what is about to be overwritten: the way out is certain, the way back, and what it saves,
// are as likely as Chance.
func (s Spill) Out() bool {
	back := s.CopySeconds()
	return s.RowSeconds <= 0 || back+s.Chance*back < s.Chance*s.ComputeSeconds()
}

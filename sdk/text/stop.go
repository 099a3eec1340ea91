// stop.go finds stop strings in text that arrives in pieces. The result does not depend on where the pieces are cut: the
// text ends with the stop string that is complete first, and of those complete at the same byte the longest counts.

package text

import (
	"strings"

	"github.com/inference-pio/inference-pio/sdk"
)

const (
	maxStops      = 64
	maxStopLength = 4096 // bytes
)

type stopper struct {
	stops []string
	held  string // the longest end of the text so far that begins a stop string
	found string // the one that ended the text, "" before that
}

func newStopper(stops []string) (*stopper, error) {
	if len(stops) > maxStops {
		return nil, invalid("stop", "%d stop strings; at most %d are looked for", len(stops), maxStops)
	}
	for i, s := range stops {
		if s == "" || len(s) > maxStopLength {
			return nil, invalid("stop", "stop string %d has %d bytes; it must have 1 to %d", i, len(s), maxStopLength)
		}
	}
	return &stopper{stops: stops}, nil
}

// push returns the text that is certain not to belong to a stop string. After a stop string was found it returns nothing.
func (s *stopper) push(piece string) string {
	if s.found != "" || piece == "" {
		return ""
	}
	if len(s.stops) == 0 {
		return piece
	}
	text := s.held + piece
	if from, stop := s.first(text); stop != "" {
		s.held, s.found = "", stop
		return text[:from]
	}
	keep := len(text) - s.begun(text)
	s.held = text[keep:]
	return text[:keep]
}

// first is the stop string that is complete first, and where it begins; "" if none is.
func (s *stopper) first(text string) (from int, found string) {
	end := len(text) + 1
	for _, stop := range s.stops {
		if i := strings.Index(text, stop); i >= 0 && (i+len(stop) < end || i+len(stop) == end && i < from) {
			from, end, found = i, i+len(stop), stop
		}
	}
	return from, found
}

// begun is the length of the longest end of text that is the beginning of a stop string.
func (s *stopper) begun(text string) int {
	longest := 0
	for _, stop := range s.stops {
		for n := min(len(stop)-1, len(text)); n > longest; n-- {
			if strings.HasSuffix(text, stop[:n]) {
				longest = n
			}
		}
	}
	return longest
}

// flush returns what was held back, once no more text will come.
func (s *stopper) flush() string {
	held := s.held
	s.held = ""
	return held
}

func invalid(field, format string, args ...any) error {
	err := sdk.Errorf(sdk.ReasonInvalid, format, args...)
	err.Field = field
	return err
}

// figures.go says how long an answer took, and how many tokens it was.
package main

import (
	"fmt"
	"time"
)

// tokenCount is the usage object of the API.
type tokenCount struct {
	In      int `json:"prompt_tokens"`
	Out     int `json:"completion_tokens"`
	Details struct {
		Cached int `json:"cached_tokens"`
	} `json:"prompt_tokens_details"`
}

// stopwatch takes the times of one answer, as whoever reads it sees them.
type stopwatch struct{ begin, first time.Time }

func (w *stopwatch) said(now time.Time) {
	if w.first.IsZero() {
		w.first = now
	}
}

func (w *stopwatch) figures(tokens *tokenCount, now time.Time) figures {
	f := figures{tokens: tokens}
	if !w.first.IsZero() {
		f.first, f.rest = w.first.Sub(w.begin), now.Sub(w.first)
	}
	return f
}

// figures of one answer.
type figures struct {
	tokens *tokenCount   // nil: the host did not come to tell them
	first  time.Duration // to the first token
	rest   time.Duration // from there to the end
}

// String is "" for an answer that was not counted.
func (f figures) String() string {
	if f.tokens == nil {
		return ""
	}
	s := fmt.Sprintf("%d tokens in, %d of them cached; %d out", f.tokens.In, f.tokens.Details.Cached, f.tokens.Out)
	if f.first > 0 {
		s += fmt.Sprintf("; the first after %.2f s", f.first.Seconds())
	}
	if f.rest > 0 && f.tokens.Out > 1 { // the first is not part of the rest
		s += fmt.Sprintf("; %.1f tokens/s", float64(f.tokens.Out-1)/f.rest.Seconds())
	}
	return s
}

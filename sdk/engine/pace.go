// pace.go sizes steps by time. An answer under way gets its next token when the step ends, so a step that also computes a prompt
// must not be long; how many rows that is, is measured. What is measured decides no bit: a row does not depend on its company.

package engine

import "time"

type pace struct {
	target time.Duration // of a step that has answers under way; 0: as many rows as there is room for
	least  int           // rows, however long they take
	base   float64       // seconds of a step without prompts: a mean
	row    float64       // seconds that a prompt's row adds: a mean, 0 before it was measured
}

// pacing is the weight of the newest measurement.
const pacing = 0.3

// rows is how many rows of prompts go into a step with answers under way, most at the most.
func (p *pace) rows(most int) int {
	switch {
	case p.target == 0:
		return most
	case p.row == 0:
		return min(p.least, most)
	}
	n := (p.target.Seconds() - p.base) / p.row
	return min(max(int(min(n, float64(most))), p.least), most)
}

// took learns from a step of so many rows of prompts.
func (p *pace) took(rows int, d time.Duration) {
	if rows == 0 {
		p.base = mean(p.base, d.Seconds())
		return
	}
	if more := d.Seconds() - p.base; rows >= p.least && more > 0 { // fewer rows say little: the weights are read once for them all
		p.row = mean(p.row, more/float64(rows))
	}
}

func mean(old, newest float64) float64 {
	if old == 0 {
		return newest
	}
	return old + pacing*(newest-old)
}

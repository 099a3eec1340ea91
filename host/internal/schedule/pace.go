// pace.go is how many tokens a model has given of late.
package schedule

import "time"

const paceSpan = 10 // seconds

// pace counts the tokens of each of the last seconds. Under the model's mu.
type pace struct {
	counts [paceSpan]int
	second int64 // of the newest count
}

func (p *pace) add(now time.Time) {
	p.roll(now)
	p.counts[p.second%paceSpan]++
}

// roll forgets what is older than the span.
func (p *pace) roll(now time.Time) {
	second := now.Unix()
	for s := max(p.second+1, second-paceSpan+1); s <= second; s++ {
		p.counts[s%paceSpan] = 0
	}
	p.second = max(p.second, second)
}

// rate is in tokens per second, of the last ten.
func (p *pace) rate(now time.Time) float64 {
	p.roll(now)
	sum := 0
	for _, n := range p.counts {
		sum += n
	}
	return float64(sum) / paceSpan
}

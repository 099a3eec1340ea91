// meter.go says how fast bytes come, and how long the rest will take.
package hub

import (
	"fmt"
	"sync/atomic"
	"time"
)

const (
	meterEvery = 250 * time.Millisecond
	meterSpan  = 10 * time.Second // of which the rate is
)

// tally is what those who fetch count together.
type tally struct {
	bytes atomic.Int64 // that are here, whenever they came
	came  atomic.Int64 // from the network in this run: what the rate is of
	files atomic.Int64
}

type meter struct {
	plan    *Plan
	tally   *tally
	samples []sample // of the last span, oldest first
}

type sample struct {
	at   time.Time
	came int64
}

// run shows the progress until it is stopped, and once more then.
func (m *meter) run(show func(Progress)) (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(meterEvery)
		defer tick.Stop()
		for {
			show(m.at(time.Now()))
			select {
			case <-tick.C:
			case <-end:
				show(m.at(time.Now()))
				return
			}
		}
	}()
	return func() { close(end); <-ended }
}

func (m *meter) at(now time.Time) Progress {
	came := m.tally.came.Load()
	m.samples = append(m.samples, sample{now, came})
	for now.Sub(m.samples[0].at) > meterSpan {
		m.samples = m.samples[1:]
	}
	p := Progress{Bytes: m.tally.bytes.Load(), Total: m.plan.Bytes, Files: int(m.tally.files.Load()), Of: len(m.plan.Files)}
	first := m.samples[0]
	if span := now.Sub(first.at); span > 0 && came > first.came {
		p.Rate = float64(came-first.came) / span.Seconds()
		p.Left = time.Duration(float64(p.Total-p.Bytes) / p.Rate * float64(time.Second)).Round(time.Second)
	}
	return p
}

// String is the progress in a line.
func (p Progress) String() string {
	text := fmt.Sprintf("%s of %s", sized(p.Bytes), sized(p.Total))
	if p.Total > 0 {
		text = fmt.Sprintf("%d%% of %s", 100*p.Bytes/p.Total, sized(p.Total))
	}
	if p.Of > 1 {
		text += fmt.Sprintf(", %d of %d files", p.Files, p.Of)
	}
	if p.Rate > 0 {
		text += fmt.Sprintf(", %s/s", sized(int64(p.Rate)))
		if p.Bytes < p.Total {
			text += fmt.Sprintf(", %v left", p.Left)
		}
	}
	return text
}

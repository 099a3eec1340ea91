// advance.go says how fast a Load comes on, and how long the rest will take.
package schedule

import (
	"time"

	"github.com/inference-pio/inference-pio/sdk"
)

// advanceSpan is how far back the rate of a Load looks: long enough that one large module does not move it much.
const advanceSpan = 10 * time.Second

// advance keeps the messages of a stage of Load, the newest and those of the last span, and one before them.
type advance struct {
	stage  string
	points []loadPoint
}

type loadPoint struct {
	at   time.Time
	done int64
}

// rate takes a message of Load and gives the bytes per second of the last span; 0 as long as there are not two messages of the stage.
func (a *advance) rate(p sdk.Progress, now time.Time) float64 {
	if last := len(a.points) - 1; p.Stage != a.stage || last >= 0 && p.Done < a.points[last].done {
		a.stage, a.points = p.Stage, nil
	}
	a.points = append(a.points, loadPoint{now, p.Done})
	for len(a.points) > 2 && now.Sub(a.points[1].at) > advanceSpan {
		a.points = a.points[1:]
	}
	first := a.points[0]
	span := now.Sub(first.at).Seconds()
	if span <= 0 {
		return 0
	}
	return float64(p.Done-first.done) / span
}

// Left is how long the stage of a Load under way will take at the rate it has; 0: not known, or nothing is left.
func (s Status) Left() time.Duration {
	rest := s.Progress.Total - s.Progress.Done
	if s.LoadRate <= 0 || rest <= 0 {
		return 0
	}
	const most = 1000 * time.Hour
	if seconds := float64(rest) / s.LoadRate; seconds < most.Seconds() {
		return time.Duration(seconds * float64(time.Second)).Round(time.Second)
	}
	return most
}

package serve

import (
	"errors"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
)

// shelf is files that can be changed.
type shelf struct {
	changed, cut error
	looks        int
}

func (s *shelf) Unchanged() error { s.looks++; return s.changed }
func (s *shelf) Cut() error       { return s.cut }

func TestChangesAreFoundWithinASecondAndKept(t *testing.T) {
	s, now := &shelf{}, time.Unix(1000, 0)
	v := &vigil{files: []watched{s}, now: func() time.Time { return now }}
	for range 100 { // steps of 10 ms
		if err := v.before(); err != nil {
			t.Fatal(err)
		}
		now = now.Add(10 * time.Millisecond)
	}
	if s.looks != 1 {
		t.Errorf("%d looks within a second", s.looks)
	}
	s.changed = errors.New("was written to")
	if err := v.before(); sdk.ReasonOf(err) != sdk.ReasonChanged || err.Error() != "was written to" {
		t.Errorf("a second later: %v", err)
	}
	s.changed, now = nil, now.Add(time.Hour)
	if v.before() == nil || v.after() == nil {
		t.Error("what was found is forgotten")
	}
}

func TestWhatCouldNotBeReadIsFoundBeforeItIsTold(t *testing.T) {
	s := &shelf{}
	v := &vigil{files: []watched{s}, now: time.Now}
	if err := errors.Join(v.before(), v.after()); err != nil {
		t.Fatal(err)
	}
	s.cut = errors.New("was cut")
	if err := v.after(); sdk.ReasonOf(err) != sdk.ReasonChanged {
		t.Errorf("after a step: %v", err)
	}
	if err := v.before(); err == nil { // though it looked a moment ago
		t.Error("the next step runs")
	}
}

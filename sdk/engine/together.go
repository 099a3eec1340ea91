// together.go has several goroutines make the choices of a step that the model left to the engine: each takes up to a millisecond at a vocabulary of
// 150,000 ids, while nothing else goes on.

package engine

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// togetherLeast is a vocabulary at which choices take long enough for goroutines.
const togetherLeast = 1 << 14

// choosers are what choices are made with. Which goroutine makes which says nothing of what is chosen.
type choosers struct {
	open  []open
	works []workspace
}

// open is a choice that all logits of a row are to make.
type open struct {
	choice *Choice
	logits []float32
}

// choose makes the choices of a step's parts that are not made, if there are several. What one part's logits are needed for besides is left: making a
// choice overwrites them.
func (t *choosers) choose(s *scheduler, logits [][]float32) {
	t.open = t.open[:0]
	for _, p := range s.parts {
		n := p.logits()
		if p.output && p.q.phase != gone && !p.q.sampler.next.Made() && len(s.followers(p.q)) == 0 {
			t.open = append(t.open, open{&p.q.sampler.next, logits[n-1]})
		}
		logits = logits[n:]
	}
	t.make(min(s.config.cores(), len(t.open)))
	clear(t.open) // logits are the model's
}

func (c *Config) cores() int {
	if c.Cores == nil {
		return runtime.GOMAXPROCS(0)
	}
	return c.Cores()
}

// make makes them by so many goroutines, this one too; with one alone they are left to whoever asks for each.
func (t *choosers) make(goroutines int) {
	if goroutines < 2 || len(t.open[0].logits) < togetherLeast {
		return
	}
	for len(t.works) < goroutines {
		t.works = append(t.works, workspace{})
	}
	var next atomic.Int64
	work := func(w *workspace) {
		for {
			i := int(next.Add(1)) - 1
			if i >= len(t.open) {
				return
			}
			o := &t.open[i]
			o.choice.work = w
			o.choice.From(o.logits)
		}
	}
	var others sync.WaitGroup
	for i := range goroutines - 1 {
		others.Go(func() { work(&t.works[i]) })
	}
	work(&t.works[goroutines-1])
	others.Wait()
}

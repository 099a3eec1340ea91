// together.go has several goroutines do what a step's rows of logits are left to the engine for: to choose ids, and to say how likely those of a prompt
// were. Each row takes up to a millisecond at a vocabulary of 150,000 ids, while nothing else goes on.

package engine

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// togetherLeast is a vocabulary at which rows take long enough for goroutines.
const togetherLeast = 1 << 14

// choosers are what that is done with. Which goroutine has which row says nothing of what comes of it.
type choosers struct {
	open  []open
	works []*workspace
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
	if len(t.open) > 1 { // one alone is left to whoever asks for it
		t.each(s.config, len(t.open), func(w *workspace, i int) {
			t.open[i].choice.work = w
			t.open[i].choice.From(t.open[i].logits)
		})
	}
	clear(t.open) // logits are the model's
}

func (c *Config) cores() int {
	if c.Cores == nil {
		return runtime.GOMAXPROCS(0)
	}
	return c.Cores()
}

// each calls do for 0 to n-1, from as many goroutines as there are cores, this one too, each with memory of its own to work in.
func (t *choosers) each(c *Config, n int, do func(w *workspace, i int)) {
	goroutines := 1
	if c.Vocab >= togetherLeast {
		goroutines = max(1, min(c.cores(), n))
	}
	for len(t.works) < goroutines {
		t.works = append(t.works, new(workspace))
	}
	var next atomic.Int64
	work := func(w *workspace) {
		for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
			do(w, i)
		}
	}
	var others sync.WaitGroup
	for i := range goroutines - 1 {
		others.Go(func() { work(t.works[i]) })
	}
	work(t.works[goroutines-1])
	others.Wait()
}

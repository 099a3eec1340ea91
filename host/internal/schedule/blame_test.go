package schedule

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
)

// fed is how many tokens the process has given an answer before the one at index.
func fed(req sdk.GenerateRequest, index int) int {
	if req.Resume == nil {
		return index
	}
	return index - len(req.Resume.Generated)
}

// tick is how long the fakes of these tests take for a token.
const tick = 100 * time.Millisecond

// paced makes a token each tick, and has the process die before the token that dies says.
func paced(dies func(p *fakeProcess, req sdk.GenerateRequest, index int) bool) func(p *fakeProcess) error {
	return func(p *fakeProcess) error {
		p.before = func(ctx context.Context, p *fakeProcess, req sdk.GenerateRequest, index int) {
			select {
			case <-time.After(tick):
			case <-p.calls:
			case <-ctx.Done():
			}
			if dies != nil && dies(p, req, index) {
				p.die(syscall.SIGSEGV)
			}
		}
		return nil
	}
}

// kill ends the process there is after each pause, as somebody outside would, until stop is closed.
func (w *world) kill(stop <-chan struct{}, pause func() time.Duration) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(pause()):
		}
		w.mu.Lock()
		p := w.procs[len(w.procs)-1]
		w.mu.Unlock()
		p.die(syscall.SIGKILL)
	}
}

// A stream that gets on survives any number of kills, however few tokens lie between them, and waits for none of them.
func TestALoneStreamSurvivesFiftyKills(t *testing.T) {
	for _, between := range []int{1, 10, 50} {
		t.Run(fmt.Sprint(between), func(t *testing.T) {
			inWorld(t, paced(func(p *fakeProcess, req sdk.GenerateRequest, index int) bool {
				return p.number <= 50 && fed(req, index) == between
			}), func(w *world) {
				tokens := 51 * between
				began := time.Now()
				w.ask(100, tokens).complete(w, 100, tokens)
				if s := w.Models()[0]; s.Deaths != 50 {
					t.Errorf("%d deaths", s.Deaths)
				}
				if took, most := time.Since(began), time.Duration(tokens+51)*tick; took > most {
					t.Errorf("it took %v, more than the tokens and those begun anew: %v", took, most)
				}
			})
		})
	}
}

// A prompt that the plugin dies of before the first token is stopped after three deaths.
func TestAPromptThatKillsIsStoppedAfterThree(t *testing.T) {
	inWorld(t, paced(func(_ *fakeProcess, _ sdk.GenerateRequest, index int) bool { return index == 0 }), func(w *world) {
		o := w.ask(100, 5)
		o.wait(w)
		var told *sdk.Error
		if !errors.As(o.err, &told) || told.Reason != sdk.ReasonInternal || !strings.Contains(o.err.Error(), "died 3 times of this request, the last time after 0 tokens") {
			t.Errorf("it ended with %v", o.err)
		}
		time.Sleep(longestBackoff)
		if s := w.Models()[0]; s.Deaths != 3 || s.State != StateReady {
			t.Errorf("%d deaths, %s", s.Deaths, s.State)
		}
	})
}

// A request that its plugin dies of every three tokens gets on in steps that nobody who is alone would mind. Those beside it do
// better without it: so it is told apart, stopped alone, and they finish.
func TestARequestThatKillsAgainAndAgainIsToldApart(t *testing.T) {
	const poison = 666
	kills := paced(func(_ *fakeProcess, req sdk.GenerateRequest, index int) bool {
		return req.Tokens[0]%1000 == poison && fed(req, index) == 3
	})
	for _, c := range []struct {
		name    string
		poisons int
		arrival int // of the poison among the others
		tokens  int // of the others' answers
	}{{"oldest", 1, 0, 300}, {"in the middle", 1, 2, 300}, {"youngest", 1, 4, 300}, {"two of them", 2, 1, 300}, {"among short answers", 1, 1, 20}} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, kills, func(w *world) {
				var good, bad []*outcome
				for i := range 5 {
					if i == c.arrival {
						for n := range c.poisons {
							bad = append(bad, w.ask(poison+int32(1000*n), 10_000))
							synctest.Wait()
						}
					}
					good = append(good, w.ask(int32(10_000*(i+1)), c.tokens))
					synctest.Wait()
				}
				for i, o := range good {
					o.complete(w, int32(10_000*(i+1)), c.tokens)
				}
				if c.tokens < 100 {
					return // those beside it may have ended before it was told apart, and it minds nobody
				}
				for _, o := range bad {
					o.wait(w)
					if sdk.ReasonOf(o.err) != sdk.ReasonInternal || o.err == nil || !strings.Contains(o.err.Error(), "died 3 times of this request") {
						t.Errorf("the poison ended with %v after %d bytes", o.err, len(o.text))
					}
				}
				if s := w.Models()[0]; s.Deaths > 14*c.poisons {
					t.Errorf("it took %d deaths", s.Deaths)
				}
			})
		})
	}
}

// Who joins trusted streams and kills is struck at once: they are not suspected with it, and go on together.
func TestANewcomerThatKillsIsKnownByItsCompany(t *testing.T) {
	const poison = 666
	inWorld(t, paced(func(_ *fakeProcess, req sdk.GenerateRequest, index int) bool {
		return req.Tokens[0] == poison && fed(req, index) == 3
	}), func(w *world) {
		var good []*outcome
		for i := range 3 {
			good = append(good, w.ask(int32(10_000*(i+1)), 2000))
		}
		time.Sleep(2 * enough * tick)
		bad := w.ask(poison, 1000)
		bad.wait(w)
		if bad.err == nil || !strings.Contains(bad.err.Error(), "died 3 times of this request") {
			t.Errorf("the poison ended with %v", bad.err)
		}
		if s := w.Models()[0]; s.Deaths != 4 { // the first may have been chance
			t.Errorf("%d deaths", s.Deaths)
		}
		for i, o := range good {
			o.complete(w, int32(10_000*(i+1)), 2000)
		}
		for n := 2; n <= 5; n++ {
			if most := w.process(n).most; most < 3 {
				t.Errorf("process %d had %d requests at once", n, most)
			}
		}
	})
}

// Kills from outside, however fast, lose no stream and starve none: whoever is suspected meanwhile is acquitted.
func TestKillsFromOutsideLoseNobody(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	every := func(d time.Duration) func() time.Duration { return func() time.Duration { return d } }
	for name, pause := range map[string]func() time.Duration{
		"every token":      every(tick + tick/2),
		"every 5 tokens":   every(5*tick + tick/2),
		"every 40 tokens":  every(40*tick + tick/2),
		"at random":        func() time.Duration { return time.Duration(random.ExpFloat64() * 20 * float64(tick)) },
		"seldom at random": func() time.Duration { return time.Duration(random.ExpFloat64() * 100 * float64(tick)) },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, paced(nil), func(w *world) {
				stop := make(chan struct{})
				go w.kill(stop, pause)
				const tokens = 300
				var list []*outcome
				took := make([]time.Duration, 4)
				began := time.Now()
				for i := range took {
					req := sdk.GenerateRequest{Tokens: []int32{int32(10_000 * (i + 1))}, MaxTokens: tokens}
					list = append(list, w.askWith(context.Background(), req, func(e sdk.Event) error {
						took[i] = time.Since(began)
						return nil
					}))
				}
				for i, o := range list {
					o.complete(w, int32(10_000*(i+1)), tokens)
				}
				close(stop)
				if first, last := slices.Min(took), slices.Max(took); last > 3*first {
					t.Errorf("the first had its answer after %v, the last after %v", first, last)
				}
			})
		})
	}
}

// Two prompts that kill before their first token, and nobody else, end too.
func TestPromptsThatKillEndEvenAmongThemselves(t *testing.T) {
	inWorld(t, paced(func(_ *fakeProcess, _ sdk.GenerateRequest, index int) bool { return index == 0 }), func(w *world) {
		list := []*outcome{w.ask(100, 5), w.ask(200, 5), w.ask(300, 5)}
		for _, o := range list {
			o.wait(w)
			if sdk.ReasonOf(o.err) != sdk.ReasonInternal || o.err == nil {
				t.Errorf("ended with %v", o.err)
			}
		}
		if s := w.Models()[0]; s.Deaths > 25 {
			t.Errorf("%d deaths", s.Deaths)
		}
	})
}

// The pause before a restart grows only while nothing comes of the restarts: six kills between tokens cost no pause.
func TestARestartAfterWorkIsImmediate(t *testing.T) {
	inWorld(t, paced(func(p *fakeProcess, req sdk.GenerateRequest, index int) bool {
		return p.number <= 6 && fed(req, index) == 2
	}), func(w *world) {
		w.ask(100, 20).complete(w, 100, 20)
		times := w.startTimes()
		for i, at := range times[1:] {
			if want := time.Duration(i+1) * 3 * tick; at != want {
				t.Errorf("restart %d came at %v, want %v", i+1, at, want)
			}
		}
	})
}

// A stream that never has 32 tokens between two kills from outside, since it reads a long prompt anew each time, while those beside
// it do: they do no better without it, so it is not to blame.
func TestALongPromptAmongKillsIsNotToBlame(t *testing.T) {
	inWorld(t, func(p *fakeProcess) error {
		p.before = func(ctx context.Context, p *fakeProcess, req sdk.GenerateRequest, index int) {
			pause := tick
			if req.Tokens[0] == 666 && fed(req, index) == 0 {
				pause = 35 * tick
			}
			select {
			case <-time.After(pause):
			case <-p.calls:
			case <-ctx.Done():
			}
		}
		return nil
	}, func(w *world) {
		stop := make(chan struct{})
		go w.kill(stop, func() time.Duration { return 40*tick + tick/2 })
		slow := w.ask(666, 100)
		var list []*outcome
		for i := range 3 {
			list = append(list, w.ask(int32(10_000*(i+1)), 3000))
		}
		slow.complete(w, 666, 100)
		for i, o := range list {
			o.complete(w, int32(10_000*(i+1)), 3000)
		}
		close(stop)
	})
}

// court is a model with requests, to judge deaths by hand.
type court struct {
	*model
	list []*flight
}

func newCourt(requests int) *court {
	c := &court{model: newModel(New(Options{Config: emptyConfig()}), emptyConfig().Models[0], nil)}
	for i := range requests {
		c.list = append(c.list, &flight{model: c.model, number: uint64(i)})
	}
	c.flying = requests
	return c
}

// process is one with the requests of those numbers on board.
func (c *court) process(aboard ...int) *life {
	l := &life{aboard: map[*flight]bool{}}
	for _, n := range aboard {
		f := c.list[n]
		f.gained, f.joined = 0, l.tokens
		l.aboard[f] = true
	}
	return l
}

// feed gives the requests tokens, one each in turn.
func (c *court) feed(l *life, tokens int, numbers ...int) {
	for range tokens {
		for _, n := range numbers {
			c.advance(c.list[n], l)
		}
	}
}

// may lists who may board l now, if it stands aside from it.
func (c *court) may(l *life) (list []int) {
	for n, f := range c.list {
		if !l.aboard[f] && c.mayBoard(f, l) {
			list = append(list, n)
		}
	}
	return list
}

func TestWhoMayBoardWhileSomebodyIsSuspected(t *testing.T) {
	c := newCourt(4) // 0 and 1 will be suspects, 2 trusted, 3 is new
	for range firstPatience {
		c.blame(c.process(0, 1))
	}
	l := c.process(2)
	if got := c.may(l); got != nil {
		t.Errorf("beside one that has not got on: %v", got)
	}
	c.feed(l, enough, 2)
	if got := c.may(l); !slices.Equal(got, []int{0}) {
		t.Errorf("beside one that got on: %v, expected the first suspect alone", got)
	}
	if got := c.may(c.process()); !slices.Equal(got, []int{0, 2}) {
		t.Errorf("an empty process: %v, expected the first suspect and who got on", got)
	}
	l = c.process(0, 2)
	if got := c.may(l); got != nil {
		t.Errorf("beside a suspect: %v", got)
	}
	c.blame(l) // a strike against 0, which sits out: 1 is next
	if got := c.may(c.process()); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("after a strike: %v", got)
	}
	c.dropSuspect(c.list[1])
	if got := c.may(c.process()); !slices.Equal(got, []int{1, 2, 3}) {
		t.Errorf("while the only suspect sits out: %v", got)
	}
	l = c.process(2)
	c.feed(l, enough-1, 2)
	if got := c.may(l); slices.Contains(got, 0) {
		t.Error("it may board before the others have shown that they live without it")
	}
	c.feed(l, 1, 2)
	if got := c.may(l); !slices.Equal(got, []int{0}) {
		t.Errorf("when they have: %v", got)
	}
	c.status.Silent = time.Now()
	if got := c.may(l); got != nil {
		t.Errorf("a process that does not answer: %v", got)
	}
}

func TestWhatADeathSays(t *testing.T) {
	suspect := func(c *court, n int) *flight { // with the first request as its company, which got on
		f := c.list[n]
		for range firstPatience - 1 {
			c.blame(c.process(n, 0))
		}
		return f
	}
	trusted := func() *court {
		c := newCourt(3)
		c.feed(c.process(0), enough, 0)
		return c
	}
	t.Run("a request that gets on begins anew", func(t *testing.T) {
		c := trusted()
		f := suspect(c, 1)
		for range maxStrikes + 1 {
			c.blame(c.process(0, 1))
			if f.strikes != 1 || f.guilty() {
				t.Fatalf("%+v", f.conduct)
			}
			c.feed(c.process(0, 1), enough, 1)
			c.blame(c.process(1)) // near a death once more
		}
	})
	t.Run("nobody is trusted for ever", func(t *testing.T) {
		c := trusted()
		for range firstPatience {
			c.blame(c.process(0))
		}
		if f := c.list[0]; f.trusted || f.deaths != firstPatience {
			t.Errorf("%+v", f.conduct)
		}
	})
	t.Run("the others are asked for three times what they had beside it", func(t *testing.T) {
		c := trusted()
		f := suspect(c, 1)
		l := c.process(0)
		c.feed(l, 1000, 0)
		f.gained, f.joined = 0, l.tokens
		l.aboard[f] = true
		c.feed(l, 50, 0)
		if c.blame(l); f.bar != contrast*50 || f.strikes != 1 {
			t.Errorf("%+v", f.conduct)
		}
	})
	t.Run("a death without suspects ends the search, and the next begins later", func(t *testing.T) {
		c := trusted()
		f := suspect(c, 1)
		c.blame(c.process(0, 1))
		f.blank = 2
		if c.blame(c.process(0)); f.bar != 0 || f.strikes != 0 || f.blank != 0 || c.patience != 2*firstPatience || len(c.suspects) != 0 {
			t.Errorf("%+v, patience %d", f.conduct, c.patience)
		}
		if c.feed(c.process(1), enough, 1); c.patience != firstPatience {
			t.Errorf("after one got on: patience %d", c.patience)
		}
	})
	t.Run("where all sit out the search ends, but not for those that never had a token", func(t *testing.T) {
		c := newCourt(2)
		for range firstPatience {
			c.blame(c.process(0, 1))
		}
		c.blame(c.process(0))
		if c.blame(c.process(1)); len(c.suspects) != 0 || c.list[0].strikes != 0 || c.list[0].blank != 1 || c.patience != 2*firstPatience {
			t.Errorf("%d suspects, %+v", len(c.suspects), c.list[0].conduct)
		}
	})
	t.Run("a token ends a row of blanks", func(t *testing.T) {
		c := newCourt(1)
		c.blame(c.process(0))
		c.blame(c.process(0))
		l := c.process(0)
		c.feed(l, 1, 0)
		if c.blame(l); c.list[0].blank != 0 || c.list[0].deaths != 0 || c.list[0].guilty() {
			t.Errorf("%+v", c.list[0].conduct)
		}
		for range maxStrikes {
			c.blame(c.process(0))
		}
		if !c.list[0].guilty() {
			t.Errorf("after three more: %+v", c.list[0].conduct)
		}
	})
}

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

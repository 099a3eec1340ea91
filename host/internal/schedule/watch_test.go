package schedule

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
)

// stall is what the world's entry says.
const stall = 2 * time.Minute

// reporting has the process report each second, with the progress that advance gives.
func reporting(p *fakeProcess, advance func(second int) uint64) {
	go func() {
		for second := 0; ; second++ {
			select {
			case <-time.After(time.Second):
				p.reports <- sdk.Report{Progress: advance(second)}
			case <-p.calls:
				return
			}
		}
	}()
}

// stuck has the first process do nothing more for an answer at its second token.
func stuck(ctx context.Context, p *fakeProcess, _ sdk.GenerateRequest, index int) {
	if p.number == 1 && index == 1 {
		p.freeze(ctx)
	}
}

// Its health answers, its reports come: but what it was asked for stands still. It is killed in time and the answer goes on.
func TestAProcessWhoseWorkStandsStillIsKilled(t *testing.T) {
	for name, c := range map[string]struct {
		progress uint64
		after    time.Duration
	}{"that tells of progress": {7, stall}, "that does not tell": {0, generous * stall}} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(p *fakeProcess) error {
				reporting(p, func(int) uint64 { return c.progress })
				p.before = stuck
				return nil
			}, func(w *world) {
				began := time.Now()
				w.ask(100, 3).complete(w, 100, 3)
				took := time.Since(began)
				if most := c.after + c.after/looks + 2*time.Second; took < c.after || took > most {
					t.Errorf("it took %v, expected %v to %v", took, c.after, most)
				}
				if s := w.Models()[0]; s.Deaths != 1 || !w.process(1).Exit().Killed {
					t.Errorf("%d deaths, %v", s.Deaths, w.process(1).Exit())
				}
			})
		})
	}
}

// What is slow, and says so, is waited for; so is a client that does not read, and nobody is hurried who has nothing to do.
func TestWhoIsSlowIsNotKilled(t *testing.T) {
	t.Run("a long step", func(t *testing.T) {
		inWorld(t, func(p *fakeProcess) error {
			reporting(p, func(second int) uint64 { return 1 + uint64(second)/100 }) // a layer takes 100 seconds
			p.before = func(context.Context, *fakeProcess, sdk.GenerateRequest, int) { time.Sleep(time.Hour) }
			return nil
		}, func(w *world) {
			w.ask(100, 3).complete(w, 100, 3)
			if s := w.Models()[0]; s.Deaths != 0 {
				t.Errorf("%d deaths", s.Deaths)
			}
		})
	})
	t.Run("a slow client", func(t *testing.T) {
		inWorld(t, func(p *fakeProcess) error {
			reporting(p, func(int) uint64 { return 7 })
			return nil
		}, func(w *world) {
			o := w.askWith(context.Background(), sdk.GenerateRequest{Tokens: []int32{100}, MaxTokens: 3}, func(sdk.Event) error {
				time.Sleep(time.Hour)
				return nil
			})
			o.complete(w, 100, 3)
			if s := w.Models()[0]; s.Deaths != 0 {
				t.Errorf("%d deaths", s.Deaths)
			}
		})
	})
	t.Run("nothing to do", func(t *testing.T) {
		inWorld(t, func(p *fakeProcess) error {
			reporting(p, func(int) uint64 { return 7 })
			return nil
		}, func(w *world) {
			time.Sleep(24 * time.Hour)
			w.ask(100, 3).complete(w, 100, 3)
			if s := w.Models()[0]; s.Deaths != 0 {
				t.Errorf("%d deaths", s.Deaths)
			}
		})
	})
}

// A question that is never answered is a standstill too.
func TestAQuestionThatIsNeverAnsweredEnds(t *testing.T) {
	inWorld(t, func(p *fakeProcess) error {
		reporting(p, func(int) uint64 { return 7 })
		p.word = func(p *fakeProcess, text string) {
			if text == "hangs" {
				<-p.calls
			}
		}
		return nil
	}, func(w *world) {
		_, err := w.Tokenize(context.Background(), "m", "hangs")
		if sdk.ReasonOf(err) != sdk.ReasonInternal || err == nil || !strings.Contains(err.Error(), "made no progress for") {
			t.Errorf("it ended with %v", err)
		}
	})
}

// Load has no bound of its own: it may take hours. It ends when it stands still, and says where.
func TestALoadThatStandsStillEnds(t *testing.T) {
	inWorld(t, func(p *fakeProcess) error {
		p.load = func(ctx context.Context, p *fakeProcess, _ sdk.LoadRequest, progress func(sdk.Progress)) error {
			for i := range 12 {
				progress(sdk.Progress{Stage: "bind", Done: int64(i) * 5e6, Total: 60e6})
				if p.number == 1 && i == 6 {
					p.freeze(ctx)
					return ended(ctx)
				}
				time.Sleep(generous*stall - time.Minute)
			}
			return nil
		}
		return nil
	}, func(w *world) {
		time.Sleep(7*generous*stall + generous*stall/looks)
		synctest.Wait()
		if s := w.Models()[0]; s.Starts != 2 || s.State != StateLoading {
			t.Errorf("%d starts, %s, %q", s.Starts, s.State, s.Reason)
		}
		w.mu.Lock()
		why := w.why
		w.mu.Unlock()
		if !strings.Contains(why, "its plugin stood still for 10m") || !strings.Contains(why, "while it loaded (bind, 30 of 60 MB)") {
			t.Errorf("the reason was %q", why)
		}
		for w.Models()[0].State == StateLoading {
			time.Sleep(time.Minute)
		}
		if s := w.Models()[0]; !s.Ready() || s.Starts != 2 {
			t.Errorf("%d starts, %s", s.Starts, s.State)
		}
	})
}

// Reports have what the entry can have; the rest is dropped, whatever it is called.
func TestReportsAreHeldToTheEntry(t *testing.T) {
	inWorld(t, func(p *fakeProcess) error {
		p.order = func(sdk.Order) sdk.Report {
			r := sdk.Report{Devices: []sdk.DeviceReport{{Name: "cpu", Used: 1}, {Name: "far", Used: 2}, {Name: "far", Used: 3}}}
			for i := range 1000 {
				r.Devices = append(r.Devices, sdk.DeviceReport{Name: "gpu." + strings.Repeat("x", i)})
				r.Modules = append(r.Modules, sdk.ModuleReport{ID: "layers.1"}, sdk.ModuleReport{ID: "nowhere"})
			}
			return r
		}
		return nil
	}, func(w *world) {
		r, err := w.Order(context.Background(), "m", sdk.Order{Query: &sdk.QueryOrder{}})
		if err != nil || len(r.Modules) != 1 || r.Modules[0].ID != "layers.1" || len(r.Devices) != 2 || r.Devices[1].Used != 2 {
			t.Errorf("%d modules, devices %v, %v", len(r.Modules), r.Devices, err)
		}
		for _, f := range w.scrape() {
			if strings.HasPrefix(f.GetName(), "pio_device_") && len(f.GetMetric()) != 2 {
				t.Errorf("%s has %d series", f.GetName(), len(f.GetMetric()))
			}
		}
	})
}

// A plugin gets nothing past what was asked for; whoever asked is told what it did, and the process goes on.
func TestAnswersAreHeldToTheRequest(t *testing.T) {
	long := strings.Repeat("a", textAhead+textPerToken)
	many := func(n int) *sdk.TokenLogprob { return &sdk.TokenLogprob{Top: make([]sdk.TopLogprob, n)} }
	token := func(t sdk.Token) sdk.Event { return sdk.Event{Token: &t} }
	start := sdk.Event{Start: &sdk.Start{Prompt: []int32{100}}}
	for _, c := range []struct {
		name   string
		req    sdk.GenerateRequest
		events []sdk.Event
		want   string // "": nothing is wrong
	}{
		{"as asked", sdk.GenerateRequest{MaxTokens: 2}, []sdk.Event{start, token(sdk.Token{}), token(sdk.Token{Index: 1}), {Finish: &sdk.Finish{}}}, ""},
		{"a token too many", sdk.GenerateRequest{MaxTokens: 2}, []sdk.Event{start, token(sdk.Token{}), token(sdk.Token{Index: 1}), token(sdk.Token{Index: 2})}, "more than the 2 tokens"},
		{"beyond the context", sdk.GenerateRequest{}, []sdk.Event{start, token(sdk.Token{}), token(sdk.Token{Index: 1}), token(sdk.Token{Index: 2})}, "beyond the context of 3 positions"},
		{"a prompt beyond the context", sdk.GenerateRequest{}, []sdk.Event{{Start: &sdk.Start{Prompt: make([]int32, 4)}}}, "a prompt of 4 tokens into a context of 3"},
		{"another prompt", sdk.GenerateRequest{Tokens: []int32{101}}, []sdk.Event{start}, "another prompt than the 1 ids"},
		{"as much text as can be", sdk.GenerateRequest{}, []sdk.Event{start, token(sdk.Token{Text: long})}, ""},
		{"a byte more", sdk.GenerateRequest{}, []sdk.Event{start, token(sdk.Token{Text: long + "a"})}, "an answer may have 4096 bytes for each token"},
		{"in the reasoning", sdk.GenerateRequest{}, []sdk.Event{start, token(sdk.Token{Reasoning: long + "a"})}, "4096 bytes for each token"},
		{"in calls", sdk.GenerateRequest{}, []sdk.Event{start, token(sdk.Token{ToolCalls: make([]sdk.ToolCallDelta, 2000)})}, "4096 bytes for each token"},
		{"in the finish", sdk.GenerateRequest{}, []sdk.Event{start, {Finish: &sdk.Finish{Text: long}}}, "4096 bytes for each token"},
		{"likely tokens as asked", sdk.GenerateRequest{Sampling: sdk.Sampling{Logprobs: true, TopLogprobs: 3}}, []sdk.Event{start, token(sdk.Token{Logprob: many(3)})}, ""},
		{"one too many", sdk.GenerateRequest{Sampling: sdk.Sampling{Logprobs: true, TopLogprobs: 3}}, []sdk.Event{start, token(sdk.Token{Logprob: many(4)})}, "gave 4 likely tokens for one, 3 were asked for"},
		{"of the prompt", sdk.GenerateRequest{PromptLogprobs: true}, []sdk.Event{{Start: &sdk.Start{Prompt: []int32{1}, PromptLogprobs: []sdk.TokenLogprob{*many(1)}}}}, "gave 1 likely tokens for one, 0 were asked for"},
		{"spelled at length", sdk.GenerateRequest{Sampling: sdk.Sampling{Logprobs: true}}, []sdk.Event{start, token(sdk.Token{Logprob: &sdk.TokenLogprob{Bytes: make([]byte, 5000)}})}, "spelled one token with 5000 bytes"},
		{"unasked, which is left out", sdk.GenerateRequest{}, []sdk.Event{start, token(sdk.Token{Logprob: many(9)})}, ""},
		{"nothing", sdk.GenerateRequest{}, []sdk.Event{start, {}}, "an event of no kind"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newModel(New(Options{Config: emptyConfig()}), emptyConfig().Models[0], nil)
			f := &flight{model: m, req: c.req, context: 3, send: func(e sdk.Event) error {
				if e.Token != nil && e.Token.Logprob != nil && !c.req.Sampling.Logprobs {
					t.Error("likelihoods that nobody asked for were passed on")
				}
				return nil
			}}
			var err error
			for i, e := range c.events {
				if err = f.receive(&life{}, e); err != nil && i != len(c.events)-1 {
					t.Errorf("event %d: %v", i, err)
				}
			}
			if c.want == "" && err != nil || c.want != "" && (err == nil || sdk.ReasonOf(err) != sdk.ReasonInternal || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want something about %q", err, c.want)
			}
		})
	}
}

// A reason that a plugin made up is no label of a metric.
func TestInventedReasonsAreOneSeries(t *testing.T) {
	for err, want := range map[error]string{
		sdk.Errorf(sdk.ReasonContext, "x"):       "context_overflow",
		sdk.Errorf("MADE_UP_BY_A_PLUGIN_7", "x"): "other",
		context.Canceled:                         "cancelled",
		errors.New("x"):                          "other",
		&Unavailable{}:                           "unavailable",
	} {
		if got := failureLabel(err); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}

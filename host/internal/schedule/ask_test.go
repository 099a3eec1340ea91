package schedule

import (
	"context"
	"errors"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
)

func TestQuestionsReachTheModelByIDAndAlias(t *testing.T) {
	inWorld(t, func(*fakeProcess) error { return nil }, func(w *world) {
		ctx := context.Background()
		ids, err := w.Tokenize(ctx, "m", "abc")
		if err != nil || len(ids) != 1 || ids[0] != 3 {
			t.Errorf("Tokenize: %v, %v", ids, err)
		}
		if text, err := w.Detokenize(ctx, "alias", []int32{1, 2}); err != nil || text != "[1 2]" {
			t.Errorf("Detokenize: %q, %v", text, err)
		}
		if list, err := w.Spell(ctx, "m", []int32{1, 2}); err != nil || len(list) != 2 {
			t.Errorf("Spell: %q, %v", list, err)
		}
		if text, err := w.Render(ctx, "m", sdk.Chat{Messages: []byte("[]")}); err != nil || text != "<[]>" {
			t.Errorf("Render: %q, %v", text, err)
		}
		var unknown *UnknownModel
		if _, err := w.Tokenize(ctx, "none", "abc"); !errors.As(err, &unknown) {
			t.Errorf("an unknown model: %v", err)
		}
	})
}

// A question waits for a model that is loading, as a request does, and no longer.
func TestAQuestionWaitsForTheModel(t *testing.T) {
	var loading chan struct{}
	inWorld(t, func(p *fakeProcess) error {
		loading = make(chan struct{})
		p.load = func(ctx context.Context, _ *fakeProcess, _ sdk.LoadRequest, _ func(sdk.Progress)) error {
			select {
			case <-loading:
			case <-ctx.Done():
			}
			return nil
		}
		return nil
	}, func(w *world) {
		began := time.Now()
		var gone *Unavailable
		if _, err := w.Tokenize(context.Background(), "m", "abc"); !errors.As(err, &gone) || gone.State != StateLoading || time.Since(began) != 10*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		close(loading)
		if _, err := w.Tokenize(context.Background(), "m", "abc"); err != nil {
			t.Error(err)
		}
	})
}

// The next process is asked again; a text that kills process after process is to blame, and the model goes on without it.
func TestAQuestionOutlivesOneDeath(t *testing.T) {
	inWorld(t, func(p *fakeProcess) error {
		p.word = func(p *fakeProcess, text string) {
			if text == "kills" || text == "kills once" && p.number == 1 {
				p.die(syscall.SIGSEGV)
			}
		}
		return nil
	}, func(w *world) {
		if ids, err := w.Tokenize(context.Background(), "m", "kills once"); err != nil || len(ids) != 1 {
			t.Errorf("one death: %v, %v", ids, err)
		}
		_, err := w.Tokenize(context.Background(), "m", "kills")
		var told *sdk.Error
		if !errors.As(err, &told) || told.Reason != sdk.ReasonInternal || !strings.Contains(err.Error(), "died 4 times over this request, the last time it was ended by SIGSEGV") {
			t.Errorf("a text that kills: %v", err)
		}
		w.ask(100, 3).complete(w, 100, 3)
		if s := w.Models()[0]; s.Deaths != 5 || s.State != StateReady {
			t.Errorf("%d deaths, %s", s.Deaths, s.State)
		}
	})
}

// Processes that are killed from outside die as soon without a question as with it. It is lost to none of them.
func TestAQuestionOutlivesKillsFromOutside(t *testing.T) {
	const kills = 12
	inWorld(t, func(p *fakeProcess) error {
		if p.number <= kills {
			p.load = func(_ context.Context, p *fakeProcess, _ sdk.LoadRequest, _ func(sdk.Progress)) error {
				time.AfterFunc(time.Second, func() { p.die(syscall.SIGKILL) })
				return nil
			}
		}
		p.word = func(p *fakeProcess, text string) {
			select {
			case <-time.After(2 * time.Second):
			case <-p.done:
			}
		}
		return nil
	}, func(w *world) {
		if ids, err := w.Tokenize(context.Background(), "m", "abc"); err != nil || len(ids) != 1 {
			t.Errorf("%v, %v", ids, err)
		}
		if s := w.Models()[0]; s.Deaths != kills {
			t.Errorf("%d deaths", s.Deaths)
		}
	})
}

// Two that kill do not clear each other, and the one beside them is not lost.
func TestQuestionsThatKillAreBothFound(t *testing.T) {
	inWorld(t, func(p *fakeProcess) error {
		p.word = func(p *fakeProcess, text string) {
			time.Sleep(100 * time.Millisecond)
			if text == "kills" {
				p.die(syscall.SIGSEGV)
			}
		}
		return nil
	}, func(w *world) {
		var all sync.WaitGroup
		for _, text := range []string{"kills", "kills", "good"} {
			all.Go(func() {
				_, err := w.Tokenize(context.Background(), "m", text)
				if (err == nil) != (text == "good") {
					t.Errorf("%s: %v", text, err)
				}
			})
		}
		all.Wait()
		time.Sleep(time.Minute) // the pause after so many deaths
		w.ask(100, 3).complete(w, 100, 3)
	})
}

// The two answers of n = 2 are two requests: both go on after a death, each as the choice it is.
func TestBothChoicesSurviveADeath(t *testing.T) {
	var mu sync.Mutex
	resumed := map[int]int{}
	inWorld(t, func(p *fakeProcess) error {
		p.before = func(_ context.Context, p *fakeProcess, req sdk.GenerateRequest, index int) {
			time.Sleep(time.Second)
			mu.Lock()
			if req.Resume != nil && index == len(req.Resume.Generated) {
				resumed[req.Choice]++
			}
			mu.Unlock()
			if p.number == 1 && req.Choice == 1 && index == 3 {
				p.die(syscall.SIGKILL)
			}
		}
		return nil
	}, func(w *world) {
		var list []*outcome
		for choice := range 2 {
			list = append(list, w.askWith(context.Background(), sdk.GenerateRequest{Tokens: []int32{100}, MaxTokens: 6, Choice: choice}, nil))
		}
		for _, o := range list {
			o.complete(w, 100, 6)
		}
		synctest.Wait()
		if resumed[0] != 1 || resumed[1] != 1 {
			t.Errorf("resumes by choice: %v", resumed)
		}
	})
}

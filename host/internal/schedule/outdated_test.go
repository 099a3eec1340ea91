package schedule

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
)

// written is what a plugin says of every request once its checkpoint was written to.
var written = sdk.Errorf(sdk.ReasonChanged, "model.safetensors: was written to since it was mapped; load the model again")

// Answers that were begun end with what the plugin says; requests that were not wait for the new weights, and nobody is to blame.
func TestAnswersEndWhereTheirWeightsWereWrittenTo(t *testing.T) {
	inWorld(t, func(p *fakeProcess) error {
		p.weights = fmt.Sprint("weights ", p.number)
		p.refuse = func(req sdk.GenerateRequest, index int) error {
			if p.number == 1 && (index == 3 || req.Tokens[0] == 200) {
				return written
			}
			return nil
		}
		p.before = func(context.Context, *fakeProcess, sdk.GenerateRequest, int) { time.Sleep(time.Second) }
		return nil
	}, func(w *world) {
		begun := w.ask(100, 9)
		time.Sleep(3500 * time.Millisecond)
		w.touch("half of it")
		fresh := w.ask(200, 4)
		begun.wait(w)
		if begun.err != written && sdk.ReasonOf(begun.err) != sdk.ReasonChanged || begun.text != "100 101 102 " {
			t.Errorf("the answer that was begun: %q, %v", begun.text, begun.err)
		}
		time.Sleep(time.Second)
		if s := w.Models()[0]; s.State != StateRestarting || s.Deaths != 0 || s.Reason == "" {
			t.Errorf("while the files change: %+v", s)
		}
		w.touch("whole") // two looks are alike at 2 s and more from here
		fresh.complete(w, 200, 4)
		if s := w.Models()[0]; s.Deaths != 0 || s.Starts != 2 || s.State != StateReady {
			t.Errorf("in the end: %+v", s)
		}
		if !w.process(1).ended() {
			t.Error("the process was not ended in order")
		}
	})
}

// An answer is not resumed with other weights, whatever its process died of.
func TestAnswersAreNotResumedWithOtherWeights(t *testing.T) {
	for _, same := range []bool{true, false} {
		inWorld(t, func(p *fakeProcess) error {
			if p.weights = "old"; !same && p.number > 1 {
				p.weights = "new"
			}
			p.before = func(_ context.Context, p *fakeProcess, req sdk.GenerateRequest, index int) {
				if p.number == 1 && index == 2 {
					synctest.Wait()
					p.die(syscall.SIGKILL)
				}
			}
			return nil
		}, func(w *world) {
			o := w.ask(100, 5)
			if same {
				o.complete(w, 100, 5)
				return
			}
			o.wait(w)
			if sdk.ReasonOf(o.err) != sdk.ReasonChanged || o.text != "100 101 " {
				t.Errorf("%q, %v", o.text, o.err)
			}
			w.ask(300, 2).complete(w, 300, 2)
		})
	}
}

// Nothing of an answer was seen yet: it begins anew.
func TestARequestThatHasNoTokenGoesOnWithOtherWeights(t *testing.T) {
	inWorld(t, func(p *fakeProcess) error {
		p.weights = fmt.Sprint(p.number)
		p.before = func(_ context.Context, p *fakeProcess, _ sdk.GenerateRequest, index int) {
			if p.number == 1 {
				p.die(syscall.SIGKILL)
			}
		}
		return nil
	}, func(w *world) {
		w.ask(100, 3).complete(w, 100, 3)
	})
}

// A checkpoint that is still being written when it is loaded is no quarantine.
func TestALoadOfFilesThatChangeIsRepeatedWhenTheyAreWhole(t *testing.T) {
	inWorld(t, func(p *fakeProcess) error {
		p.load = func(_ context.Context, p *fakeProcess, _ sdk.LoadRequest, _ func(sdk.Progress)) error {
			if p.number == 1 {
				return written
			}
			return nil
		}
		return nil
	}, func(w *world) {
		waiting := w.ask(100, 2)
		synctest.Wait()
		if s := w.Models()[0]; s.State != StateRestarting {
			t.Errorf("%s, %s", s.State, s.Reason)
		}
		waiting.complete(w, 100, 2)
		if at := w.startTimes(); at[1] != markEvery {
			t.Errorf("starts at %v; the files were at rest", at)
		}
	})
}

// Files that never come to rest are loaded all the same in the end.
func TestFilesThatNeverComeToRestAreLoadedInTheEnd(t *testing.T) {
	inWorld(t, func(p *fakeProcess) error {
		p.load = func(_ context.Context, p *fakeProcess, _ sdk.LoadRequest, _ func(sdk.Progress)) error {
			if p.number == 1 {
				return written
			}
			return nil
		}
		return nil
	}, func(w *world) {
		for i := range int(2 * settleMost / time.Second) {
			w.touch(fmt.Sprint(i))
			time.Sleep(time.Second)
		}
		if at := w.startTimes(); len(at) != 2 || at[1] != settleMost {
			t.Errorf("starts at %v", at)
		}
	})
}

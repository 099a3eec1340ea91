package engine

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

func TestModelFailureFailsThoseOnBoardAndTheEngineGoesOn(t *testing.T) {
	e, m := start(t, roomy)
	failure := errors.New("the device is lost")
	fail := true
	m.before = func(b *Batch) error {
		if fail && b.Rows[0].Form == Decode {
			return failure
		}
		return nil
	}
	r := Request{Prompt: ids(10, 1), MaxTokens: 5, IgnoreEOS: true}
	answer, _, err := collect(e, r)
	if !errors.Is(err, failure) || len(answer) != 1 {
		t.Errorf("got %v after %d ids", err, len(answer))
	}
	wantIdle(t, e)
	fail = false
	if answer, result, err := collect(e, r); err != nil {
		t.Error(err)
	} else {
		wantSame(t, r, roomy.Context, answer, result)
	}
}

type modelFunc func(*Batch) ([][]float32, error)

func (f modelFunc) Step(b *Batch) ([][]float32, error) { return f(b) }

func TestModelThatBreaksItsContract(t *testing.T) {
	nan := make([]float32, fakeVocab)
	for i := range nan {
		nan[i] /= nan[i]
	}
	for name, c := range map[string]struct {
		step  modelFunc
		words string
	}{
		"panics":      {func(*Batch) ([][]float32, error) { panic("index out of range") }, "panicked: index out of range"},
		"no logits":   {func(*Batch) ([][]float32, error) { return nil, nil }, "0 rows of logits"},
		"short row":   {func(*Batch) ([][]float32, error) { return make([][]float32, 1), nil }, "0 logits in a row"},
		"not numbers": {func(*Batch) ([][]float32, error) { return [][]float32{nan}, nil }, "not numbers"},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := New(c.step, roomy)
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			for range 2 { // the engine survives
				if _, _, err := collect(e, Request{Prompt: []int32{1}}); err == nil || !strings.Contains(err.Error(), c.words) {
					t.Errorf("got %v", err)
				}
			}
			wantIdle(t, e)
		})
	}
}

// The author of a model finds the place in the log; a client gets no stack.
func TestPanicOfAModelIsLoggedWithItsStack(t *testing.T) {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(before)
	e, err := New(modelFunc(func(*Batch) ([][]float32, error) { panic("index out of range") }), roomy)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = collect(e, Request{Prompt: []int32{1}})
	e.Close() // before the log is read
	if err == nil || strings.Contains(err.Error(), "failure_test.go") {
		t.Errorf("the answer ended with %v", err)
	}
	if !strings.Contains(log.String(), "failure_test.go") {
		t.Errorf("the log has no place: %s", log.String())
	}
}

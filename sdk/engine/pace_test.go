package engine

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// slowModel takes time for its steps, of the bubble's clock.
type slowModel struct {
	*fakeModel
	step, row time.Duration
}

func (m slowModel) Step(b *Batch) ([][]float32, error) {
	time.Sleep(m.step + time.Duration(len(b.Rows))*m.row)
	return m.fakeModel.Step(b)
}

// startSlow is an engine on 0.6B's times on two cores: 38 ms for a token, 233 rows of a prompt a second.
func startSlow(t *testing.T, c Config) *Engine {
	c.Vocab = fakeVocab
	e, err := New(slowModel{newFakeModel(c), 35 * time.Millisecond, 4 * time.Millisecond}, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

var paced = Config{Blocks: 300, MaxSequences: 8, StepTokens: 512, Context: 20000, ChunkMultiple: 1, StepTime: 250 * time.Millisecond}

// A stream goes on while another's long prompt is computed.
func TestAStreamDoesNotStutterBehindAPrompt(t *testing.T) {
	for _, multiple := range []int{1, 64} {
		synctest.Test(t, func(t *testing.T) {
			c := paced
			c.ChunkMultiple = multiple
			e := startSlow(t, c)
			var work sync.WaitGroup
			var times []time.Time
			began := make(chan struct{})
			work.Go(func() {
				_, err := e.Generate(t.Context(), Request{Prompt: ids(10, 1), MaxTokens: 200, IgnoreEOS: true}, func(s Sampled) (bool, error) {
					if times = append(times, time.Now()); s.Index == 0 {
						close(began)
					}
					return false, nil
				})
				if err != nil {
					t.Error(err)
				}
			})
			<-began
			at := time.Now()
			if _, _, err := collect(e, Request{Prompt: ids(3000, 2), MaxTokens: 1}); err != nil {
				t.Error(err)
			}
			took := time.Since(at)
			work.Wait()
			var worst time.Duration
			for i := range times[1:] {
				worst = max(worst, times[i+1].Sub(times[i]))
			}
			limit := 300 * time.Millisecond
			if multiple == 64 { // the least that can be computed is a chunk of 64 rows
				limit = 335 * time.Millisecond
			}
			if worst > limit {
				t.Errorf("chunks of %d: the stream's longest gap was %v", multiple, worst)
			}
			if least := 3000 * 4 * time.Millisecond; took > least*5/4 {
				t.Errorf("chunks of %d: the prompt took %v of at least %v", multiple, took, least)
			}
		})
	}
}

// Whoever comes with a short prompt has its first token within two steps of when it would alone, and the long prompt gets on.
func TestAShortPromptDoesNotWaitForLongOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := startSlow(t, paced)
		var work sync.WaitGroup
		var order []string
		var mu sync.Mutex
		note := func(name string) {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, name)
		}
		for i := range 2 {
			work.Go(func() {
				if _, _, err := collect(e, Request{Prompt: ids(7000, uint64(i)), MaxTokens: 1}); err != nil {
					t.Error(err)
				}
				note("long")
			})
		}
		time.Sleep(5 * time.Second)
		for i := range 5 {
			at := time.Now()
			if _, _, err := collect(e, Request{Prompt: ids(16, 10+uint64(i)), MaxTokens: 1}); err != nil {
				t.Error(err)
			}
			note("short")
			step := 35*time.Millisecond + 512*4*time.Millisecond
			if took := time.Since(at); took > 3*step {
				t.Errorf("a short prompt took %v, and a step %v", took, step)
			}
			time.Sleep(time.Second)
		}
		work.Wait()
		if want := []string{"short", "short", "short", "short", "short", "long", "long"}; !slices.Equal(order, want) {
			t.Errorf("they came in the order %v", order)
		}
	})
}

// Without a limit of time a step has as many rows as there is room for.
func TestThroughputBeforePace(t *testing.T) {
	p := pace{least: 16}
	p.took(512, 2*time.Second)
	if n := p.rows(500); n != 500 {
		t.Errorf("%d rows of 500", n)
	}
	p.target = time.Second / 2
	for _, c := range []struct{ most, want int }{{500, 128}, {100, 100}} {
		if n := p.rows(c.most); n != c.want {
			t.Errorf("%d rows of %d at 3.9 ms a row, want %d", n, c.most, c.want)
		}
	}
	p.took(512, 200*time.Second)
	if n := p.rows(500); n != 16 {
		t.Errorf("%d rows though a single one takes too long, want 16", n)
	}
}

// Memory that holds nothing is given back when there was nothing to do for a while, what is kept only after a long time.
func TestAnIdleEngineGivesMemoryBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Config{Blocks: 10, MaxSequences: 2, StepTokens: 128, Context: 600, Vocab: fakeVocab, PrefixCache: true, Keep: 10}
		swept := make(chan []int32, 10)
		e, err := New(sweeper{newFakeModel(c), swept}, c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(e.Close)
		prompt := Request{Prompt: ids(200, 1), MaxTokens: 3}
		for _, wait := range []time.Duration{sweepAfter, sweepAfter} {
			if _, _, err := collect(e, prompt); err != nil {
				t.Fatal(err)
			}
			time.Sleep(wait - time.Second)
			if len(swept) != 0 {
				t.Errorf("%v was swept early", <-swept)
			}
			time.Sleep(2 * time.Second)
			if len(swept) != 1 || len(<-swept) != 1 {
				t.Error("the block behind the prompt's three was not swept alone")
			}
		}
		if s := e.Stats(); s.BlocksKept != 3 {
			t.Errorf("%d blocks are kept", s.BlocksKept)
		}
		time.Sleep(forgetAfter)
		if list := <-swept; len(list) != 3 {
			t.Errorf("in the end %v was swept", list)
		}
		if s := e.Stats(); s.BlocksKept != 0 {
			t.Errorf("%d blocks are kept in the end", s.BlocksKept)
		}
	})
}

type sweeper struct {
	*fakeModel
	swept chan []int32
}

func (s sweeper) Sweep(blocks []int32) { s.swept <- blocks }

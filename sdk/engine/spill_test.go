package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"
)

// spillingModel is a fakeModel that keeps blocks and states in memory besides its cache. What a place holds that was given back, or was not
// filled yet, is no history.
type spillingModel struct {
	*fakeModel
	room   int // in blocks; a state takes as much
	worth  func(Trade) bool
	blocks map[int32][]uint64
	states map[int32]uint64
	next   int32
	trades []Trade
}

func newSpillingModel(c Config, room int, worth func(Trade) bool) *spillingModel {
	m := &spillingModel{fakeModel: newFakeModel(c), room: room, worth: worth, blocks: map[int32][]uint64{}, states: map[int32]uint64{}}
	m.fakeModel.host = m.copyHost
	return m
}

func (m *spillingModel) Worth(t Trade) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.trades = append(m.trades, t)
	if t.Blocks+t.States == 0 || t.Positions <= 0 {
		m.complain("nothing is traded: %+v", t)
	}
	return m.worth(t)
}

func (m *spillingModel) Take(state bool) (int32, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.blocks)+len(m.states) >= m.room {
		return -1, false
	}
	m.next++
	if state {
		m.states[m.next] = rand.Uint64()
	} else {
		m.blocks[m.next] = []uint64{rand.Uint64()}
	}
	return m.next, true
}

func (m *spillingModel) Drop(state bool, place int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, block := m.blocks[place]
	_, stated := m.states[place]
	if state && !stated || !state && !block {
		m.complain("place %d is given back and was not taken", place)
	}
	delete(m.blocks, place)
	delete(m.states, place)
}

func (m *spillingModel) Over() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.blocks)+len(m.states) > m.room
}

// resize changes the room there is.
func (m *spillingModel) resize(room int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.room = room
}

func (m *spillingModel) held() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.blocks) + len(m.states)
}

// copyHost makes a copy to the host or back. A device may fill a place only when the step is over, and read one when the step begins.
func (m *spillingModel) copyHost(c Copy, before []Copy) {
	for _, b := range before {
		if b.Host == ToHost && c.Host == FromHost && b.State == c.State && b.To == c.From {
			m.complain("place %d is read in the step that fills it", c.From)
		}
	}
	switch {
	case c.State && c.Host == ToHost:
		if _, ok := m.states[c.To]; !ok {
			m.complain("a state goes to place %d, which was not taken", c.To)
		}
		m.states[c.To] = m.fakeModel.states[c.From]
	case c.State:
		if _, ok := m.states[c.From]; !ok {
			m.complain("a state comes from place %d, which was not taken", c.From)
		}
		m.fakeModel.states[c.To] = m.states[c.From]
	case c.Host == ToHost:
		if _, ok := m.blocks[c.To]; !ok {
			m.complain("a block goes to place %d, which was not taken", c.To)
		}
		m.blocks[c.To] = slices.Clone(m.cells[c.From*BlockSize:][:BlockSize])
	default:
		if len(m.blocks[c.From]) != BlockSize {
			m.complain("a block comes from place %d, which holds none", c.From)
		}
		copy(m.cells[c.To*BlockSize:][:BlockSize], m.blocks[c.From])
	}
}

func always(Trade) bool { return true }

// Any mix of requests, limits, cancellations, failures and changes of room: each answer is what the request alone gets, and the places that
// are taken are those that are held.
func TestSpillChangesNoAnswer(t *testing.T) {
	var total SpillStats
	shown := func() bool {
		return total.OutBlocks > 0 && total.OutStates > 0 && total.BackBlocks > 0 && total.BackStates > 0 && total.Saved > 0
	}
	for range 20 { // what is rare, such as a state that comes back, a hundred cases may lack
		if spillsAtRandom(t, &total); shown() || t.Failed() {
			return
		}
	}
	t.Errorf("the cases show nothing: %+v", total)
}

// spillsAtRandom runs some cases, and adds up what they show.
func spillsAtRandom(t *testing.T, total *SpillStats) {
	rapid.Check(t, func(t *rapid.T) {
		c := Config{Vocab: fakeVocab, MaxSequences: rapid.IntRange(1, 5).Draw(t, "sequences"), Blocks: rapid.IntRange(3, 9).Draw(t, "blocks"),
			Context: rapid.IntRange(200, 500).Draw(t, "context"), PrefixCache: true, PromptLogprobs: true,
			OneForm: rapid.Bool().Draw(t, "one form"), Stateful: rapid.Bool().Draw(t, "stateful"), Snapshots: rapid.IntRange(0, 3).Draw(t, "snapshots"),
			ChunkMultiple: rapid.SampledFrom([]int{0, 16}).Draw(t, "chunks")}
		c.Keep = rapid.IntRange(0, c.Blocks).Draw(t, "keep")
		form := Decode
		if c.OneForm {
			form = Prefill
		}
		c.StepTokens = c.MaxSequences - 1 + BlockSize + rapid.IntRange(0, 100).Draw(t, "more rows")
		often, draw := rapid.IntRange(1, 4).Draw(t, "worth it, of 4"), rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 3))
		m := newSpillingModel(c, rapid.IntRange(0, 20).Draw(t, "room"), func(Trade) bool { return draw.IntN(4) < often })
		every, steps := rapid.SampledFrom([]int{0, 0, 5, 20}).Draw(t, "fails every"), 0
		failure := errors.New("the step fails")
		m.before = func(*Batch) error {
			if steps++; every > 0 && steps%every == 0 && steps < 8*every {
				return failure
			}
			return nil
		}
		e, err := New(m, c)
		if err != nil {
			t.Fatalf("%v", err)
		}
		defer e.Close()
		fits := min(c.Context-1, c.Blocks*BlockSize-80)
		common := ids(fits, 1)
		var work sync.WaitGroup
		failures := make(chan string, 100)
		for i := range rapid.IntRange(2, 8).Draw(t, "requests") {
			own := rapid.IntRange(1, fits).Draw(t, "own")
			prompt := slices.Concat(common[:rapid.IntRange(0, fits-own).Draw(t, "shared")], ids(own, uint64(i%4)))
			r := Request{Prompt: prompt, Choice: i % 3, MaxTokens: rapid.IntRange(1, 80).Draw(t, "max"), IgnoreEOS: true,
				Sampling: Params{Temperature: 1, Seed: uint64(i % 3)}, ScorePrompt: rapid.IntRange(0, 9).Draw(t, "score") == 0}
			leave := rapid.IntRange(0, 160).Draw(t, "leave after")
			work.Go(func() {
				for {
					problem, err := runUntil(e, form, r, c.Context, leave)
					if errors.Is(err, failure) {
						continue
					}
					if err != nil {
						problem = err.Error()
					}
					if problem != "" {
						failures <- problem
					}
					return
				}
			})
		}
		for range rapid.IntRange(0, 3).Draw(t, "changes of room") {
			m.resize(rapid.IntRange(0, 20).Draw(t, "new room"))
			e.TrimSpill()
		}
		work.Wait()
		close(failures)
		for f := range failures {
			t.Errorf("%s", f)
		}
		wantIdle(t, e)
		s := e.Stats().Spill
		if n := m.held(); n != s.HeldBlocks+s.HeldStates || s.HeldBlocks < 0 || s.HeldStates < 0 {
			t.Errorf("%d places are taken, and held are %+v", n, s)
		}
		m.resize(0)
		if e.TrimSpill(); m.held() != 0 {
			t.Errorf("%d places are taken though there is no room", m.held())
		}
		m.verify(t)
		total.OutBlocks, total.OutStates = total.OutBlocks+s.OutBlocks, total.OutStates+s.OutStates
		total.BackBlocks, total.BackStates, total.Saved = total.BackBlocks+s.BackBlocks, total.BackStates+s.BackStates, total.Saved+s.Saved
	})
}

// runUntil runs a request once, or leaves after some ids and comes back with those.
func runUntil(e *Engine, form Form, r Request, limit, leave int) (problem string, err error) {
	want, _ := aloneIn(form, r, limit)
	if leave < len(want) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		n := 0
		if _, err := e.Generate(ctx, r, func(Sampled) (bool, error) {
			if n++; n > leave {
				cancel()
			}
			return false, nil
		}); err != nil && !errors.Is(err, context.Canceled) {
			return "", err
		}
		r.Generated = want[:leave]
	}
	answer, _, err := collect(e, r)
	if err == nil && !slices.Equal(answer, want) {
		problem = fmt.Sprintf("prompt of %d: got %v\nwant %v", len(r.Prompt), answer, want)
	}
	return problem, err
}

// Four answers grow where there is room for two: those that had to give way go on from where they were, and nothing of a prompt is computed
// twice.
func TestPreemptedSequencesComeBackFromTheHost(t *testing.T) {
	for _, c := range []Config{{}, {OneForm: true}, {Stateful: true}, {Stateful: true, Snapshots: 1}, {Stateful: true, OneForm: true, Snapshots: 4}} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.Blocks, c.MaxSequences, c.StepTokens, c.Context, c.Vocab, c.PrefixCache = 6, 4, 128, 320, fakeVocab, true
				m := newSpillingModel(c, 100, always)
				e, err := New(m, c)
				if err != nil {
					t.Fatal(err)
				}
				defer e.Close()
				form := Decode
				if c.OneForm {
					form = Prefill
				}
				together := make(chan struct{})
				var work sync.WaitGroup
				for i := range 4 { // each grows to four blocks
					work.Go(func() {
						r := Request{Prompt: ids(60, uint64(i)), MaxTokens: 180, IgnoreEOS: true, Sampling: Params{Temperature: 1, Seed: uint64(i)}}
						var answer []int32
						_, err := e.Generate(t.Context(), r, func(s Sampled) (bool, error) {
							<-together
							answer = append(answer, s.ID)
							return false, nil
						})
						if want, _ := aloneIn(form, r, c.Context); err != nil || !slices.Equal(answer, want) {
							t.Errorf("request %d: got %v, %v; want %v", i, answer, err, want)
						}
					})
				}
				synctest.Wait()
				close(together)
				work.Wait()
				s := e.Stats()
				if s.Preemptions == 0 || s.Spill.OutBlocks == 0 || s.Spill.BackBlocks == 0 || s.Spill.Saved == 0 || s.ResumedTokens == 0 {
					t.Errorf("the test shows nothing: %+v", s)
				}
				if c.Stateful && s.Spill.OutStates+s.Spill.BackStates == 0 && c.Snapshots < 4 {
					t.Errorf("no state was spilled: %+v", s.Spill)
				}
				if rows := m.count(); rows != 4*(60+179) {
					t.Errorf("%d rows were computed; each position once is %d", rows, 4*(60+179))
				}
				if s.Spill.HeldBlocks > 0 && !c.OneForm {
					t.Errorf("%d blocks of answers are held for nobody", s.Spill.HeldBlocks)
				}
				wantIdle(t, e)
				m.verify(t)
			})
		})
	}
}

// count is how many rows were computed.
func (m *spillingModel) count() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, rows := range m.steps {
		n += len(rows)
	}
	return n
}

// The beginning of a prompt that gave way to others comes back from the host.
func TestPrefixCacheGoesOnInTheHost(t *testing.T) {
	for _, c := range []Config{{}, {Stateful: true, Snapshots: 1}} {
		c.Blocks, c.MaxSequences, c.StepTokens, c.Context, c.Vocab, c.PrefixCache, c.Keep = 6, 2, 128, 384, fakeVocab, true, 6
		m := newSpillingModel(c, 100, always)
		e, err := New(m, c)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		for round, cached := range []int{0, 256} {
			for seed := range uint64(4) {
				r := Request{Prompt: ids(257, seed), MaxTokens: 3, IgnoreEOS: true}
				answer, result, err := collect(e, r)
				if err != nil {
					t.Fatal(err)
				}
				wantSame(t, r, c.Context, answer, result)
				if result.Cached != cached {
					t.Errorf("round %d, prompt %d: %d positions were cached, want %d", round, seed, result.Cached, cached)
				}
			}
		}
		if s := e.Stats().Spill; s.Saved != 4*256 || s.DroppedBlocks+s.DroppedStates > 0 {
			t.Errorf("%+v", s)
		}
		m.verify(t)
	}
}

// What a step that failed was to copy is in neither place.
func TestCopiesOfAFailedStepAreNotRelied(t *testing.T) {
	for _, stateful := range []bool{false, true} {
		for _, direction := range []Host{ToHost, FromHost} {
			c := Config{Blocks: 6, MaxSequences: 2, StepTokens: 128, Context: 384, Vocab: fakeVocab, PrefixCache: true, Keep: 6, Stateful: stateful, Snapshots: 1}
			m := newSpillingModel(c, 100, always)
			failures, failure := 0, errors.New("the step fails")
			m.before = func(b *Batch) error {
				if failures < 3 && slices.ContainsFunc(b.Copies, func(c Copy) bool { return c.Host == direction }) {
					failures++
					return failure
				}
				return nil
			}
			e, err := New(m, c)
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				for seed := range uint64(4) {
					r := Request{Prompt: ids(257, seed), MaxTokens: 3, IgnoreEOS: true}
					answer, result, err := collect(e, r)
					for errors.Is(err, failure) {
						answer, result, err = collect(e, r)
					}
					if err != nil {
						t.Fatal(err)
					}
					wantSame(t, r, c.Context, answer, result)
				}
			}
			if s := e.Stats().Spill; failures != 3 || s.Saved == 0 || m.held() != s.HeldBlocks+s.HeldStates {
				t.Errorf("%d steps failed: %+v, and %d places are taken", failures, s, m.held())
			}
			e.Close()
			m.verify(t)
		}
	}
}

// A trade that is not worth its price is not made, in either direction.
func TestATradeIsRefused(t *testing.T) {
	c := Config{Blocks: 6, MaxSequences: 2, StepTokens: 128, Context: 384, Vocab: fakeVocab, PrefixCache: true, Keep: 6}
	for name, worth := range map[string]func(Trade) bool{
		"out":  func(t Trade) bool { return t.Chance == 0 },
		"back": func(t Trade) bool { return t.Chance > 0 },
	} {
		m := newSpillingModel(c, 100, worth)
		e, err := New(m, c)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			for seed := range uint64(4) {
				r := Request{Prompt: ids(257, seed), MaxTokens: 3, IgnoreEOS: true}
				answer, result, err := collect(e, r)
				if err != nil {
					t.Fatal(err)
				}
				wantSame(t, r, c.Context, answer, result)
			}
		}
		s := e.Stats().Spill
		if name == "out" && s.OutBlocks != 0 || name == "back" && s.OutBlocks == 0 || s.BackBlocks != 0 || s.Saved != 0 {
			t.Errorf("refused %s: %+v", name, s)
		}
		e.Close()
		m.verify(t)
	}
}

// What a sequence that sleeps will want does not give way to the beginnings of prompts that may come again, and these do to it.
func TestSleepersGoBeforePrompts(t *testing.T) {
	m := newSpillingModel(Config{Blocks: 1, MaxSequences: 1}, 2, always)
	blocks := newBlockTable(4, 4)
	p := newSpill(m, blocks)
	hold := func(i int32, asleep bool) *spilled {
		b := blocks.take()
		blocks.publish(b, 0, slices.Repeat([]int32{i}, BlockSize))
		h := blocks.holds[b]
		h.asleep = asleep
		return &spilled{of: h}
	}
	prompt, sleeper := hold(1, false), hold(2, true)
	for _, x := range []*spilled{prompt, sleeper} {
		if !p.add(x) {
			t.Fatal("no room")
		}
	}
	p.moved(false)
	other := hold(3, true)
	if !p.add(other) || prompt.of.host != nil || sleeper.of.host == nil {
		t.Error("a sleeper's block did not take the place of a prompt's")
	}
	p.moved(false)
	if p.add(hold(4, false)) {
		t.Error("a prompt's block took the place of a sleeper's")
	}
	if s := p.counts; s.DroppedBlocks != 1 || s.HeldBlocks != 2 {
		t.Errorf("%+v", s)
	}
	sleeper.of.asleep = false
	if x := p.victim(false); x != sleeper {
		t.Errorf("%+v gives way", x)
	}
	m.verify(t)
}

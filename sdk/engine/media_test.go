package engine

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// seeingModel is the fake with pictures that take some pieces of work each before their rows may come.
type seeingModel struct {
	*fakeModel
	pieces int           // of work for one sequence
	piece  time.Duration // that one takes
	begun  func()        // called with every piece, if set
	fail   error         // of the last piece
	rest   chan struct{} // gets a message when there is nothing to prepare, if somebody waits

	mu   sync.Mutex
	done map[any]int // pieces done, by the content of the first picture
	log  []string    // "prepare" and "step"
}

func (m *seeingModel) Prepare(media []Media) (bool, error) {
	if m.begun != nil {
		m.begun()
	}
	time.Sleep(m.piece)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.log = append(m.log, "prepare")
	key := media[0].Content
	if m.done[key]++; m.done[key] < m.pieces {
		return false, nil
	}
	return true, m.fail
}

func (m *seeingModel) Rest() {
	select {
	case m.rest <- struct{}{}:
	default:
	}
}

func (m *seeingModel) Step(b *Batch) ([][]float32, error) {
	m.mu.Lock()
	m.log = append(m.log, "step")
	for _, r := range b.Rows {
		if list := b.Media[r.Seq]; len(list) > 0 && m.done[list[0].Content] < m.pieces {
			m.fakeModel.complain("rows of %v before it was prepared", list[0].Content)
		}
	}
	m.mu.Unlock()
	return m.fakeModel.Step(b)
}

func startSeeing(t *testing.T, c Config, pieces int) (*Engine, *seeingModel) {
	t.Helper()
	m := &seeingModel{fakeModel: newFakeModel(c), pieces: pieces, done: map[any]int{}}
	e, err := New(m, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close(); m.verify(t) })
	return e, m
}

var seeing = Config{Blocks: 32, MaxSequences: 4, StepTokens: 128, Context: 512, Vocab: fakeVocab}

func TestPicturesArePreparedBeforeTheirRows(t *testing.T) {
	e, m := startSeeing(t, seeing, 3)
	r := Request{Prompt: ids(80, 1), MaxTokens: 5, IgnoreEOS: true, Media: []Media{{At: 10, Len: 20, Content: "cat"}}}
	answer, result, err := collect(e, r)
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, r, seeing.Context, answer, result)
	if got := strings.Join(m.log[:4], " "); got != "prepare prepare prepare step" {
		t.Errorf("the order of work was %s", got)
	}
}

// While one prompt's picture is worked on piece by piece, an answer under way gets a step between any two pieces.
func TestPicturesDoNotHoldUpAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, m := startSeeing(t, seeing, 40)
		queued := make(chan struct{})
		m.piece, m.begun = time.Millisecond, sync.OnceFunc(func() { close(queued) })
		var work sync.WaitGroup
		work.Go(func() {
			_, err := e.Generate(t.Context(), Request{Prompt: ids(5, 2), MaxTokens: 200, IgnoreEOS: true}, func(Sampled) (bool, error) {
				<-queued
				return false, nil
			})
			if err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		m.log = nil
		work.Go(func() {
			if _, _, err := collect(e, Request{Prompt: ids(80, 1), MaxTokens: 1, Media: []Media{{At: 0, Len: 64, Content: "cat"}}}); err != nil {
				t.Error(err)
			}
		})
		work.Wait()
		first, last := slices.Index(m.log, "prepare"), 0
		steps := 0
		for i, what := range m.log {
			if what == "prepare" {
				last = i
			}
		}
		for _, what := range m.log[first:last] {
			if what == "step" {
				steps++
			}
		}
		if steps < 38 { // the answer joins after the first piece
			t.Errorf("%d steps between 40 pieces", steps)
		}
	})
}

func TestAPictureThatCannotBePreparedFailsItsRequestAlone(t *testing.T) {
	e, m := startSeeing(t, seeing, 2)
	m.fail = errors.New("no room for it")
	if _, _, err := collect(e, Request{Prompt: ids(80, 1), MaxTokens: 1, Media: []Media{{At: 0, Len: 4}}}); err == nil || !strings.Contains(err.Error(), "no room for it") {
		t.Errorf("error %v", err)
	}
	if _, _, err := collect(e, Request{Prompt: ids(80, 1), MaxTokens: 1}); err != nil {
		t.Errorf("text alone: %v", err)
	}
	wantIdle(t, e)
}

func TestAModelWithoutEyesRefusesPictures(t *testing.T) {
	e, _ := start(t, seeing)
	if _, _, err := collect(e, Request{Prompt: ids(8, 1), MaxTokens: 1, Media: []Media{{At: 0, Len: 4}}}); err == nil {
		t.Error("the picture was ignored")
	}
	wantIdle(t, e)
}

func TestMisplacedPicturesAreRefused(t *testing.T) {
	e, _ := startSeeing(t, seeing, 1)
	for _, media := range [][]Media{{{At: -1, Len: 4}}, {{At: 0, Len: 0}}, {{At: 6, Len: 3}}, {{At: 2, Len: 3}, {At: 4, Len: 1}}} {
		_, _, err := collect(e, Request{Prompt: ids(8, 1), MaxTokens: 1, Media: media})
		wantField(t, err, "prompt")
	}
}

// Two prompts of the same ids with different pictures share what goes before the picture and no more; with the same picture
// they share all.
func TestThePrefixCacheTellsPicturesApart(t *testing.T) {
	c := seeing
	c.PrefixCache, c.Keep = true, c.Blocks
	e, _ := startSeeing(t, c, 1)
	ask := func(hash byte) int {
		t.Helper()
		r := Request{Prompt: ids(200, 3), MaxTokens: 1, Media: []Media{{At: 70, Len: 8, Content: hash, Hash: [32]byte{31: hash}}}}
		_, result, err := collect(e, r)
		if err != nil {
			t.Fatal(err)
		}
		return result.Cached
	}
	for i, c := range []struct {
		hash byte
		want int
	}{{1, 0}, {1, 192}, {2, 64}, {2, 192}, {1, 192}} {
		if got := ask(c.hash); got != c.want {
			t.Errorf("request %d with picture %d: %d positions cached, want %d", i, c.hash, got, c.want)
		}
	}
}

// No key of a picture is an id, whatever its hash, and each bit of the hash but the signs counts.
func TestKeysOfPicturesAreNoIDs(t *testing.T) {
	prompt := []int32{7, 5, 5, 5, 5, 5, 5, 5, 5, 5, 7}
	of := func(hash [32]byte) []int32 { return keys(prompt, []Media{{At: 1, Len: 9, Hash: hash}}) }
	for _, hash := range [][32]byte{{}, {5}, {0: 255, 1: 255, 2: 255, 3: 255}, {3: 0x7f, 7: 0x80, 31: 0x7f}} {
		list := of(hash)
		if list[0] != 7 || list[10] != 7 {
			t.Errorf("%v: what stands around it is %d and %d", hash, list[0], list[10])
		}
		for i, key := range list[1:10] {
			if key >= 0 {
				t.Errorf("%v: position %d has the key %d, which may be an id", hash, i, key)
			}
		}
		if list[1] != list[9] {
			t.Errorf("%v: the ninth position does not repeat the first", hash)
		}
	}
	plain := of([32]byte{})
	for bit := range 256 {
		var hash [32]byte
		hash[bit/8] = 1 << (bit % 8)
		if same := slices.Equal(of(hash), plain); same != (bit%32 == 31) {
			t.Errorf("bit %d of the hash: the keys are the same, %v", bit, same)
		}
	}
	if &keys(prompt, nil)[0] != &prompt[0] || prompt[1] != 5 {
		t.Error("the prompt itself was changed, or copied without need")
	}
}

// A model is told when whoever waited for a preparation is gone, also if there is nothing else to do.
func TestACancelledPreparationIsToldOf(t *testing.T) {
	e, m := startSeeing(t, seeing, 1<<30)
	ctx, cancel := context.WithCancel(t.Context())
	m.begun = sync.OnceFunc(func() {
		m.rest = make(chan struct{}, 1) // what was told before does not count
		cancel()
	})
	_, err := e.Generate(ctx, Request{Prompt: ids(80, 1), MaxTokens: 1, Media: []Media{{At: 0, Len: 64, Content: "cat"}}},
		func(Sampled) (bool, error) { return true, nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the request ends with %v", err)
	}
	<-m.rest
}

package serve

// album_test.go holds what pictures take to the CPU's budget. A byte of stare's files costs 10 to decode and, once seen, one for
// the pixel and 8 for what is seen of it.

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/far"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/engine"
)

// budgeted makes eyes on a CPU with so many bytes for pictures.
func budgeted(bytes int64, s stare) (*eyes, *cpu.Device) {
	c := cpu.New(1)
	c.SetBudget(bytes)
	s.hidden, s.cost = 1, 10
	return newEyes(s, 0, c, nil, nil), c
}

func picturesOf(c *cpu.Device) int64 { return c.Usage().For[cuda.ForPictures] }

func TestAPictureThatTheBudgetCannotHoldIsRefused(t *testing.T) {
	e, c := budgeted(1000, stare{})
	_, err := e.Look(t.Context(), make([]byte, 101), true)
	if sdk.ReasonOf(err) != sdk.ReasonMemory || !strings.Contains(err.Error(), "while it is decoded") {
		t.Errorf("a picture of 1010 bytes in 1000: %v", err)
	}
	if p, err := e.Look(t.Context(), make([]byte, 100), true); err != nil {
		t.Errorf("a picture of 1000 bytes in 1000: %v", err)
	} else if n := picturesOf(c); n != 900 {
		t.Errorf("once decoded it takes %d bytes, not 900", n)
	} else {
		e.Leave(p)
	}
	if c.Usage().Peak > 1000 {
		t.Errorf("at one time there were %d bytes", c.Usage().Peak)
	}
}

// Who sends a picture that does not fit beside another's waits until the other has ended; then what is only remembered gives
// way.
func TestARequestWaitsForTheMemoryOfAnothersPicture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, c := budgeted(1000, stare{})
		first, err := e.Look(t.Context(), make([]byte, 90), true)
		if err != nil {
			t.Fatal(err)
		}
		came := make(chan error, 1)
		go func() {
			_, err := e.Look(t.Context(), []byte(strings.Repeat("b", 90)), true)
			came <- err
		}()
		synctest.Wait()
		if len(came) != 0 {
			t.Fatal("it did not wait")
		}
		if _, err := e.Look(t.Context(), []byte(strings.Repeat("c", 90)), false); sdk.ReasonOf(err) != sdk.ReasonMemory {
			t.Errorf("a request that has a picture already: %v", err)
		}
		e.Leave(first)
		if err := <-came; err != nil {
			t.Error(err)
		}
		if n := len(e.album.recent); n != 1 || picturesOf(c) != 810 {
			t.Errorf("%d pictures are remembered and take %d bytes", n, picturesOf(c))
		}
	})
}

func TestWhoLeavesWaitsForNoMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := budgeted(1000, stare{})
		if _, err := e.Look(t.Context(), make([]byte, 90), true); err != nil {
			t.Fatal(err)
		}
		ctx, leave := context.WithCancel(t.Context())
		came := make(chan error, 1)
		go func() {
			_, err := e.Look(ctx, []byte(strings.Repeat("b", 90)), true)
			came <- err
		}()
		synctest.Wait()
		leave()
		if err := <-came; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// A picture that failed is not remembered; its bytes go with the request.
func TestBytesGoWithTheLastWhoHasAPicture(t *testing.T) {
	y := newToy(t, far.Now(), 0, func(int) bool { return false })
	fail := true
	e := newStare(t, y, stare{fail: &fail, hidden: 1})
	file := []byte{1, 2, 3, 4, 5}
	a, err := e.Look(t.Context(), file, true)
	if err != nil {
		t.Fatal(err)
	}
	b, err := e.Look(t.Context(), file, true)
	if err != nil || a != b {
		t.Fatalf("one picture became two sights, %v", err)
	}
	if _, err := e.prepare([]engine.Media{{Len: 5, Content: a}}); err == nil {
		t.Fatal("it did not fail")
	}
	e.Leave(a)
	if picturesOf(y.cpu()) == 0 {
		t.Error("one request has it still")
	}
	e.Leave(b)
	if n := picturesOf(y.cpu()); n != 0 {
		t.Errorf("%d bytes remain of a picture that is gone", n)
	}
}

// Many requests with several pictures each, of all sizes, more than fit together: the budget holds at every instant, each request
// gets all its pictures or is told, and in the end nothing is left but what is remembered.
func TestTheBudgetHoldsWhoeverSendsPictures(t *testing.T) {
	e, c := budgeted(3000, stare{})
	var all sync.WaitGroup
	served, refused := 0, 0
	var mu sync.Mutex
	for n := range 16 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(n), 1))
			for range 50 {
				err := request(t.Context(), e, random)
				mu.Lock()
				switch {
				case err == nil:
					served++
				case sdk.ReasonOf(err) == sdk.ReasonMemory:
					refused++
				default:
					t.Error(err)
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if served == 0 || refused == 0 {
		t.Errorf("%d requests were served and %d refused", served, refused)
	}
	if u := c.Usage(); u.Peak > 3000 {
		t.Errorf("at one time there were %d bytes", u.Peak)
	}
	remembered := int64(0)
	for _, s := range e.album.recent {
		remembered += s.bytes
		if s.users != 0 {
			t.Errorf("a request has a picture still")
		}
	}
	if n := picturesOf(c); n != remembered || e.album.used != 0 || e.album.decoding != 0 {
		t.Errorf("%d bytes are counted, %d remembered; %+v", n, remembered, e.album)
	}
}

// request looks at one to four pictures and leaves them.
func request(ctx context.Context, e *eyes, random *rand.Rand) error {
	for i := range 1 + random.IntN(4) {
		file := make([]byte, 1+random.IntN(150))
		file[0] = byte(random.IntN(256))
		p, err := e.Look(ctx, file, i == 0)
		if err != nil {
			return err
		}
		defer e.Leave(p)
	}
	return nil
}

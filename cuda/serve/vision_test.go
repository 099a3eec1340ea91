package serve

// vision_test.go shows bytes for pictures to eyes that only add: what is begun, given up, failed and remembered.

import (
	"context"
	"crypto/sha256"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/far"
	"github.com/inference-pio/inference-pio/sdk/engine"
)

// stare is a Seer whose picture is a row of bytes. Each of three pieces adds the numbers to themselves; the second
// and the last give features.
type stare struct {
	Seer
	hidden  int             // of the decoder
	cost    int64           // of decoding a byte
	fail    *bool           // what the next piece does, once
	decoded chan<- []byte   // gets each file
	decode  <-chan struct{} // and has it decoded, if not nil
	broken  error           // of every file
	tower   *cuda.Module    // where it is seen; nil: on the CPU
}

type bytePicture []byte

func (p bytePicture) Tokens() int    { return len(p) }
func (p bytePicture) Bytes() int64   { return int64(len(p)) }
func (p bytePicture) Hash() [32]byte { return sha256.Sum256(p) }

func (stare) Features() int  { return 2 }
func (m stare) Shape() Shape { return Shape{Hidden: m.hidden} }

func (m stare) Cost(file []byte) (int64, error) { return m.cost * int64(len(file)), nil }

func (m stare) Look(_ context.Context, file []byte) (Picture, error) {
	if m.decode != nil {
		m.decoded <- file
		<-m.decode
	}
	if m.broken != nil {
		return nil, m.broken
	}
	return bytePicture(file), nil
}

func (m stare) See(s *cuda.Step, p Picture, x cuda.Tensor, piece int) (next cuda.Tensor, seen []cuda.Tensor, done bool) {
	if m.tower != nil {
		s.EnterModule(m.tower)
	}
	if piece == 0 {
		pixels := make([]float32, p.Tokens())
		for i, v := range p.(bytePicture) {
			pixels[i] = float32(v)
		}
		x = s.InputF32(pixels, len(pixels), 1)
	}
	if m.fail != nil && *m.fail && !s.Measuring() {
		*m.fail, x = false, s.Add(x, s.InputF32([]float32{1, 2, 3}, 3, 1))
	}
	x = s.Add(x, x)
	if piece == 0 {
		return x, nil, false
	}
	return x, []cuda.Tensor{x}, piece == 2
}

// newStare makes eyes on the devices of a toy.
func newStare(t *testing.T, y *toy, s stare) *eyes {
	e := newEyes(s, 0, y.cpu(), y.r.devices, y.r)
	t.Cleanup(func() {
		e.release()
		e.album.close()
	})
	return e
}

// activationsOf is what a device holds but for pictures.
func activationsOf(y *toy) int64 {
	u := y.cpu().Usage()
	return u.Used - u.For[cuda.ForPictures]
}

// lookAt prepares one picture by so many pieces, for a request that ends then.
func lookAt(t *testing.T, e *eyes, file []byte, pieces int) *sight {
	t.Helper()
	p, err := e.Look(t.Context(), file, true)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Leave(p)
	s := p.(*sight)
	for range pieces {
		if _, err := e.prepare([]engine.Media{{Len: s.Tokens(), Content: s}}); err != nil {
			t.Fatalf("a picture of %d tokens: %v", s.Tokens(), err)
		}
	}
	return s
}

// Requests can end while their pictures are being looked at. Those pictures go on where they were when they come again, whatever
// was looked at meanwhile, and their memory is given back.
func TestPicturesGivenUpGoOnWhenTheyComeAgain(t *testing.T) {
	y := newToy(t, far.Now(), 0, func(int) bool { return false })
	before := activationsOf(y)
	e := newStare(t, y, stare{})
	large, small := slices.Repeat([]byte{3}, 5000), []byte{1, 2}
	lookAt(t, e, small, 1) // the large one needs more memory than the one that was given up
	lookAt(t, e, large, 1)
	for _, file := range [][]byte{small, large} {
		s := lookAt(t, e, file, 2)
		if !s.done || len(s.features) != 2 {
			t.Fatalf("%d tokens: %+v", len(file), s)
		}
		for i, v := range file {
			if s.features[0][i] != 8*float32(v) || s.features[1][i] != 4*float32(v) {
				t.Fatalf("token %d of %d is seen as %v and %v", i, len(file), s.features[0][i], s.features[1][i])
			}
		}
	}
	if after := activationsOf(y); after != before {
		t.Errorf("%d bytes are held, before anything was seen %d", after, before)
	}
	if s := lookAt(t, e, large, 0); !s.done {
		t.Error("what was seen lately is looked at again")
	}
}

// A request that ends while its picture is being looked at leaves no memory behind, though nobody else sends one.
func TestRestGivesBackThePictureThatNobodyWants(t *testing.T) {
	y := newToy(t, far.Now(), 0, func(int) bool { return false })
	used := func() int64 { return activationsOf(y) }
	before := used()
	e := newStare(t, y, stare{})
	engine := &stepper{eyes: e, place: y.r}
	engine.Rest()
	file := slices.Repeat([]byte{3}, 5000)
	lookAt(t, e, file, 1)
	if used() <= before {
		t.Fatal("a picture that is being looked at takes no memory")
	}
	engine.Rest()
	if used() != before {
		t.Errorf("%d bytes are held, before anything was seen %d", used(), before)
	}
	if s := lookAt(t, e, file, 2); !s.done || s.features[0][4999] != 24 {
		t.Errorf("when it comes again it is seen as %v", s.features)
	}
}

// A piece that fails, for want of memory perhaps, fails its request; who sends the picture again gets it whole.
func TestAPictureThatFailedIsLookedAtAnew(t *testing.T) {
	y := newToy(t, far.Now(), 0, func(int) bool { return false })
	fail := false
	e := newStare(t, y, stare{fail: &fail})
	for piece := range 3 {
		file := []byte{1, 2, 3, 4, byte(piece)}
		s := lookAt(t, e, file, piece)
		fail = true
		if _, err := e.prepare([]engine.Media{{Len: 5, Content: s}}); err == nil {
			t.Fatalf("piece %d did not fail", piece)
		}
		again := lookAt(t, e, file, 3)
		if again == s || !again.done || len(again.features) != 2 || again.features[0][3] != 32 || again.features[1][3] != 16 {
			t.Errorf("after piece %d had failed it is seen as %v", piece, again.features)
		}
	}
}

// What was seen of pictures is kept for later up to a number of bytes, the oldest given up first.
func TestPicturesAreForgottenByTheirWeight(t *testing.T) {
	const half = (recentWeight/2 - 16) / (2 * 4) // the width of one token that weighs so much
	e := newEyes(stare{hidden: half / 16}, 0, cpu.New(1), nil, nil)
	a, b, c := slices.Repeat([]byte{1}, 16), slices.Repeat([]byte{2}, 16), []byte{3}
	whole := slices.Repeat([]byte{4}, 1000)
	first, second := lookAt(t, e, a, 0), lookAt(t, e, b, 0)
	if lookAt(t, e, a, 0) != first {
		t.Error("the first of two was forgotten")
	}
	lookAt(t, e, c, 0)
	if lookAt(t, e, a, 0) != first {
		t.Error("the one that came last was forgotten")
	}
	if lookAt(t, e, b, 0) == second {
		t.Error("more is remembered than there is room for")
	}
	if large := lookAt(t, e, whole, 0); lookAt(t, e, whole, 0) != large || len(e.album.recent) != 1 {
		t.Errorf("of one that is too large by itself %d are remembered", len(e.album.recent))
	}
	for i := range 2 * recentSights {
		lookAt(t, e, []byte{byte(i)}, 0)
	}
	if len(e.album.recent) != recentSights {
		t.Errorf("%d small pictures are remembered, not %d", len(e.album.recent), recentSights)
	}
}

// However small they are, only so many are remembered.
func TestPicturesAreForgottenByTheirNumber(t *testing.T) {
	e, _ := budgeted(0, stare{})
	first := lookAt(t, e, []byte{0}, 0)
	for i := range recentSights - 1 {
		lookAt(t, e, []byte{byte(i + 1)}, 0)
	}
	if lookAt(t, e, []byte{0}, 0) != first || len(e.album.recent) != recentSights {
		t.Errorf("of %d pictures the first is forgotten, %d are remembered", recentSights, len(e.album.recent))
	}
	lookAt(t, e, []byte{recentSights}, 0)
	if len(e.album.recent) != recentSights {
		t.Errorf("of one more %d are remembered", len(e.album.recent))
	}
}

func TestFewFilesAreDecodedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		decoded, decode := make(chan []byte, 10), make(chan struct{})
		e := newEyes(stare{decoded: decoded, decode: decode}, 0, cpu.New(1), nil, nil)
		for i := range 10 {
			go e.Look(t.Context(), []byte{byte(i)}, true)
		}
		for i := range 10 {
			synctest.Wait()
			if n := len(decoded); n != min(i+looksTogether, 10) {
				t.Fatalf("%d files were begun when %d were done", n, i)
			}
			decode <- struct{}{}
		}
	})
}

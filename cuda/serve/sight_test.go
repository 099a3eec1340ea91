package serve

// sight_test.go counts the memory of pictures from the first byte to the last, on every way that a request can end, and has them seen
// on another device than the CPU.

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/inference-pio/inference-pio/cuda/far"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/engine"
)

// While a picture is looked at, what lies between two pieces is counted besides its pixels and what is seen of it; when it is seen,
// no more.
func TestWhatAPictureTakesPieceByPiece(t *testing.T) {
	y := newToy(t, far.Now(), 0, none)
	e := newStare(t, y, stare{hidden: 3})
	const tokens = 100
	p, err := e.Look(t.Context(), slices.Repeat([]byte{1}, tokens), true)
	if err != nil {
		t.Fatal(err)
	}
	weight := int64(tokens + tokens*2*3*4) // a byte for each pixel, two features of three numbers
	for piece, want := range []int64{weight, weight + 4*tokens, weight + 4*tokens, weight} {
		if n := picturesOf(y.cpu()); n != want {
			t.Errorf("after %d pieces %d bytes are counted, want %d", piece, n, want)
		}
		done, err := e.prepare([]engine.Media{{Len: tokens, Content: p}})
		if err != nil || done != (piece >= 2) {
			t.Fatalf("piece %d: done %v, %v", piece, done, err)
		}
	}
	e.Leave(p)
	if n := picturesOf(y.cpu()); n != weight {
		t.Errorf("remembered it takes %d bytes, not %d", n, weight)
	}
	e.album.close()
	if n := picturesOf(y.cpu()); n != 0 {
		t.Errorf("%d bytes are counted when nothing is remembered", n)
	}
}

// All pictures of a request are seen before it goes on, one after the other.
func TestAllPicturesOfARequestAreSeen(t *testing.T) {
	y := newToy(t, far.Now(), 0, none)
	e := newStare(t, y, stare{hidden: 1})
	var media []engine.Media
	for _, file := range [][]byte{{1, 2}, {3}, {4, 5, 6}} {
		p, err := e.Look(t.Context(), file, len(media) == 0)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Leave(p)
		media = append(media, engine.Media{Len: len(file), Content: p})
	}
	for piece := range 9 {
		if done, err := e.prepare(media); err != nil || done != (piece == 8) {
			t.Fatalf("after piece %d of 9: done %v, %v", piece, done, err)
		}
	}
	for i, m := range media {
		if s := m.Content.(*sight); !s.done || len(s.features) != 2 || s.features[0][0] != 8*float32(s.Picture.(bytePicture)[0]) {
			t.Errorf("picture %d is seen as %v", i, s.features)
		}
	}
	if done, err := e.prepare(media); err != nil || !done {
		t.Errorf("when all are seen: %v, %v", done, err)
	}
}

// However a picture's way ends before it is one that a request has, nothing stays counted, and those who come after go on.
func TestNothingStaysOfAPictureThatDidNotCome(t *testing.T) {
	for name, c := range map[string]struct {
		stare  stare
		budget int64
		leaves bool // while two others are being decoded
		want   string
	}{
		"the file is broken":          {stare{broken: errors.New("is no picture")}, 1000, false, "is no picture"},
		"no room to decode it":        {stare{}, 199, false, "while it is decoded"},
		"nobody waits for it anymore": {stare{}, 1000, true, context.Canceled.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // who waits for ever is told so at once
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				e, cpu := budgeted(c.budget, c.stare)
				if c.leaves {
					for range looksTogether {
						e.album.looks <- struct{}{}
					}
					cancel()
				}
				for range looksTogether + 1 {
					if _, err := e.Look(ctx, make([]byte, 20), true); err == nil || !strings.Contains(err.Error(), c.want) {
						t.Errorf("%v, want %s", err, c.want)
					}
				}
				if n := picturesOf(cpu); n != 0 || e.album.decoding != 0 || e.album.used != 0 {
					t.Errorf("%d bytes are counted; %d are being decoded, %d used", n, e.album.decoding, e.album.used)
				}
			})
		})
	}
}

// Broken files give their turn back: the next one is decoded.
func TestBrokenFilesGiveTheirTurnBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("is no picture")
		e, _ := budgeted(1000, stare{broken: broken})
		done := make(chan error, 3*looksTogether)
		for i := range cap(done) {
			go func() {
				_, err := e.Look(t.Context(), []byte{byte(i)}, true)
				done <- err
			}()
		}
		synctest.Wait()
		if len(done) != cap(done) {
			t.Fatalf("%d of %d files were decoded", len(done), cap(done))
		}
		for range cap(done) {
			if err := <-done; !errors.Is(err, broken) {
				t.Error(err)
			}
		}
	})
}

// What is seen of a picture can take more than decoding it; when there is no room for it, that is said, and the bytes are free again.
func TestAPictureWhoseFeaturesDoNotFitIsRefused(t *testing.T) {
	y := newToy(t, far.Now(), 0, none)
	before := y.cpu().Usage().Used
	y.cpu().SetBudget(before + 1000)
	e := newStare(t, y, stare{hidden: 10, cost: 1})
	_, err := e.Look(t.Context(), make([]byte, 13), true) // 13 + 13·2·10·4 = 1053
	if sdk.ReasonOf(err) != sdk.ReasonMemory || !strings.Contains(err.Error(), "for the 13 tokens that it is seen as") {
		t.Error(err)
	}
	if n := picturesOf(y.cpu()); n != 0 {
		t.Errorf("%d bytes stay", n)
	}
	y.cpu().SetBudget(0)
}

// A picture that cannot be looked at for want of memory fails its request alone, and gives everything back with it.
func TestAPictureWithoutRoomToBeLookedAtFailsAlone(t *testing.T) {
	for name, room := range map[string]int64{"between its pieces": 10, "for activations": 1000} {
		t.Run(name, func(t *testing.T) {
			y := newToy(t, far.Now(), 0, none)
			e := newStare(t, y, stare{hidden: 1})
			p, err := e.Look(t.Context(), slices.Repeat([]byte{1}, 100), true)
			if err != nil {
				t.Fatal(err)
			}
			before := activationsOf(y)
			y.cpu().SetBudget(y.cpu().Usage().Used + room)
			if _, err := e.prepare([]engine.Media{{Len: 100, Content: p}}); sdk.ReasonOf(err) != sdk.ReasonMemory {
				t.Errorf("%v (%v)", err, sdk.ReasonOf(err))
			}
			e.Leave(p)
			(&stepper{eyes: e, place: y.r}).Rest()
			if n := picturesOf(y.cpu()); n != 0 || activationsOf(y) != before {
				t.Errorf("%d bytes of pictures stay, %d of activations; before there were %d", n, activationsOf(y), before)
			}
			y.cpu().SetBudget(0)
			if s := lookAt(t, e, slices.Repeat([]byte{1}, 100), 3); !s.done {
				t.Error("with room it is not seen")
			}
		})
	}
}

// A picture that a request has is not given up for another, and who sends it again has the same.
func TestAPictureInUseIsKept(t *testing.T) {
	e, _ := budgeted(1000, stare{})
	file := make([]byte, 90)
	p, err := e.Look(t.Context(), file, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Look(t.Context(), []byte(strings.Repeat("b", 90)), false); sdk.ReasonOf(err) != sdk.ReasonMemory {
		t.Errorf("beside it there is room for %v", err)
	}
	e.album.cpu.SetBudget(0)
	if again, err := e.Look(t.Context(), file, true); err != nil || again != p {
		t.Errorf("it comes again as another: %v", err)
	}
}

// onFar has the toy's first module be a tower, on far, with so many bytes of room beside it.
func onFar(t *testing.T, pace far.Pace, room int64) (*toy, *eyes) {
	t.Helper()
	y := newToy(t, pace, toyRoom+toyWeight+room, none)
	if err := y.obey(move("embed_tokens", "far")); err != nil {
		t.Fatal(err)
	}
	y.r.mu.Lock() // the log is about to say what has moved
	y.mod[0].ID = "visual"
	y.r.mu.Unlock()
	return y, newStare(t, y, stare{hidden: 1, tower: y.mod[0]})
}

// A tower on another device has memory for a picture's activations there while one is looked at, on every way out no longer, and
// without room there it is computed on the CPU.
func TestATowerElsewhere(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		file := slices.Repeat([]byte{5}, 100)
		for name, c := range map[string]struct {
			room int64
			at   string
		}{"with room": {1 << 20, "far"}, "without": {500, "cpu"}} {
			t.Run(name, func(t *testing.T) {
				y, e := onFar(t, pace, c.room)
				before := y.used()
				lookAt(t, e, file, 1)
				if used := y.used(); c.at == "far" && used <= before {
					t.Errorf("%d bytes are held there while a picture is looked at, %d without", used, before)
				}
				(&stepper{eyes: e, place: y.r}).Rest() // its request has ended
				if used := y.used(); used > before {
					t.Errorf("%d bytes are held there of a picture given up, %d before", used, before)
				}
				if s := lookAt(t, e, file, 2); !s.done || s.features[0][99] != 40 {
					t.Errorf("it is seen as %v", s.features)
				}
				if at := y.place("embed_tokens"); at != c.at {
					t.Errorf("the tower is on %s", at)
				}
				if used := y.used(); used > before || (c.at == "cpu") != (used == 0) {
					t.Errorf("%d bytes are held there when it is seen, %d before", used, before)
				}
			})
		}
	})
}

package serve

import (
	"crypto/sha256"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/sdk/engine"
)

// stare is a Seer whose picture is a row of bytes. Each of three pieces adds the numbers to themselves; the second
// and the last give features.
type stare struct{ Seer }

type bytePicture []byte

func (p bytePicture) Tokens() int    { return len(p) }
func (p bytePicture) Hash() [32]byte { return sha256.Sum256(p) }

func (stare) Features() int                     { return 2 }
func (stare) Look(file []byte) (Picture, error) { return bytePicture(file), nil }

func (stare) See(s *cuda.Step, p Picture, x cuda.Tensor, piece int) (next cuda.Tensor, seen []cuda.Tensor, done bool) {
	if piece == 0 {
		pixels := make([]float32, p.Tokens())
		for i, v := range p.(bytePicture) {
			pixels[i] = float32(v)
		}
		x = s.InputF32(pixels, len(pixels), 1)
	}
	x = s.Add(x, x)
	if piece == 0 {
		return x, nil, false
	}
	return x, []cuda.Tensor{x}, piece == 2
}

// lookAt prepares one picture by so many pieces.
func lookAt(t *testing.T, e *eyes, file []byte, pieces int) *sight {
	t.Helper()
	p, err := e.Look(file)
	if err != nil {
		t.Fatal(err)
	}
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
	y := newToy(t, 0, func(int) bool { return false })
	before := y.r.devices[0].Usage().Used
	e := newEyes(stare{}, y.r.devices, y.r)
	large, small := slices.Repeat([]byte{3}, 5000), []byte{1, 2}
	lookAt(t, e, large, 1)
	lookAt(t, e, small, 1)
	for _, file := range [][]byte{large, small} {
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
	if after := y.r.devices[0].Usage().Used; after != before {
		t.Errorf("%d bytes are held, before anything was seen %d", after, before)
	}
	if s := lookAt(t, e, large, 0); !s.done {
		t.Error("what was seen lately is looked at again")
	}
}

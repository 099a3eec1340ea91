package serve

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/sdk/engine"
	"github.com/inference-pio/inference-pio/sdk/text"
)

// vision.go lets a model see. A picture is decoded where its request is read, looked at piece by piece between the steps of
// others, and what was seen lies in the memory of this process until the rows that stand for it are computed.

// Seer is a Model that takes pictures. The modules of its tower are "visual" and those whose ids begin with "visual.".
type Seer interface {
	Model
	// ReadPreprocessor takes preprocessor_config.json. It is called once, before anything else, if the checkpoint has one.
	ReadPreprocessor(text []byte) error
	// PadToken stands for a piece of a picture in the prompt.
	PadToken() int32
	// Cost is the most bytes that Look takes for a file while it works, from the file's head. Its errors are for the client.
	Cost(file []byte) (int64, error)
	// Look decodes a file and cuts it into patches. It is called from any goroutine; an error is a sentence for the client.
	Look(ctx context.Context, file []byte) (Picture, error)
	// Blank is a picture of about so many pixels, or of as many as the model takes, without contents: to be measured.
	Blank(pixels int) Picture
	// CheckPrompt says what in a prompt is not built, such as a place for a video, in a sentence for the client.
	CheckPrompt(ids []int32) error
	// Features is how many tensors (tokens of the picture, hidden) a picture gives: what stands for the embedding, and what
	// is added behind the first decoder layers.
	Features() int
	// See runs one piece of the tower, about as much work as a step with a chunk of a prompt. Piece 0 is given the zero
	// Tensor and begins from the picture's pixels; a later one is given what the one before returned as next,
	// (rows, width) f32. seen are features that this piece has finished; the one for the embedding comes last of all. When
	// done is true there is no next and the picture may give up its pixels.
	See(s *cuda.Step, p Picture, x cuda.Tensor, piece int) (next cuda.Tensor, seen []cuda.Tensor, done bool)
	// Axes writes the rope positions (time, row, column) of a sequence's cache positions to out, three for each.
	Axes(pictures []Placed, positions []int32, out []int32)
}

// Picture is a decoded picture; what else it is the model knows.
type Picture interface {
	text.Picture
	Bytes() int64 // that it takes, until it is seen
}

// Placed is a picture in a prompt.
type Placed struct {
	At      int // position of its first token
	Picture Picture
}

var (
	_ engine.Preparer = (*stepper)(nil)
	_ engine.Rester   = (*stepper)(nil)
	_ text.Pictures   = (*eyes)(nil)
)

// inTower says of a module's id whether only pictures enter it.
func inTower(id string) bool { return id == "visual" || strings.HasPrefix(id, "visual.") }

// sight is a picture on its way from pixels to features. Its fields but the first belong to the engine's goroutine.
type sight struct {
	Picture
	piece    int
	x        []float32 // (rows, width), between pieces
	rows     int
	features [][]float32 // of all pieces so far; when done, as nn.Visual has them
	done     bool
	sizes    *cuda.Sizes // that its pieces need
	between  int64       // bytes of x at most, once they are counted

	// Under album.mu.
	weight     int64 // bytes of its pixels and of what is seen of it
	bytes      int64 // counted for it
	users      int   // requests that have it
	remembered bool
}

// eyes are a loaded model's.
type eyes struct {
	model   Seer
	context int // positions
	devices []cuda.Device
	place   *residency
	step    *cuda.Step // its own: a tower has no layers, and its sizes are the picture's
	held    []bool     // devices that have memory for its activations
	holder  *sight     // whose they are

	album *album

	seen, reused atomic.Uint64 // pictures
}

// newEyes: the first device is the CPU, c.
func newEyes(m Seer, context int, c *cpu.Device, devices []cuda.Device, place *residency) *eyes {
	return &eyes{model: m, context: context, devices: devices, place: place, step: cuda.NewStep(devices, nil, place), held: make([]bool, len(devices)),
		album: newAlbum(c)}
}

// Pad implements text.Pictures.
func (e *eyes) Pad() int32 { return e.model.PadToken() }

// Context implements text.Pictures.
func (e *eyes) Context() int { return e.context }

// Check implements text.Pictures.
func (e *eyes) Check(ids []int32) error { return e.model.CheckPrompt(ids) }

// Look implements text.Pictures: a picture that was sent lately is the same sight.
func (e *eyes) Look(ctx context.Context, file []byte, first bool) (text.Picture, error) {
	cost, err := e.model.Cost(file)
	if err != nil {
		return nil, err
	}
	fresh := (*sight)(nil)
	s, err := e.album.decode(ctx, cost, first, func() (*sight, error) {
		p, err := e.model.Look(ctx, file)
		if err != nil {
			return nil, err
		}
		fresh = &sight{Picture: p, weight: e.weight(p)}
		return fresh, nil
	})
	if err != nil {
		return nil, err
	}
	if s != fresh {
		e.reused.Add(1)
	}
	return s, nil
}

// Leave implements text.Pictures.
func (e *eyes) Leave(p text.Picture) { e.album.leave(p.(*sight)) }

// weight is the bytes of a picture's pixels and of what is seen of it.
func (e *eyes) weight(p Picture) int64 {
	return p.Bytes() + int64(p.Tokens())*int64(e.model.Features()*e.model.Shape().Hidden)*4
}

// prepare looks at one piece of the first picture that is not seen yet.
func (e *eyes) prepare(media []engine.Media) (done bool, err error) {
	i := slices.IndexFunc(media, func(m engine.Media) bool { return !m.Content.(*sight).done })
	if i < 0 {
		return true, nil
	}
	s := media[i].Content.(*sight)
	if err := e.look(s); err != nil {
		e.album.forget(s)
		return false, err
	}
	return s.done && i == len(media)-1, nil
}

// look runs one piece.
func (e *eyes) look(s *sight) error {
	e.place.begin()
	defer e.place.finish()
	if err := e.reserve(s); err != nil {
		return err
	}
	e.step.Begin()
	var x cuda.Tensor
	if s.piece > 0 {
		x = e.step.InputF32(s.x, s.rows, len(s.x)/s.rows)
	}
	next, seen, done := e.model.See(e.step, s.Picture, x, s.piece)
	for i, f := range seen {
		seen[i] = e.step.ToHost(f)
	}
	if !done {
		next = e.step.ToHost(next)
	}
	if err := e.step.End(); err != nil {
		return fmt.Errorf("looking at a picture: %w", err)
	}
	for _, f := range seen {
		s.features = append(s.features, slices.Clone(f.F32()))
	}
	if s.piece++; done {
		return e.finish(s)
	}
	s.x, s.rows = append(s.x[:0], next.F32()...), next.Rows()
	return nil
}

// finish puts the features in the order that rows want them: the one for the embedding first.
func (e *eyes) finish(s *sight) error {
	e.release()
	n := len(s.features)
	if n != e.model.Features() {
		return fmt.Errorf("the tower gave %d features for a picture, not %d", n, e.model.Features())
	}
	s.features = append(s.features[n-1:n:n], s.features[:n-1]...)
	s.x, s.done = nil, true
	e.album.shorten(s, s.between)
	e.seen.Add(1)
	return nil
}

// reserve takes the memory for a picture's activations where the tower lies. If a device has no room for it, the tower's
// modules there go to the CPU.
func (e *eyes) reserve(s *sight) error {
	if s.sizes == nil {
		if s.piece > 0 {
			return errors.New("a picture was begun without its sizes")
		}
		z, between, err := e.measure(s.Picture)
		if err != nil {
			return err
		}
		if err := e.album.extend(s, between); err != nil {
			return fmt.Errorf("a picture of %d tokens: %w", s.Tokens(), memoryError(err))
		}
		s.sizes, s.between = &z, between
	}
	if e.holder != s {
		e.release() // what a picture that was given up left is of another size
		e.holder = s
	}
	for dev := range e.devices {
		if e.held[dev] || dev != 0 && !e.place.towerOn(dev) {
			continue
		}
		err := e.step.Reserve(dev, *s.sizes)
		var budget *cuda.BudgetError
		if dev != 0 && errors.As(err, &budget) {
			err = e.place.towerHome(dev)
		} else if err == nil {
			e.held[dev] = true
		}
		if err != nil {
			return fmt.Errorf("a picture of %d tokens: %w", s.Tokens(), memoryError(err))
		}
	}
	return nil
}

// Rest implements engine.Rester: whoever wanted a picture looked at is gone.
func (t *stepper) Rest() {
	if t.eyes == nil || t.eyes.holder == nil {
		return
	}
	t.place.begin()
	defer t.place.finish()
	t.eyes.release()
}

// close frees everything. Nothing is looked at any more.
func (e *eyes) close() {
	e.release()
	e.step.Close()
	e.album.close()
}

func (e *eyes) release() {
	for dev, held := range e.held {
		if held {
			e.step.Release(dev)
			e.held[dev] = false
		}
	}
	e.holder = nil
}

// measure goes through all pieces without computing them. between is the most bytes that lie between two of them.
func (e *eyes) measure(p Picture) (most cuda.Sizes, between int64, err error) {
	rows, width, done := 0, 0, false
	for piece := 0; !done; piece++ {
		z, err := e.step.Measure(func(s *cuda.Step) {
			var x, next cuda.Tensor
			if piece > 0 {
				x = s.Empty(rows, width)
			}
			next, _, done = e.model.See(s, p, x, piece)
			if !done && s.Err() == nil {
				rows, width = next.Rows(), next.Dim(1)
			}
		})
		if err != nil {
			return most, between, fmt.Errorf("measuring the memory for a picture: %w", err)
		}
		most.Step = max(most.Step, z.Step)
		if !done {
			between = max(between, int64(rows)*int64(width)*4)
		}
	}
	return most, between, nil
}

// towerOn says whether a device computes some module of the tower.
func (r *residency) towerOn(dev int) bool {
	return slices.ContainsFunc(r.places, func(p *place) bool { return p.dev == dev && inTower(p.m.ID) })
}

// towerHome moves the tower's modules from a device to the CPU. mu is held, at the beginning of a step.
func (r *residency) towerHome(dev int) error {
	for _, p := range r.places {
		if p.dev == dev && inTower(p.m.ID) {
			if err := r.move(p, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

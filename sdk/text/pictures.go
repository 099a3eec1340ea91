// pictures.go puts pictures where the prompt has a place for them. The template writes one token for each picture; the model reads
// as many as the picture has pieces.

package text

import (
	"context"
	"errors"
	"slices"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/engine"
)

// Pictures is the eyes of a model. Its methods may be called from any goroutine.
type Pictures interface {
	// Pad is the token that stands for a piece of a picture.
	Pad() int32
	// Check says what in a prompt cannot be seen, such as a video, for the client to read.
	Check(ids []int32) error
	// Context is how many positions a prompt may have at most; a request whose pictures alone take more is refused before the
	// rest of them is decoded.
	Context() int
	// Look decodes a file for a request; first says that the request has no picture yet. An error says what is wrong with the
	// file, for the client to read, or is an *sdk.Error of another kind.
	Look(ctx context.Context, file []byte, first bool) (Picture, error)
	// Leave is called once for each picture that Look returned, when its request has ended.
	Leave(Picture)
}

// Picture is what the model will see.
type Picture interface {
	Tokens() int    // positions it takes in the prompt
	Hash() [32]byte // of the content; equal ones look the same
}

// see gives a prompt's pictures their places: the ids with room for each, and where they stand. The ids of a resumed
// request have the room already.
// The media are left when the request has ended.
func (m *Model) see(ctx context.Context, req sdk.GenerateRequest, ids []int32) (_ []int32, _ []engine.Media, err error) {
	var files [][]byte
	if req.Chat != nil {
		files = req.Chat.Images
	}
	if m.Pictures == nil {
		return ids, nil, m.blind(files)
	}
	if err := m.Pictures.Check(ids); err != nil {
		return nil, nil, invalid("messages", "%v", err)
	}
	if places := count(ids, m.Pictures.Pad()); req.Resume == nil && places != len(files) {
		return nil, nil, misplaced(places, len(files))
	}
	pictures, err := m.look(ctx, files)
	defer func() {
		if err != nil {
			m.leave(pictures)
		}
	}()
	if err != nil {
		return nil, nil, err
	}
	if req.Resume == nil {
		ids = widen(ids, m.Pictures.Pad(), pictures)
	}
	media, err := locate(ids, m.Pictures.Pad(), pictures)
	return ids, media, err
}

// look decodes files, as long as what they show fits the context. On an error it returns those that were decoded.
func (m *Model) look(ctx context.Context, files [][]byte) (pictures []Picture, err error) {
	tokens := 0
	for i, f := range files {
		p, err := m.Pictures.Look(ctx, f, i == 0)
		if err != nil {
			return pictures, unseen(i, err)
		}
		pictures = append(pictures, p)
		if tokens += p.Tokens(); tokens > m.Pictures.Context() {
			return pictures, sdk.Errorf(sdk.ReasonContext, "the pictures up to picture %d take %d positions; the context holds %d; send fewer or smaller ones",
				i, tokens, m.Pictures.Context())
		}
	}
	return pictures, nil
}

// unseen says which picture an error is about.
func unseen(i int, err error) error {
	var told *sdk.Error
	switch {
	case errors.As(err, &told):
		return sdk.Errorf(told.Reason, "picture %d: %w", i, err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return invalid("messages", "picture %d: %v", i, err)
}

// leave ends the use of pictures.
func (m *Model) leave(pictures []Picture) {
	for _, p := range pictures {
		m.Pictures.Leave(p)
	}
}

// leaveMedia ends the use of what see returned.
func (m *Model) leaveMedia(media []engine.Media) {
	for _, one := range media {
		m.Pictures.Leave(one.Content.(Picture))
	}
}

func count(ids []int32, pad int32) (n int) {
	for _, id := range ids {
		if id == pad {
			n++
		}
	}
	return n
}

// blind refuses pictures for a model that does not see.
func (m *Model) blind(files [][]byte) error {
	if m.Pictures == nil && len(files) > 0 {
		return invalid("messages", "this model takes no pictures; it reads text alone")
	}
	return nil
}

// widen repeats the pad of each picture, of which there are as many, as often as it has tokens.
func widen(ids []int32, pad int32, pictures []Picture) []int32 {
	if len(pictures) == 0 {
		return ids
	}
	wide := make([]int32, 0, len(ids))
	for _, id := range ids {
		n := 1
		if id == pad {
			n, pictures = pictures[0].Tokens(), pictures[1:]
		}
		wide = append(wide, slices.Repeat([]int32{id}, n)...)
	}
	return wide
}

// locate finds the pictures' places among widened ids: each takes the next pads.
func locate(ids []int32, pad int32, pictures []Picture) ([]engine.Media, error) {
	media, at := make([]engine.Media, 0, len(pictures)), 0
	for _, p := range pictures {
		for at < len(ids) && ids[at] != pad {
			at++
		}
		n := p.Tokens()
		if at+n > len(ids) || slices.ContainsFunc(ids[at:at+n], func(id int32) bool { return id != pad }) {
			return nil, misplaced(len(media), len(pictures))
		}
		media = append(media, engine.Media{At: at, Len: n, Content: p, Hash: p.Hash()})
		at += n
	}
	if slices.Contains(ids[at:], pad) {
		return nil, misplaced(len(pictures)+1, len(pictures))
	}
	return media, nil
}

func misplaced(places, pictures int) error {
	return invalid("messages", "the prompt has places for %d pictures and %d were given; the token that stands for a picture cannot be written by hand", places, pictures)
}

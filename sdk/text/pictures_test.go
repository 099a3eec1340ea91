package text

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/engine"
)

// eyes see a file as a picture of as many tokens as it has bytes, and count the pictures that requests have.
type eyes struct{ had *int }

type seen string

func (s seen) Tokens() int    { return len(s) }
func (s seen) Hash() [32]byte { return [32]byte{s[0]} }

func (eyes) Pad() int32   { return 9 }
func (eyes) Context() int { return 12 }

func (eyes) Check(ids []int32) error {
	if slices.Contains(ids, 8) {
		return errors.New("a video")
	}
	return nil
}

func (e eyes) Look(ctx context.Context, file []byte, first bool) (Picture, error) {
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case len(file) == 0:
		return nil, errors.New("an empty file")
	case string(file) == "huge":
		return nil, sdk.Errorf(sdk.ReasonMemory, "too large")
	case first != (*e.had == 0):
		return nil, fmt.Errorf("first is %v and the request has %d pictures", first, *e.had)
	}
	*e.had++
	return seen(file), nil
}

func (e eyes) Leave(Picture) { *e.had-- }

func files(list ...string) (out [][]byte) {
	for _, s := range list {
		out = append(out, []byte(s))
	}
	return out
}

func TestPicturesTakeTheirPlaces(t *testing.T) {
	m := &Model{Pictures: eyes{new(int)}}
	for name, c := range map[string]struct {
		files []string
		ids   []int32
		wide  []int32
		at    []int
	}{
		"none":         {nil, []int32{1, 2}, []int32{1, 2}, nil},
		"one":          {[]string{"abc"}, []int32{1, 9, 2}, []int32{1, 9, 9, 9, 2}, []int{1}},
		"two in a row": {[]string{"ab", "c"}, []int32{9, 9}, []int32{9, 9, 9}, []int{0, 2}},
		"apart":        {[]string{"a", "bc"}, []int32{9, 1, 9, 2}, []int32{9, 1, 9, 9, 2}, []int{0, 2}},
	} {
		req := sdk.GenerateRequest{Chat: &sdk.Chat{Images: files(c.files...)}}
		wide, media, err := m.see(t.Context(), req, c.ids)
		if err != nil || !slices.Equal(wide, c.wide) {
			t.Errorf("%s: %v, %v", name, wide, err)
			continue
		}
		at := func(list []engine.Media) (at []int) {
			for _, m := range list {
				at = append(at, m.At)
			}
			return at
		}
		if !slices.Equal(at(media), c.at) {
			t.Errorf("%s: pictures at %v, want %v", name, at(media), c.at)
		}
		m.leaveMedia(media)
		req.Resume = &sdk.Resume{Prompt: wide}
		again, resumed, err := m.see(t.Context(), req, wide)
		if err != nil || !slices.Equal(again, wide) || !slices.Equal(at(resumed), c.at) {
			t.Errorf("%s, resumed: %v at %v, %v", name, again, at(resumed), err)
		}
		m.leaveMedia(resumed)
	}
}

// The template of a model that reads may know strings alone, and say so in words that help nobody.
func TestAModelThatReadsSaysSoBeforeItsTemplateDoes(t *testing.T) {
	_, err := (&Model{}).Render(context.Background(), sdk.Chat{Images: files("a")})
	wantInvalid(t, err, "messages")
	if err == nil || !strings.Contains(err.Error(), "takes no pictures") {
		t.Error(err)
	}
}

func TestPicturesWithoutAPlaceAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		model *Model
		files []string
		ids   []int32
		want  string
	}{
		"a model that reads":  {&Model{}, []string{"a"}, []int32{1}, "takes no pictures"},
		"no place":            {&Model{Pictures: eyes{new(int)}}, []string{"a"}, []int32{1}, "places for 0 pictures and 1 were given"},
		"a place by hand":     {&Model{Pictures: eyes{new(int)}}, nil, []int32{1, 9}, "places for 1 pictures and 0 were given"},
		"a video":             {&Model{Pictures: eyes{new(int)}}, nil, []int32{1, 8}, "a video"},
		"a file that is none": {&Model{Pictures: eyes{new(int)}}, []string{"a", ""}, []int32{9, 9}, "picture 1: an empty file"},
	} {
		_, _, err := c.model.see(t.Context(), sdk.GenerateRequest{Chat: &sdk.Chat{Images: files(c.files...)}}, c.ids)
		wantInvalid(t, err, "messages")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if e, sees := c.model.Pictures.(eyes); sees && *e.had != 0 {
			t.Errorf("%s: %d pictures are still had", name, *e.had)
		}
	}
}

// A file that there is no memory for is not the client's mistake, and one that nobody waits for is nobody's.
func TestWhyAPictureWasNotSeenIsKept(t *testing.T) {
	m := &Model{Pictures: eyes{new(int)}}
	req := sdk.GenerateRequest{Chat: &sdk.Chat{Images: files("a", "huge")}}
	_, _, err := m.see(t.Context(), req, []int32{9, 9})
	if sdk.ReasonOf(err) != sdk.ReasonMemory || !strings.Contains(err.Error(), "picture 1: too large") {
		t.Error(err)
	}
	left, leave := context.WithCancel(t.Context())
	leave()
	if _, _, err := m.see(left, req, []int32{9, 9}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A small file can show a large picture: when those before take the whole context, the next is not decoded.
func TestPicturesBeyondTheContextAreNotDecoded(t *testing.T) {
	m := &Model{Pictures: eyes{new(int)}}
	ids := []int32{9, 9, 9}
	if _, media, err := m.see(t.Context(), sdk.GenerateRequest{Chat: &sdk.Chat{Images: files("aaaaaa", "bbb", "ccc")}}, ids); err != nil || len(media) != 3 {
		t.Errorf("a whole context of pictures: %v, %v", media, err)
	} else {
		m.leaveMedia(media)
	}
	_, _, err := m.see(t.Context(), sdk.GenerateRequest{Chat: &sdk.Chat{Images: files("aaaaaa", "bbbbbbb", "")}}, ids)
	if sdk.ReasonOf(err) != sdk.ReasonContext || !strings.Contains(err.Error(), "up to picture 1 take 13 positions; the context holds 12") {
		t.Errorf("more than the context: %v", err)
	}
}

package conformance

// flaws_pictures_test.go: flaws of seeing.

import (
	"bytes"
	"context"
	"errors"
	"image/color"
	"image/png"
	"slices"
	"sync/atomic"

	"github.com/inference-pio/inference-pio/sdk"
)

func pictureFlaws() []mutant {
	return failing("pictures", []mutant{
		{flaw: "ignores pictures", must: "V1", plugin: one(&twin{
			generate: asked(func(r *sdk.GenerateRequest) {
				if r.Chat != nil {
					r.Chat.Images = slices.Repeat([][]byte{painted(color.White)}, bytes.Count(r.Chat.Messages, []byte(`"image"`)))
				}
			})})},
		{flaw: "blames a field that no client knows", must: "V1", plugin: one(&twin{
			generate: func(ctx context.Context, r *reference, req sdk.GenerateRequest, send func(sdk.Event) error) error {
				err := r.Generate(ctx, req, send)
				var told *sdk.Error
				if errors.As(err, &told) && told.Field == "messages" {
					told.Field = "images"
				}
				return err
			}})},
		{flaw: "takes anything for a picture", must: "V2", plugin: one(&twin{
			generate: asked(func(r *sdk.GenerateRequest) {
				if r.Chat != nil {
					r.Chat.Images = slices.Clone(r.Chat.Images)
					for i := range r.Chat.Images {
						if _, err := png.Decode(bytes.NewReader(r.Chat.Images[i])); err != nil {
							r.Chat.Images[i] = painted(color.White)
						}
					}
				}
			})})},
		{flaw: "takes a picture for a bug", must: "V1", plugin: one(&twin{
			generate: func(ctx context.Context, r *reference, req sdk.GenerateRequest, send func(sdk.Event) error) error {
				if req.Chat != nil && len(req.Chat.Images) > 0 {
					return errors.New("pictures are not supported")
				}
				return r.Generate(ctx, req, send)
			}})},
		{flaw: "sees something else the second time", must: "V3", plugin: func() sdk.Plugin {
			var seen atomic.Int64
			return &twin{generate: asked(func(r *sdk.GenerateRequest) {
				if isPicture(r) && r.Resume == nil && seen.Add(1) == 3 { // the first, the second, the first again
					r.Chat.Images = [][]byte{painted(color.White)}
				}
			})}
		}},
		{flaw: "sees the second picture as another when it comes first", must: "V3", plugin: func() sdk.Plugin {
			var seen atomic.Int64
			return &twin{generate: asked(func(r *sdk.GenerateRequest) {
				if isPicture(r) && seen.Add(1) == 1 && !bytes.Equal(r.Chat.Images[0], painted(firstColor)) {
					r.Chat.Images = [][]byte{painted(color.White)}
				}
			})}
		}},
		{flaw: "sees the first picture as another when it comes second", must: "V3", plugin: func() sdk.Plugin {
			var seen atomic.Int64
			return &twin{generate: asked(func(r *sdk.GenerateRequest) {
				if isPicture(r) && seen.Add(1) == 2 && bytes.Equal(r.Chat.Images[0], painted(firstColor)) {
					r.Chat.Images = [][]byte{painted(color.White)}
				}
			})}
		}},
		{flaw: "sees the first picture for ever", must: "V3", plugin: seesTheFirst},
		{flaw: "resumes blindly", must: "V3", plugin: one(&twin{
			generate: asked(func(r *sdk.GenerateRequest) {
				if r.Resume != nil && r.Chat != nil {
					for i := range r.Chat.Images {
						r.Chat.Images[i] = painted(color.White)
					}
				}
			})})},
	})
}

// seesTheFirst makes twins that see for ever what they saw first.
func seesTheFirst() sdk.Plugin {
	var first atomic.Pointer[[][]byte]
	return &twin{generate: asked(func(r *sdk.GenerateRequest) {
		if isPicture(r) {
			first.CompareAndSwap(nil, &r.Chat.Images)
			r.Chat.Images = *first.Load()
		}
	})}
}

// isPicture says whether the request has one picture and is in order.
func isPicture(r *sdk.GenerateRequest) bool {
	return r.Chat != nil && len(r.Chat.Images) == 1 && referencePictures(r.Chat) == nil
}

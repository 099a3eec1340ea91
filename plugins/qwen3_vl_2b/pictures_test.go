package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/serve/servetest"
	"github.com/inference-pio/inference-pio/sdk"
)

// asking is a request with pictures for a short answer.
func asking(messages string, pictures ...[]byte) sdk.GenerateRequest {
	req := servetest.Greedy(16)
	req.Chat = &sdk.Chat{Messages: json.RawMessage(messages), Images: pictures}
	return req
}

const question = `[{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is in the picture?"}]}]`

// Some of the pictures that the model was not trained on, through the contract; all of them go through the model itself in
// TestUnseenPicturesAreDescribedAsTheReferenceDoes.
func TestUnseenPicturesThroughTheContract(t *testing.T) {
	var unseen struct {
		Pictures []struct{ Image, Answer string }
	}
	if err := json.Unmarshal(read(t, tiny, "unseen.json"), &unseen); err != nil {
		t.Fatal(err)
	}
	c := plugin.With(t, tiny)
	for _, one := range unseen.Pictures[:10] {
		req := asking(question, read(t, tiny, one.Image))
		if a := servetest.Ask(t, c, req); a.Text != one.Answer {
			t.Errorf("%s: %q; the reference says %q", one.Image, a.Text, one.Answer)
		}
	}
}

// What a client sends and cannot be seen is told to it, and the next request is answered.
func TestWhatCannotBeSeenIsTheClientsMistake(t *testing.T) {
	c := plugin.With(t, tiny)
	good := read(t, tiny, "picture0.png")
	for what, tt := range map[string]struct {
		req  sdk.GenerateRequest
		want string
	}{
		"text":      {asking(question, []byte("a cat")), "not a picture"},
		"truncated": {asking(question, good[:100]), "png: "},
		"narrow":    {asking(question, pngOf(t, 4, 1200)), "absolute aspect ratio must be smaller than 200, got 300.0"},
		"video":     {asking(`[{"role": "user", "content": "<|vision_start|><|video_pad|><|vision_end|>What happens?"}]`), "the prompt has a video"},
	} {
		_, err := servetest.Try(t, c, tt.req)
		if sdk.ReasonOf(err) != sdk.ReasonInvalid || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v (%v)\nwant %s", what, err, sdk.ReasonOf(err), tt.want)
		}
	}
	if a := servetest.Ask(t, c, asking(question, good)); a.Text != "A blue circle." {
		t.Errorf("%q", a.Text)
	}
}

package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/serve/servetest"
	"github.com/inference-pio/inference-pio/sdk"
)

func TestConformance(t *testing.T)                  { plugin.Conformance(t) }
func TestResumedIsUninterrupted(t *testing.T)       { plugin.Resumed(t) }
func TestPrefixesAreComputedOnce(t *testing.T)      { plugin.Prefixes(t) }
func TestForwardAndEmbed(t *testing.T)              { plugin.Forward(t) }
func TestWherePiecesEndChangesNothing(t *testing.T) { plugin.Chunks(t) }
func TestSharesOfMemory(t *testing.T)               { plugin.Shares(t) }
func BenchmarkTinyInProcess(b *testing.B)           { plugin.TinyInProcess(b) }

// BenchmarkLoad loads the whole tower and twelve of the 28 layers:
//
//	go test ./plugins/qwen3_vl_2b -run '^$' -bench Load
func BenchmarkLoad(b *testing.B) { plugin.Load(b, []byte(published), 12) }

// From the client's messages and files to the answer: the prompt ids have room for the pictures.
func TestChatsOfTheReferenceThroughTheContract(t *testing.T) {
	plugin.Chats(t, func(t testing.TB, g servetest.Case, a servetest.Answer) {
		shown, _, called := strings.Cut(g.Written(), "<tool_call>")
		if a.Text != shown || a.Reasoning != "" || called != (len(a.Calls) == 1) {
			t.Errorf("shown %q (reasoning %q, calls %v), the reference says %q", a.Text, a.Reasoning, a.Calls, g.GreedyText)
		}
	})
}

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

package main

import (
	"context"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/serve"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
	"github.com/inference-pio/inference-pio/sdk/conformance"
	sdkserve "github.com/inference-pio/inference-pio/sdk/serve"
)

func startPlugin(context.Context) (*client.Client, func(), error) {
	return sdkserve.InProcess(serve.New(family))
}

func TestConformance(t *testing.T) {
	conformance.Run(t, conformance.Config{Start: startPlugin, Model: tiny})
}

// loaded starts a plugin with the tiny checkpoint.
func loaded(t testing.TB) *client.Client {
	t.Helper()
	c, stop, err := startPlugin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	if _, err := c.Load(t.Context(), sdk.LoadRequest{InspectRequest: sdk.InspectRequest{Path: tiny}}, func(sdk.Progress) {}); err != nil {
		t.Fatal(err)
	}
	return c
}

// goldenChat is a case of golden.json as a client sends it, and what the reference makes of it.
type goldenChat struct {
	Name      string
	Messages  json.RawMessage
	Tools     json.RawMessage
	Images    []string
	Rendered  string
	IDs       []int32
	GreedyIDs []int32 `json:"greedy_ids"`
}

func (g goldenChat) chat(t *testing.T) sdk.Chat {
	t.Helper()
	chat := sdk.Chat{Messages: g.Messages, Tools: g.Tools}
	for _, name := range g.Images {
		chat.Images = append(chat.Images, read(t, tiny, name))
	}
	return chat
}

// greedy has the plugin answer with the likeliest token each time.
func greedy(t *testing.T, c *client.Client, chat sdk.Chat, most int) (prompt, ids []int32, text string, err error) {
	t.Helper()
	zero := 0.0
	req := sdk.GenerateRequest{ID: t.Name(), Chat: &chat, MaxTokens: most, Sampling: sdk.Sampling{Temperature: &zero}}
	err = c.Generate(t.Context(), req, func(e sdk.Event) error {
		switch {
		case e.Start != nil:
			prompt = e.Start.Prompt
		case e.Token != nil:
			ids, text = append(ids, e.Token.ID), text+e.Token.Text
		case e.Finish != nil:
			text += e.Finish.Text
		}
		return nil
	})
	return prompt, ids, text, err
}

// From the client's messages and files to the answer, through the contract, as the reference: rendered, ids with room for the
// pictures, greedy ids.
func TestChatsOfTheReferenceThroughTheContract(t *testing.T) {
	var golden struct{ Cases []goldenChat }
	if err := json.Unmarshal(read(t, tiny, "golden.json"), &golden); err != nil {
		t.Fatal(err)
	}
	c := loaded(t)
	for _, g := range golden.Cases {
		t.Run(g.Name, func(t *testing.T) {
			chat := g.chat(t)
			if rendered, err := c.Render(t.Context(), chat); err != nil || rendered != g.Rendered {
				t.Errorf("rendered %q, %v\nwant %q", rendered, err, g.Rendered)
			}
			prompt, ids, _, err := greedy(t, c, chat, len(g.GreedyIDs))
			if err != nil || !slices.Equal(prompt, g.IDs) || !slices.Equal(ids, g.GreedyIDs) {
				t.Errorf("%v\nprompt ids\n got %v\nwant %v\ngreedy ids\n got %v\nwant %v", err, prompt, g.IDs, ids, g.GreedyIDs)
			}
		})
	}
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
	c := loaded(t)
	for _, one := range unseen.Pictures[:10] {
		chat := sdk.Chat{Messages: json.RawMessage(question), Images: [][]byte{read(t, filepath.Join(tiny, one.Image))}}
		if _, _, text, err := greedy(t, c, chat, 16); err != nil || text != one.Answer {
			t.Errorf("%s: %q, %v; the reference says %q", one.Image, text, err, one.Answer)
		}
	}
}

// What a client sends and cannot be seen is told to it, and the next request is answered.
func TestWhatCannotBeSeenIsTheClientsMistake(t *testing.T) {
	c := loaded(t)
	good := read(t, tiny, "picture0.png")
	for what, tt := range map[string]struct {
		chat sdk.Chat
		want string
	}{
		"text":      {sdk.Chat{Messages: json.RawMessage(question), Images: [][]byte{[]byte("a cat")}}, "not a picture"},
		"truncated": {sdk.Chat{Messages: json.RawMessage(question), Images: [][]byte{good[:100]}}, "png: "},
		"narrow":    {sdk.Chat{Messages: json.RawMessage(question), Images: [][]byte{pngOf(t, 4, 1200)}}, "absolute aspect ratio must be smaller than 200, got 300.0"},
		"video":     {sdk.Chat{Messages: json.RawMessage(`[{"role": "user", "content": "<|vision_start|><|video_pad|><|vision_end|>What happens?"}]`)}, "the prompt has a video"},
	} {
		_, _, _, err := greedy(t, c, tt.chat, 4)
		if sdk.ReasonOf(err) != sdk.ReasonInvalid || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v (%v)\nwant %s", what, err, sdk.ReasonOf(err), tt.want)
		}
	}
	_, _, text, err := greedy(t, c, sdk.Chat{Messages: json.RawMessage(question), Images: [][]byte{good}}, 16)
	if err != nil || text != "A blue circle." {
		t.Errorf("%q, %v", text, err)
	}
}

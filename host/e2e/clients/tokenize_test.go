package clients

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"testing"
)

func post(t *testing.T, path string, body, into any) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(os.Getenv("PIO_BASE_URL")+path, "application/json", bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %d, %v: %v", path, text, resp.StatusCode, err, into)
	}
}

// The ids of every conversation are the reference's, from its messages and from its rendered prompt, and turn back into it.
func TestTokenizeIsTheReferences(t *testing.T) {
	for _, g := range goldens(t) {
		var fromMessages, fromPrompt struct {
			Count       int
			MaxModelLen int `json:"max_model_len"`
			Tokens      []int32
		}
		body := map[string]any{"messages": g.Messages, "chat_template_kwargs": map[string]any{"enable_thinking": *g.Thinking}}
		if g.Tools != nil {
			body["tools"] = g.Tools
		}
		post(t, "/tokenize", body, &fromMessages)
		post(t, "/tokenize", map[string]any{"model": model, "prompt": g.Rendered}, &fromPrompt)
		if !slices.Equal(fromMessages.Tokens, g.IDs) || !slices.Equal(fromPrompt.Tokens, g.IDs) || fromPrompt.Count != len(g.IDs) || fromPrompt.MaxModelLen == 0 {
			t.Errorf("%s: messages %+v, prompt %+v, reference %v", g.Name, fromMessages, fromPrompt, g.IDs)
		}
		var back struct{ Prompt string }
		if post(t, "/detokenize", map[string]any{"model": model, "tokens": g.IDs}, &back); back.Prompt != g.Rendered {
			t.Errorf("%s: %q", g.Name, back.Prompt)
		}
	}
}

// add_generation_prompt = false stops before the model's turn.
func TestTokenizeWithoutTheModelsTurn(t *testing.T) {
	body := map[string]any{"messages": []map[string]string{{"role": "user", "content": "Spell rose."}}, "add_generation_prompt": false}
	var got struct{ Tokens []int32 }
	post(t, "/tokenize", body, &got)
	var text struct{ Prompt string }
	post(t, "/detokenize", map[string]any{"tokens": got.Tokens}, &text)
	if want := "<|im_start|>user\nSpell rose.<|im_end|>\n"; text.Prompt != want {
		t.Errorf("%q, want %q", text.Prompt, want)
	}
}

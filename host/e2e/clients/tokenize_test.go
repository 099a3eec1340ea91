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
		body := map[string]any{"model": model, "messages": g.Messages, "chat_template_kwargs": map[string]any{"enable_thinking": *g.Thinking}}
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
	body := map[string]any{"model": model, "messages": []map[string]string{{"role": "user", "content": "Spell rose."}}, "add_generation_prompt": false}
	var got struct{ Tokens []int32 }
	post(t, "/tokenize", body, &got)
	var text struct{ Prompt string }
	post(t, "/detokenize", map[string]any{"model": model, "tokens": got.Tokens}, &text)
	if want := "<|im_start|>user\nSpell rose.<|im_end|>\n"; text.Prompt != want {
		t.Errorf("%q, want %q", text.Prompt, want)
	}
}

// Strings are spelled as the vocabulary has them, which is the key of tokenizer.json, and not as text.
func TestTokensAreSpelledAsTheVocabularyDoes(t *testing.T) {
	text, err := os.ReadFile("../../../plugins/qwen3_0_6b/testdata/tiny/tokenizer.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Model struct{ Vocab map[string]int32 }
		Added []struct {
			ID      int32
			Content string
		} `json:"added_tokens"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	spelled := map[int32]string{}
	for s, id := range file.Model.Vocab {
		spelled[id] = s
	}
	for _, a := range file.Added {
		spelled[a.ID] = a.Content
	}
	var got struct {
		Tokens []int32
		Strs   []string `json:"token_strs"`
	}
	post(t, "/tokenize", map[string]any{"model": model, "prompt": "The capital \u4f60\n<|im_end|>", "return_token_strs": true}, &got)
	if len(got.Strs) != len(got.Tokens) || len(got.Strs) == 0 {
		t.Fatalf("%+v", got)
	}
	for i, id := range got.Tokens {
		if got.Strs[i] != spelled[id] {
			t.Errorf("id %d is %q; in tokenizer.json %q", id, got.Strs[i], spelled[id])
		}
	}
}

package text

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/sdk"
)

// An answer that goes on from words has them behind the opening of its turn: with no thought, or behind one that is closed.
func TestAnAnswerGoesOnFromItsBeginning(t *testing.T) {
	dir := checkpoint(t, "qwen3_coder_next")
	if err := os.Remove(filepath.Join(dir, "chat_template.jinja")); err != nil { // a link
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "chat_template.jinja"), "{% for m in messages %}{{ m.content }}</think>{% endfor %}{% if add_generation_prompt %}<think>\n{% endif %}")
	always, err := Open(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		model         *Model
		last, kwargs  string
		field, prompt string // one of them; the end of the prompt
	}{
		{open(t, "qwen3_coder_30b"), `{"role": "assistant", "content": "{\"a"}`, `{"continue_final_message": true}`, "", "hello<|im_end|>\n<|im_start|>assistant\n{\"a"},
		{open(t, "qwen3_coder_30b"), `{"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}`, `{"continue_final_message": true}`, "", "assistant\nab"},
		{open(t, "qwen3_0_6b"), `{"role": "assistant", "content": "So"}`, `{"continue_final_message": true}`, "", "assistant\n<think>\n\n</think>\n\nSo"},
		{open(t, "qwen3_0_6b"), `{"role": "assistant", "content": "So"}`, `{"continue_final_message": true, "enable_thinking": true}`, "enable_thinking", ""},
		{open(t, "qwen3_0_6b"), `{"role": "assistant", "content": "So"}`, `{"continue_final_message": false}`, "", "<|im_end|>\n<|im_start|>assistant\n"},
		{always, `{"role": "assistant", "content": "So"}`, `{"continue_final_message": true}`, "", "hello</think><think>\n\n</think>\n\nSo"},
		{always, `{"role": "user", "content": "So"}`, `{"continue_final_message": true}`, "messages", ""},
		{always, `{"role": "assistant", "content": ""}`, `{"continue_final_message": true}`, "messages", ""},
		{always, `{"role": "assistant", "content": [{"type": "image"}]}`, `{"continue_final_message": true}`, "messages", ""},
		{always, `{"role": "assistant", "content": "a", "tool_calls": [{}]}`, `{"continue_final_message": true}`, "messages", ""},
		{always, `{"role": "assistant", "content": "a", "reasoning_content": "b"}`, `{"continue_final_message": true}`, "messages", ""},
	} {
		prompt, err := c.model.Render(context.Background(), sdk.Chat{Messages: []byte(`[{"role": "user", "content": "hello"}, ` + c.last + `]`), Kwargs: []byte(c.kwargs)})
		if c.field != "" {
			wantInvalid(t, err, c.field)
		} else if err != nil || !strings.HasSuffix(prompt, c.prompt) {
			t.Errorf("%s: %q, %v; want an end %q", c.last, prompt, err, c.prompt)
		}
	}
	_, err = always.Render(context.Background(), sdk.Chat{Messages: []byte(`[{"role": "assistant", "content": "a"}]`), Kwargs: []byte(`{"continue_final_message": true}`)})
	wantInvalid(t, err, "messages")
}

package text

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/sdk"
)

// A wish that the template cannot follow is refused by name; one that asks for what the model does anyway is none.
func TestThinkingIsDoneOrRefused(t *testing.T) {
	switched, silent := open(t, "qwen3_0_6b"), open(t, "qwen3_coder_next")
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
		kwargs        string
		field, prompt string // one of them; the end of the prompt
	}{
		{switched, `{"enable_thinking": false}`, "", "<think>\n\n</think>\n\n"},
		{switched, `{"enable_thinking": true, "reasoning_effort": "low"}`, "", "assistant\n"},
		{switched, `{"reasoning_effort": "none", "enable_thinking": false}`, "", "<think>\n\n</think>\n\n"},
		{silent, `{"enable_thinking": false, "reasoning_effort": "none"}`, "", "assistant\n"},
		{silent, `{"enable_thinking": true}`, "enable_thinking", ""},
		{silent, `{"enable_thinking": true, "reasoning_effort": "high"}`, "reasoning_effort", ""},
		{silent, `{"reasoning_effort": "high"}`, "reasoning_effort", ""},
		{silent, `{"enable_thinking": "perhaps"}`, "", "assistant\n"},
		{always, `{"enable_thinking": true}`, "", "<think>\n"},
		{always, `{"enable_thinking": false}`, "enable_thinking", ""},
		{always, `{"enable_thinking": false, "reasoning_effort": "none"}`, "reasoning_effort", ""},
		{always, `{"enable_thinking": false, "add_generation_prompt": false}`, "", "</think>"},
	} {
		prompt, err := c.model.Render(context.Background(), sdk.Chat{Messages: []byte(`[{"role": "user", "content": "hello"}]`), Kwargs: []byte(c.kwargs)})
		if c.field != "" {
			wantInvalid(t, err, c.field)
		} else if err != nil || !strings.HasSuffix(prompt, c.prompt) {
			t.Errorf("%s: %q, %v; want an end %q", c.kwargs, prompt, err, c.prompt)
		}
	}
}

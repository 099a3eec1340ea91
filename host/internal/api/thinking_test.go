package api

import (
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/answer/answertest"
)

// Whatever a client calls it, the template is told by the variables that it knows.
func TestWhetherToThinkReachesTheTemplate(t *testing.T) {
	for fields, want := range map[string]string{
		`"reasoning_effort": "none"`:                               `{"enable_thinking":false,"reasoning_effort":"none"}`,
		`"reasoning_effort": "minimal"`:                            `{"enable_thinking":true,"reasoning_effort":"minimal"}`,
		`"reasoning_effort": "high"`:                               `{"enable_thinking":true,"reasoning_effort":"high"}`,
		`"reasoning_effort": null, "enable_thinking": false`:       `{"enable_thinking":false}`,
		`"enable_thinking": true`:                                  `{"enable_thinking":true}`,
		`"thinking": {"type": "disabled"}`:                         `{"enable_thinking":false}`,
		`"thinking": {"type": "enabled", "budget_tokens": null}`:   `{"enable_thinking":true}`,
		`"thinking": {"type": "enabled", "clear_thinking": false}`: `{"enable_thinking":true,"clear_thinking":false}`,
		`"enable_thinking": true, "thinking": {"type":"enabled"}`:  `{"enable_thinking":true}`,
		`"chat_template_kwargs": {"enable_thinking": true, "reasoning_effort": "low"}, "reasoning_effort": "low"`: `{"enable_thinking": true, "reasoning_effort": "low","enable_thinking":true,"reasoning_effort":"low"}`,
		`"chat_template_kwargs": {"a": 1}, "thinking": {"type": "disabled"}, "add_generation_prompt": false`:      `{"a": 1,"enable_thinking":false,"add_generation_prompt":false}`,
		`"chat_template_kwargs": {"enable_thinking": "perhaps"}`:                                                  `{"enable_thinking": "perhaps"}`,
	} {
		f := answertest.New()
		if w := answertest.Post(New(f, Options{}), "/v1/chat/completions", chatWith(fields)); w.Code != 200 {
			t.Errorf("%s: %d %s", fields, w.Code, w.Body)
			continue
		}
		if got := string(f.Seen[0].Chat.Kwargs); got != want {
			t.Errorf("%s:\n got %s\nwant %s", fields, got, want)
		}
	}
}

package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/chat"
	"github.com/inference-pio/inference-pio/sdk/text"
)

// script is what script.json says: a list of rules, of which the first holds whose prompt is found.
//
//	[{"prompt": "(?s)write_file.*<tool_response>", "say": "It is written."},
//	 {"prompt": "write_file", "call": {"name": "write_file", "arguments": {"path": "a.txt", "content": "Tokyo"}}},
//	 {"say": "Hello."}]
type script []rule

// rule is one answer.
type rule struct {
	Prompt string // a regular expression, looked for in the prompt as the model reads it, tools and all; "" is found in any
	Say    string
	Think  string // before it is said
	Call   *struct {
		Name      string
		Arguments json.RawMessage // an object
	}

	pattern *regexp.Regexp
	answer  string // in the words of the template
}

func readScript(ctx context.Context, dir string, words *text.Model) (script, error) {
	file := filepath.Join(dir, "script.json")
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, sdk.Errorf(sdk.ReasonCheckpoint, "no script: %w", err)
	}
	var s script
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, sdk.Errorf(sdk.ReasonCheckpoint, "%s: %w", file, err)
	}
	template, err := chat.Load(dir)
	if err != nil {
		return nil, sdk.Errorf(sdk.ReasonCheckpoint, "%w", err)
	}
	ends, err := words.Spell(words.EOS())
	if err != nil {
		return nil, err
	}
	if len(ends) == 0 {
		return nil, sdk.Errorf(sdk.ReasonCheckpoint, "%s: generation_config.json has no eos_token_id, with which answers end", dir)
	}
	for i := range s {
		r := &s[i]
		if r.pattern, err = regexp.Compile(r.Prompt); err != nil {
			return nil, sdk.Errorf(sdk.ReasonCheckpoint, "%s: rule %d: %w", file, i, err)
		}
		if r.answer, err = r.spell(ctx, template, ends); err != nil {
			return nil, sdk.Errorf(sdk.ReasonCheckpoint, "%s: rule %d: %w", file, i, err)
		}
	}
	return s, nil
}

// spell is the rule's answer as the template writes it into a conversation: so a call has the syntax that belongs to the model.
func (r *rule) spell(ctx context.Context, template *chat.Template, ends []string) (string, error) {
	type function struct {
		Name      string          `json:"name"`
		Arguments json.RawMessage `json:"arguments"`
	}
	type call struct {
		ID       string   `json:"id"`
		Type     string   `json:"type"`
		Function function `json:"function"`
	}
	type message struct {
		Role      string `json:"role"`
		Content   string `json:"content"`
		Reasoning string `json:"reasoning_content,omitempty"`
		Calls     []call `json:"tool_calls,omitempty"`
	}
	asked, said := message{Role: "user", Content: "?"}, message{Role: "assistant", Content: r.Say, Reasoning: r.Think}
	if r.Call != nil {
		said.Calls = []call{{"call_0", "function", function{r.Call.Name, r.Call.Arguments}}}
	}
	write := func(opened bool, list ...message) (string, error) {
		messages, err := json.Marshal(list)
		if err != nil {
			return "", err
		}
		return template.Render(ctx, chat.Input{Messages: messages, AddGenerationPrompt: opened})
	}
	before, err := write(true, asked)
	if err != nil {
		return "", err
	}
	whole, err := write(false, asked, said)
	if err != nil {
		return "", err
	}
	answer, found := strings.CutPrefix(whole, before)
	if !found {
		return "", sdk.Errorf(sdk.ReasonTemplate, "the template does not write %q where the model's turn begins", before)
	}
	for _, end := range ends {
		if from := strings.LastIndex(answer, end); end != "" && from >= 0 {
			answer = answer[:from]
		}
	}
	return answer, nil
}

// to is the answer to a prompt; "" if no rule is about it.
func (s script) to(prompt string) string {
	for _, r := range s {
		if r.pattern.MatchString(prompt) {
			return r.answer
		}
	}
	return ""
}

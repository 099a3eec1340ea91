package text

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/inference-pio/inference-pio/sdk"
)

// A client sends back what it was given: the answer as an assistant's message with ids and arguments as strings, then the
// tool's result. The prompt equals the reference's, which was given the same conversation in its own form.
func TestConversationWithACallRendersAsTheReference(t *testing.T) {
	for _, name := range tiny {
		m := open(t, name)
		var asked, answered []goldenCase
		for _, c := range chats(t, name) {
			switch c.Name {
			case "tool_call":
				asked = append(asked, c)
			case "tool_answer":
				answered = append(answered, c)
			}
		}
		for i, c := range answered {
			events, err := answer(t, m, asked[i].request(), asked[i].GreedyIDs)
			if err != nil {
				t.Fatal(err)
			}
			req := c.request()
			req.Chat.Messages = sendBack(t, asked[i].Messages, events, `{"degrees": 17}`)
			rendered, err := m.Render(context.Background(), *req.Chat)
			if err != nil || rendered != c.Rendered {
				t.Errorf("%s: %s\nrenders to %q, %v; the reference has\n%q", name, req.Chat.Messages, rendered, err, c.Rendered)
			}
		}
		if want := len(asked); len(answered) != want && answered != nil {
			t.Errorf("%s: %d answers to %d calls", name, len(answered), want)
		}
	}
}

// sendBack goes on with a conversation as OpenAI's clients do.
func sendBack(t testing.TB, messages json.RawMessage, events []sdk.Event, result string) json.RawMessage {
	t.Helper()
	var list []any
	if err := json.Unmarshal(messages, &list); err != nil {
		t.Fatal(err)
	}
	message := map[string]any{"role": "assistant", "content": nil}
	text, reasoning := shown(events)
	if text != "" {
		message["content"] = text
	}
	if reasoning != "" {
		message["reasoning_content"] = reasoning
	}
	var toolCalls, results []any
	for _, c := range calls(t, events) {
		toolCalls = append(toolCalls, map[string]any{"id": c.id, "type": "function", "function": map[string]any{"name": c.name, "arguments": c.arguments}})
		results = append(results, map[string]any{"role": "tool", "tool_call_id": c.id, "content": result})
	}
	if toolCalls != nil {
		message["tool_calls"] = toolCalls
	}
	out, err := json.Marshal(append(append(list, message), results...))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Content may be a list of text parts, for every role, whether the template knows lists or not; how several are joined is chat's to test.
func TestTextPartsRenderAsText(t *testing.T) {
	for _, name := range tiny {
		m := open(t, name)
		for _, c := range chats(t, name) {
			var messages []map[string]any
			if err := json.Unmarshal(c.Messages, &messages); err != nil {
				t.Fatal(err)
			}
			for _, message := range messages {
				content, _ := message["content"].(string)
				message["content"] = []map[string]string{{"type": "text", "text": content}}
			}
			req := c.request()
			var err error
			if req.Chat.Messages, err = json.Marshal(messages); err != nil {
				t.Fatal(err)
			}
			if rendered, err := m.Render(context.Background(), *req.Chat); err != nil || rendered != c.Rendered {
				t.Errorf("%s, %s: %s\nrenders to %q, %v; want\n%q", name, c.Name, req.Chat.Messages, rendered, err, c.Rendered)
			}
		}
	}
}

// begun.go has answers that go on from the words with which the client begins them: the last message, the assistant's, if the variable
// continue_final_message says so. The template opens the model's turn behind the messages before, and the words follow.

package text

import (
	"encoding/json"
	"strings"

	"github.com/inference-pio/inference-pio/sdk"
)

const continueFinal = "continue_final_message"

// begun takes a last message that is to be gone on from out of a chat, and returns its text; "" if there is none. Who has begun to answer has thought
// before, or does not think at all: a model that does either is asked not to.
func (m *Model) begun(c sdk.Chat) (sdk.Chat, string, error) {
	var kwargs map[string]json.RawMessage
	if !given(c.Kwargs) || json.Unmarshal(c.Kwargs, &kwargs) != nil || string(kwargs[continueFinal]) != "true" {
		return c, "", nil
	}
	var list []json.RawMessage
	if json.Unmarshal(c.Messages, &list) != nil || len(list) < 2 {
		return c, "", invalid("messages", "%s needs a message before the one that the answer goes on from", continueFinal)
	}
	said, wrong := wordsOf(list[len(list)-1])
	if wrong != "" {
		return c, "", invalid("messages", "%s is set, and the last message %s", continueFinal, wrong)
	}
	before, err := json.Marshal(list[:len(list)-1])
	if err != nil {
		return c, "", err
	}
	c.Messages = before
	if !m.tags.begun {
		return c, said, nil
	}
	if string(kwargs["enable_thinking"]) == "true" {
		return c, "", invalid("enable_thinking", "enable_thinking asks the model to think, and the answer that it is to go on from has begun; leave out one of them")
	}
	kwargs["enable_thinking"] = json.RawMessage("false")
	c.Kwargs, err = json.Marshal(kwargs)
	return c, said, err
}

// wordsOf is the text of an assistant's message that has nothing else, or what is wrong with it.
func wordsOf(message json.RawMessage) (said, wrong string) {
	var m struct {
		Role      string
		Content   json.RawMessage
		Reasoning string            `json:"reasoning_content"`
		Calls     []json.RawMessage `json:"tool_calls"`
	}
	var parts []struct{ Type, Text string }
	switch err := json.Unmarshal(message, &m); {
	case err != nil || m.Role != "assistant":
		return "", "is not the assistant's"
	case m.Reasoning != "" || len(m.Calls) > 0:
		return "", "has more than a text"
	case json.Unmarshal(m.Content, &said) == nil && said != "":
		return said, ""
	case json.Unmarshal(m.Content, &parts) != nil || len(parts) == 0:
		return "", "has no text"
	}
	var all strings.Builder
	for _, p := range parts {
		if p.Type != "text" {
			return "", "has more than a text"
		}
		all.WriteString(p.Text)
	}
	if all.Len() == 0 {
		return "", "has no text"
	}
	return all.String(), ""
}

// closing ends the thought that a prompt's end has opened, if it has, on the same line if it was opened without a newline.
func (m *Model) closing(tail string) string {
	switch trimmed := strings.TrimRight(tail, " \t\r\n"); {
	case m.tags.open == "" || !strings.HasSuffix(trimmed, m.tags.open):
		return ""
	case trimmed == tail:
		return m.tags.close
	}
	return "\n" + m.tags.close + "\n\n"
}

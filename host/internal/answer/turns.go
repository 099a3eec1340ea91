// turns.go writes a conversation for a template, which knows OpenAI's messages: for the protocols that spell theirs otherwise.
package answer

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/inference-pio/inference-pio/sdk"
)

// Turn is one message of a conversation.
type Turn struct {
	Role      string // "system", "user", "assistant" or "tool"
	Parts     []Part
	Reasoning string // of an assistant, before what it said
	Calls     []Call // of an assistant, behind what it said
	CallID    string // of a tool: what it answers
	Name      string // of a tool, "" if it is not told
}

// Part is text, or a picture.
type Part struct {
	Text    string
	Picture *Picture
}

// Call is one that an assistant made; Arguments is a JSON object.
type Call struct{ ID, Name, Arguments string }

// Tool is a function that may be called.
type Tool struct {
	Name        string
	Description string
	Parameters  json.RawMessage // a JSON schema, or nil
	Strict      bool            // arguments are held to it
}

// Say adds text to a turn.
func (t *Turn) Say(text string) { t.Parts = append(t.Parts, Part{Text: text}) }

// Show adds a picture to a turn.
func (t *Turn) Show(p Picture) { t.Parts = append(t.Parts, Part{Picture: &p}) }

// CheckPictures refuses more of them than one request may have.
func (r *Request) CheckPictures() error {
	if len(r.Pictures) > MaxPictures {
		return fmt.Errorf("has more than %d pictures", MaxPictures)
	}
	return nil
}

// SetTurns makes turns the conversation. Their pictures are those of the request.
func (r *Request) SetTurns(turns []Turn) error {
	list := make([]message, len(turns))
	for i, t := range turns {
		list[i] = message{Role: t.Role, Reasoning: t.Reasoning, CallID: t.CallID, Name: t.Name, Content: t.content()}
		for _, c := range t.Calls {
			list[i].Calls = append(list[i].Calls, calledFunction{c.ID, "function", calledName{c.Name, c.Arguments}})
		}
		for _, p := range t.Parts {
			if p.Picture != nil {
				r.Pictures = append(r.Pictures, *p.Picture)
			}
		}
	}
	text, err := marshal(list)
	if err != nil {
		return err
	}
	r.ChatOf().Messages = text
	return r.CheckPictures()
}

// content is a string if there is one text or none, else a list of parts.
func (t *Turn) content() any {
	if len(t.Parts) == 0 {
		return ""
	}
	if len(t.Parts) == 1 && t.Parts[0].Picture == nil {
		return t.Parts[0].Text
	}
	parts := make([]contentPart, len(t.Parts))
	for i, p := range t.Parts {
		if parts[i] = (contentPart{Type: "text", Text: &p.Text}); p.Picture != nil {
			parts[i] = contentPart{Type: "image"}
		}
	}
	return parts
}

type message struct {
	Role      string           `json:"role"`
	Content   any              `json:"content"`
	Reasoning string           `json:"reasoning_content,omitempty"`
	Calls     []calledFunction `json:"tool_calls,omitempty"`
	CallID    string           `json:"tool_call_id,omitempty"`
	Name      string           `json:"name,omitempty"`
}

type contentPart struct {
	Type string  `json:"type"`
	Text *string `json:"text,omitempty"`
}

type calledFunction struct {
	ID       string     `json:"id"`
	Type     string     `json:"type"`
	Function calledName `json:"function"`
}

type calledName struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

type tool struct {
	Type     string       `json:"type"`
	Function toolFunction `json:"function"`
}

type toolFunction struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Parameters  json.RawMessage `json:"parameters,omitempty"`
	Strict      bool            `json:"strict,omitempty"`
}

// SetTools makes tools those that the template shows, and returns their names.
func (r *Request) SetTools(tools []Tool) ([]string, error) {
	if len(tools) == 0 {
		return nil, nil // templates tell an empty list from none
	}
	list := make([]tool, len(tools))
	names := make([]string, len(tools))
	for i, t := range tools {
		list[i] = tool{"function", toolFunction(t)}
		names[i] = t.Name
	}
	text, err := marshal(list)
	r.ChatOf().Tools = text
	return names, err
}

// CheckTool refuses a tool that no template could show; its error begins with the field.
func CheckTool(name string, parameters json.RawMessage) (field string, err error) {
	switch {
	case name == "" || len(name) > MaxToolName:
		return "name", fmt.Errorf("has %d bytes; expected 1 to %d", len(name), MaxToolName)
	case len(parameters) > 0 && parameters[0] != '{' && string(parameters) != "null":
		return "parameters", fmt.Errorf("is no JSON schema, which is an object")
	}
	return "", nil
}

// marshal is JSON in which <, > and & stay what they are: models read it.
func marshal(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, sdk.Errorf(sdk.ReasonInternal, "the conversation cannot be spelled: %v", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

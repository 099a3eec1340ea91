package chat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/inference-pio/inference-pio/sdk/jinja"
)

// Template is a checkpoint's chat template. It never changes and may be rendered by many at once.
type Template struct {
	source  string
	program *jinja.Template
	tokens  map[string]string
	toolUse *Template    // renders requests with tools, if not nil
	accepts func() needs // what it can take, found out once when it is first asked
}

// Parse reads a template. tokens are the special tokens it may name: {"bos_token": "<s>"}.
func Parse(source string, tokens map[string]string) (*Template, error) {
	program, err := jinja.Parse(source)
	if err != nil {
		return nil, err
	}
	t := &Template{source: source, program: program, tokens: tokens}
	t.accepts = sync.OnceValue(t.probe)
	return t, nil
}

// Source is the template's text, that of the one for requests without tools.
func (t *Template) Source() string { return t.source }

// Input is a request as the client sent it.
type Input struct {
	// Messages is an array of objects. The order of keys and the difference between 1 and 1.0 reach the template.
	Messages json.RawMessage
	Tools    json.RawMessage // an array; empty or null if there are none
	Kwargs   json.RawMessage // an object of further variables, such as {"enable_thinking": false}; may be empty or null
	// AddGenerationPrompt ends the text where the model's turn begins.
	AddGenerationPrompt bool
	// Verbatim gives the messages to the template as they are. Otherwise what a template cannot take is written so that
	// it can: text parts are joined, arguments of tool calls become objects, null content becomes empty, a developer the system; reasoning
	// gets the names that templates read, and functions are written name, description, parameters.
	Verbatim bool
	Now      func() time.Time // for templates that write the date; nil means time.Now
}

// TemplateError is the template's own refusal of the messages: a bad request, in the words of the template's author.
type TemplateError struct{ Message string }

func (e *TemplateError) Error() string { return e.Message }

// Render writes the conversation. An error is a *TemplateError if the template refuses the messages and a *RequestError if it would drop some;
// any other has the
// line of the template that failed, and is as a rule a message of a form the template does not know; or it is the context's.
func (t *Template) Render(ctx context.Context, in Input) (string, error) {
	vars, err := in.vars()
	if err != nil {
		return "", err
	}
	if t.toolUse != nil && vars["tools"] != nil {
		t = t.toolUse
	}
	if !in.Verbatim {
		if err := t.adapt(vars); err != nil {
			return "", err
		}
	}
	return t.render(ctx, vars, in.Now, jinja.Limits{})
}

func (t *Template) render(ctx context.Context, vars map[string]jinja.Value, now func() time.Time, limits jinja.Limits) (string, error) {
	for name, text := range t.tokens {
		if _, given := vars[name]; !given {
			vars[name] = text
		}
	}
	text, err := t.program.Render(ctx, jinja.Input{Vars: vars, Now: now, Limits: limits})
	var e *jinja.Error
	if errors.As(err, &e) && e.Kind == jinja.Raised {
		return "", &TemplateError{e.Message}
	}
	return text, err
}

// vars are the variables that the reference gives to a template. Tools and documents are none rather than undefined.
func (in Input) vars() (map[string]jinja.Value, error) {
	messages, err := readJSON("messages", in.Messages)
	if err != nil {
		return nil, err
	}
	if _, ok := messages.(*jinja.List); !ok {
		return nil, errors.New("messages: an array is expected")
	}
	tools, err := readJSON("tools", in.Tools)
	if err != nil {
		return nil, err
	}
	if l, ok := tools.(*jinja.List); ok && len(l.Items) == 0 {
		tools = nil
	} else if !ok && tools != nil {
		return nil, errors.New("tools: an array is expected")
	}
	kwargs, err := readJSON("chat_template_kwargs", in.Kwargs)
	if err != nil {
		return nil, err
	}
	vars := map[string]jinja.Value{"documents": nil, "add_generation_prompt": in.AddGenerationPrompt}
	switch k := kwargs.(type) {
	case nil:
	case *jinja.Dict:
		for _, key := range k.Keys() {
			name := key.(string) // a JSON object has no other keys
			vars[name], _ = k.Get(name)
		}
	default:
		return nil, errors.New("chat_template_kwargs: an object is expected")
	}
	vars["messages"], vars["tools"] = messages, tools
	return vars, nil
}

func readJSON(field string, raw json.RawMessage) (jinja.Value, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	v, err := jinja.FromJSON(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	return v, nil
}

package chat

import (
	"fmt"
	"strings"

	"github.com/inference-pio/inference-pio/sdk/jinja"
)

// adapt.go bends what OpenAI's clients send to what a template can take (needs.go).

// RequestError says what is wrong with a request, and where.
type RequestError struct{ Field, Message string }

func (e *RequestError) Error() string { return e.Field + ": " + e.Message }

// adapt rewrites the messages and tools in place; they were made for this rendering.
func (t *Template) adapt(vars map[string]jinja.Value) error {
	n := t.accepts()
	list := vars["messages"].(*jinja.List) // vars has seen to that
	developer := false
	for i, m := range list.Items {
		d, ok := m.(*jinja.Dict)
		if !ok {
			return fmt.Errorf("messages[%d]: an object is expected", i)
		}
		d = givenKeys(d)
		list.Items[i] = d
		role := text(d, "role")
		if role == "developer" && !n.developer {
			d.Set("role", "system")
			role, developer = "system", true
		}
		n.adaptContent(d, role)
		aliasReasoning(d)
		if err := t.checkRole(i, d, role); err != nil {
			return err
		}
		n.adaptCalls(d)
	}
	n.showPictures(list)
	if developer && !n.laterSystem {
		mergeSystem(list)
	}
	if tools, ok := vars["tools"].(*jinja.List); ok {
		n.adaptTools(tools)
	}
	return nil
}

func text(d *jinja.Dict, key string) string {
	v, _ := d.Get(key)
	s, _ := v.(string)
	return s
}

// givenKeys is d without the keys that are null, as in the reference: clients write them for what is not there.
func givenKeys(d *jinja.Dict) *jinja.Dict {
	out := &jinja.Dict{}
	for _, k := range d.Keys() {
		key := k.(string) // as in all JSON
		v, _ := d.Get(key)
		if list, ok := v.(*jinja.List); v == nil && key != "content" || ok && len(list.Items) == 0 && key == "tool_calls" {
			continue
		}
		out.Set(key, v)
	}
	return out
}

// aliasReasoning gives reasoning the names that templates read, as the reference does.
func aliasReasoning(m *jinja.Dict) {
	for _, key := range []string{"reasoning_content", "thinking", "reasoning"} {
		reasoning, ok := m.Get(key)
		if !ok {
			continue
		}
		if _, ok := m.Get("thinking"); !ok {
			m.Set("thinking", reasoning)
		}
		m.Set("reasoning_content", reasoning)
		return
	}
}

// checkRole refuses a message that the template would drop.
func (t *Template) checkRole(i int, m *jinja.Dict, role string) error {
	content, _ := m.Get("content")
	if content == "" || content == nil {
		return nil // there is nothing to drop
	}
	shown, known := t.accepts().shows[role]
	if !known {
		const most = 64
		name, err := jinja.ToJSON(role)
		if err != nil || len(role) > most {
			return &RequestError{fmt.Sprintf("messages[%d].role", i), fmt.Sprintf("%q is no role", shorten(role))}
		}
		s, ok := t.try(fmt.Sprintf(`[{"role":"user","content":"x"},{"role":%s,"content":%q},{"role":"user","content":"x"}]`, name, probeText))
		shown = !ok || strings.Contains(s, probeText)
	}
	if shown {
		return nil
	}
	return &RequestError{fmt.Sprintf("messages[%d].role", i), fmt.Sprintf("this model's chat template shows no messages of the role %q", role)}
}

// adaptContent writes content so that the template can take it. Parts of text are joined by a newline where it takes none.
func (n needs) adaptContent(m *jinja.Dict, role string) {
	switch content, _ := m.Get("content"); content := content.(type) {
	case nil:
		if !n.null || role != "assistant" {
			m.Set("content", "")
		}
	case *jinja.List:
		texts, ok := textParts(content)
		switch {
		case ok && !n.parts[role]:
			m.Set("content", strings.Join(texts, "\n"))
		case ok:
			for i, s := range texts {
				part := &jinja.Dict{}
				if d, ok := content.Items[i].(*jinja.Dict); ok && text(d, "type") == "text" {
					continue // with whatever else it says
				}
				part.Set("type", "text")
				part.Set("text", s)
				content.Items[i] = part
			}
		}
	}
}

// showPictures shows the pictures of tools' results in a user's turn behind the results, where the template takes no parts in them.
func (n needs) showPictures(list *jinja.List) {
	if n.parts["tool"] || !n.parts["user"] {
		return
	}
	var all, pictures []jinja.Value
	for i, m := range list.Items {
		if d := m.(*jinja.Dict); text(d, "role") == "tool" {
			pictures = append(pictures, n.takePictures(d)...)
		}
		all = append(all, m)
		if last := i+1 == len(list.Items) || text(list.Items[i+1].(*jinja.Dict), "role") != "tool"; last && len(pictures) > 0 {
			user := &jinja.Dict{}
			user.Set("role", "user")
			user.Set("content", &jinja.List{Items: pictures})
			all, pictures = append(all, user), nil
		}
	}
	list.Items = all
}

// takePictures leaves a tool's result its words.
func (n needs) takePictures(result *jinja.Dict) (pictures []jinja.Value) {
	content, _ := result.Get("content")
	parts, _ := content.(*jinja.List)
	if parts == nil {
		return nil
	}
	words := &jinja.List{}
	for _, p := range parts.Items {
		if d, ok := p.(*jinja.Dict); ok && strings.HasPrefix(text(d, "type"), "image") {
			pictures = append(pictures, p)
		} else {
			words.Items = append(words.Items, p)
		}
	}
	result.Set("content", words)
	n.adaptContent(result, "tool")
	return pictures
}

// textKeys are the kinds of parts that are text, and where that stands in them.
var textKeys = map[string]string{"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal", "thinking": "thinking"}

// textParts are the texts of a list of parts; ok is false if there is anything else in it.
func textParts(parts *jinja.List) (texts []string, ok bool) {
	for _, p := range parts.Items {
		if d, ok := p.(*jinja.Dict); ok {
			p, _ = d.Get(textKeys[text(d, "type")])
		}
		s, ok := p.(string)
		if !ok {
			return nil, false
		}
		texts = append(texts, s)
	}
	return texts, true
}

// adaptCalls makes the arguments of tool calls the objects they spell, or text that spells one. Those that spell none are {}, as in vLLM: they
// are what a model once wrote, or was cut off in, and would fail every later turn.
func (n needs) adaptCalls(m *jinja.Dict) {
	v, _ := m.Get("tool_calls")
	calls, ok := v.(*jinja.List)
	if !ok {
		return
	}
	for _, c := range calls.Items {
		call, ok := c.(*jinja.Dict)
		if !ok {
			continue
		}
		if f, _ := call.Get("function"); f != nil {
			if call, ok = f.(*jinja.Dict); !ok {
				continue
			}
		}
		v, _ := call.Get("arguments")
		if _, ok := v.(*jinja.Dict); ok {
			continue
		}
		text, _ := v.(string)
		object, err := jinja.FromJSON([]byte(text))
		if _, ok := object.(*jinja.Dict); !ok || err != nil {
			object, text = &jinja.Dict{}, "{}"
		}
		if n.arguments && v != nil {
			object = text
		}
		call.Set("arguments", object)
	}
}

// mergeSystem makes one message, the first, of all those of the system.
func mergeSystem(list *jinja.List) {
	var texts []string
	var others []jinja.Value
	for _, m := range list.Items {
		d := m.(*jinja.Dict)
		if text(d, "role") != "system" {
			others = append(others, m)
			continue
		}
		s := text(d, "content")
		if parts, _ := d.Get("content"); s == "" {
			if list, ok := parts.(*jinja.List); ok {
				texts, _ := textParts(list)
				s = strings.Join(texts, "\n")
			}
		}
		if s != "" {
			texts = append(texts, s)
		}
	}
	system := &jinja.Dict{}
	system.Set("role", "system")
	system.Set("content", strings.Join(texts, "\n\n"))
	list.Items = append([]jinja.Value{system}, others...)
}

// adaptTools puts the keys of functions in the order that models learnt: name, description, parameters.
func (n needs) adaptTools(tools *jinja.List) {
	for i, v := range tools.Items {
		tool, ok := v.(*jinja.Dict)
		if !ok {
			continue
		}
		tool = ordered(tool, "type", "function", "name", "description", "parameters")
		tools.Items[i] = tool
		f, ok := tool.Get("function")
		function, isDict := f.(*jinja.Dict)
		switch {
		case isDict:
			function = ordered(function, "name", "description", "parameters")
			tool.Set("function", function)
		case !ok && text(tool, "name") != "":
			function = tool
		default:
			continue
		}
		if _, ok := function.Get("parameters"); !ok && !n.parameters {
			function.Set("parameters", noParameters())
		}
	}
}

// noParameters is the schema of a function without any.
func noParameters() *jinja.Dict {
	d := &jinja.Dict{}
	d.Set("type", "object")
	d.Set("properties", &jinja.Dict{})
	return d
}

// ordered is d with the keys named first, without those that are null.
func ordered(d *jinja.Dict, first ...string) *jinja.Dict {
	out := &jinja.Dict{}
	for _, key := range first {
		if v, _ := d.Get(key); v != nil {
			out.Set(key, v)
		}
	}
	for _, k := range d.Keys() {
		key := k.(string)
		if v, _ := d.Get(key); v != nil {
			out.Set(key, v)
		}
	}
	return out
}

func shorten(s string) string {
	const most = 60
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}

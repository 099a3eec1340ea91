package chat

// functions.go: the functions that a request has, and what of their names an answer may be about to write.

import (
	"encoding/json"
	"strings"
)

// toolTypes has what is known of the parameters of each tool. Without tools any name is a function's.
type toolTypes map[string]*parameters

// knows says whether there is a function of that name.
func (t toolTypes) knows(name string) bool {
	_, ok := t[name]
	return ok || len(t) == 0 && isCallName(name)
}

// begins says whether more words can make a function's name of s.
func (t toolTypes) begins(s string) bool {
	if i := strings.IndexByte(s, '>'); i >= 0 {
		return t.knows(strings.TrimSpace(s[:i]))
	}
	s = strings.TrimSpace(s)
	if len(t) == 0 {
		return s == "" || isCallName(s)
	}
	for name := range t {
		if strings.HasPrefix(name, s) {
			return true
		}
	}
	return false
}

// startsWith says whether s begins with a function's name.
func (t toolTypes) startsWith(s string) bool {
	if len(t) == 0 {
		return isCallName(s)
	}
	for name := range t {
		if strings.HasPrefix(s, name) {
			return true
		}
	}
	return false
}

// cutName takes a function's name from what it and a key of its parameters were written as without a tag between them.
func (t toolTypes) cutName(s string) (name, key string) {
	if i := strings.IndexAny(s, blanks); i >= 0 {
		return s[:i], strings.TrimLeft(s[i:], blanks)
	}
	for known, p := range t {
		if rest, ok := strings.CutPrefix(s, known); ok && len(known) > len(name) && p.declares(rest) {
			name, key = known, rest
		}
	}
	return name, key
}

func isCallName(s string) bool { return s != "" && !strings.ContainsAny(s, "<>{}\""+blanks) }

// ToolNames are the names of a request's tools, in their order.
func ToolNames(tools json.RawMessage) []string {
	var names []string
	for _, t := range readTools(tools) {
		name, _ := t.declared()
		names = append(names, name)
	}
	return names
}

// tool is {"type": "function", "function": {...}}, or what is inside of it.
type tool struct {
	function
	Function function
}

type function struct {
	Name       string
	Parameters schema
}

// readTools reads what it understands of the tools.
func readTools(tools json.RawMessage) []tool {
	var texts []json.RawMessage
	if json.Unmarshal(tools, &texts) != nil {
		return nil
	}
	list := make([]tool, len(texts))
	for i, text := range texts {
		if json.Unmarshal(text, &list[i]) != nil {
			list[i] = tool{}
		}
	}
	return list
}

func (t *tool) declared() (name string, parameters schema) {
	if t.Function.Name != "" {
		return t.Function.Name, t.Function.Parameters
	}
	return t.Name, t.Parameters
}

// readToolTypes reads what it understands of the schemas; whatever it does not is a parameter without a type.
func readToolTypes(tools json.RawMessage) toolTypes {
	types := toolTypes{}
	for _, t := range readTools(tools) {
		if name, s := t.declared(); name != "" {
			r := schemaReader{root: s, refs: map[string]valueType{}, objects: map[string]bool{}}
			types[name] = &parameters{properties: map[string]valueType{}}
			r.object(map[string]any(s), types[name])
		}
	}
	return types
}

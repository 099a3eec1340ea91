package chat

import (
	"encoding/json"
	"strings"
)

// hermes: a JSON object with name and arguments between the tags. The arguments are handed on as the model wrote them.
type hermes struct{}

func (hermes) opens() []string { return []string{toolOpen} }

// end finds the closing tag that is not inside a string of the JSON: an argument may well speak of tool calls.
func (hermes) end(s string, sc *scan, last bool) int {
	for sc.pos = max(sc.pos, len(toolOpen)); sc.pos < len(s); sc.pos++ {
		rest := s[sc.pos:]
		switch rest[0] {
		case '"':
			sc.inside = !sc.inside
		case '\\':
			if sc.inside && len(rest) == 1 && !last {
				return 0 // wait for what is escaped
			}
			if sc.inside {
				sc.pos++
			}
		case '<':
			switch end := sc.pos + len(toolClose); {
			case !strings.HasPrefix(rest, toolClose):
				if strings.HasPrefix(toolClose, rest) && !last {
					return 0 // wait for the rest of the tag
				}
			case !sc.inside:
				return end
			case sc.first == 0:
				sc.first = end
			}
		}
	}
	if last {
		return sc.first // a string that never ends: what is malformed is the call up to its first tag
	}
	return 0
}

func (hermes) parse(s string, _ toolTypes, forced string) ([]parsedCall, bool) {
	s = strings.TrimSuffix(strings.TrimPrefix(s, toolOpen), toolClose)
	var call map[string]json.RawMessage
	var name string
	if json.Unmarshal([]byte(s), &call) != nil || json.Unmarshal(call["name"], &name) != nil || name == "" {
		return nil, false
	}
	if forced != "" {
		name = forced
	}
	arguments := call["arguments"]
	var text string
	if json.Unmarshal(arguments, &text) == nil && text != "" {
		arguments = json.RawMessage(text) // some models write the object as a string
	}
	switch trimmed := strings.TrimSpace(string(arguments)); {
	case trimmed == "" || trimmed == "null":
		return []parsedCall{{name, "{}"}}, true
	case trimmed[0] == '{' && json.Valid(arguments):
		return []parsedCall{{name, trimmed}}, true
	}
	return nil, false
}

func (hermes) prefix(name string) string {
	if name == "" {
		return toolOpen + "\n" + `{"name": "`
	}
	quoted, err := json.Marshal(name)
	if err != nil {
		return toolOpen
	}
	return toolOpen + "\n" + `{"name": ` + string(quoted) + `, "arguments":`
}

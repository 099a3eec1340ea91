package chat

import "strings"

// coder: <function=name> with a <parameter=key> for each argument, whose value is text between two newlines. Models
// forget the outer opening tag and the tag that closes a parameter; both are read without.
type coder struct{}

const (
	functionOpen, functionClose   = "<function=", "</function>"
	parameterOpen, parameterClose = "<parameter=", "</parameter>"
)

func (coder) opens() []string { return []string{toolOpen, functionOpen} }

func (coder) end(s string, sc *scan, last bool) int {
	close := functionClose
	if strings.HasPrefix(s, toolOpen) {
		close = toolClose
	}
	end := sc.tags(s, close, parameterOpen, parameterClose, functionClose)
	if end == 0 && last {
		end = sc.first
	}
	if end == 0 || close == toolClose {
		return end
	}
	rest := strings.TrimLeft(s[end:], " \t\r\n")
	switch {
	case strings.HasPrefix(rest, toolClose):
		return len(s) - len(rest) + len(toolClose)
	case !last && strings.HasPrefix(toolClose, rest):
		return 0 // the outer closing tag may still come
	}
	return end
}

func (coder) parse(s string, tools toolTypes, _ string) ([]parsedCall, bool) {
	s, whole := strings.CutSuffix(strings.TrimPrefix(s, toolOpen), toolClose)
	var calls []parsedCall
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimSpace(s) {
		rest, ok := strings.CutPrefix(s, functionOpen)
		if !ok {
			return nil, false
		}
		body, after, closed := strings.Cut(rest, functionClose)
		name, body, ok := strings.Cut(body, ">")
		if name = strings.TrimSpace(name); !ok || !isCallName(name) || !closed && !whole {
			return nil, false // without a closing tag the answer was cut off in a value
		}
		a, ok := coderArguments(body, tools[name])
		if !ok {
			return nil, false
		}
		calls = append(calls, parsedCall{name, a.json()})
		s = after
	}
	return calls, len(calls) > 0
}

func isCallName(s string) bool { return s != "" && !strings.ContainsAny(s, "<>{}\" \t\r\n") }

func coderArguments(s string, types map[string]valueType) (*arguments, bool) {
	a := &arguments{}
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimSpace(s) {
		rest, ok := strings.CutPrefix(s, parameterOpen)
		if !ok {
			return nil, false
		}
		key, rest, ok := strings.Cut(rest, ">")
		if key = strings.TrimSpace(key); !ok || key == "" {
			return nil, false
		}
		value, after := cutParameter(rest)
		a.add(key, types[key].convert(strings.TrimSuffix(strings.TrimPrefix(value, "\n"), "\n")))
		s = after
	}
	return a, true
}

// cutParameter ends a value at its closing tag, or where that is missing at the next parameter or at the end.
func cutParameter(s string) (value, after string) {
	end, next := strings.Index(s, parameterClose), strings.Index(s, "\n"+parameterOpen)
	switch {
	case next >= 0 && (end < 0 || next < end):
		return s[:next], s[next:]
	case end >= 0:
		return s[:end], s[end+len(parameterClose):]
	}
	return s, ""
}

func (coder) prefix(name string) string {
	if name == "" {
		return toolOpen + "\n" + strings.TrimSuffix(functionOpen, "=")
	}
	return toolOpen + "\n" + functionOpen + name + ">\n"
}

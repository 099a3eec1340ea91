package chat

import "strings"

// glm: the name, then pairs of <arg_key> and <arg_value>.
type glm struct{}

const (
	keyOpen, keyClose     = "<arg_key>", "</arg_key>"
	valueOpen, valueClose = "<arg_value>", "</arg_value>"
)

func (glm) opens() []string { return []string{toolOpen} }

// end finds the closing tag that is not inside a value.
func (glm) end(s string, sc *scan, last bool) int {
	end := sc.tags(s, toolClose, valueOpen, valueClose)
	if end == 0 && last {
		end = sc.first
	}
	return end
}

func (glm) parse(s string, tools toolTypes, forced string) ([]parsedCall, bool) {
	s, whole := strings.CutSuffix(strings.TrimPrefix(s, toolOpen), toolClose)
	name, pairs := s, ""
	if i := strings.Index(s, keyOpen); i >= 0 {
		name, pairs = s[:i], s[i:]
	}
	if name = strings.TrimSpace(name); !isCallName(name) || !whole {
		return nil, false // without the closing tag the answer may have been cut off anywhere
	}
	if forced != "" && strings.HasPrefix(name, forced) {
		name = forced
	}
	types := tools[name]
	a := &arguments{}
	for pairs = strings.TrimSpace(pairs); pairs != ""; pairs = strings.TrimSpace(pairs) {
		rest, ok := strings.CutPrefix(pairs, keyOpen)
		if !ok {
			return nil, false
		}
		key, rest, ok := strings.Cut(rest, keyClose)
		if !ok {
			return nil, false
		}
		rest, ok = strings.CutPrefix(strings.TrimSpace(rest), valueOpen)
		if !ok {
			return nil, false
		}
		value, after, ok := strings.Cut(rest, valueClose)
		if !ok {
			return nil, false
		}
		key = strings.TrimSpace(key)
		a.add(key, types[key].convert(value))
		pairs = after
	}
	return []parsedCall{{name, a.json()}}, true
}

func (glm) prefix(name string) string { return toolOpen + name }

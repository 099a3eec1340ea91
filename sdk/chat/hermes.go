package chat

import (
	"encoding/json"
	"strings"
)

// hermes: a JSON object with name and arguments between the tags. The arguments are handed on as the model wrote them.
type hermes struct{}

func (hermes) begin(s string, _ toolTypes, _ *quote) (start, keep int) { return beginAt(s, toolOpen) }

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

func (hermes) reading(c callContext) reading { return &hermesCall{callContext: c} }

// hermesCall reads a call. Where its object ends is plain, so an argument may well speak of calls; what is no JSON is told from it at
// its first wrong sign, but for those that only a full reading finds.
type hermesCall struct {
	callContext
	pos    int
	from   int // where the object begins
	to     int // where it ends; 0 while it is open
	depth  int
	before byte // the last sign: one of {[:, or 'v' for a value
	text   bool // inside a string
	escape bool // behind a backslash
	word   bool // inside of a number, true, false or null
}

func (c *hermesCall) read(s string, end ending) verdict {
	if c.pos == 0 {
		at, ok := behindOpening(s, end)
		if !ok {
			return verdict{}
		}
		c.pos = at
		c.from, c.before = c.pos, '['
	}
	for ; c.to == 0 && c.pos < len(s); c.pos++ {
		if !c.take(s[c.pos]) {
			return c.refuse()
		}
	}
	if c.to == 0 {
		if end == open {
			return verdict{}
		}
		return c.refuse()
	}
	rest := strings.TrimLeft(s[c.pos:], blanks)
	c.pos = len(s) - len(rest)
	switch {
	case strings.HasPrefix(rest, toolClose):
		return c.parse(s, len(s)-len(rest)+len(toolClose))
	case strings.HasPrefix(rest, toolOpen), rest == "" && end != open: // the last tag is missing
		return c.parse(s, c.to)
	case end != open && strings.HasPrefix(toolClose, rest): // or a part of it is
		return c.parse(s, len(s))
	case end == open && mayBegin(rest, end, toolClose, toolOpen):
		return verdict{}
	}
	return c.refuse()
}

// take goes on with the next sign; false if it cannot stand there.
func (c *hermesCall) take(b byte) bool {
	if c.text {
		switch {
		case c.escape:
			c.escape = false
		case b == '\\':
			c.escape = true
		case b == '"':
			c.text = false
		}
		return true
	}
	inWord := b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b == 'E' || b == '-' || b == '+' || b == '.'
	if c.word && inWord {
		return true
	}
	c.word = false
	fresh := c.before != 'v'
	switch b {
	case ' ', '\t', '\r', '\n':
		return true
	case '{', '[':
		c.depth++
		c.before = b
		return fresh && (c.depth > 1 || b == '{')
	case '}', ']':
		c.depth--
		if c.depth == 0 {
			c.to = c.pos + 1
		}
		empty := c.before == b-2 // { before }, [ before ]
		c.before = 'v'
		return (!fresh || empty) && c.depth >= 0
	case ',', ':':
		c.before = b
		return !fresh && c.depth > 0
	case '"':
		c.text = true
	default:
		c.word = true
		if !inWord {
			return false
		}
	}
	c.before = 'v'
	return fresh && c.depth > 0
}

func (c *hermesCall) refuse() verdict {
	return verdict{state: isWords, n: len(toolOpen), read: c.pos}
}

// parse reads the call of n bytes.
func (c *hermesCall) parse(s string, n int) verdict {
	var call map[string]json.RawMessage
	var name string
	if json.Unmarshal([]byte(s[c.from:c.to]), &call) != nil || json.Unmarshal(call["name"], &name) != nil || name == "" {
		return c.refuse()
	}
	if c.forced != "" {
		name = c.forced
	}
	arguments, given := call["arguments"]
	if !given {
		arguments = call["parameters"]
	}
	var text string
	if json.Unmarshal(arguments, &text) == nil && text != "" {
		arguments = json.RawMessage(text) // some models write the object as a string
	}
	trimmed := strings.TrimSpace(string(arguments))
	switch {
	case !c.tools.knows(name):
		return c.refuse()
	case trimmed == "" || trimmed == "null":
		trimmed = "{}"
	case trimmed[0] != '{' || !json.Valid(arguments):
		return c.refuse()
	}
	return verdict{state: isCall, n: n, calls: []parsedCall{{name, trimmed}}}
}

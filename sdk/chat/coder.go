package chat

import (
	"slices"
	"strings"
)

// coder: <function=name> with a <parameter=key> for each argument, whose value is text between two newlines. Models
// forget the outer opening tag and the tag that closes a parameter; both are read without.
type coder struct{}

const (
	functionOpen, functionClose   = "<function=", "</function>"
	parameterOpen, parameterClose = "<parameter=", "</parameter>"
)

var coderTags = []string{toolOpen, toolClose, functionOpen, functionClose, parameterOpen, parameterClose}

func (coder) begin(s string, _ toolTypes, _ *quote) (start, keep int) {
	return beginAt(s, toolOpen, functionOpen)
}

func (coder) prefix(name string) string {
	if name == "" {
		return toolOpen + "\n" + strings.TrimSuffix(functionOpen, "=")
	}
	return toolOpen + "\n" + functionOpen + name + ">\n"
}

func (coder) reading(c callContext) reading { return &coderCall{tagged: tagged{callContext: c}} }

// coderCall reads a call. A value may speak of the syntax, so a tag in it counts only where structure follows: </parameter> before another
// <parameter=> or before a </function> that counts, that before </tool_call>, and that at the end of the answer or before another
// call. Calls quoted in a value are told by their opening tags.
type coderCall struct {
	tagged
	state coderState
	calls []parsedCall

	args     *arguments // of the function that is open
	end      int        // of a function without a value
	reopened bool       // the last tag was <tool_call>
}

type coderState uint8

const (
	wantFunction   coderState = iota // <function=name>
	wantParameter                    // the first one, or the end
	inValue                          // of a parameter
	behindFunction                   // that had no parameters
)

func (c *coderCall) read(s string, end ending) verdict { return c.readTags(c, s, end) }

func (*coderCall) tags() []string { return coderTags }

// mayGoOn says whether what follows the last tag is what must follow it there.
func (c *coderCall) mayGoOn(s string, end ending) bool {
	if c.state == inValue {
		return true
	}
	rest := strings.TrimLeft(s[c.at:], blanks)
	c.at = len(s) - len(rest)
	c.scan.pos = max(c.scan.pos, c.at)
	switch c.state {
	case wantFunction:
		name, ok := strings.CutPrefix(rest, functionOpen)
		return mayBegin(rest, end, functionOpen) && (!ok || c.tools.begins(name))
	case wantParameter:
		return mayBegin(rest, end, parameterOpen, functionClose)
	}
	return true
}

func (c *coderCall) refuse(s string) verdict {
	n := len(functionOpen)
	if c.outer {
		n = len(toolOpen)
	}
	return verdict{state: isWords, n: min(n, len(s)), read: c.at}
}

func (c *coderCall) take(s string, t tag) verdict {
	v := c.takeTag(s, t)
	c.at = t.end
	return v
}

func (c *coderCall) takeTag(s string, t tag) verdict {
	switch c.state {
	case wantFunction:
		if t.text != functionOpen || !c.tools.knows(t.name) {
			return c.refuse(s)
		}
		c.open(t)
	case wantParameter:
		switch t.text {
		case parameterOpen:
			c.openParameter(t)
		case functionClose:
			c.closeFunction(t.end)
		default:
			return c.refuse(s)
		}
	case behindFunction:
		adjacent := t.start == c.at // mayGoOn has passed the white space
		switch {
		case adjacent && t.text == functionOpen && c.outer && c.tools.knows(t.name):
			c.open(t)
		case adjacent && t.text == toolClose:
			return c.done(t.end)
		default:
			return c.done(c.end)
		}
	case inValue:
		return c.takeInValue(s, t)
	}
	return verdict{}
}

func (c *coderCall) open(t tag) {
	c.name, c.args, c.given, c.state = t.name, &arguments{}, nil, wantParameter
}

func (c *coderCall) openParameter(t tag) {
	c.openValue(t.name, t.end)
	c.state = inValue
}

func (c *coderCall) closeValue(s string, at int) {
	value := strings.TrimSuffix(strings.TrimPrefix(s[c.from:at], "\n"), "\n")
	c.args.add(c.key, c.tools[c.name].typeOf(c.key).convert(value))
}

func (c *coderCall) closeFunction(end int) {
	c.calls = append(c.calls, parsedCall{c.name, c.args.json()})
	c.state, c.end = behindFunction, end
}

func (c *coderCall) takeInValue(s string, t tag) verdict {
	before, reopened := c.chain, c.reopened
	if !isBlank(s[c.at:t.start]) {
		before, reopened, c.behind = closing{}, false, true
	}
	c.chain, c.reopened = closing{}, false
	if t.text == toolOpen || t.text == functionOpen {
		return c.takeOpening(s, t, before, reopened)
	}
	c.behind = true
	switch t.text {
	case parameterClose:
		c.chain = closing{value: t.start, tag: t.text, end: t.end}
	case functionClose:
		if before.tag != parameterClose {
			before = closing{value: t.start, forgotten: true}
		}
		if c.quoted > 0 {
			c.quoted--
			before.inner = true
		}
		c.chain = before
		c.chain.tag, c.chain.end = t.text, t.end
		if !c.outer {
			c.mayEnd(c.chain)
		}
	case toolClose:
		if before.tag != functionClose {
			break
		}
		c.chain = before
		c.chain.tag, c.chain.end = t.text, t.end
		if c.mayEnd(c.chain) && c.single {
			return c.settle(s, c.chain)
		}
	case parameterOpen:
		c.takeParameter(s, t, before)
	}
	return verdict{}
}

// takeOpening ends the call if the next one begins; else a value speaks of calls.
func (c *coderCall) takeOpening(s string, t tag, before closing, reopened bool) verdict {
	if t.text == toolOpen {
		switch {
		case c.best != nil && !c.behind:
			return c.settle(s, *c.best)
		case before.tag == functionClose && !before.forgotten && !before.inner:
			return c.settle(s, before) // </tool_call> is missing
		}
		c.chain, c.reopened = before, true
		return verdict{}
	}
	known := c.tools.knows(t.name)
	switch {
	case known && before.tag == functionClose && !before.inner && c.outer:
		c.closeValue(s, before.value)
		c.closeFunction(before.end)
		c.open(t)
	case known && c.best != nil && (reopened || !c.behind):
		return c.settle(s, *c.best)
	case known && reopened && before.tag == toolClose && before.forgotten && !before.inner:
		return c.settle(s, before)
	default:
		c.quoted++
		c.behind = true
	}
	return verdict{}
}

// takeParameter ends the value before if the next parameter begins, also where the tag that closes it is missing.
func (c *coderCall) takeParameter(s string, t tag, before closing) {
	switch {
	case slices.Contains(c.given, t.name) || c.quoted > 0:
	case before.tag == parameterClose:
		c.closeValue(s, before.value)
		c.openParameter(t)
	case c.best == nil && c.tools[c.name].declares(t.name) && s[t.start-1] == '\n':
		c.closeValue(s, t.start)
		c.openParameter(t)
	}
}

// settle ends the call with the value that is open.
func (c *coderCall) settle(s string, at closing) verdict {
	c.closeValue(s, at.value)
	c.closeFunction(at.end)
	return c.done(at.end)
}

func (c *coderCall) done(n int) verdict { return verdict{state: isCall, n: n, calls: c.calls} }

// finish decides at the end of the answer.
func (c *coderCall) finish(s string, end ending) verdict {
	switch c.state {
	case behindFunction:
		return c.done(c.end)
	case inValue:
	default:
		return c.refuse(s)
	}
	last := c.chain
	closed := isBlank(s[c.at:]) && !c.reopened && (last.tag == functionClose || last.tag == toolClose)
	switch {
	case closed && !last.forgotten && (!last.inner || end == whole):
		return c.settle(s, last)
	case closed && last.forgotten && !last.inner && end == whole && c.best == nil:
		return c.settle(s, last)
	case c.best != nil && end == whole:
		return c.settle(s, *c.best)
	}
	return verdict{state: isWords, n: len(s), read: len(s)} // a value is open: what stands in it is no call
}

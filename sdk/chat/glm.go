package chat

import (
	"slices"
	"strings"
)

// glm: the name, then pairs of <arg_key> and <arg_value>. Where one tag is missing or stands twice, what is meant is still clear.
type glm struct{}

const (
	keyOpen, keyClose     = "<arg_key>", "</arg_key>"
	valueOpen, valueClose = "<arg_value>", "</arg_value>"
)

var glmTags = []string{toolOpen, toolClose, keyOpen, keyClose, valueOpen, valueClose}

// begin finds the tag that opens a call, or where that is missing the name of a function with a tag behind it.
func (glm) begin(s string, tools toolTypes, before *quote) (start, keep int) {
	if len(tools) == 0 {
		return beginAt(s, toolOpen)
	}
	for i := strings.IndexByte(s, '<'); i >= 0; i = nextAngle(s, i) {
		switch rest := s[i:]; {
		case strings.HasPrefix(rest, toolOpen):
			return i, 0
		case strings.HasPrefix(rest, keyOpen), strings.HasPrefix(rest, toolClose):
			if at := lastWord(s[:i]); (at > 0 || before.atWord()) && tools.knows(s[at:i]) {
				return at, 0
			}
		}
	}
	for _, tag := range []string{keyOpen, toolClose} {
		keep = max(keep, nameAtEnd(s, tag, tools, before))
	}
	return -1, max(keep, suffixOf(s, toolOpen))
}

// nameAtEnd is how much of the end of s may be the beginning of a function's name and the tag behind it.
func nameAtEnd(s, tag string, tools toolTypes, before *quote) int {
	begun := suffixOf(s, tag)
	name := s[:len(s)-begun]
	at := lastWord(name)
	switch word := name[at:]; {
	case word == "" || at == 0 && !before.atWord():
	case tools.knows(word), begun == 0 && tools.begins(word):
		return len(s) - at
	}
	return begun
}

// lastWord is where the word begins that s ends with, if it is not longer than a name.
func lastWord(s string) int {
	from := max(0, len(s)-maxTagName-1)
	return from + strings.LastIndexAny(s[from:], blanks) + 1
}

func (glm) prefix(name string) string { return toolOpen + name }

func (glm) reading(c callContext) reading { return &glmCall{tagged: tagged{callContext: c}} }

// glmCall reads a call. </arg_value> counts only before the next <arg_key> or before a </tool_call>, and that at the end of the
// answer or before another call. Calls quoted in a value are told by their opening tags.
type glmCall struct {
	tagged
	state  glmState
	args   arguments
	opened bool // the last tag was a <tool_call> behind a place where the call may have ended
}

type glmState uint8

const (
	inName glmState = iota
	inKey
	behindKey
	inArgument
)

func (c *glmCall) read(s string, end ending) verdict { return c.readTags(c, s, end) }

func (*glmCall) tags() []string { return glmTags }

func (c *glmCall) mayGoOn(s string, _ ending) bool {
	switch c.state {
	case inName:
		return c.mayBeName(s)
	case inKey:
		return c.scan.pos <= c.at+maxTagName
	}
	return true
}

// mayBeName says whether what stands behind the opening is a function, or may become one.
func (c *glmCall) mayBeName(s string) bool {
	name := s[c.at:min(len(s), c.at+2*maxTagName)]
	i := strings.IndexByte(name, '<')
	if i < 0 && len(name) == 2*maxTagName {
		return false
	}
	if i >= 0 {
		name = name[:i]
	}
	name = strings.TrimLeft(name, blanks)
	if i := strings.IndexAny(name, blanks); i >= 0 {
		return c.tools.startsWith(name[:i])
	}
	return c.tools.begins(name) || c.tools.startsWith(name)
}

func (c *glmCall) refuse(s string) verdict {
	n := len(toolOpen)
	if !strings.HasPrefix(s, toolOpen) {
		n = strings.IndexByte(s, '<')
	}
	if n < 0 {
		n = len(s)
	}
	return verdict{state: isWords, n: min(n, len(s)), read: c.at}
}

func (c *glmCall) take(s string, t tag) verdict {
	gap := strings.Trim(s[c.at:t.start], blanks)
	switch c.state {
	case inName:
		return c.takeName(s, t, gap)
	case inKey:
		switch {
		case t.text == keyOpen && gap == "": // twice
		case t.text == keyClose && isKey(gap):
			c.key, c.state = gap, behindKey
		case t.text == valueOpen && isKey(gap): // </arg_key> is missing
			c.key = gap
			c.openArgument(t.end)
		default:
			return c.refuse(s)
		}
	case behindKey:
		switch {
		case t.text == keyClose && gap == "": // twice
		case t.text == valueOpen && gap == "":
			c.openArgument(t.end)
		case t.text == valueClose: // <arg_value> is missing
			c.openArgument(c.at)
			return c.takeInValue(s, t)
		default:
			return c.refuse(s)
		}
	case inArgument:
		return c.takeInValue(s, t)
	}
	c.at = t.end
	return verdict{}
}

// takeName ends the name at the first tag.
func (c *glmCall) takeName(s string, t tag, gap string) verdict {
	name, key := gap, ""
	if t.text == keyClose { // <arg_key> is missing
		name, key = c.tools.cutName(gap)
	}
	if c.forced != "" && strings.HasPrefix(name, c.forced) {
		name = c.forced
	}
	if !c.tools.knows(name) {
		return c.refuse(s)
	}
	c.name = name
	switch {
	case t.text == toolClose:
		return c.done(t.end)
	case t.text == toolOpen: // </tool_call> is missing
		return c.done(t.start)
	case t.text == keyOpen:
		c.state = inKey
	case t.text == keyClose && isKey(key):
		c.key, c.state = key, behindKey
	default:
		return c.refuse(s)
	}
	c.at = t.end
	return verdict{}
}

func isKey(s string) bool {
	return s != "" && len(s) <= maxTagName && !strings.ContainsAny(s, "<>\r\n")
}

func (c *glmCall) openArgument(from int) {
	c.openValue(c.key, from)
	c.at, c.state = from, inArgument
}

func (c *glmCall) closeValue(s string, at int) {
	c.args.add(c.key, c.tools[c.name].typeOf(c.key).convert(s[c.from:at]))
}

func (c *glmCall) takeInValue(s string, t tag) verdict {
	before, gap := c.chain, s[c.at:t.start]
	c.at = t.end
	key := strings.Trim(gap, blanks)
	if key != "" {
		c.behind = true
	}
	opened := c.opened
	c.opened = false
	if opened && (t.text == keyOpen || t.text == toolClose) && c.tools.knows(key) {
		return c.settle(s, *c.best) // another call
	}
	// Where a key may stand, words end a run of closing tags only if they are none.
	if key != "" && !(t.text == keyClose && (before.tag == keyOpen || before.tag == valueClose)) && !(t.text == valueOpen && before.tag == keyOpen) {
		before = closing{}
	}
	c.chain = closing{}
	if t.text == toolOpen {
		return c.takeOpening(s, before)
	}
	c.behind = true
	switch t.text {
	case valueClose:
		c.chain = closing{value: t.start, tag: t.text, end: t.end, inner: c.quoted > 0}
	case toolClose:
		if before.tag != valueClose {
			before = closing{value: t.start, forgotten: true, inner: c.quoted > 0}
		}
		c.quoted = max(0, c.quoted-1)
		c.chain = before
		c.chain.tag, c.chain.end = t.text, t.end
		if c.mayEnd(c.chain) && c.single {
			return c.settle(s, c.chain)
		}
	case keyOpen:
		if before.tag != valueClose {
			before = closing{value: t.start, forgotten: true, inner: c.quoted > 0}
		}
		c.chain = before
		c.chain.tag = t.text
	case keyClose:
		c.takeKey(s, t, key, before)
	case valueOpen:
		if before.tag == keyOpen && c.isNext(key, before) { // </arg_key> is missing
			c.closeValue(s, before.value)
			c.key = key
			c.openArgument(t.end)
		}
	}
	return verdict{}
}

// takeOpening ends the call if the next one begins; else a value speaks of calls.
func (c *glmCall) takeOpening(s string, before closing) verdict {
	switch {
	case c.best != nil && !c.behind:
		return c.settle(s, *c.best)
	case before.tag == valueClose && !before.inner, before.tag == toolClose && before.forgotten && !before.inner:
		return c.settle(s, before)
	}
	c.quoted++
	c.behind, c.opened = true, c.best != nil
	return verdict{}
}

// takeKey ends the value before if what stands before </arg_key> is the next key.
func (c *glmCall) takeKey(s string, t tag, key string, before closing) {
	switch {
	case before.tag == keyOpen && c.isNext(key, before):
	case before.tag == valueClose && !before.inner && c.tools[c.name].declares(key) && !slices.Contains(c.given, key): // <arg_key> is missing
	default:
		return
	}
	c.closeValue(s, before.value)
	c.key, c.state, c.best = key, behindKey, nil
}

// isNext says whether a key in a value is that of the next argument. Where the closing tag before is missing it must be one that the
// function has.
func (c *glmCall) isNext(key string, before closing) bool {
	if before.inner || !isKey(key) || slices.Contains(c.given, key) {
		return false
	}
	return !before.forgotten || c.best == nil && c.tools[c.name].declares(key)
}

// settle ends the call with the value that is open.
func (c *glmCall) settle(s string, at closing) verdict {
	c.closeValue(s, at.value)
	return c.done(at.end)
}

func (c *glmCall) done(n int) verdict {
	return verdict{state: isCall, n: n, calls: []parsedCall{{c.name, c.args.json()}}}
}

// finish decides at the end of the answer.
func (c *glmCall) finish(s string, end ending) verdict {
	last, blank := c.chain, isBlank(s[c.at:])
	switch {
	case c.state == inName && end == whole && c.tools.knows(strings.Trim(s[c.at:], blanks)) && strings.HasPrefix(s, toolOpen):
		c.name = strings.Trim(s[c.at:], blanks)
		return c.done(len(s))
	case c.state != inArgument:
		return c.refuse(s)
	case blank && last.tag == toolClose && !last.forgotten && (!last.inner || end == whole):
		return c.settle(s, last)
	case blank && end == whole && !last.inner && (last.tag == toolClose && c.best == nil || last.tag == valueClose):
		return c.settle(s, last)
	case c.best != nil && end == whole:
		return c.settle(s, *c.best)
	}
	return verdict{state: isWords, n: len(s), read: len(s)} // a value is open: what stands in it is no call
}

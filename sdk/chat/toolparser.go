package chat

import (
	"crypto/rand"
	"encoding/json"
	"strings"
)

// CallDelta is a piece of a tool call. The first piece of a call has its ID and Name, later ones have Arguments; all
// pieces with one Index add up to one call, and its Arguments to a JSON object.
type CallDelta struct {
	Index     int
	ID        string
	Name      string
	Arguments string
}

// ToolParser finds the tool calls in an answer whose reasoning has been split off. A call is handed out when it is whole
// and right, one that is not is handed back as text: a name that has been sent cannot be taken back. White space
// beside calls is text only if there are words on both sides.
type ToolParser struct {
	syntax syntax
	tools  toolTypes
	newID  func(index int) string

	held      strings.Builder // words not decided yet; a call under way begins them
	scan      scan            // how far they have been searched for the call's end
	forced    string          // the function of the first call, if its name was forced
	space     string          // white space that is text only if more text comes
	inCall    bool
	wrote     bool // words, before or between calls
	afterCall bool // nothing but white space since the last call
	count     int
	malformed int
}

// maxMalformed bounds the work on an answer that opens calls over and over: each is searched for its end, and what follows
// the last attempt is text.
const maxMalformed = 64

// syntax is how one family writes calls.
type syntax interface {
	// opens are the words a call may begin with.
	opens() []string
	// end finds the length of the call that s begins with; 0 if its end has not come yet. It goes on where the scan
	// stands, as far as s is known to sc. last: no more words will come.
	end(s string, sc *scan, last bool) int
	// parse reads a whole call. More than one may stand between one pair of tags. If forced is not empty, the call was made
	// to begin with that name, and is of that function whatever the model wrote behind it.
	parse(s string, tools toolTypes, forced string) ([]parsedCall, bool)
	// prefix is what a forced call begins with. It ends where a token does in what the model learnt to write: a space
	// that belongs to the next word, or a sign that tokenizers join with the name behind it, is left to the model.
	prefix(name string) string
}

type parsedCall struct{ name, arguments string }

// NewToolParser makes a parser. tools is the request's array, by whose JSON schemas the formats that write every value
// as text are converted; it may be empty. newID names calls; nil means random names.
func NewToolParser(format ToolFormat, tools json.RawMessage, newID func(index int) string) *ToolParser {
	if newID == nil {
		newID = func(int) string { return "call_" + rand.Text() }
	}
	return &ToolParser{syntax: format.syntax(), tools: readToolTypes(tools), newID: newID}
}

// ForceFirst says that the answer begins with the format's Opening for name. A model may go on with a name that was written
// for it, get_weather with _now, where nothing in the format ends it; the call is still of the function that was asked for.
func (p *ToolParser) ForceFirst(name string) { p.forced = name }

// Push takes the next words.
func (p *ToolParser) Push(text string) (string, []CallDelta) {
	p.held.WriteString(text)
	if p.inCall && strings.HasPrefix(p.held.String(), toolOpen) && !strings.Contains(text, ">") {
		return "", nil // no tag ends here
	}
	return p.run(false)
}

// Flush ends the answer. A call that lacks only its last tag counts.
func (p *ToolParser) Flush() (string, []CallDelta) {
	text, calls := p.run(true)
	if !p.afterCall {
		text += p.space
	}
	p.space = ""
	return text, calls
}

// Calls is how many calls there were so far.
func (p *ToolParser) Calls() int { return p.count }

func (p *ToolParser) run(last bool) (string, []CallDelta) {
	held := p.held.String()
	if p.syntax == nil {
		p.held.Reset()
		return held, nil
	}
	var out strings.Builder
	var calls []CallDelta
	rest := held
	for rest != "" {
		if !p.inCall {
			rest = p.words(rest, &out, last)
		}
		if !p.inCall {
			break
		}
		n := p.syntax.end(rest, &p.scan, last)
		if n == 0 && !last {
			break
		}
		if n == 0 {
			n = len(rest)
		}
		n, deltas := p.finish(rest[:n], &out)
		calls = append(calls, deltas...)
		rest = rest[n:]
	}
	if len(rest) < len(held) { // else a long call under way is not copied with each word
		p.held.Reset()
		p.held.WriteString(rest)
	}
	return out.String(), calls
}

// words moves text before a call to out and returns the rest, which a call begins if inCall is set now.
func (p *ToolParser) words(held string, out *strings.Builder, last bool) string {
	start, keep := -1, 0
	for _, tag := range p.opens() {
		if i := strings.Index(held, tag); i >= 0 && (start < 0 || i < start) {
			start = i
		}
		keep = max(keep, suffixOf(held, tag))
	}
	p.inCall = start >= 0
	switch {
	case p.inCall:
	case last:
		start = len(held)
	default:
		start = len(held) - keep
	}
	p.text(held[:start], out)
	return held[start:]
}

func (p *ToolParser) opens() []string {
	if p.malformed >= maxMalformed {
		return nil
	}
	return p.syntax.opens()
}

// text writes words, but keeps the white space at their end until it is known what follows.
func (p *ToolParser) text(s string, out *strings.Builder) {
	body := strings.TrimRight(s, " \t\r\n")
	if body == "" {
		p.space += s
		return
	}
	if p.afterCall && !p.wrote {
		p.space, body, s = "", strings.TrimLeft(body, " \t\r\n"), strings.TrimLeft(s, " \t\r\n")
	}
	out.WriteString(p.space + body)
	p.space, p.wrote, p.afterCall = s[len(body):], true, false
}

// finish turns a whole call into deltas, or back into text if it is wrong; then another may begin inside of it. It says
// how many bytes of the call are done with.
func (p *ToolParser) finish(call string, out *strings.Builder) (int, []CallDelta) {
	p.inCall, p.scan = false, scan{}
	found, ok := p.syntax.parse(call, p.tools, p.forced)
	if !ok {
		p.malformed++
		n := len(call)
		for _, tag := range p.syntax.opens() {
			if i := strings.Index(call[1:n], tag); i >= 0 {
				n = i + 1
			}
		}
		p.text(call[:n], out)
		return n, nil
	}
	p.afterCall, p.forced = true, ""
	var deltas []CallDelta
	for _, c := range found {
		deltas = append(deltas, CallDelta{Index: p.count, ID: p.newID(p.count), Name: c.name}, CallDelta{Index: p.count, Arguments: c.arguments})
		p.count++
	}
	return len(call), deltas
}

// scan is how far the search for the end of a call has come, so that it is linear however the words arrive.
type scan struct {
	pos    int
	inside bool // of a value, where a closing tag is the value's
	first  int  // where the first closing tag inside of a value ends; 0 if there was none
}

// tags finds the end of the first close that is not between an inner and an outer tag.
func (sc *scan) tags(s, close string, inner string, outer ...string) int {
	for {
		i := strings.IndexByte(s[sc.pos:], '<')
		if i < 0 {
			sc.pos = len(s)
			return 0
		}
		sc.pos += i
		rest := s[sc.pos:]
		switch {
		case strings.HasPrefix(rest, close):
			end := sc.pos + len(close)
			if !sc.inside {
				return end
			}
			if sc.first == 0 {
				sc.first = end
			}
		case strings.HasPrefix(rest, inner):
			sc.inside = true
		case hasAnyPrefix(rest, outer):
			sc.inside = false
		case isBeginning(rest, close) || isBeginning(rest, inner) || isBeginning(rest, outer...):
			return 0 // wait for the rest of the tag
		}
		sc.pos++
	}
}

func hasAnyPrefix(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

func isBeginning(s string, of ...string) bool {
	for _, tag := range of {
		if strings.HasPrefix(tag, s) {
			return true
		}
	}
	return false
}

// ToolFormat names how a model writes tool calls.
type ToolFormat string

// The formats.
const (
	NoTools    ToolFormat = ""
	Hermes     ToolFormat = "hermes"      // <tool_call>{"name": "f", "arguments": {"k": 1}}</tool_call>
	Qwen3Coder ToolFormat = "qwen3_coder" // <tool_call><function=f><parameter=k>1</parameter></function></tool_call>
	GLM        ToolFormat = "glm"         // <tool_call>f<arg_key>k</arg_key><arg_value>1</arg_value></tool_call>
)

func (f ToolFormat) syntax() syntax {
	switch f {
	case Hermes:
		return hermes{}
	case Qwen3Coder:
		return coder{}
	case GLM:
		return glm{}
	}
	return nil
}

// Opening is what an answer begins with in which a call is forced: a call of the named function, or of any if name is
// empty; "" if the format knows no calls. The model goes on from there; the parser is to see these words too.
func (f ToolFormat) Opening(name string) string {
	if s := f.syntax(); s != nil {
		return s.prefix(name)
	}
	return ""
}

// ToolFormat finds the format that the template writes calls in: it is guessed by the words in the template, and is the
// format if a call that the template writes reads as that call.
func (t *Template) ToolFormat() ToolFormat {
	if t.toolUse != nil {
		t = t.toolUse
	}
	guess := Hermes
	switch {
	case !strings.Contains(t.source, toolOpen):
		return NoTools
	case strings.Contains(t.source, functionOpen):
		guess = Qwen3Coder
	case strings.Contains(t.source, keyOpen):
		guess = GLM
	}
	if !t.writes(guess) {
		return NoTools
	}
	return guess
}

const toolOpen, toolClose = "<tool_call>", "</tool_call>"

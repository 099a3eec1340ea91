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

// toolParser finds the tool calls in an answer whose reasoning has been split off. A call is handed out when it is whole
// and right, one that is not is handed back as text: a name that has been sent cannot be taken back. A call of a function that is
// not among the tools, and one that stands in code or quotation marks, is text too. White space beside calls is text only if
// there are words on both sides.
//
// Words are held back while they may belong to a call: until what stands there cannot be one any more, and at most maxHeld bytes;
// behind a call whose last value may go on, at most maxBehind.
type toolParser struct {
	syntax syntax
	tools  toolTypes
	newID  func(index int) string

	held      strings.Builder // words not decided yet; a call under way begins them
	call      reading         // the one under way; nil outside of one
	quoted    bool            // it stands in code or quotation marks
	quote     quote           // of the words so far
	forced    string          // the function of the first call, if its name was forced
	single    bool            // the first call ends the answer
	space     string          // white space that is text only if more text comes
	wrote     bool            // words, before or between calls
	afterCall bool            // nothing but white space since the last call
	count     int
	vain      int  // bytes that were read for calls that were none
	off       bool // no more calls are looked for
}

const (
	maxHeld = 1 << 20 // bytes of a call
	maxVain = 8 << 20 // bytes read for calls that were none; they are read again for calls inside of them
)

// syntax is how one family writes calls.
type syntax interface {
	// begin finds where a call may begin in s, -1 if nowhere, and how much of the end of s may be the beginning of one.
	begin(s string, tools toolTypes, before *quote) (start, keep int)
	// reading begins to read a call.
	reading(c callContext) reading
	// prefix is what a forced call begins with. It ends where a token does in what the model learnt to write: a space
	// that belongs to the next word, or a sign that tokenizers join with the name behind it, is left to the model.
	prefix(name string) string
}

// callContext is what a call is read with.
type callContext struct {
	tools  toolTypes
	forced string // not empty: the call was made to begin with that name, and is of that function whatever stands behind it
	single bool   // nothing behind the call will be looked at
}

type parsedCall struct{ name, arguments string }

// newToolParser makes a parser. tools is the request's array, which has the functions that may be called and the JSON schemas by
// which the formats that write every value as text are converted; if it is empty, any function may. newID names calls; nil means
// random names.
func newToolParser(format ToolFormat, tools json.RawMessage, newID func(index int) string) *toolParser {
	if newID == nil {
		newID = func(int) string { return "call_" + rand.Text() }
	}
	return &toolParser{syntax: format.syntax(), tools: readToolTypes(tools), newID: newID}
}

// forceFirst says that the answer begins with the format's Opening for name. A model may go on with a name that was written
// for it, get_weather with _now, where nothing in the format ends it; the call is still of the function that was asked for.
func (p *toolParser) forceFirst(name string) { p.forced = name }

// push takes the next words.
func (p *toolParser) push(text string) (string, []CallDelta) {
	p.held.WriteString(text)
	return p.run(open)
}

// flush ends the answer. A call that lacks only its last tag counts; other tags may be missing if the model ended the answer itself,
// which whole says.
func (p *toolParser) flush(wasWhole bool) (string, []CallDelta) {
	end := cut
	if wasWhole {
		end = whole
	}
	text, calls := p.run(end)
	if !p.afterCall {
		text += p.space
	}
	p.space = ""
	return text, calls
}

// calls is how many calls there were so far.
func (p *toolParser) calls() int { return p.count }

func (p *toolParser) run(end ending) (string, []CallDelta) {
	held := p.held.String()
	if p.syntax == nil {
		p.held.Reset()
		return held, nil
	}
	var out strings.Builder
	var calls []CallDelta
	rest := held
	for rest != "" {
		if p.call == nil {
			rest = p.words(rest, &out, end)
		}
		if p.call == nil {
			break
		}
		v := p.read(rest, end)
		if v.state == undecidedCall {
			break
		}
		calls = append(calls, p.finish(rest[:v.n], v, &out)...)
		rest = rest[v.n:]
	}
	if len(rest) < len(held) { // else a long call under way is not copied with each word
		p.held.Reset()
		p.held.WriteString(rest)
	}
	return out.String(), calls
}

// read goes on with the call that s begins with. What it finds does not depend on how much of s came at once.
func (p *toolParser) read(s string, end ending) verdict {
	if len(s) <= maxHeld {
		return p.call.read(s, end)
	}
	v := p.call.read(s[:maxHeld], open)
	if v.state == undecidedCall {
		p.off = true
		return verdict{state: isWords, n: len(s)}
	}
	return v
}

// words moves text before a call to out and returns the rest, which a call begins if there is one now.
func (p *toolParser) words(held string, out *strings.Builder, end ending) string {
	for p.afterCall && !p.off {
		trimmed := strings.TrimLeft(held, blanks)
		rest, ok := strings.CutPrefix(trimmed, toolClose)
		if !ok {
			if end == open && trimmed != "" && strings.HasPrefix(toolClose, trimmed) {
				return held
			}
			break
		}
		p.text(held[:len(held)-len(trimmed)], out)
		held = rest // without a closing tag too many
	}
	start, keep := -1, 0
	if !p.off {
		start, keep = p.syntax.begin(held, p.tools, &p.quote)
	}
	if start < 0 && end != open {
		keep = 0
	}
	if start < 0 {
		start = len(held) - keep
		p.text(held[:start], out)
		return held[start:]
	}
	p.text(held[:start], out)
	p.quoted = p.quote.quotes()
	p.call = p.syntax.reading(callContext{p.tools, p.forced, p.single})
	return held[start:]
}

// text writes words, but keeps the white space at their end until it is known what follows.
func (p *toolParser) text(s string, out *strings.Builder) {
	p.quote.feed(s)
	p.write(s, out)
}

func (p *toolParser) write(s string, out *strings.Builder) {
	body := strings.TrimRight(s, blanks)
	if body == "" {
		p.space += s
		return
	}
	if p.afterCall && !p.wrote {
		p.space, body, s = "", strings.TrimLeft(body, blanks), strings.TrimLeft(s, blanks)
	}
	out.WriteString(p.space + body)
	p.space, p.wrote, p.afterCall = s[len(body):], true, false
}

// finish turns calls into deltas, or what was none back into text.
func (p *toolParser) finish(s string, v verdict, out *strings.Builder) []CallDelta {
	p.call = nil
	if v.state == isWords || p.quoted {
		p.vain += max(v.read, len(s))
		p.off = p.off || p.vain > maxVain
		if v.state == isCall {
			p.quote.feed(strings.ReplaceAll(s, "\n", " ")) // no line of it ends what it is quoted by
			p.write(s, out)
		} else {
			p.text(s, out)
		}
		return nil
	}
	p.afterCall, p.forced = true, ""
	var deltas []CallDelta
	for _, c := range v.calls {
		deltas = append(deltas, CallDelta{Index: p.count, ID: p.newID(p.count), Name: c.name}, CallDelta{Index: p.count, Arguments: c.arguments})
		p.count++
	}
	return deltas
}

// beginAt is begin for calls that one of the tags opens.
func beginAt(s string, tags ...string) (start, keep int) {
	for start = strings.IndexByte(s, '<'); start >= 0; start = nextAngle(s, start) {
		if hasAnyPrefix(s[start:], tags) {
			return start, 0
		}
	}
	for _, tag := range tags {
		keep = max(keep, suffixOf(s, tag))
	}
	return -1, keep
}

// nextAngle is where the next "<" behind that at i stands, -1 if there is none.
func nextAngle(s string, i int) int {
	n := strings.IndexByte(s[i+1:], '<')
	if n < 0 {
		return -1
	}
	return i + 1 + n
}

func hasAnyPrefix(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
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

// Tag is what a call begins with.
func (f ToolFormat) Tag() string { return toolOpen }

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

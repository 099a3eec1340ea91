// constraint.go holds an answer to a language: behind its reasoning, which is free.

package text

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/chat"
	"github.com/inference-pio/inference-pio/sdk/grammar"
	"github.com/inference-pio/inference-pio/sdk/grammar/automaton"
	"github.com/inference-pio/inference-pio/sdk/grammar/schema"
	"github.com/inference-pio/inference-pio/sdk/tokenizer"
)

// held is a language over the model's vocabulary, and what of it is only looked at in the end.
type held struct {
	guide      *grammar.Guide
	vocabulary *grammar.Vocabulary
	checks
}

// checks are what is looked at when it is complete: an answer that is one value, and by the tool's name the arguments of a call. Nil if the
// guide says all.
type checks struct {
	value func(text []byte) error
	calls map[string]func(arguments []byte) error
}

// guides remembers the languages that were asked for last. Making one takes milliseconds, and agents ask for the same ones in each turn.
type guides struct {
	mu         sync.Mutex
	vocabulary *grammar.Vocabulary
	known      map[string]*held
	order      []string // of use, the latest last
}

// maxGuides bounds what is remembered; each guide bounds its masks.
const maxGuides = 16

// constrained is the language of a request's answer, nil if it is free: what a constraint says, and calls whose arguments are to be valid. An
// answer that begins in reasoning comes to it behind that.
func (m *Model) constrained(req sdk.GenerateRequest, d *Decoder, rows int) (*held, error) {
	c := req.Constraint
	switch {
	case c == nil && (!d.use.holds || m.tokenizer == nil || req.IgnoreEOS):
		return nil, nil
	case m.tokenizer == nil:
		return nil, errNoTokenizer(constraintField)
	case req.IgnoreEOS:
		return nil, invalid("ignore_eos", "an answer that is held to a language ends where that does; leave out ignore_eos")
	}
	l := wanted{constraint: c, thinks: m.thinks(d)}
	if d.use.holds || c != nil && d.use.format != chat.NoTools {
		l.use, l.tools, l.single = d.use, req.Chat.Tools, d.single
	}
	key := l.key()
	if h := m.guides.find(key); h != nil {
		return h, nil
	}
	content, checks, err := m.content(l)
	if err != nil {
		return nil, err
	}
	g, err := m.behind(l.thinks, content).Compile()
	if err != nil {
		return nil, invalid(constraintField, "the answer cannot be held to it: %v", err)
	}
	v, err := m.guides.over(m.tokenizer, rows)
	if err != nil {
		return nil, invalid(constraintField, "answers of this model cannot be held to a language: %v", err)
	}
	h := &held{g.Over(v, m.EOS()), v, checks}
	m.guides.keep(key, h)
	return h, nil
}

// wanted is all that the language of an answer depends on.
type wanted struct {
	constraint *sdk.Constraint // nil: none
	thinks     thinking
	use        toolUse
	tools      []byte
	single     bool
}

func (l *wanted) key() string {
	c := l.constraint
	if c == nil {
		c = new(sdk.Constraint)
	}
	return fmt.Sprintf("%d %t %t %q %q %q %q %+v %t %s", l.thinks, c.JSONObject, c.Strict, c.Regex, c.Choices, c.Grammar, c.JSONSchema, l.use, l.single, l.tools)
}

// content is the language behind the reasoning.
func (m *Model) content(l wanted) (e *grammar.Expr, c checks, err error) {
	if l.constraint != nil {
		if e, c.value, err = language(l.constraint); err != nil || l.use.format == chat.NoTools {
			return e, c, err
		}
	}
	var tools []chat.Tool
	for _, t := range chat.Tools(l.tools) {
		if l.use.name == "" || t.Name == l.use.name {
			tools = append(tools, t)
		}
	}
	calls, looked, err := l.use.format.Language(tools, l.single, m.tag)
	c.calls = looked
	var wrong *chat.CallError
	if errors.As(err, &wrong) {
		return nil, c, invalid("tools", "%v", err)
	}
	switch {
	case err != nil:
		return nil, c, err
	case l.use.forced:
		return calls, c, nil
	case e != nil:
		return grammar.Alt(e, calls), c, nil
	}
	return grammar.Seq(m.without(l.use.format.Tag()), grammar.Optional(calls)), c, nil
}

// find is a language that was asked for before, nil if it is not remembered.
func (g *guides) find(key string) *held {
	g.mu.Lock()
	defer g.mu.Unlock()
	h, known := g.known[key]
	if known {
		at := slices.Index(g.order, key)
		g.order = append(slices.Delete(g.order, at, at+1), key)
	}
	return h
}

// over is the vocabulary, made when it is first asked for.
func (g *guides) over(t *tokenizer.Tokenizer, rows int) (v *grammar.Vocabulary, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.vocabulary == nil {
		g.vocabulary, err = grammar.NewVocabulary(t.Words(), rows)
	}
	return g.vocabulary, err
}

func (g *guides) keep(key string, h *held) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.known == nil {
		g.known = map[string]*held{}
	}
	if _, known := g.known[key]; known { // made at the same time
		return
	}
	if len(g.order) == maxGuides {
		delete(g.known, g.order[0])
		g.order = g.order[1:]
	}
	g.known[key] = h
	g.order = append(g.order, key)
}

// constraintField is blamed for a language that is wrong; the host knows what its client calls it.
const constraintField = "constraint"

// language reads a constraint.
func language(c *sdk.Constraint) (e *grammar.Expr, check func([]byte) error, err error) {
	switch {
	case c.JSONSchema != nil:
		s, err := schema.Compile(c.JSONSchema, c.Strict)
		if err != nil {
			return nil, nil, invalid(constraintField, "the schema: %v", err)
		}
		for _, l := range s.Loose {
			slog.Warn("a part of a schema is not held while an answer is written; the answer is checked when it is whole", "part", l.String())
		}
		if len(s.Loose) > 0 {
			check = s.Check
		}
		return s.Expr, check, nil
	case c.JSONObject:
		return schema.Object(), nil, nil
	case c.Choices != nil:
		e, err = grammar.Choice(c.Choices...)
	case c.Grammar != "":
		e, err = grammar.GBNF(c.Grammar)
	default:
		e, err = grammar.Pattern(c.Regex)
	}
	if err != nil {
		return nil, nil, invalid(constraintField, "the answer cannot be held to it: %v", err)
	}
	return e, nil, nil
}

// thinking is what an answer may begin with.
type thinking uint8

const (
	noThought    thinking = iota
	maybeThought          // the model may open a thought
	inThought             // the prompt has opened one
)

func (m *Model) thinks(d *Decoder) thinking {
	switch {
	case d.InReasoning():
		return inThought
	case d.output == nil || !m.tags.begun || d.thought:
		return noThought
	}
	return maybeThought
}

// behind is a language with the reasoning that may go before it: words without the closing tag, the tag, and up to two newlines.
func (m *Model) behind(t thinking, content *grammar.Expr) *grammar.Expr {
	if t == noThought {
		return content
	}
	thought := grammar.Seq(m.without(m.tags.close), m.tag(m.tags.close), lines(), content)
	if t == inThought {
		return thought
	}
	return grammar.Alt(content, grammar.Seq(m.tag(m.tags.open), thought))
}

// tag is written as the token that it is, if it is one.
func (m *Model) tag(text string) *grammar.Expr {
	if id, ok := m.tokenizer.Added(text); ok {
		return grammar.Token(id)
	}
	return grammar.Literal(text)
}

// without are all texts in which a tag does not stand.
func (m *Model) without(tag string) *grammar.Expr {
	set, err := automaton.Length(0, -1)
	if err == nil {
		var has *automaton.Text
		if has, err = automaton.Search(regexp.QuoteMeta(tag)); err == nil {
			set, err = set.Without(has)
		}
	}
	var bytes *automaton.Bytes
	if err == nil {
		bytes, err = set.Plain()
	}
	if err != nil {
		return grammar.Alt() // not reached: a tag is a small pattern
	}
	return grammar.Regular(bytes)
}

func lines() *grammar.Expr {
	return grammar.Optional(grammar.Alt(grammar.Literal("\n"), grammar.Literal("\n\n")))
}

// hold begins to hold the answer to a language. Where it leaves one text the ids are known, unless the model is to say how likely they are.
func (d *Decoder) hold(h *held, jumps bool) {
	if h == nil {
		return
	}
	d.held, d.matcher, d.jumps.on = h, h.guide.Start(), jumps
	if jumps && len(d.forced) == 0 {
		d.jumps.queue = d.ahead()
	}
}

// advance takes an id; final says that nothing may follow it.
func (d *Decoder) advance(id int32) (final bool) {
	if d.matcher == nil || d.err != nil {
		return false
	}
	if err := d.matcher.Advance(id); err != nil {
		d.err = fmt.Errorf("the answer left the language that it is held to: %w", err)
	}
	d.jump(id)
	return d.matcher.Final()
}

// keep keeps a piece of a call whose arguments were not held to all of their schema.
func (d *Decoder) keep(c chat.CallDelta) {
	if d.held == nil || len(d.held.checks.calls) == 0 {
		return
	}
	for len(d.said) <= c.Index {
		d.said = append(d.said, chat.CallDelta{})
	}
	s := &d.said[c.Index]
	s.ID, s.Name, s.Arguments = s.ID+c.ID, s.Name+c.Name, s.Arguments+c.Arguments
}

// look looks at the calls that were kept.
func (d *Decoder) look() {
	for _, c := range d.said {
		check := d.held.checks.calls[c.Name]
		if check == nil {
			continue
		}
		if err := check([]byte(c.Arguments)); err != nil {
			slog.Warn("the arguments of a call are not valid under the tool's schema, of which a part could not be held", "call", c.ID, "tool", c.Name, "why", err)
		}
	}
}

// checked looks at a whole answer that was not held to all of its schema.
func (d *Decoder) checked(req sdk.GenerateRequest) {
	if d.held == nil || d.held.value == nil || d.calls() > 0 || !d.matcher.Complete() && !d.matcher.Final() {
		return
	}
	if err := d.held.value([]byte(strings.TrimSpace(d.words.String()))); err != nil {
		slog.Warn("an answer is not valid under its schema, of which a part could not be held", "request", req.ID, "why", err)
	}
}

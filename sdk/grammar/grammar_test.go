package grammar_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/inference-pio/inference-pio/sdk/grammar"
	"github.com/inference-pio/inference-pio/sdk/grammar/automaton"
	"github.com/inference-pio/inference-pio/sdk/grammar/grammartest"
)

const end = 7 // an id that ends answers; the token beside it is never made of it

// grow makes a random expression and the same as a pattern of package regexp, which says what belongs to it.
func grow(t testing.TB, r *rand.Rand, depth int) (*grammar.Expr, string) {
	pieces := []string{"a", "ab", `"`, "é", "{\"", "b,", "😀"}
	if depth == 0 || r.IntN(4) == 0 {
		if r.IntN(3) > 0 {
			p := pieces[r.IntN(len(pieces))]
			return grammar.Literal(p), regexp.QuoteMeta(p)
		}
		p := []string{`[ab]*`, `[^"a]+`, `(é|ab?)`, `a{1,3}`, `.?`, `x+[,é]`}[r.IntN(6)]
		return regular(t, p), "(?:" + p + ")"
	}
	switch r.IntN(7) {
	case 6:
		e, p := grow(t, r, depth-1)
		if set, err := e.Flat(); err == nil {
			return grammar.Regular(set), p
		}
		return e, p
	case 4:
		return distinct(r)
	case 5:
		return unlike(t, r)
	case 0:
		least, most := r.IntN(3), -1
		if r.IntN(2) == 0 {
			most = least + r.IntN(3)
		}
		e, p := grow(t, r, depth-1)
		if most < 0 {
			return grammar.Repeat(e, least, most), fmt.Sprintf("(?:%s){%d,}", p, least)
		}
		return grammar.Repeat(e, least, most), fmt.Sprintf("(?:%s){%d,%d}", p, least, most)
	case 1:
		e, p := grow(t, r, depth-1)
		return grammar.Optional(e), "(?:" + p + ")?"
	}
	var parts []*grammar.Expr
	var texts []string
	for range 2 + r.IntN(2) {
		e, p := grow(t, r, depth-1)
		if r.IntN(3) == 0 {
			e = (&grammar.Rule{Name: "part", Body: e}).Use()
		}
		parts, texts = append(parts, e), append(texts, p)
	}
	if r.IntN(2) == 0 {
		return grammar.Alt(parts...), "(?:" + strings.Join(texts, "|") + ")"
	}
	return grammar.Seq(parts...), "(?:" + strings.Join(texts, "") + ")"
}

// distinct is some parts of which none comes twice; as a pattern it is each order of each choice.
func distinct(r *rand.Rand) (*grammar.Expr, string) {
	parts := []string{"a", "ab", "é", `"`}[:2+r.IntN(3)]
	least, most := r.IntN(3), -1
	if r.IntN(2) == 0 {
		most = least + r.IntN(2)
	}
	var exprs []*grammar.Expr
	for _, p := range parts {
		exprs = append(exprs, grammar.Literal(p))
	}
	return grammar.Distinct(grammar.Literal(","), least, most, exprs...), orders(parts, least, most, regexp.QuoteMeta)
}

// unlike is parts of which none begins as another; as a pattern it is each order of each choice.
func unlike(t testing.TB, r *rand.Rand) (*grammar.Expr, string) {
	kinds := [][]string{{"a", "aa", "ab", "b"}, {"é", "éb"}, {`"`, `"a`, `"a"`}}[:1+r.IntN(3)]
	var texts, taken []string
	var parts []grammar.Part
	tails := map[string]string{}
	for _, kind := range kinds {
		tail, pattern := []*grammar.Expr{grammar.Seq(), grammar.Literal("x"), grammar.Optional(grammar.Literal("a"))}, []string{"", "x", "a?"}
		at := r.IntN(3)
		parts = append(parts, grammar.Part{Set: set(t, strings.Join(kind, "|")), Behind: tail[at]})
		for _, text := range kind {
			tails[text] = pattern[at]
			if r.IntN(4) == 0 {
				taken = append(taken, text)
			} else {
				texts = append(texts, text)
			}
		}
	}
	r.Shuffle(len(texts), func(i, j int) { texts[i], texts[j] = texts[j], texts[i] })
	for len(texts) > 4 { // there are not too many orders
		taken, texts = append(taken, texts[0]), texts[1:]
	}
	least, most := r.IntN(min(3, len(texts)+1)), -1
	if r.IntN(2) == 0 {
		most = least + r.IntN(3)
	}
	return grammar.Unlike(grammar.Literal(","), least, most, taken, parts...), orders(texts, least, most, func(text string) string { return regexp.QuoteMeta(text) + tails[text] })
}

// orders is a pattern of each order of each choice of some texts.
func orders(texts []string, least, most int, pattern func(text string) string) string {
	var all []string
	var more func(written string, used, count int)
	more = func(written string, used, count int) {
		if count >= least {
			all = append(all, written)
		}
		if most >= 0 && count >= most {
			return
		}
		for i, text := range texts {
			if used>>i&1 == 1 {
				continue
			}
			text = pattern(text)
			if count > 0 {
				text = "," + text
			}
			more(written+text, used|1<<i, count+1)
		}
	}
	more("", 0, 0)
	return "(?:" + strings.Join(all, "|") + ")"
}

func set(t testing.TB, pattern string) *automaton.Bytes {
	t.Helper()
	set, err := automaton.Match(pattern)
	if err != nil {
		t.Fatal(err)
	}
	b, err := set.Plain()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func regular(t testing.TB, pattern string) *grammar.Expr {
	t.Helper()
	return grammar.Regular(set(t, pattern))
}

func allowed(mask []uint32, id int) bool { return mask[id/32]>>(id%32)&1 == 1 }

// Every mask is compared with each token tried by itself, and every text that a walk ends with is looked at by package regexp.
func TestMasksAreWhatTryingEveryTokenSays(t *testing.T) {
	words := grammartest.Words(`ab{"ab,aé😀"é"b,ba,{"x,xxé`, 5)
	v := grammartest.Vocabulary(t, words)
	finished := 0
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		e, pattern := grow(t, r, 3)
		g, err := e.Compile()
		if err != nil {
			t.Fatalf("%s: %v", pattern, err)
		}
		whole := regexp.MustCompile(`^(?:` + pattern + `)$`)
		m, text := g.Over(v, []int32{end}).Start(), ""
		for range 25 {
			if got, want := m.Complete(), utf8.ValidString(text) && whole.MatchString(text); got != want {
				t.Fatalf("%s: %q is complete: %v, want %v", pattern, text, got, want)
			}
			mask := append([]uint32(nil), m.Mask()...)
			var next []int
			for id, word := range words {
				want := id == end && m.Complete() || m.Clone().Read(word)
				if allowed(mask, id) != want {
					t.Fatalf("%s: behind %q token %q is allowed: %v, want %v", pattern, text, word, allowed(mask, id), want)
				}
				if want {
					next = append(next, id)
				}
			}
			if len(next) == 0 && !m.Final() {
				t.Fatalf("%s: behind %q nothing is allowed", pattern, text)
			}
			if len(next) == 0 {
				break
			}
			id := next[r.IntN(len(next))]
			if err := m.Advance(int32(id)); err != nil {
				t.Fatalf("%s: behind %q token %q: %v", pattern, text, words[id], err)
			}
			if id == end && whole.MatchString(text) {
				finished++
				break
			}
			text += words[id]
		}
	}
	if finished < 50 {
		t.Errorf("only %d walks came to an end", finished)
	}
}

// What regular sets cannot say: brackets that close, to any depth.
func TestRulesMaySpeakOfThemselves(t *testing.T) {
	list := &grammar.Rule{Name: "list"}
	list.Body = grammar.Seq(grammar.Literal("("), grammar.Repeat(grammar.Alt(list.Use(), grammar.Literal("x")), 0, 2), grammar.Literal(")"))
	g, err := list.Use().Compile()
	if err != nil {
		t.Fatal(err)
	}
	m := g.Over(grammartest.Vocabulary(t, grammartest.Words("(((x)(x)))", 4)), nil).Start()
	deep := strings.Repeat("(", 5000) + strings.Repeat(")", 5000)
	for _, c := range []struct {
		text string
		want bool
	}{{"()", true}, {"(x)", true}, {"((x)x)", true}, {"(xxx)", false}, {"(()()())", false}, {"(", false}, {"())", false}, {deep, true}, {deep + ")", false}} {
		got := m.Clone()
		if is := got.Read(c.text) && got.Complete(); is != c.want {
			t.Errorf("%.20q belongs to it: %v", c.text, is)
		}
	}
}

func TestCountedStringsHoldTheirBounds(t *testing.T) {
	text, err := automaton.String()
	if err != nil {
		t.Fatal(err)
	}
	words := grammartest.Words(`"aé\n\u00e9bb","", "abcdefghijklmnopqrstuvwxyzabcdefgh"`, 33)
	v := grammartest.Vocabulary(t, words)
	for _, c := range [][2]int{{0, 0}, {0, 1}, {1, 1}, {2, 4}, {3, -1}, {0, 17}, {20, 40}, {40, -1}} {
		g, err := grammar.Seq(grammar.Counted(text, c[0], c[1]), grammar.Literal(",")).Compile()
		if err != nil {
			t.Fatal(err)
		}
		guide := g.Over(v, nil)
		for seed := range uint64(20) {
			r, m, count := rand.New(rand.NewPCG(seed, 9)), guide.Start(), 0
			for step := 0; !m.Final(); step++ {
				mask := append([]uint32(nil), m.Mask()...)
				var next []int
				for id, word := range words {
					want := m.Clone().Read(word)
					if allowed(mask, id) != want {
						t.Fatalf("%v: token %q is allowed: %v, want %v", c, word, allowed(mask, id), want)
					}
					if want && (step < 30 || strings.Contains(word, `"`) || c[0] > 0) {
						next = append(next, id)
					}
				}
				if len(next) == 0 {
					break // within an escape, where only more would end it
				}
				if err := m.Advance(int32(next[r.IntN(len(next))])); err != nil {
					t.Fatal(err)
				}
				if count++; count > 200 {
					break
				}
			}
		}
	}
}

func TestTokensThatTheGrammarNamesSpellThemselves(t *testing.T) {
	words := append(grammartest.Letters(), "", "") // 256 and 257 are added tokens
	g, err := grammar.Seq(regular(t, `[ab]*`), grammar.Token(256), grammar.Literal("a"), grammar.Token(257)).Compile()
	if err != nil {
		t.Fatal(err)
	}
	m := g.Over(grammartest.Vocabulary(t, words), nil).Start()
	for _, c := range []struct {
		id int32
		ok bool
	}{{257, false}, {'a', true}, {'c', false}, {256, true}, {'b', false}, {256, false}, {'a', true}, {'a', false}, {257, true}, {'a', false}} {
		if got := allowed(m.Mask(), int(c.id)); got != c.ok {
			t.Errorf("id %d is allowed: %v", c.id, got)
		}
		if err := m.Advance(c.id); (err == nil) != c.ok {
			t.Errorf("id %d: %v", c.id, err)
		}
	}
	if !m.Final() {
		t.Error("the text is not complete")
	}
}

func TestWhatCannotBeCompiledIsRefused(t *testing.T) {
	loop := &grammar.Rule{Name: "loop"}
	loop.Body = grammar.Seq(grammar.Optional(grammar.Literal("a")), loop.Use(), grammar.Literal("b"))
	loop.Body = grammar.Alt(loop.Body, grammar.Literal("c"))
	if _, err := loop.Use().Compile(); err == nil || !strings.Contains(err.Error(), "loop") {
		t.Errorf("a rule that begins with itself: %v", err)
	}
	endless := &grammar.Rule{Name: "endless"}
	endless.Body = grammar.Seq(grammar.Literal("a"), endless.Use())
	if _, err := endless.Use().Compile(); !errors.Is(err, grammar.ErrEmpty) {
		t.Errorf("a rule without an end: %v", err)
	}
	if _, err := (&grammar.Rule{Name: "open"}).Use().Compile(); err == nil {
		t.Error("a rule that is not defined was taken")
	}
	wide := grammar.Literal("a")
	for range 30 {
		wide = grammar.Seq(wide, wide)
	}
	if _, err := wide.Compile(); !errors.Is(err, grammar.ErrSize) {
		t.Errorf("an expression of a billion parts: %v", err)
	}
	if _, err := grammar.NewVocabulary([]string{"a"}, 1); err == nil {
		t.Error("a vocabulary without all bytes was taken")
	}
}

// An ambiguous grammar is followed as far as its bound, and no further.
func TestAmbiguityIsBounded(t *testing.T) {
	s := &grammar.Rule{Name: "s"}
	s.Body = grammar.Alt(grammar.Seq(grammar.Literal("a"), s.Use(), grammar.Literal("x")), grammar.Seq(grammar.Literal("a"), s.Use(), grammar.Literal("y")), grammar.Literal("b"))
	g, err := s.Use().Compile()
	if err != nil {
		t.Fatal(err)
	}
	m := g.Over(grammartest.Vocabulary(t, grammartest.Letters()), nil).Start()
	if !m.Read(strings.Repeat("a", 30) + "b") {
		t.Fatal("it was not read")
	}
	for range 30 {
		mask := m.Mask()
		if !allowed(mask, 'x') && !allowed(mask, 'y') {
			t.Fatal("nothing is allowed")
		}
		if !m.Read("x") {
			m.Read("y")
		}
	}
	if !m.Complete() {
		t.Error("the text is not complete")
	}
}

// Counts within counts can be reached in many ways, of which each is a stack of its own.
func TestCountsWithinCountsAreBounded(t *testing.T) {
	e, err := grammar.GBNF(`root ::= (("a"? b?){0,900}){0,900} "c"` + "\nb ::= \"b\" root?")
	if err != nil {
		t.Fatal(err)
	}
	m := compiled(t, e).Over(grammartest.Vocabulary(t, grammartest.Letters()), nil).Start()
	for i := range 200 {
		if mask := m.Mask(); !allowed(mask, 'a') || !allowed(mask, 'c') {
			t.Fatalf("behind %d letters nothing is allowed", i)
		}
		if !m.Read("a") {
			t.Fatal("it was not read")
		}
	}
}

package grammar_test

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/sdk/grammar"
	"github.com/inference-pio/inference-pio/sdk/grammar/automaton"
	"github.com/inference-pio/inference-pio/sdk/grammar/grammartest"
)

// written says whether texts belong to a grammar that is written.
func written(t *testing.T, text string) func(string) bool {
	t.Helper()
	e, err := grammar.GBNF(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return belongs(t, e)
}

func belongs(t *testing.T, e *grammar.Expr) func(string) bool {
	t.Helper()
	g, err := e.Compile()
	if err != nil {
		t.Fatal(err)
	}
	guide := g.Over(grammartest.Vocabulary(t, grammartest.Letters()), nil)
	return func(s string) bool {
		m := guide.Start()
		return m.Read(s) && m.Complete()
	}
}

func TestGBNFReadsWhatItsUsersWrite(t *testing.T) {
	for _, c := range []struct {
		text    string
		yes, no []string
	}{
		{`root ::= "yes" | "no"`, []string{"yes", "no"}, []string{"", "y", "yesno"}},
		{"# a list\nroot ::= item+\nitem ::= \"- \" [^\\n]+ \"\\n\"", []string{"- a\n", "- a\n- é b\n"}, []string{"", "- \n", "- a"}},
		{"root  ::= expr\nexpr ::= term ([-+*/] term)*\nterm ::= [0-9]+ | \"(\" expr \")\"", []string{"1", "1+2*(3-4)", "((1))"}, []string{"", "1+", "(1", "1)"}},
		{`root ::= [a-c]{2} "x"{1,} ("y" | "z"){0,2}`, []string{"abx", "ccxxyz", "aaxzz"}, []string{"ax", "abcx", "abxyyy"}},
		{`root ::= "\"\\\x41\u00e9\U0001f600\t"`, []string{"\"\\Aé😀\t"}, []string{"A"}},
		{`root ::= .`, []string{"a", "é", "\n"}, []string{"", "ab"}},
		{`root ::= [-a\]^]+`, []string{"-a]^"}, []string{"b"}},
		{"root ::= a\n  | b\na ::= \"1\"\nb ::= \"2\"", []string{"1", "2"}, []string{"12"}},
		{`root ::= "a"? "b"* ("c" "d")+`, []string{"cd", "abbcdcd"}, []string{"", "aacd"}},
		{`root ::= "<" root? ">" | "x"`, []string{"<>", "<<x>>", "x"}, []string{"<x", "<>>"}},
		{`root ::= ("a" | )`, []string{"", "a"}, []string{"aa"}},
		{`root ::= "ab"{500}`, []string{strings.Repeat("ab", 500)}, []string{"ab"}},
	} {
		has := written(t, c.text)
		for _, s := range c.yes {
			if !has(s) {
				t.Errorf("%s: %.40q does not belong to it", c.text, s)
			}
		}
		for _, s := range c.no {
			if has(s) {
				t.Errorf("%s: %.40q belongs to it", c.text, s)
			}
		}
	}
}

func TestGBNFThatIsWrongIsRefusedByItsLine(t *testing.T) {
	for text, want := range map[string]string{
		"root ::= other":                           `"other"`,
		"other ::= \"a\"":                          "root",
		"root ::= \"a":                             "not closed",
		"root ::= [a":                              "not closed",
		"root ::= (\"a\"":                          "not closed",
		"root ::= \"a\"{2":                         "not closed",
		"root ::= \"a\"{x}":                        "number of repetitions",
		"root ::= \"\\q\"":                         "escape",
		"root ::= [z-a]":                           "empty",
		"root ::= \"a\"\n\nroot ::= \"b\"":         "line 3",
		"root \"a\"":                               "::=",
		"= \"a\"":                                  "name is expected",
		"root ::= []":                              "no characters",
		"root ::= " + strings.Repeat("(", 100):     "deep",
		"root ::= \"\\ud800\"":                     "no character",
		"root ::= \"" + strings.Repeat("a", 1<<17): "at most",
		"root ::= \xff":                            "UTF-8",
	} {
		if _, err := grammar.GBNF(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q", text, err, want)
		}
	}
	e, err := grammar.GBNF("root ::= root \"a\" | \"b\"")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Compile(); err == nil || !strings.Contains(err.Error(), "root") {
		t.Errorf("left recursion: %v", err)
	}
}

func TestPatternsAndChoices(t *testing.T) {
	e, err := grammar.Pattern(`(red|green)-\d{2}`)
	if err != nil {
		t.Fatal(err)
	}
	has, other := belongs(t, e), regexp.MustCompile(`^(red|green)-\d{2}$`)
	for _, s := range []string{"red-12", "green-00", "red-1", "blue-12", "red-123", ""} {
		if has(s) != other.MatchString(s) {
			t.Errorf("%q", s)
		}
	}
	if e, err = grammar.Choice("yes", "no", "nobody", "né"); err != nil {
		t.Fatal(err)
	}
	has = belongs(t, e)
	for s, want := range map[string]bool{"yes": true, "no": true, "nobody": true, "né": true, "nob": false, "": false} {
		if has(s) != want {
			t.Errorf("%q", s)
		}
	}
}

func TestExceptLeavesNamesOut(t *testing.T) {
	all, err := automaton.Length(0, -1)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := all.Quoted()
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"a", "ab", "abc", "é", ""}
	words := grammartest.Words(`"a":"ab","abc""é":"","abcd"`, 5)
	guide := compiled(t, grammar.Seq(grammar.Except(keys, names...), grammar.Literal(":"))).Over(grammartest.Vocabulary(t, words), nil)
	for seed := range uint64(200) {
		r, m, text := rand.New(rand.NewPCG(seed, 5)), guide.Start(), ""
		for step := 0; step < 12 && !m.Final(); step++ {
			mask := append([]uint32(nil), m.Mask()...)
			var next []int
			for id, word := range words {
				want := m.Clone().Read(word)
				if allowed(mask, id) != want {
					t.Fatalf("behind %q token %q is allowed: %v, want %v", text, word, allowed(mask, id), want)
				}
				if want && (id > 255 || id == '"' || id == ':') {
					next = append(next, id)
				}
			}
			if len(next) == 0 {
				break // within a character
			}
			id := next[r.IntN(len(next))]
			text += words[id]
			if err := m.Advance(int32(id)); err != nil {
				t.Fatal(err)
			}
			for _, n := range names {
				if strings.HasPrefix(text, `"`+n+`"`) {
					t.Fatalf("%q begins with a name", text)
				}
			}
		}
	}
}

func compiled(t *testing.T, e *grammar.Expr) *grammar.Grammar {
	t.Helper()
	g, err := e.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// FuzzGBNF: whatever is read is compiled or refused, and what a walk writes belongs to it.
func FuzzGBNF(f *testing.F) {
	f.Add(`root ::= "a" [b-d]* (x | "é"){1,3}`+"\nx ::= \"x\" root?", []byte{1, 2, 3})
	f.Add(`root ::= ("a"?)*`, []byte{0, 0})
	f.Add(`root ::=`, []byte{0}) // nothing may come, and nothing need
	f.Fuzz(func(t *testing.T, text string, way []byte) {
		e, err := grammar.GBNF(text)
		if err != nil {
			return
		}
		g, err := e.Compile()
		if err != nil {
			return
		}
		m := g.Over(grammartest.Vocabulary(t, grammartest.Letters()), nil).Start()
		for _, w := range way[:min(len(way), 100)] {
			mask := append([]uint32(nil), m.Mask()...)
			var next []int
			for id := range 256 {
				if allowed(mask, id) {
					next = append(next, id)
				}
			}
			if len(next) == 0 {
				if !m.Final() {
					t.Fatalf("%q: nothing is allowed", text)
				}
				return
			}
			if err := m.Advance(int32(next[int(w)%len(next)])); err != nil {
				t.Fatalf("%q: %v", text, err)
			}
		}
	})
}

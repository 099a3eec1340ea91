package automaton

import (
	"encoding/json"
	"errors"
	"math/big"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/dlclark/regexp2/v2"
)

// has walks the bytes of text.
func (b *Bytes) has(text string) bool {
	if b.Empty() {
		return false
	}
	state := int32(0)
	for i := range len(text) {
		if state = b.Step(state, text[i]); state < 0 {
			return false
		}
	}
	return b.Accepts(state)
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// texts are short ones over letters that patterns speak of.
func texts(n int, alphabet string) []string {
	r, out := rand.New(rand.NewPCG(1, 2)), []string{""}
	letters := []rune(alphabet)
	for range n {
		var s strings.Builder
		for range r.IntN(8) {
			s.WriteRune(letters[r.IntN(len(letters))])
		}
		out = append(out, s.String())
	}
	return out
}

var patterns = []string{``, `a`, `^a`, `a$`, `^$`, `^a*$`, `^(a|b)+$`, `^a|b$`, `(^|b)a`, `a(b|$)`, `ab?c`, `^a{2,3}$`, `^[^a]+$`, `^\d+$`, `\s`, `^\S+$`, `[\s]`, `^[\S]$`, `^\w+$`,
	`^.$`, `é`, `^[à-é]+$`, `^\u00e9+$`, `^\u{e9}+$`, `^\ud83d\ude00$`, `^(?:ab)*$`, `^(?<x>a)b`, `^[a-c]{0,4}$`, `\/`, `^\-$`, `[.]`, `^[[]$`, `a.b`, `^[\]a]+$`, `\n`, `\x41`, `^a^`, `$a`, `^(a+)+b$`}

// regexp2, another engine with ECMA 262's rules, decides.
func TestSearchFindsWhatAnotherEngineFinds(t *testing.T) {
	list := texts(3000, "aab bcé😀1\n/-.[]A\u00a0")
	for _, p := range patterns {
		set := must[*Text](t)(Search(p))
		other, err := regexp2.Compile(p, regexp2.ECMAScript|regexp2.Unicode)
		if err != nil {
			t.Fatalf("%s: %v", p, err)
		}
		for _, s := range list {
			want, err := other.MatchString(s)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(s, "\n") && strings.Contains(p, "$") {
				continue // regexp2's $ is also before a last newline
			}
			if got := set.Has(s); got != want {
				t.Errorf("%s finds %q: %v, want %v", p, s, got, want)
			}
		}
	}
}

func TestMatchIsOfTheWhole(t *testing.T) {
	list := texts(3000, "aabbcC1 \n")
	for _, p := range []string{`a|ab`, `(?i)abc?`, `a+b*|c`, `\d{1,3}`, `.*b`, `(?s).*b`, `\p{L}+`, `[[:alpha:]]+`, `a*?b`} {
		set := must[*Text](t)(Match(p))
		other := regexp.MustCompile(`^(?:` + p + `)$`)
		for _, s := range list {
			if got, want := set.Has(s), other.MatchString(s); got != want {
				t.Errorf("%s matches %q: %v, want %v", p, s, got, want)
			}
		}
	}
}

func TestSetsAreJoinedAsTheirMembersAre(t *testing.T) {
	list := texts(2000, "aabbcé1")
	for _, p := range []string{`^a`, `b$`, `^[ab]*$`, `é`, `^$`, `^(ab)+$`} {
		for _, q := range []string{`a`, `^b`, `^.{2,3}$`, `c`, `^$`, `[^a]`} {
			a, b := must[*Text](t)(Search(p)), must[*Text](t)(Search(q))
			and, or, without := must[*Text](t)(a.And(b)), must[*Text](t)(a.Or(b)), must[*Text](t)(a.Without(b))
			for _, s := range list {
				x, y := a.Has(s), b.Has(s)
				if and.Has(s) != (x && y) || or.Has(s) != (x || y) || without.Has(s) != (x && !y) {
					t.Errorf("%s, %s: %q is in them %v, %v; in both %v, either %v, the first alone %v", p, q, s, x, y, and.Has(s), or.Has(s), without.Has(s))
				}
			}
		}
	}
}

func TestLengthCountsCharacters(t *testing.T) {
	for _, c := range [][2]int{{0, 0}, {0, 3}, {2, 2}, {2, -1}, {0, -1}, {3, 2}, {1, 5}} {
		set := must[*Text](t)(Length(c[0], c[1]))
		for _, s := range texts(300, "aé😀") {
			n := utf8.RuneCountInString(s)
			if got, want := set.Has(s), n >= c[0] && (c[1] < 0 || n <= c[1]); got != want {
				t.Errorf("%q between %d and %d: %v", s, c[0], c[1], got)
			}
		}
	}
}

func TestWordsAreThose(t *testing.T) {
	set := must[*Text](t)(Words("ab", "abc", "", "é", "ab"))
	for _, s := range texts(500, "abcé") {
		if got, want := set.Has(s), s == "ab" || s == "abc" || s == "" || s == "é"; got != want {
			t.Errorf("%q: %v", s, got)
		}
	}
	if !must[*Text](t)(Words()).Empty() {
		t.Error("no words are some")
	}
}

// numbers are decimal texts, right and wrong ones.
func numbers() []string {
	out := []string{"", "-", "-0", "00", "1.", ".5", "-0.0", "0.0", "1e5", "01", "--1", "1.2.3"}
	r := rand.New(rand.NewPCG(3, 4))
	for range 3000 {
		s := []string{"", "-"}[r.IntN(2)]
		for n := range 1 + r.IntN(4) {
			if d := r.IntN(10); n == 0 || s != "0" && s != "-0" {
				s += string(digits[d*r.IntN(2)])
			}
		}
		if n := r.IntN(4); n > 0 {
			s += "."
			for range n {
				s += string(digits[r.IntN(10)*r.IntN(2)])
			}
		}
		out = append(out, s)
	}
	return out
}

func TestBoundsHoldWhatArithmeticSays(t *testing.T) {
	list, form := numbers(), regexp.MustCompile(`^-?(0|[1-9]\d*)(\.\d+)?$`)
	for _, bound := range []string{"0", "1", "-1", "10", "99", "100", "-100", "0.5", "-0.5", "12.34", "-12.34", "1000", "0.001", "9.99", "1.05"} {
		b, _ := new(big.Rat).SetString(bound)
		for _, strict := range []bool{false, true} {
			least, most := must[*Text](t)(AtLeast(b, strict)), must[*Text](t)(AtMost(b, strict))
			for _, s := range list {
				order, number := 0, form.MatchString(s)
				if number {
					v, _ := new(big.Rat).SetString(s)
					order = v.Cmp(b)
				}
				if got, want := least.Has(s), number && (order > 0 || order == 0 && !strict); got != want {
					t.Errorf("%q at least %s (strict %v): %v", s, bound, strict, got)
				}
				if got, want := most.Has(s), number && (order < 0 || order == 0 && !strict); got != want {
					t.Errorf("%q at most %s (strict %v): %v", s, bound, strict, got)
				}
			}
		}
	}
}

func TestMultiplesAreWhatArithmeticSays(t *testing.T) {
	list, form := numbers(), regexp.MustCompile(`^-?(0|[1-9]\d*)(\.\d+)?$`)
	for _, by := range []string{"1", "2", "3", "7", "10", "100", "0.1", "0.01", "2.5", "0.75", "12", "1000000", "30000", "0.001"} {
		m, _ := new(big.Rat).SetString(by)
		set := must[*Text](t)(MultipleOf(m))
		for _, s := range list {
			want := form.MatchString(s)
			if want {
				v, _ := new(big.Rat).SetString(s)
				want = v.Quo(v, m).IsInt()
			}
			if got := set.Has(s); got != want {
				t.Errorf("%q is a multiple of %s: %v", s, by, got)
			}
		}
	}
	if _, err := MultipleOf(big.NewRat(99991, 1)); !errors.Is(err, ErrSize) {
		t.Errorf("a divisor of many remainders: %v", err)
	}
}

func TestBytesAreTheTextsInUTF8(t *testing.T) {
	for _, p := range patterns {
		set := must[*Text](t)(Search(p))
		plain, quoted := must[*Bytes](t)(set.Plain()), must[*Bytes](t)(set.Quoted())
		for _, s := range texts(2000, "aab bcé😀1\n\"\\\x00/߿ࠀ\uffff") {
			var written strings.Builder
			enc := json.NewEncoder(&written)
			enc.SetEscapeHTML(false)
			if err := enc.Encode(s); err != nil {
				t.Fatal(err)
			}
			// encoding/json escapes two line ends that JSON does not
			spelled := strings.NewReplacer(`\u2028`, "\u2028", `\u2029`, "\u2029").Replace(strings.TrimSpace(written.String()))
			if want := set.Has(s); plain.has(s) != want || quoted.has(spelled) != want {
				t.Errorf("%s has %q: %v; in bytes %v, as %s %v", p, s, want, plain.has(s), spelled, quoted.has(spelled))
			}
			if quoted.has(spelled[:len(spelled)-1]) || quoted.has(spelled+`"`) || plain.has(s+"\xff") || plain.has("\xc3"+s) && !strings.HasPrefix(s, "\xa9") {
				t.Errorf("%s takes a broken %q", p, s)
			}
		}
	}
}

func TestStringIsWhatJSONReads(t *testing.T) {
	all := must[*Bytes](t)(String())
	for state := range int32(len(all.accept)) {
		if state != all.counts && all.Step(state, '"') >= 0 && all.Accepts(all.Step(state, '"')) {
			t.Errorf("a string may end in state %d and in %d", all.counts, state)
		}
	}
	for _, c := range []struct {
		text string
		want bool
	}{
		{`""`, true}, {`"a"`, true}, {`"é😀"`, true}, {`"\n\"\\\/"`, true}, {`"\u00e9"`, true}, {`"\ud83d\ude00"`, true}, {`"\uD7FF\uE000"`, true},
		{`"\ud83d"`, false}, {`"\ude00"`, false}, {`"\ud83d\n"`, false}, {"\"\n\"", false}, {`"`, false}, {`"a`, false}, {`"""`, false}, {"\"\xff\"", false},
		{"\"\xed\xa0\x80\"", false}, {`"\x"`, false}, {"\"\x7f\"", true},
	} {
		if got := all.has(c.text); got != c.want {
			t.Errorf("%s: %v, want %v", c.text, got, c.want)
		}
	}
}

func TestWhatCannotBeHeldIsRefused(t *testing.T) {
	for _, p := range []string{`(?=a)`, `(?!a)`, `(?<=a)b`, `(a)\1`, `\bfoo`, `\Bfoo`, `(`, `[a`, `\u12`, `\ud800`, `\A`, `\Qa`, `a**`, `\`} {
		if _, err := Search(p); err == nil {
			t.Errorf("%s was taken", p)
		}
	}
	for _, p := range []string{`^(((a{1,30}){1,30}){1,30}){1,30}$`, `(a|b)*a(a|b){40}c`, strings.Repeat("a", maxPattern+1), `^(\p{L}{1,900}b){1,900}$`} {
		if _, err := Search(p); err == nil {
			t.Errorf("%.40s was taken", p)
		}
	}
}

// FuzzSearch asks package regexp about patterns that are the same in both.
func FuzzSearch(f *testing.F) {
	for _, p := range patterns {
		f.Add(p, "aab")
	}
	f.Fuzz(func(t *testing.T, p, s string) {
		if len(p) > 200 || len(s) > 200 || !utf8.ValidString(s) || strings.ContainsAny(p, `\.`) {
			return
		}
		set, err := Search(p)
		other, goErr := regexp.Compile(p)
		if err != nil || goErr != nil || strings.Contains(p, "[^]") || strings.Contains(p, "[[:") {
			return
		}
		if got, want := set.Has(s), other.MatchString(s); got != want {
			t.Errorf("%q finds %q: %v, want %v", p, s, got, want)
		}
		if quoted, err := set.Quoted(); err == nil {
			if spelled, err := json.Marshal(s); err == nil && quoted.has(string(spelled)) && !set.Has(s) {
				t.Errorf("%q holds %s", p, spelled)
			}
		}
	})
}

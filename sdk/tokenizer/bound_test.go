package tokenizer

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

// Every rune is shared out among the parts it decomposes to, as its bytes; what a part may cost at most, summed over the parts of
// a rune that composition can make, is what that rune can have been made of.
func TestCompositionShortensTextAtMostSoMuch(t *testing.T) {
	cost := map[rune]float64{}
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if !utf8.ValidRune(r) {
			continue
		}
		parts := []rune(norm.NFD.String(string(r)))
		for _, part := range parts {
			cost[part] = max(cost[part], float64(utf8.RuneLen(r))/float64(len(parts)))
		}
	}
	worst, of := 0.0, rune(0)
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if !utf8.ValidRune(r) {
			continue
		}
		made := 0.0
		for _, part := range norm.NFD.String(string(r)) {
			made += cost[part]
		}
		if ratio := made / float64(utf8.RuneLen(r)); ratio > worst {
			worst, of = ratio, r
		}
		if composed := norm.NFC.String(string(r)); !isSpace(r) && strings.ContainsFunc(composed, isSpace) {
			t.Errorf("%U becomes white space: %q", r, composed)
		}
	}
	if want := float64(whole) / shrunk; worst != want {
		t.Errorf("%U may have been made of %g times its bytes; the bound takes %g", of, worst, want)
	}
	if long := "\u1fbe\u0308\u0301"; norm.NFC.String(long) != "\u0390" {
		t.Errorf("the worst text is %q of %q", norm.NFC.String(long), long)
	}
}

func fileOf(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestFewestTokensAreNeverMoreThanThereAre(t *testing.T) {
	stripping := strings.Replace(fileOf(t, "qwen3_0_6b"), `"lstrip": false`, `"lstrip": true`, 1)
	lstrip, err := Parse([]byte(stripping))
	if err != nil {
		t.Fatal(err)
	}
	if !lstrip.bound.strips {
		t.Fatal("no token of the edited file takes white space along")
	}
	list := []*Tokenizer{tiny(t, "qwen3_0_6b"), tiny(t, "glm_4_7_flash"), lstrip}
	pieces := []string{" ", "\n", "a", "the", "\u1fbe\u0308\u0301", "\u212a", "\u1100\u1161\u11a8", "中文", "\u0301", "<|im_end|>", "<|endoftext|>", "\xff", strings.Repeat(" ", 64), strings.Repeat("=", 64)}
	rapid.Check(t, func(t *rapid.T) {
		var b strings.Builder
		for range rapid.IntRange(0, 20).Draw(t, "n") {
			b.WriteString(strings.Repeat(rapid.SampledFrom(pieces).Draw(t, "piece"), rapid.IntRange(1, 40).Draw(t, "times")))
		}
		text := b.String()
		for i, tok := range list {
			ids, err := tok.Encode(t.Context(), text)
			if err != nil {
				t.Fatal(err)
			}
			if n := tok.AtLeast(text); n > len(ids) {
				t.Errorf("tokenizer %d: %d tokens, at least %d were promised for %q", i, len(ids), n, text)
			}
		}
	})
}

// The bound is of use: it is the text's length over the longest token's, but where text composes.
func TestFewestTokens(t *testing.T) {
	tok := tiny(t, "qwen3_0_6b")
	long := 0
	for id := range int32(tok.Size()) {
		long = max(long, len(tok.Bytes(id)))
	}
	for _, c := range []struct {
		text string
		want int
	}{
		{"", 0},
		{"a", 1},
		{strings.Repeat("a", 7*long), 7},
		{strings.Repeat("a", 7*long+1), 8},
		{strings.Repeat("\u212a", 7*long), (6*long + long - 1) / long}, // the Kelvin sign: 21 bytes a seventh, of which six may be left
	} {
		if got := tok.AtLeast(c.text); got != c.want {
			t.Errorf("%d bytes: at least %d tokens, want %d", len(c.text), got, c.want)
		}
	}
}

// A file that lets text fall has no bound: a prompt of such a text must be read to be counted.
func TestNoBoundWhereTextIsDropped(t *testing.T) {
	file := fileOf(t, "qwen3_0_6b")
	if !strings.Contains(file, `"behavior": "Isolated"`) {
		t.Fatal("the file has no Split")
	}
	tok, err := Parse([]byte(strings.Replace(file, `"behavior": "Isolated"`, `"behavior": "Removed"`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	if n := tok.AtLeast(strings.Repeat("a", 1<<16)); n != 0 {
		t.Errorf("at least %d tokens of a text that becomes none", n)
	}
}

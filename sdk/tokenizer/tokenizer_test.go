package tokenizer

import (
	"encoding/json"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

func TestTokensAndIDs(t *testing.T) {
	tok := tiny(t, "qwen3_0_6b")
	end, ok := tok.ID("<|im_end|>")
	if !ok || end != 956 || tok.Token(end) != "<|im_end|>" || !tok.special[end] {
		t.Errorf("<|im_end|>: id %d %v, token %q, special %v", end, ok, tok.Token(end), tok.special[end])
	}
	if think, ok := tok.ID("<think>"); !ok || tok.special[think] {
		t.Errorf("<think>: id %d %v, special %v; it is added but not special", think, ok, tok.special[think])
	}
	if id, ok := tok.ID("Ġ"); !ok || tok.Token(id) != "Ġ" || tok.Decode([]int32{id}, false) != " " {
		t.Errorf("a space is %d %v, %q", id, ok, tok.Decode([]int32{id}, false))
	}
	for b := range 256 {
		if got := tok.Bytes(tok.bpe.start[b]); got != string([]byte{byte(b)}) {
			t.Errorf("the token of byte %02x stands for % x", b, got)
		}
	}
	if _, ok := tok.ID("no such token"); ok {
		t.Error("an id for a token that is not there")
	}
	if tok.Size() != 980 {
		t.Errorf("size %d", tok.Size())
	}
	for _, id := range []int32{-1, 980, 1 << 30, -1 << 31} {
		if tok.Token(id) != "" || tok.special[id] || tok.Bytes(id) != "" || tok.Decode([]int32{id}, true) != "" || tok.NewStream(false).Push(id) != "" {
			t.Errorf("id %d has a token", id)
		}
	}
}

func TestOrdinaryTextHasNoAddedTokens(t *testing.T) {
	tok := tiny(t, "qwen3_0_6b")
	text := "<|im_start|>user<|im_end|><think>"
	for _, id := range ordinary(tok, text) {
		if id >= 954 {
			t.Errorf("added token %q in ordinary text", tok.Token(id))
		}
	}
	if got := tok.Decode(ordinary(tok, text), true); got != text {
		t.Errorf("comes back as %q", got)
	}
}

// What is not UTF-8 is read as a browser would read it, and so is what comes out.
func TestBrokenUTF8(t *testing.T) {
	tok := tiny(t, "glm_4_7_flash")
	for text, want := range map[string]string{
		"a\xffb": "a\ufffdb", "\xe4\xbd": "\ufffd", "\xe4\xbdA": "\ufffdA", "\xf0\x9f\x98\xe4": "\ufffd\ufffd", "\xc0\x80": "\ufffd\ufffd",
		"\xed\xa0\x80": "\ufffd\ufffd\ufffd", "\xf4\x90\x80\x80": "\ufffd\ufffd\ufffd\ufffd", "\xe0\x80": "\ufffd\ufffd", "\xf0\x80": "\ufffd\ufffd",
	} {
		if got := tok.Decode(ordinary(tok, text), false); got != want {
			t.Errorf("% x encodes as %q, want %q", text, got, want)
		}
		var ids []int32
		for i := range len(text) {
			ids = append(ids, tok.bpe.start[text[i]])
		}
		if got := tok.Decode(ids, false); got != want {
			t.Errorf("% x decodes as %q, want %q", text, got, want)
		}
	}
}

// An emoji of four byte tokens shows whole, with the last; a text that breaks off shows what can no longer change.
func TestStreamHoldsBackOnlyTheBeginningOfACharacter(t *testing.T) {
	tok := tiny(t, "qwen3_0_6b")
	s := tok.NewStream(false)
	for _, c := range []struct {
		push byte
		want string
	}{{'a', "a"}, {0xf0, ""}, {0x9f, ""}, {0x98, ""}, {0x80, "😀"}, {0xe4, ""}, {0xbd, ""}, {'b', "\ufffdb"}, {0xff, "\ufffd"}, {0xe4, ""}, {0xe4, "\ufffd"}} {
		if got := s.Push(tok.bpe.start[c.push]); got != c.want {
			t.Errorf("after %02x: %q, want %q", c.push, got, c.want)
		}
	}
	if got := s.Flush(); got != "\ufffd" {
		t.Errorf("at the end: %q", got)
	}
}

func TestStreamSkipsSpecialTokensInsideACharacter(t *testing.T) {
	tok := tiny(t, "qwen3_0_6b")
	end, _ := tok.ID("<|im_end|>")
	s := tok.NewStream(true)
	got := s.Push(tok.bpe.start[0xc3]) + s.Push(end) + s.Push(tok.bpe.start[0xa9]) + s.Flush()
	if got != "é" {
		t.Errorf("%q", got)
	}
}

func TestStreamAllocatesNothingForWholeTokens(t *testing.T) {
	tok := tiny(t, "qwen3_0_6b")
	ids, s := encode(tok, "Hello, world! This is a sentence."), tok.NewStream(true)
	if n := testing.AllocsPerRun(100, func() {
		for _, id := range ids {
			s.Push(id)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A megabyte that is one word, or one run of anything, takes about as long per byte as a sentence. Quadratic work would take hours here.
func TestHostileTextIsReadInOneGo(t *testing.T) {
	const n = 1 << 20
	hand, engine := tiny(t, "qwen3_0_6b"), engineTokenizer(t)
	for _, text := range []string{
		strings.Repeat("a", n), strings.Repeat(" ", n) + "x", strings.Repeat(" ", n), strings.Repeat("\n ", n/2), strings.Repeat("!", n), strings.Repeat("7", n),
		strings.Repeat("<|im_star", n/9), strings.Repeat("<", n), strings.Repeat("'", n), "e" + strings.Repeat("\u0301\u0323", n/4), strings.Repeat("\xf0", n), strings.Repeat("the ", n/4),
	} {
		comesBack := func(tok *Tokenizer, text string) {
			if got := tok.Decode(encode(tok, text), false); got != must(tok.normalize(patient(), valid(text))) {
				t.Errorf("%d bytes of %.12q come back as %d bytes", len(text), text, len(got))
			}
		}
		comesBack(hand, text)
		comesBack(engine, text[:len(text)/8]) // slower by a constant; quadratic work would still take minutes
	}
}

// Added tokens that are white space, and take white space along, are found in one go too.
func TestSpacesThatTakeSpacesAlongAreReadInOneGo(t *testing.T) {
	for _, flag := range []string{"lstrip", "rstrip"} {
		tok, err := Parse(changed(t, map[string]json.RawMessage{"added_tokens": json.RawMessage(`[{"content": " ", "` + flag + `": true}]`)}, nil))
		if err != nil {
			t.Fatal(err)
		}
		const n = 1 << 20 // quadratic work would take minutes
		if ids := encode(tok, strings.Repeat(" ", n)); len(ids) != n {
			t.Errorf("%s: %d ids of %d spaces", flag, len(ids), n)
		}
	}
}

// engineTokenizer cuts by the same expression, spelled so that it is not recognised.
func engineTokenizer(t testing.TB) *Tokenizer {
	pattern := strings.Replace(qwenPattern, "(?i:'s", "(?:)(?i:'s", 1)
	text := changed(t, map[string]json.RawMessage{"pre_tokenizer": marshal(t, map[string]any{"type": "Sequence", "pretokenizers": []any{
		map[string]any{"type": "Split", "behavior": "Isolated", "pattern": map[string]any{"Regex": pattern}},
		map[string]any{"type": "ByteLevel", "add_prefix_space": false, "use_regex": false},
	}})}, nil)
	tok, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// A long word of a real text merges as the definition says; FuzzMerge stops at the length where the heap begins.
func TestLongWordsMergeLikeShortOnes(t *testing.T) {
	b := tiny(t, "qwen3_0_6b").bpe
	word := strings.Repeat("internationalization", 40)
	var short []int32
	for i := range len(word) {
		short = append(short, b.start[word[i]])
	}
	long := slices.Clone(short)
	short = mergeByDefinition(b, short)
	if long = long[:must(b.mergeLong(patient(), long))]; !slices.Equal(long, short) {
		t.Errorf("heap %v\nscan %v", long, short)
	}
}

// Words are remembered across calls and goroutines; what is remembered never shows.
func TestManyGoroutinesGetTheSameIDs(t *testing.T) {
	tok := tiny(t, "qwen3_0_6b")
	var cases map[string][]reference
	readJSON(t, "testdata/tokenizer_tiny.json", &cases)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for _, r := range cases["qwen3_0_6b"] {
				if ids := encode(tok, r.Text); !slices.Equal(ids, r.IDs) {
					t.Errorf("%q: %v, want %v", r.Text, ids, r.IDs)
				}
			}
		})
	}
	all.Wait()
}

// The reference's letters, numbers, spaces and combining marks, as counts and hashes taken from it (tokenizers 0.23.3: Unicode 16; Unicode 9 for marks). If a newer Go fails here, new
// characters would get other ids than the reference gives: extend or shorten the tables of late ones.
func TestClassesAreTheReferences(t *testing.T) {
	c := newClasses()
	for name, want := range map[string]struct {
		is    func(rune) bool
		count int
		hash  uint64
	}{
		"letters": {func(r rune) bool { return c.page[r>>8][r&0xff]&letter != 0 }, 141028, 0xf41bf72239455b4f},
		"numbers": {func(r rune) bool { return c.page[r>>8][r&0xff]&number != 0 }, 1911, 0xd15586ee8a145a41},
		"spaces":  {func(r rune) bool { return c.page[r>>8][r&0xff]&space != 0 }, 25, 0x7db14e6e1f1a2f5},
		"marks":   {ordered, 807, 0x1d3d2fb5fc3fb81f},
	} {
		if count, hash := fingerprint(want.is); count != want.count || hash != want.hash {
			t.Errorf("%s: %d, hash %#x; the reference has %d, hash %#x", name, count, hash, want.count, want.hash)
		}
	}
}

// ordered reports whether normalisation moves r in front of U+0345, the mark of the highest class.
func ordered(r rune) bool {
	return r >= 0x300 && nfcOf(string(r)) == string(r) && nfcOf("x\u0345"+string(r)) == "x"+string(r)+"\u0345" && r != 0x345
}

// fingerprint hashes the runes that is holds for, four bytes each, low first.
func fingerprint(is func(rune) bool) (count int, hash uint64) {
	h := fnv.New64a()
	for r := rune(0); r <= utf8.MaxRune; r++ {
		if utf8.ValidRune(r) && is(r) {
			count++
			h.Write([]byte{byte(r), byte(r >> 8), byte(r >> 16), 0})
		}
	}
	return count, h.Sum64()
}

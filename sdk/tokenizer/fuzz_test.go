// fuzz_test.go holds each part to something simpler that must agree with it: the engine, the standard library, or the definition read aloud.

package tokenizer

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// oddTexts are seeds: what pre-tokenizers, normalisers and decoders trip over.
var oddTexts = []string{
	"", " ", "Hello, world!  It's 12345.\r\n\n x", "'ſ 'LL 'x '", "a\u0301\u0323 \u1112\u1161\u11ab", "\u2028\u0085\u3000 \t\n \n  y", "你好 123４５ 😀👨‍👩‍👧", "\x00\x7f\xad\u034f", "<|im_end|> <think></think><|im_",
	"\ufffd\xff\xf0\x9f\x98", "e" + strings.Repeat("\u0301", 40), "\ua7cb\u1c89 \U0001ccf0\U0002ebf0", "!?...\n\n--\r", strings.Repeat("ab", 60), "  a", "\t\ta", " 1", "\u0345\u0300\u0f71\u0f72", "a\u08cb\u0315\u0323",
}

func seed(f *testing.F) {
	for _, text := range oddTexts {
		f.Add(text)
	}
}

func FuzzSplit(f *testing.F) {
	seed(f)
	pairs := map[string][2]splitter{}
	for pattern, digits := range map[string]int{qwenPattern: 1, glmPattern: 3} {
		engine, err := newRegexSplitter("pre_tokenizer", pattern)
		if err != nil {
			f.Fatal(err)
		}
		pairs[pattern] = [2]splitter{&handSplitter{newClasses(), digits}, engine}
	}
	f.Fuzz(func(t *testing.T, text string) {
		text = valid(text)
		for pattern, p := range pairs {
			if hand, engine := words(p[0], text), words(p[1], text); !slices.Equal(hand, engine) {
				t.Errorf("%q by %s:\n  hand %q\nengine %q", text, pattern, hand, engine)
			}
		}
	})
}

func words(s splitter, text string) (all []string) {
	err := s.split(patient(), text, func(w string) error {
		all = append(all, w)
		return nil
	})
	return must(all, err)
}

// Decoding undoes encoding, after the tokenizer's own normaliser between added tokens.
func FuzzRoundTrip(f *testing.F) {
	seed(f)
	toks := map[string]*Tokenizer{"qwen3_0_6b": tiny(f, "qwen3_0_6b"), "glm_4_7_flash": tiny(f, "glm_4_7_flash")}
	normal := map[string]func(string) string{"qwen3_0_6b": nfcOf, "glm_4_7_flash": func(s string) string { return s }}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) {
			return
		}
		for name, tok := range toks {
			if got, want := tok.Decode(ordinary(tok, text), false), normal[name](text); got != want {
				t.Errorf("%s: ordinary %q comes back as %q, want %q", name, text, got, want)
			}
			if got, want := tok.Decode(encode(tok, text), false), outsideTokens(tok, text, normal[name]); got != want {
				t.Errorf("%s: %q comes back as %q, want %q", name, text, got, want)
			}
		}
	})
}

// outsideTokens applies normal between added tokens, which it finds with a regular expression.
func outsideTokens(tok *Tokenizer, text string, normal func(string) string) string {
	var out strings.Builder
	at := 0
	for _, m := range anyOf(contents(tok.raw)).FindAllStringIndex(text, -1) {
		out.WriteString(normal(text[at:m[0]]) + text[m[0]:m[1]])
		at = m[1]
	}
	return out.String() + normal(text[at:])
}

func contents(m *matcher) (all []string) {
	for _, t := range m.tokens {
		all = append(all, t.Content)
	}
	return all
}

func anyOf(tokens []string) *regexp.Regexp {
	var quoted []string
	for _, t := range tokens {
		quoted = append(quoted, regexp.QuoteMeta(t))
	}
	re := regexp.MustCompile(strings.Join(quoted, "|"))
	re.Longest()
	return re
}

// The matcher finds what a leftmost-longest regular expression finds.
func FuzzMatcher(f *testing.F) {
	f.Add("ab abc bcd c", "xabcdabbcdabc")
	f.Add("<a> <a>< >", "<a><a>>>a>")
	f.Add("é 你 你好", "你好你é好")
	f.Fuzz(func(t *testing.T, tokens, text string) {
		list := strings.Fields(valid(tokens))
		slices.Sort(list)
		list = slices.Compact(list)
		if len(list) == 0 || len(tokens) > 200 || !utf8.ValidString(text) {
			return
		}
		var added []addedToken
		for i, content := range list {
			added = append(added, addedToken{Content: content, ID: int32(i)})
		}
		var got, want []string
		gap := func(s string) error { got = append(got, "gap "+s); return nil }
		token := func(id int32) error { got = append(got, "token "+list[id]); return nil }
		if err := newMatcher(added).split(text, gap, token); err != nil {
			t.Fatal(err)
		}
		at := 0
		for _, m := range append(anyOf(list).FindAllStringIndex(text, -1), []int{len(text), len(text)}) {
			if m[0] > at {
				want = append(want, "gap "+text[at:m[0]])
			}
			if m[1] > m[0] {
				want = append(want, "token "+text[m[0]:m[1]])
			}
			at = m[1]
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q in %q:\n got %q\nwant %q", list, text, got, want)
		}
	})
}

// Both ways to merge a word do what the definition says: join the leftmost of the best-ranked pairs until none is left.
func FuzzMerge(f *testing.F) {
	seed(f)
	b := tiny(f, "qwen3_0_6b").bpe
	f.Fuzz(func(t *testing.T, word string) {
		var start []int32
		for i := range min(len(word), shortWord) {
			start = append(start, b.start[word[i]])
		}
		want := slices.Clone(start)
		for {
			at, best := -1, noRank
			for i := 0; i+1 < len(want); i++ {
				if rank := b.merges.rank(want[i], want[i+1]); rank < best {
					at, best = i, rank
				}
			}
			if at < 0 {
				break
			}
			want = slices.Replace(want, at, at+2, b.merges.joined[best])
		}
		short, long := slices.Clone(start), slices.Clone(start)
		if short = short[:b.mergeShort(short)]; !slices.Equal(short, want) {
			t.Errorf("short %q: %v, want %v", word, short, want)
		}
		if long = long[:must(b.mergeLong(patient(), long))]; !slices.Equal(long, want) {
			t.Errorf("long %q: %v, want %v", word, long, want)
		}
	})
}

// The pieces of a stream are whole characters, join to what Decode says, and lag by no more than the beginning of one character.
func FuzzStream(f *testing.F) {
	tok := tiny(f, "qwen3_0_6b")
	f.Add([]byte{1, 2, 3}, false)
	for _, text := range oddTexts {
		var ids []byte
		for _, id := range ordinary(tok, text) {
			ids = append(ids, byte(id), byte(id>>8))
		}
		f.Add(ids, true)
	}
	f.Fuzz(func(t *testing.T, data []byte, skip bool) {
		var ids []int32
		for i := 0; i+1 < len(data); i += 2 {
			ids = append(ids, (int32(data[i])|int32(data[i+1])<<8)%int32(tok.Size()+8)-4) // some without a token
		}
		s, shown := tok.NewStream(skip), ""
		for i, id := range ids {
			piece := s.Push(id)
			shown += piece
			soFar := tok.Decode(ids[:i+1], skip)
			if rest, ok := strings.CutPrefix(soFar, shown); !utf8.ValidString(piece) || !ok || rest != "" && rest != "\ufffd" {
				t.Fatalf("%v: %q shown of %q after %d ids", ids, shown, soFar, i+1)
			}
			if s.n > 0 && !completable(s.held[:s.n]) {
				t.Fatalf("%v: % x held back, which no byte can complete", ids, s.held[:s.n])
			}
		}
		if all := shown + s.Flush(); all != tok.Decode(ids, skip) || s.Flush() != "" {
			t.Fatalf("%v: stream %q, decode %q", ids, all, tok.Decode(ids, skip))
		}
	})
}

// completable tries all ways to go on.
func completable(held []byte) bool {
	for _, tail := range []string{"\x80", "\xbf", "\x80\x80", "\xbf\xbf", "\x80\x80\x80", "\xbf\xbf\xbf"} {
		if r, n := utf8.DecodeRune(append(slices.Clone(held), tail...)); n > len(held) && r != utf8.RuneError {
			return true
		}
	}
	return false
}

// Where x/text keeps to plain NFC, composing by hand gives the same.
func FuzzCompose(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, text string) {
		text = valid(text)
		joiner := norm.GraphemeJoiner
		if want := norm.NFC.String(text); strings.Count(want, joiner) == strings.Count(text, joiner) && must(composeLong(patient(), text)) != want {
			t.Errorf("%+q: %+q by hand, %+q by x/text", text, must(composeLong(patient(), text)), want)
		}
		if once := nfcOf(text); nfcOf(once) != once || strings.Count(once, joiner) != strings.Count(text, joiner) {
			t.Errorf("%+q: %+q, then %+q", text, once, nfcOf(once))
		}
	})
}

// The scanner takes what encoding/json takes, and reads strings as it does.
func FuzzJSON(f *testing.F) {
	for _, text := range []string{`{"a": [1, -2.5e+3, "x\u00e9\ud83d\ude00\n", null, true, false, {}]}`, `[[]`, `"\ud83d"`, `01`, `1.`, `{"a" 1}`, `[1,]`, " \t\r\n0 ", `"` + "\x01" + `"`, `nul`, `"\x"`, `-`, `"a`, `{"a":1,}`, `"\u12"`, `""x`} {
		f.Add(text)
	}
	half := regexp.MustCompile(`(?i)\\ud[89a-f]`)
	f.Fuzz(func(t *testing.T, text string) {
		s := scanner{data: []byte(text), pace: patient()}
		_, err := s.value()
		if err == nil {
			err = s.end()
		}
		if !utf8.ValidString(text) || half.MatchString(text) || strings.Count(text, "[")+strings.Count(text, "{") > maxDepth {
			return // where we are stricter
		}
		if ok := json.Valid([]byte(text)); ok != (err == nil) {
			t.Fatalf("%q: valid %v, error %v", text, ok, err)
		}
		var want string
		if json.Unmarshal([]byte(text), &want) == nil && strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), `"`) {
			s := scanner{data: []byte(text), pace: patient()}
			if got, err := s.str(nil); err != nil || string(got) != want {
				t.Fatalf("%q: %q, %v; want %q", text, got, err, want)
			}
		}
	})
}

// Any file gives a tokenizer or an error, never a panic; a tokenizer that it gives works.
func FuzzParse(f *testing.F) {
	small := `{"added_tokens": [{"id": 4, "content": "<x>", "special": true, "lstrip": true}, {"content": "é", "normalized": true}], "normalizer": {"type": "NFC"}, "decoder": {"type": "ByteLevel"},
 "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": "a+|b"}, "behavior": "Isolated"}, {"type": "ByteLevel", "use_regex": false}]},
 "model": {"type": "BPE", "ignore_merges": true, "vocab": {"a": 0, "b": 1, "ab": 2, "\u0120": 3}, "merges": [["a", "b"], "a b"]}}`
	f.Add(small, "a <x> bab é")
	f.Add(strings.ReplaceAll(small, `"use_regex": false`, `"use_regex": true`), "aab")
	f.Add(strings.ReplaceAll(small, `"ab": 2`, `"ab": 4000000`), "ab")
	f.Add(strings.ReplaceAll(small, `"Regex": "a+|b"`, `"String": "b"`), "abab")
	f.Add(`{"model": {"merges": [], "vocab": {}}, "pre_tokenizer": {"type": "ByteLevel"}, "decoder": {"type": "ByteLevel"}, "added_tokens": [{"content": "a"}, {"content": "a", "rstrip": true}]}`, "a  b")
	f.Fuzz(func(t *testing.T, file, text string) {
		tok, err := Parse([]byte(file))
		if err != nil || len(text) > 100 || strings.Contains(file, "Regex") && !strings.Contains(file, `"a+|b"`) {
			return // an engine that backtracks may take its time with a made-up expression
		}
		for _, ids := range [][]int32{encode(tok, text), ordinary(tok, text)} {
			for _, id := range ids {
				if id < 0 || int(id) >= tok.Size() {
					t.Fatalf("id %d of %d", id, tok.Size())
				}
			}
			if out := tok.Decode(ids, false); !utf8.ValidString(out) {
				t.Fatalf("%q decoded", out)
			}
		}
	})
}

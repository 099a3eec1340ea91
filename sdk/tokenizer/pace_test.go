package tokenizer

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

// leaving is a caller who leaves when the context has been looked at so often.
type leaving struct {
	context.Context
	after, looks int
}

func (l *leaving) Err() error {
	if l.looks++; l.looks > l.after {
		return context.Canceled
	}
	return nil
}

// expression is the tiny tokenizer with another pattern, cut as published ones are: behind a first step of a sequence.
func expression(t testing.TB, pattern, behavior string) *Tokenizer {
	t.Helper()
	split := map[string]any{"type": "Split", "pattern": map[string]string{"Regex": pattern}, "behavior": behavior}
	bytes := map[string]any{"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}
	dir := t.TempDir()
	text := changed(t, map[string]json.RawMessage{"pre_tokenizer": marshal(t, map[string]any{"type": "Sequence", "pretokenizers": []any{split, bytes}})}, nil)
	if err := os.WriteFile(dir+"/tokenizer.json", text, 0o600); err != nil {
		t.Fatal(err)
	}
	tok, err := Load(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// Whatever a text is made of, work on it ends when nobody wants it any more. The texts take from a hundred looks up.
func TestWorkStopsWhenTheCallerLeaves(t *testing.T) {
	tok := tiny(t, "qwen3_0_6b")
	const size = 8 << 20
	for name, c := range map[string]struct {
		tok  *Tokenizer
		text string
	}{
		"words":               {tok, strings.Repeat("word ", size/5)},
		"one word":            {tok, strings.Repeat("a", size)},
		"added tokens":        {tok, strings.Repeat("<|im_end|>", size)},
		"marks without end":   {tok, "a" + strings.Repeat("\u0301\u0323", size/4)},
		"marks too new":       {tok, strings.Repeat("e\u0301\u1ac0", size/6)},
		"an expression":       {expression(t, `\p{L}+`, "Isolated"), strings.Repeat("word ", size/50)},
		"nothing that counts": {expression(t, `.`, "Removed"), strings.Repeat("word ", size/50)},
	} {
		for _, after := range []int{0, 1, 40} {
			caller := &leaving{Context: t.Context(), after: after}
			ids, err := c.tok.Encode(caller, c.text)
			if !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "tokenizer.json") {
				t.Errorf("%s, who leaves after %d looks: %d ids, %v", name, after, len(ids), err)
			}
			if caller.looks > after+4 { // some are for the words of the error
				t.Errorf("%s: %d looks, though the caller was gone at look %d", name, caller.looks, after+1)
			}
		}
	}
	if _, err := Load(&leaving{Context: t.Context()}, fixtureDir(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("Load: %v", err)
	}
}

func fixtureDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/tokenizer.json", changed(t, nil, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A limit in the past stands for an expression that backtracks for so long; this one does not.
func TestExpressionsThatTakeTooLongAreNamed(t *testing.T) {
	const pattern = `\p{L}+|\s`
	for name, limit := range map[string]func(s *regexSplitter){
		"one match": func(s *regexSplitter) { s.re.MatchTimeout = -time.Hour },
		"all":       func(s *regexSplitter) { s.limit = func(int) time.Duration { return -time.Hour } },
	} {
		tok := expression(t, pattern, "Isolated")
		text := strings.Repeat("word ", 100)
		if ids := encode(tok, text); len(ids) == 0 {
			t.Fatal("no ids")
		}
		limit(tok.words.(*regexSplitter))
		_, err := tok.Encode(t.Context(), text)
		for _, want := range []string{tok.file + ": pre_tokenizer.pretokenizers[0].pattern: ", `"\\p{L}+|\\s"`, "takes more than"} {
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "word") {
				t.Errorf("%s: %v; want %s, and not the text", name, err, want)
			}
		}
	}
}

// 31 MB of ordinary text have far more than they need.
func TestLimitsGrowWithTheText(t *testing.T) {
	if limit := limitOf(31 << 20); limit < 20*31<<20*time.Microsecond/25 { // 25 MB a second were measured
		t.Errorf("%v for 31 MiB", limit)
	}
}

package text

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/chat"
	"github.com/inference-pio/inference-pio/sdk/engine"
	"pgregory.net/rapid"
)

// tiny are the models of every family; the first two reason.
var tiny = []string{"qwen3_0_6b", "glm_4_7_flash", "qwen3_4b_instruct", "qwen3_coder_30b", "qwen3_coder_next", "qwen3_vl_2b"}

func TestPromptsEqualTheReference(t *testing.T) {
	for _, name := range tiny {
		m := open(t, name)
		for _, c := range chats(t, name) {
			req := c.request()
			if rendered, err := m.Render(context.Background(), *req.Chat); err != nil || rendered != c.Rendered {
				t.Errorf("%s, %s: %v\n%q\nthe reference has\n%q", name, c.Name, err, rendered, c.Rendered)
			}
			if ids, err := m.Prompt(context.Background(), req); err != nil || !slices.Equal(ids, c.IDs) {
				t.Errorf("%s, %s: ids %v, %v", name, c.Name, ids, err)
			}
		}
	}
}

// The reference's own answers, through engine and decoder: what is shown is its text, split at the tags by other means.
func TestAnswersShowTheReferencesWords(t *testing.T) {
	for i, name := range tiny {
		m := open(t, name)
		thoughts := 0
		for _, c := range chats(t, name) {
			events, err := answer(t, m, c.request(), c.GreedyIDs)
			if err != nil {
				t.Fatal(err)
			}
			wantText, wantReasoning := split(c)
			if wantReasoning != "" {
				thoughts++
			}
			text, reasoning := shown(events)
			if text != wantText || reasoning != wantReasoning {
				t.Errorf("%s, %s: shows %q and reasons %q; want %q and %q", name, c.Name, text, reasoning, wantText, wantReasoning)
			}
			checkEvents(t, events, c)
		}
		if thoughts == 0 && i < 2 {
			t.Errorf("%s: no case reasons: the test shows nothing", name)
		}
	}
}

var special = regexp.MustCompile(`<\|[a-z_]+\|>`)

// split finds what a reference answer shows: special tokens and the tool call it ends with dropped, the block it begins with
// apart.
func split(c goldenCase) (text, reasoning string) {
	text = special.ReplaceAllString(c.Text, "")
	if c.Tools != nil {
		text, _, _ = strings.Cut(text, "<tool_call>")
	}
	opened := strings.HasSuffix(c.Rendered, "<think>")
	if block, ok := strings.CutPrefix(text, "<think>\n"); ok {
		opened, text = true, block
	}
	if !opened {
		return text, ""
	}
	if before, after, ok := strings.Cut(text, "</think>"); ok {
		return strings.TrimPrefix(after, "\n\n"), strings.TrimSuffix(before, "\n")
	}
	return "", text
}

func checkEvents(t *testing.T, events []sdk.Event, c goldenCase) {
	t.Helper()
	start, finish := events[0].Start, events[len(events)-1].Finish
	if start == nil || finish == nil || len(events) != len(c.GreedyIDs)+2 {
		t.Fatalf("%s: %d events for %d ids", c.Name, len(events), len(c.GreedyIDs))
	}
	if !slices.Equal(start.Prompt, c.IDs) || start.ContextLength != 2048 {
		t.Errorf("%s: start %+v", c.Name, start)
	}
	reason := sdk.FinishStop
	if c.Name == "tool_call" {
		reason = sdk.FinishToolCalls
	}
	if finish.Reason != reason || finish.PromptTokens != len(c.IDs) || finish.CompletionTokens != len(c.GreedyIDs) {
		t.Errorf("%s: finish %+v", c.Name, finish)
	}
	for i, ev := range events[1 : len(events)-1] {
		if ev.Token == nil || ev.Token.Index != i || ev.Token.ID != c.GreedyIDs[i] {
			t.Errorf("%s: event %d is %+v", c.Name, i, ev.Token)
		}
	}
}

func TestReasoningIsCountedWithoutItsTags(t *testing.T) {
	m := open(t, "qwen3_0_6b")
	for _, c := range chats(t, "qwen3_0_6b") {
		if c.Name != "capital" || !*c.Thinking {
			continue
		}
		events, err := answer(t, m, c.request(), c.GreedyIDs)
		if err != nil {
			t.Fatal(err)
		}
		at := slices.Index(c.GreedyIDs, 979) // </think>
		if got := events[len(events)-1].Finish.ReasoningTokens; got < at-2 || got > at-1 {
			t.Errorf("%d ids of reasoning; the closing tag is id %d of the answer", got, at)
		}
	}
}

// Cut at any token and resumed, the answer goes on with the events it would have had.
func TestResumedAnswerHasTheSameEvents(t *testing.T) {
	for _, name := range tiny {
		m := open(t, name)
		for _, c := range chats(t, name) {
			req := c.request()
			req.Stop = []string{"cap of Jap", "is Tok"}
			resumesEverywhere(t, m, req, c.GreedyIDs, name+", "+c.Name)
		}
	}
}

// resumesEverywhere checks that an answer of the given ids, cut after any of them, goes on as it would have, and returns it.
func resumesEverywhere(t *testing.T, m *Model, req sdk.GenerateRequest, ids []int32, what string) []sdk.Event {
	t.Helper()
	whole, err := answer(t, m, req, ids)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	start := whole[0].Start
	for cut := range len(whole) - 1 {
		var sent []int32
		for _, ev := range whole[1 : 1+cut] {
			sent = append(sent, ev.Token.ID)
		}
		again := req
		again.Resume = &sdk.Resume{Prompt: start.Prompt, Generated: sent, InReasoning: start.InReasoning}
		rest, err := answer(t, m, again, ids)
		if err != nil || !reflect.DeepEqual(rest, whole[1+cut:]) {
			t.Fatalf("%s, cut after %d: %v\n%s\nwant\n%s", what, cut, err, show(rest), show(whole[1+cut:]))
		}
	}
	return whole
}

func show(events []sdk.Event) string {
	text, _ := json.Marshal(events)
	return string(text)
}

// Whatever ids a model writes, what is shown is a function of the whole text, not of how ids cut it.
func TestShownTextDoesNotDependOnTheCuts(t *testing.T) {
	m := open(t, "qwen3_0_6b")
	prompts := map[string][]int32{}
	for _, p := range []string{"assistant\n", "assistant\n<think>", "assistant\n<think>\n"} {
		prompts[p] = encode(m, p)
	}
	words := []string{"<think>", "</think>", "\n", "\n\n", "Tokyo", " is", "日", "😀", "<", "thin", "stop", "st", "op", "<tool_call>"}
	rapid.Check(t, func(t *rapid.T) {
		var ids []int32
		for range rapid.IntRange(0, 30).Draw(t, "words") {
			if rapid.Bool().Draw(t, "word") {
				ids = append(ids, encode(m, rapid.SampledFrom(words).Draw(t, "which"))...)
			} else {
				ids = append(ids, rapid.Int32Range(0, int32(m.tokenizer.Size())-1).Draw(t, "id"))
			}
		}
		tail := rapid.SampledFrom([]string{"assistant\n", "assistant\n<think>", "assistant\n<think>\n"}).Draw(t, "prompt")
		stops := rapid.SliceOfN(rapid.SampledFrom([]string{"stop", "st", "op", "kyo is", "\n\n", "日", "</think>", "a"}), 0, 3).Draw(t, "stops")
		d, err := m.NewDecoder(context.Background(), sdk.GenerateRequest{Chat: &sdk.Chat{}, Stop: stops, IgnoreEOS: true}, prompts[tail])
		if err != nil {
			t.Fatal(err)
		}
		var text, reasoning strings.Builder
		stopped, raw := false, 0
		for i, id := range ids {
			var tok sdk.Token
			tok, stopped = d.Push(engine.Sampled{ID: id})
			text.WriteString(tok.Text)
			reasoning.WriteString(tok.Reasoning)
			if tok.Index != i || tok.Offset < raw || !utf8.ValidString(tok.Text+tok.Reasoning) {
				t.Fatalf("token %d: %+v after offset %d", i, tok, raw)
			}
			if raw = tok.Offset; stopped {
				break
			}
		}
		f := d.Finish(engine.Result{}, 0)
		text.WriteString(f.Text)
		reasoning.WriteString(f.Reasoning)

		whole := m.tokenizer.Decode(ids, true)
		if end, from := earliest(whole, stops); end >= 0 {
			whole = whole[:from]
		}
		r := chat.NewOutput(chat.OutputConfig{Prompt: tail, Open: "<think>", Close: "</think>"})
		a := r.Push(whole)
		b := r.Flush(true)
		if text.String() != a.Text+b.Text || reasoning.String() != a.Reasoning+b.Reasoning {
			t.Fatalf("stops %q: %q / %q; the whole text %q gives %q / %q", stops, text.String(), reasoning.String(), whole, a.Text+b.Text, a.Reasoning+b.Reasoning)
		}
	})
}

func TestRawPromptsAreNotSplit(t *testing.T) {
	m := open(t, "qwen3_0_6b")
	ids := encode(m, "<think>\nhm\n</think>\n\nyes")
	events, err := answer(t, m, sdk.GenerateRequest{Text: "<think>", HasText: true}, append(ids, m.EOS()[0]))
	if err != nil {
		t.Fatal(err)
	}
	if text, reasoning := shown(events); text != "<think>\nhm\n</think>\n\nyes" || reasoning != "" {
		t.Errorf("shows %q and reasons %q", text, reasoning)
	}
}

func TestStopStringAcrossTokensIsNeverShown(t *testing.T) {
	m := open(t, "qwen3_0_6b")
	ids := encode(m, "The capital of Japan is Tokyo, of course.")
	for stop, want := range map[string]string{
		"Japan is T": "The capital of ", " Tokyo": "The capital of Japan is", "The": "", "course.": "The capital of Japan is Tokyo, of ",
		"Tokyo!": "The capital of Japan is Tokyo, of course."} {
		events, err := answer(t, m, sdk.GenerateRequest{Tokens: []int32{5}, Stop: []string{stop}, MaxTokens: len(ids)}, ids)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := shown(events)
		f := events[len(events)-1].Finish
		named := map[bool]string{true: stop}[f.Reason == sdk.FinishStop]
		if text != want || (f.Reason == sdk.FinishStop) != (stop != "Tokyo!") || f.Stop != named {
			t.Errorf("stop %q: shows %q, %+v; want %q", stop, text, f, want)
		}
	}
}

// What is said before min_tokens does not stop the answer, not even in part, and is shown.
func TestStopStringsBeforeMinTokensAreWords(t *testing.T) {
	m := open(t, "qwen3_0_6b")
	const said = "one two one two one two one two"
	ids := encode(m, said)
	for least := range len(ids) {
		want, reason := said, sdk.FinishLength
		before := m.tokenizer.Decode(ids[:least], false)
		if at := strings.Index(said[len(before):], "two"); at >= 0 {
			want, reason = said[:len(before)+at], sdk.FinishStop
		}
		req := sdk.GenerateRequest{Tokens: []int32{5}, Stop: []string{"two"}, MaxTokens: len(ids), MinTokens: least}
		events := resumesEverywhere(t, m, req, ids, "min_tokens")
		text, _ := shown(events)
		if f := events[len(events)-1].Finish; text != want || f.Reason != reason {
			t.Errorf("at least %d: shows %q, %+v; want %q", least, text, f, want)
		}
	}
	req := sdk.GenerateRequest{Tokens: []int32{5}, MaxTokens: 9, MinTokens: 9}
	events, err := answer(t, m, req, []int32{ids[0], m.EOS()[0]})
	if err != nil || events[len(events)-1].Finish.CompletionTokens != 9 {
		t.Errorf("an end token: %v, %s", err, show(events))
	}
}

func TestLogprobsSpellTheirTokens(t *testing.T) {
	m := open(t, "qwen3_0_6b")
	ids := encode(m, "Tōkyō 東京 😀")
	req := sdk.GenerateRequest{Tokens: []int32{5}, MaxTokens: len(ids), Sampling: sdk.Sampling{Logprobs: true, TopLogprobs: 2}}
	events, err := answer(t, m, req, ids)
	if err != nil {
		t.Fatal(err)
	}
	var spelled []byte
	for _, ev := range events[1 : len(events)-1] {
		l := ev.Token.Logprob
		if len(l.Top) != 2 || !bytes.Equal(l.Top[0].Bytes, l.Bytes) || l.Top[0].ID != ev.Token.ID {
			t.Fatalf("%+v", l)
		}
		spelled = append(spelled, l.Bytes...)
	}
	if string(spelled) != "Tōkyō 東京 😀" {
		t.Errorf("the bytes say %q", spelled)
	}
}

// The script thinks nothing of the prompt but its last id: all ids are equally likely there.
func TestPromptLogprobsComeWithTheStart(t *testing.T) {
	m := open(t, "qwen3_0_6b")
	ids := encode(m, "Tōkyō 東京")
	req := sdk.GenerateRequest{Text: "Grüße, 東京!", HasText: true, MaxTokens: 3, PromptLogprobs: true, Sampling: sdk.Sampling{TopLogprobs: 2}}
	events, err := answer(t, m, req, ids)
	if err != nil {
		t.Fatal(err)
	}
	start, spelled := events[0].Start, []byte{}
	if start == nil || len(start.PromptLogprobs) != len(start.Prompt) || len(events) != 5 {
		t.Fatal(show(events))
	}
	for i, l := range start.PromptLogprobs {
		spelled = append(spelled, l.Bytes...)
		want := -math.Log(scriptVocab)
		if i == 0 {
			want = 0
		}
		if math.Abs(l.Logprob-want) > 1e-9 || (len(l.Top) != 2) != (i == 0) || i > 0 && string(l.Top[0].Bytes) != m.tokenizer.Bytes(l.Top[0].ID) {
			t.Errorf("id %d of the prompt: %+v", i, l)
		}
	}
	if string(spelled) != req.Text {
		t.Errorf("the bytes say %q", spelled)
	}
	req.Resume = &sdk.Resume{Prompt: start.Prompt, Generated: ids[:1]}
	if rest, err := answer(t, m, req, ids); err != nil || !reflect.DeepEqual(rest, events[2:]) {
		t.Errorf("resumed: %v, %s", err, show(rest))
	}
}

func TestTokensAreSpelledAsTheVocabularyHasThem(t *testing.T) {
	m := open(t, "qwen3_0_6b")
	ids, err := m.Tokenize(context.Background(), "is the <|im_end|>\n")
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := m.Spell(append(ids, -1, 1<<30))
	if want := []string{"is", "Ġthe", "Ġ", "<|im_end|>", "Ċ", "", ""}; err != nil || !slices.Equal(tokens, want) {
		t.Errorf("%q, %v; want %q", tokens, err, want)
	}
}

func TestCheckpointWithoutTokenizerTakesIDs(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "config.json"), `{"eos_token_id": 7}`)
	m, err := Open(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	events, err := answer(t, m, sdk.GenerateRequest{Tokens: []int32{1, 2}}, []int32{3, 4, 7})
	if err != nil || len(events) != 5 || events[4].Finish.Reason != sdk.FinishStop {
		t.Fatalf("%s, %v", show(events), err)
	}
	if text, _ := shown(events); text != "" {
		t.Errorf("shows %q", text)
	}
	for field, req := range map[string]sdk.GenerateRequest{
		"prompt": {Text: "hello"}, "messages": {Chat: &sdk.Chat{Messages: []byte(`[{"role":"user"}]`)}}, "stop": {Tokens: []int32{1}, Stop: []string{"x"}}} {
		_, err := answer(t, m, req, nil)
		wantInvalid(t, err, field)
	}
	_, err = m.Tokenize(context.Background(), "x")
	wantInvalid(t, err, "text")
	_, err = m.TokenizeWithin(context.Background(), "x", 1)
	wantInvalid(t, err, "text")
	_, err = m.Detokenize([]int32{1})
	wantInvalid(t, err, "tokens")
}

func TestTokenizeRoundTrip(t *testing.T) {
	m := open(t, "qwen3_0_6b")
	const text = "<|im_start|>user\nTōkyō<|im_end|>"
	ids, err := m.Tokenize(context.Background(), text)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := m.Detokenize(ids); err != nil || back != text {
		t.Errorf("%q, %v", back, err)
	}
}

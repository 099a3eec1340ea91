package text

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/engine"
)

// example is an answer as a model writes it and what its reader is to see: name and arguments of the calls.
type example struct {
	name, answer    string
	text, reasoning string
	calls           []string
}

// examples are for each model's way of writing. The prompt opens no reasoning, but glm_4_7_flash's.
var examples = map[string][]example{
	"qwen3_0_6b": {
		{"words", "Grüße, 東京 😀 <b>", "Grüße, 東京 😀 <b>", "", nil},
		{"one call", "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Zürich 😀\"}}\n</tool_call>", "", "", []string{`get_weather {"city": "Zürich 😀"}`}},
		{"thought, words, two calls, words", "<think>\nÜber <tool.\n</think>\n\nA\n<tool_call>{\"name\":\"now\"}</tool_call>\nB <tool_call>{\"name\":\"now\",\"arguments\":{\"s\":\"</tool_call>\"}}</tool_call>\nC",
			"A\n\nB \nC", "Über <tool.", []string{"now {}", `now {"s":"</tool_call>"}`}},
		{"a thought that a call ends", "<think>\nhm\n<tool_call>{\"name\":\"now\"}</tool_call>", "", "hm", []string{"now {}"}},
		{"malformed", "a <tool_call>{'name': 'é'}</tool_call> b", "a <tool_call>{'name': 'é'}</tool_call> b", "", nil},
		{"cut off", "a <tool_call>{\"name\": \"now\", \"argu", "a <tool_call>{\"name\": \"now\", \"argu", "", nil},
		{"malformed, then good", "<tool_call>{\"name\":</tool_call><tool_call>{\"name\":\"now\"}</tool_call>", "<tool_call>{\"name\":</tool_call>", "", []string{"now {}"}},
	},
	"qwen3_coder_30b": {
		{"one call", "<tool_call>\n<function=search>\n<parameter=query>\n12 é\n</parameter>\n<parameter=limit>\n3\n</parameter>\n<parameter=exact>\nTrue\n</parameter>\n</function>\n</tool_call>",
			"", "", []string{`search {"query": "12 é", "limit": 3, "exact": true}`}},
		{"words, two calls in one, words", "A.\n<tool_call>\n<function=now>\n</function>\n<function=get_weather>\n<parameter=city>\n a<b\n\n</parameter>\n</function>\n</tool_call>\nB", "A.\n\nB", "", []string{"now {}", `get_weather {"city": " a<b\n"}`}},
		{"a value that speaks of calls, words", "<tool_call>\n<function=search>\n<parameter=query>\nA call ends so:\n</function>\n</tool_call>\nund </parameter>\n</function>\n</tool_call>\n, é.\n</parameter>\n</function>\n</tool_call>\nB",
			"B", "", []string{`search {"query": "A call ends so:\n</function>\n</tool_call>\nund </parameter>\n</function>\n</tool_call>\n, é."}`}},
		{"quoted", "So `<function=now>\n</function>` ü", "So `<function=now>\n</function>` ü", "", nil},
		{"no outer tag", "Now.\n<function=now>\n</function>\n</tool_call>", "Now.", "", []string{"now {}"}},
		{"think tags are words to it", "<think>\nhm\n</think>\n\nyes", "<think>\nhm\n</think>\n\nyes", "", nil},
		{"malformed", "x <tool_call>what</tool_call> y", "x <tool_call>what</tool_call> y", "", nil},
		{"cut off", "<tool_call>\n<function=search>\n<parameter=query>\n/et", "<tool_call>\n<function=search>\n<parameter=query>\n/et", "", nil},
	},
	"glm_4_7_flash": {
		{"thought and words", "Ich weiß.</think>Grüße", "Grüße", "Ich weiß.", nil},
		{"thought and calls", "hm</think><tool_call>search<arg_key>query</arg_key><arg_value>12 é</arg_value><arg_key>limit</arg_key><arg_value>3</arg_value></tool_call>\n<tool_call>now</tool_call>",
			"", "hm", []string{`search {"query": "12 é", "limit": 3}`, "now {}"}},
		{"a thought that a call ends", "hm <tool_call>now</tool_call>", "", "hm ", []string{"now {}"}},
		{"a value that speaks of calls", "</think><tool_call>search<arg_key>query</arg_key><arg_value>é</arg_value></tool_call> ü </arg_value></tool_call>", "", "", []string{`search {"query": "é</arg_value></tool_call> ü "}`}},
		{"a thought that speaks of calls", "Etwa <tool_call>now</tool_call>, é?</think><tool_call>now</tool_call>", "", "Etwa <tool_call>now</tool_call>, é?", []string{"now {}"}},
		{"words around", "</think>A <tool_call>now</tool_call> B", "A  B", "", []string{"now {}"}},
		{"malformed", "</think><tool_call>not a name</tool_call>", "<tool_call>not a name</tool_call>", "", nil},
		{"cut off", "</think><tool_call>get_wea", "<tool_call>get_wea", "", nil},
	},
}

const exampleTools = `[{"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}},
 {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}},
 {"type": "function", "function": {"name": "search", "parameters": {"type": "object", "properties": {"query": {"type": "string"}, "limit": {"type": "integer"}, "exact": {"type": "boolean"}}}}}]`

// Each example is written in the model's own tokens, in single bytes, and with a border between two tokens at every byte.
func TestAnswersAreReadHoweverTokensCutThem(t *testing.T) {
	for name, list := range examples {
		m := open(t, name)
		single := byteTokens(t, m)
		for _, e := range list {
			want := e.want()
			check := func(how string, ids []int32) {
				t.Helper()
				if got := read(t, m, ids); got != want {
					t.Errorf("%s, %s, %s:\n got  %s\n want %s", name, e.name, how, got, want)
				}
			}
			check("as it writes", encode(m, e.answer))
			check("in bytes", spellOut(single, e.answer))
			for i := range e.answer {
				check(fmt.Sprintf("cut at %d", i), append(encode(m, e.answer[:i]), encode(m, e.answer[i:])...))
				check(fmt.Sprintf("in bytes from %d on", i), append(encode(m, e.answer[:i]), spellOut(single, e.answer[i:])...))
			}
		}
	}
}

// byteTokens are the ids of the 256 bytes.
func byteTokens(t testing.TB, m *Model) (ids [256]int32) {
	found := 0
	for id := range int32(m.tokenizer.Size()) {
		if b := m.tokenizer.Bytes(id); len(b) == 1 {
			ids[b[0]] = id
			found++
		}
	}
	if found != 256 {
		t.Fatalf("%d tokens of one byte", found)
	}
	return ids
}

func spellOut(single [256]int32, text string) []int32 {
	ids := make([]int32, len(text))
	for i := range len(text) {
		ids[i] = single[text[i]]
	}
	return ids
}

func (e *example) want() string {
	return fmt.Sprintf("%q %q %q", e.text, e.reasoning, e.calls)
}

// read runs ids through a decoder and tells what is seen.
func read(t testing.TB, m *Model, ids []int32) string {
	t.Helper()
	prompt := "assistant\n"
	if m.tags.open != "" && strings.Contains(m.template.Source(), "[gMASK]") { // GLM's opens reasoning
		prompt = "<think>"
	}
	req := sdk.GenerateRequest{Chat: &sdk.Chat{Tools: []byte(exampleTools)}, IgnoreEOS: true}
	d, err := m.NewDecoder(context.Background(), req, encode(m, prompt))
	if err != nil {
		t.Fatal(err)
	}
	var events []sdk.Event
	for _, id := range ids {
		token, _ := d.Push(engine.Sampled{ID: id})
		events = append(events, sdk.Event{Token: &token})
	}
	finish := d.Finish(engine.Result{Reason: sdk.FinishStop}, 0)
	events = append(events, sdk.Event{Finish: &finish})
	e := example{}
	e.text, e.reasoning = shown(events)
	if !utf8.ValidString(e.text + e.reasoning) {
		t.Errorf("not UTF-8: %q, %q", e.text, e.reasoning)
	}
	for _, c := range calls(t, events) {
		e.calls = append(e.calls, c.name+" "+c.arguments)
	}
	if called := finish.Reason == sdk.FinishToolCalls; called != (len(e.calls) > 0) {
		t.Errorf("%d calls, and the reason is %s", len(e.calls), finish.Reason)
	}
	return e.want()
}

// Whatever a model writes, its tokens do not matter, only its text does.
func FuzzAnswer(f *testing.F) {
	var models []*Model
	for _, name := range []string{"qwen3_0_6b", "qwen3_coder_30b", "glm_4_7_flash"} {
		for _, e := range examples[name] {
			f.Add(e.answer, uint16(len(e.answer)/2), uint8(len(models)))
		}
		models = append(models, open(f, name))
	}
	var single [][256]int32
	for _, m := range models {
		single = append(single, byteTokens(f, m))
	}
	f.Fuzz(func(t *testing.T, answer string, cut uint16, which uint8) {
		if len(answer) > 1<<12 {
			return
		}
		i := int(which) % len(models)
		at := min(int(cut), len(answer))
		want := read(t, models[i], spellOut(single[i], answer))
		if got := read(t, models[i], append(encode(models[i], answer[:at]), spellOut(single[i], answer[at:])...)); got != want && utf8.ValidString(answer[:at]) {
			// special tokens spelled out in the text are shown when they are bytes, and not when they are tokens
			if !hasSpecial(models[i], answer[:at]) {
				t.Errorf("%q cut at %d:\n%s\nin bytes\n%s", answer, at, got, want)
			}
		}
	})
}

func hasSpecial(m *Model, text string) bool {
	for _, id := range encode(m, text) {
		if m.tokenizer.Bytes(id) != "" && m.tokenizer.Decode([]int32{id}, true) == "" {
			return true
		}
	}
	return false
}

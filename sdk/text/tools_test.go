package text

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/engine"
)

type call struct{ id, name, arguments string }

// calls puts the pieces of tool calls together, and checks their form: id and name first, then arguments.
func calls(t testing.TB, events []sdk.Event) []call {
	t.Helper()
	var list []call
	for _, d := range deltas(events) {
		switch {
		case d.Index == len(list) && d.ID != "" && d.Name != "" && d.Arguments == "":
			list = append(list, call{d.ID, d.Name, ""})
		case d.Index == len(list)-1 && d.ID == "" && d.Name == "" && d.Arguments != "":
			list[d.Index].arguments += d.Arguments
		default:
			t.Fatalf("the piece %+v after %d calls", d, len(list))
		}
	}
	for _, c := range list {
		if !json.Valid([]byte(c.arguments)) {
			t.Errorf("%s has the arguments %s", c.name, c.arguments)
		}
	}
	return list
}

func deltas(events []sdk.Event) (list []sdk.ToolCallDelta) {
	for _, ev := range events {
		switch {
		case ev.Token != nil:
			list = append(list, ev.Token.ToolCalls...)
		case ev.Finish != nil:
			list = append(list, ev.Finish.ToolCalls...)
		}
	}
	return list
}

func reason(events []sdk.Event) sdk.FinishReason { return events[len(events)-1].Finish.Reason }

// tokens are the ids of the answer.
func tokens(events []sdk.Event) (ids []int32) {
	for _, ev := range events {
		if ev.Token != nil {
			ids = append(ids, ev.Token.ID)
		}
	}
	return ids
}

// toolCalls are the reference's answers that call a tool. The call is named here in our own words.
func toolCalls(t testing.TB, model string) (list []goldenCase, want call) {
	for _, c := range chats(t, model) {
		if c.Name == "tool_call" {
			list = append(list, c)
		}
	}
	if len(list) == 0 {
		t.Fatalf("%s: no case calls a tool", model)
	}
	if strings.Contains(string(list[0].Tools), "read_file") {
		return list, call{name: "read_file", arguments: `{"path": "go.mod", "lines": 12}`}
	}
	return list, call{name: "get_weather", arguments: `{"city": "Oslo"}`}
}

func TestReferencesAnswersAreToolCalls(t *testing.T) {
	for _, name := range tiny {
		m := open(t, name)
		cases, want := toolCalls(t, name)
		for _, c := range cases {
			events := resumesEverywhere(t, m, c.request(), c.GreedyIDs, name)
			got := calls(t, events)
			if len(got) != 1 || got[0].name != want.name || got[0].arguments != want.arguments || reason(events) != sdk.FinishToolCalls {
				t.Errorf("%s: %+v, %s; want %+v", name, got, reason(events), want)
			}
			if text, reasoning := shown(events); text != "" || reasoning != "" {
				t.Errorf("%s: shows %q and reasons %q beside the call", name, text, reasoning)
			}
		}
	}
}

// A forced call begins with the ids that the model would have chosen itself, so that it goes on as it learnt to.
func TestForcedOpeningIsWhatTheModelWrites(t *testing.T) {
	for _, name := range tiny {
		m := open(t, name)
		cases, want := toolCalls(t, name)
		for _, c := range cases {
			for _, choice := range []string{"required", "function:" + want.name} {
				req := c.request()
				req.Chat.ToolChoice = choice
				ids := c.GreedyIDs
				if start := c.Rendered[len(c.Rendered)-len("<think>"):]; start == "<think>" {
					ids = append(encode(m, "</think>"), ids...)
				}
				if choice != "required" {
					ids = ids[:len(ids)-1] // the call that was asked for by name ends the answer, before the end token
				}
				events := resumesEverywhere(t, m, req, ids, name+", "+choice)
				if got := calls(t, events); len(got) != 1 || got[0].name != want.name || got[0].arguments != want.arguments {
					t.Errorf("%s, %s: %+v", name, choice, got)
				}
				d, err := m.NewDecoder(context.Background(), req, c.IDs)
				if err != nil {
					t.Fatal(err)
				}
				if forced := d.Forced(); len(forced) < 2 || len(forced) > len(ids) || !slices.Equal(forced, ids[:len(forced)]) {
					t.Errorf("%s, %s: %v is forced; the model writes %v", name, choice, forced, ids)
				}
				if got := tokens(events); !slices.Equal(got, ids) {
					t.Errorf("%s, %s: ids %v, want %v", name, choice, got, ids)
				}
			}
		}
	}
}

// The script says something else at first: only what is forced makes it a call. Logprobs tell what the model thought of it.
func TestForcedTokensReplaceTheModels(t *testing.T) {
	m := open(t, "qwen3_4b_instruct")
	cases, want := toolCalls(t, "qwen3_4b_instruct")
	req := cases[0].request()
	req.Chat.ToolChoice = "function:" + want.name
	req.Sampling.Logprobs, req.Sampling.TopLogprobs = true, 2
	d, err := m.NewDecoder(context.Background(), req, cases[0].IDs)
	if err != nil {
		t.Fatal(err)
	}
	n := len(d.Forced())
	other := slices.Repeat(encode(m, "Hi")[:1], n)
	ids := append(slices.Clone(other), cases[0].GreedyIDs[n:]...)
	events := resumesEverywhere(t, m, req, ids, "a model that says Hi")
	if got := calls(t, events); len(got) != 1 || got[0].arguments != want.arguments {
		t.Fatalf("%+v", got)
	}
	for i, ev := range events[1 : len(events)-1] {
		l := ev.Token.Logprob
		if string(l.Bytes) != m.tokenizer.Bytes(ev.Token.ID) {
			t.Errorf("token %d has the bytes %q", i, l.Bytes)
		}
		if forced := i < n; forced != (l.Logprob < -9) || forced != (l.Top[0].ID != ev.Token.ID) || l.Top[0].Logprob < -0.2 {
			t.Errorf("token %d: %+v", i, l) // the script's id has the logit 9, all others 0
		}
	}
	req.MaxTokens = 3
	events = resumesEverywhere(t, m, req, ids, "cut in the opening")
	text, _ := shown(events)
	if reason(events) != sdk.FinishLength || len(tokens(events)) != 3 || text != "<tool_call>\n{\"" {
		t.Errorf("cut off in the opening: %s, %q", reason(events), text)
	}
}

func TestReasoningIsClosedBeforeAForcedCall(t *testing.T) {
	m := open(t, "qwen3_0_6b")
	for _, c := range []struct{ tail, want string }{
		{"assistant\n", "<tool_call>\n{\"name\": \""},
		{"assistant\n<think>", "</think><tool_call>\n{\"name\": \""},
		{"assistant\n<think>\n", "\n</think>\n\n<tool_call>\n{\"name\": \""},
		{"assistant\n<think>\n\n</think>\n\n", "<tool_call>\n{\"name\": \""},
	} {
		if got := m.opening(toolUse{format: m.calls, forced: true}, c.tail); got != c.want {
			t.Errorf("after %q the answer is made to begin with %q, want %q", c.tail, got, c.want)
		}
	}
}

const twoTools = `[{"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}, {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]`

func toolRequest(choice string) sdk.GenerateRequest {
	return sdk.GenerateRequest{Chat: &sdk.Chat{Messages: []byte(`[{"role": "user", "content": "hello"}]`), Tools: []byte(twoTools), ToolChoice: choice}}
}

// say lets a script answer with text, then the end.
func say(t testing.TB, m *Model, req sdk.GenerateRequest, text string) []sdk.Event {
	t.Helper()
	events, err := answer(t, m, req, append(encode(m, text), m.EOS()[0]))
	if err != nil {
		t.Fatal(err)
	}
	return events
}

const nowCall = "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>"

func TestToolChoiceNoneShowsTheToolsAndReadsNoCalls(t *testing.T) {
	m := open(t, "qwen3_4b_instruct")
	auto, none := toolRequest("auto"), toolRequest("none")
	a, err := m.Render(context.Background(), *auto.Chat)
	b, err2 := m.Render(context.Background(), *none.Chat)
	if err != nil || err2 != nil || a != b || !strings.Contains(b, "get_weather") {
		t.Errorf("%v, %v: auto renders %q, none %q", err, err2, a, b)
	}
	events := say(t, m, none, nowCall)
	if text, _ := shown(events); text != nowCall || deltas(events) != nil || reason(events) != sdk.FinishStop {
		t.Errorf("%s", show(events))
	}
	none.Chat.Tools, none.Chat.ToolChoice = nil, ""
	if text, _ := shown(say(t, m, none, nowCall)); text != nowCall {
		t.Errorf("without tools: %q", text)
	}
}

func TestToolChoicesThatCannotBeAreRefused(t *testing.T) {
	m := open(t, "qwen3_4b_instruct")
	bare := toolRequest("required")
	bare.Chat.Tools = []byte(" [ ] ")
	odd := toolRequest("function:a b")
	odd.Chat.Tools = []byte(`[{"name": "a b"}]`)
	onlyOdd := odd
	onlyOdd.Chat = &sdk.Chat{Messages: odd.Chat.Messages, Tools: []byte(`[{"name": "<tool_call>"}]`), ToolChoice: "required"}
	for _, c := range []struct {
		field string
		req   sdk.GenerateRequest
	}{
		{"tool_choice", toolRequest("always")}, {"tool_choice", toolRequest("function:fly")}, {"tool_choice", toolRequest("function:")},
		{"tool_choice", bare}, {"tools", odd}, {"tools", onlyOdd},
	} {
		events, err := answer(t, m, c.req, nil)
		wantInvalid(t, err, c.field)
		if len(events) > 0 {
			t.Errorf("%d events before the error", len(events))
		}
	}
	dir := checkpoint(t, "qwen3_4b_instruct")
	write(t, dir+"/chat_template.jinja", `{{ messages[0].content }}`)
	m, err := Open(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = answer(t, m, toolRequest("auto"), nil)
	wantInvalid(t, err, "tools")
	if text, _ := shown(say(t, m, toolRequest("none"), "ok")); text != "ok" {
		t.Errorf("with none: %q", text)
	}
}

// What is forced does not stop the answer, what the model writes inside a call does.
func TestStopStringsAndCalls(t *testing.T) {
	m := open(t, "qwen3_4b_instruct")
	for _, c := range []struct {
		choice, stop, text string
		calls              int
	}{
		{"function:now", "tool_call>\n", "", 1}, // only the opening has it
		{"function:now", "\n", "", 1},           // a call that lacks but its last tag counts
		{"auto", "</tool_call>", "", 1},
		{"auto", "arguments", "<tool_call>\n{\"name\": \"now\", \"", 0},
		{"auto", "<tool_call>", "", 0},
	} {
		req := toolRequest(c.choice)
		req.Stop = []string{c.stop}
		events := say(t, m, req, nowCall)
		if text, _ := shown(events); text != c.text || len(calls(t, events)) != c.calls {
			t.Errorf("%s, stop %q: %s", c.choice, c.stop, show(events))
		}
	}
}

func TestSingleCallEndsTheAnswer(t *testing.T) {
	for name, text := range map[string]string{
		"qwen3_4b_instruct": "Wait." + nowCall + "\n" + nowCall + " Done.",
		"qwen3_coder_30b":   "Wait.<tool_call>\n<function=now>\n</function>\n<function=now>\n</function>\n</tool_call> Done.",
		"glm_4_7_flash":     "</think>Wait.<tool_call>now</tool_call><tool_call>now</tool_call> Done.",
	} {
		m := open(t, name)
		req := toolRequest("auto")
		if all := say(t, m, req, text); len(calls(t, all)) != 2 {
			t.Errorf("%s: %s", name, show(all))
		}
		req.Chat.SingleCall = true
		events := resumesEverywhere(t, m, req, append(encode(m, text), m.EOS()[0]), name)
		if words, _ := shown(events); words != "Wait." || len(calls(t, events)) != 1 || reason(events) != sdk.FinishToolCalls {
			t.Errorf("%s: %s", name, show(events))
		}
	}
}

// A function asked for by name is the one that is called, once, even if what goes on with its name is that of another: a call that was
// written without being held to its tool, as by an older process, is read so.
func TestNamedFunctionIsTheOneCalled(t *testing.T) {
	const tools = `[{"function": {"name": "now_utc", "parameters": {"properties": {"zone": {"type": "integer"}}}}}, {"function": {"name": "now", "parameters": {"properties": {"zone": {"type": "string"}}}}}]`
	for _, c := range []struct{ model, choice, rest, arguments string }{
		{"glm_4_7_flash", "function:now", `_utc<arg_key>zone</arg_key><arg_value>3</arg_value></tool_call><tool_call>now_utc</tool_call>`, `{"zone": "3"}`},
		{"glm_4_7_flash", "function:now", "\n<arg_key>zone</arg_key>\n<arg_value>3</arg_value>\n</tool_call>", `{"zone": "3"}`},
		{"qwen3_4b_instruct", "function:now", ` {"zone": "3"}, "name": "now_utc"}</tool_call>` + nowCall, `{"zone": "3"}`},
		{"qwen3_coder_30b", "function:now", "<parameter=zone>\n3\n</parameter>\n</function>\n<function=now_utc>\n</function>\n</tool_call>", `{"zone": "3"}`},
	} {
		m := open(t, c.model)
		req := toolRequest(c.choice)
		req.Chat.Tools = []byte(tools)
		prompt, err := m.Prompt(context.Background(), req)
		if err != nil {
			t.Fatal(err)
		}
		d, err := m.NewDecoder(context.Background(), req, prompt)
		if err != nil {
			t.Fatal(err)
		}
		ids := append(slices.Clone(d.Forced()), encode(m, c.rest)...)
		var events []sdk.Event
		for _, id := range append(ids, m.EOS()[0]) {
			token, stop := d.Push(engine.Sampled{ID: id})
			if events = append(events, sdk.Event{Token: &token}); stop {
				break
			}
		}
		finish := d.Finish(engine.Result{Reason: sdk.FinishStop, Completion: len(events)}, len(prompt))
		events = append(events, sdk.Event{Finish: &finish})
		if got := calls(t, events); len(got) != 1 || got[0].name != "now" || got[0].arguments != c.arguments || reason(events) != sdk.FinishToolCalls {
			t.Errorf("%s goes on with %q: %+v, %s", c.model, c.rest, got, reason(events))
		}
	}
}

func TestCallsHaveNamesOfTheirOwn(t *testing.T) {
	m := open(t, "qwen3_4b_instruct")
	seen := map[string]string{}
	for what, change := range map[string]func(*sdk.GenerateRequest){
		"a request": func(*sdk.GenerateRequest) {}, "another request": func(r *sdk.GenerateRequest) { r.ID = "b" },
		"another choice": func(r *sdk.GenerateRequest) { r.Choice = 1 }, "another seed": func(r *sdk.GenerateRequest) { r.Sampling.Seed = 1 },
		"another prompt": func(r *sdk.GenerateRequest) { r.Chat.Messages = []byte(`[{"role": "user", "content": "hi"}]`) },
	} {
		req := toolRequest("auto")
		req.ID = "a"
		change(&req)
		for i, c := range calls(t, say(t, m, req, nowCall+nowCall)) {
			what := fmt.Sprintf("%s, call %d", what, i)
			if other, ok := seen[c.id]; ok || len(c.id) != len("call_")+24 || strings.Trim(c.id[5:], "abcdefghijklmnopqrstuvwxyz234567") != "" {
				t.Errorf("%s has the id %s; %s", what, c.id, other)
			}
			seen[c.id] = what
		}
	}
	if len(seen) != 10 {
		t.Errorf("%d ids of 10 calls", len(seen))
	}
}

// A stop string that is what the forced opening ends with does not stop the answer, nor one that begins there: they are not looked for in it.
func TestStopStringsDoNotMeetTheForcedOpening(t *testing.T) {
	for name, rest := range map[string]string{
		"qwen3_4b_instruct": " {}}\n</tool_call>", "qwen3_coder_30b": "</function>\n</tool_call>", "glm_4_7_flash": "</tool_call>",
	} {
		m := open(t, name)
		req := toolRequest("function:now")
		prompt, err := m.Prompt(context.Background(), req)
		if err != nil {
			t.Fatal(err)
		}
		d, err := m.NewDecoder(context.Background(), req, prompt)
		if err != nil {
			t.Fatal(err)
		}
		forced := d.Forced()
		last := m.tokenizer.Decode(forced[len(forced)-1:], false)
		for _, stop := range []string{last, last + rest[:1], m.tokenizer.Decode(forced, false)} {
			req.Stop = []string{stop}
			events := resumesEverywhere(t, m, req, append(append(slices.Clone(forced), encode(m, rest)...), m.EOS()[0]), name)
			if got := calls(t, events); len(got) != 1 || reason(events) != sdk.FinishToolCalls {
				t.Errorf("%s, stop %q: %s", name, stop, show(events))
			}
		}
	}
}

// The prompt's end is looked at far enough back to see an opening tag of which every byte is a token.
func TestReasoningOpenedInSingleBytesIsSeen(t *testing.T) {
	m := open(t, "qwen3_0_6b")
	single := byteTokens(t, m)
	for opening, want := range map[string]bool{"<think>": true, "<think>\n": true, "<think>\n\n  \n": true, "x<think>": true, "<think>x": false, "<think": false} {
		d, err := m.NewDecoder(context.Background(), sdk.GenerateRequest{Chat: &sdk.Chat{}}, append(encode(m, "assistant\n"), spellOut(single, opening)...))
		if err != nil {
			t.Fatal(err)
		}
		if d.InReasoning() != want {
			t.Errorf("%q: in reasoning %v", opening, d.InReasoning())
		}
	}
}

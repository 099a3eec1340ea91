package responses

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/answer/answertest"
	"github.com/inference-pio/inference-pio/sdk"
)

const customTools = `"tools":[{"type":"custom","name":"apply_patch","description":"Edits","format":{"type":"grammar","syntax":"lark","definition":"start: \"(\" start \")\" | \"a\""}},` +
	`{"type":"custom","name":"digits","format":{"type":"grammar","syntax":"regex","definition":"[0-9]+"}},{"type":"custom","name":"say"},` +
	`{"type":"namespace","name":"agents","description":"d","tools":[{"type":"function","name":"close","parameters":{"type":"object"},"strict":false},{"type":"web_search"}]}]`

// A template knows functions alone: a custom tool is one of a text, whose form is held where it can be and told where it cannot.
func TestCustomToolsAreShownAsFunctions(t *testing.T) {
	r, err := read(`{"model":"m","input":"a",` + customTools + `}`)
	if err != nil {
		t.Fatal(err)
	}
	input := func(more string) string {
		return `"parameters":{"additionalProperties":false,"properties":{"input":{"type":"string"` + more + `}},"required":["input"],"type":"object"}`
	}
	answertest.EqualLines(t, strings.Split(string(r.Chat.Tools), `{"type":"function",`), []string{`[`,
		`"function":{"name":"apply_patch","description":"Edits",` + input(`,"description":"A text of this form (lark): start: \"(\" start \")\" | \"a\""`) + `}},`,
		`"function":{"name":"digits",` + input(`,"description":"A text of this form (regex): [0-9]+","pattern":"^(?:[0-9]+)$"`) + `,"strict":true}},`,
		`"function":{"name":"say",` + input("") + `}},`,
		`"function":{"name":"agents__close","parameters":{"type":"object"}}}]`,
	})
}

// What cannot be held is written as the model will.
func TestAFormThatCannotBeHeldIsTold(t *testing.T) {
	r, err := read(`{"model":"m","input":"a","tools":[{"type":"custom","name":"f","format":{"type":"grammar","syntax":"regex","definition":"(a)\\1"}}]}`)
	if err != nil || strings.Contains(string(r.Chat.Tools), "pattern") || strings.Contains(string(r.Chat.Tools), "strict") || !strings.Contains(string(r.Chat.Tools), `(a)\\1`) {
		t.Errorf("%v %s", err, r.Chat.Tools)
	}
}

func TestCallsOfCustomToolsAndNamespacesComeBackAsSuch(t *testing.T) {
	f := answertest.New()
	f.Answer = func(_ context.Context, _ sdk.GenerateRequest, send func(sdk.Event) error) error {
		return answertest.Script(send, answertest.Start(1),
			sdk.Event{Token: &sdk.Token{Index: 0, ID: 2, ToolCalls: []sdk.ToolCallDelta{{Index: 0, ID: "call_a", Name: "apply_patch", Arguments: `{"input":"x\n`}}}},
			sdk.Event{Token: &sdk.Token{Index: 1, ID: 3, ToolCalls: []sdk.ToolCallDelta{{Index: 0, Arguments: `\"y"}`}, {Index: 1, ID: "call_b", Name: "agents__close", Arguments: `{"a":1}`}}}},
			sdk.Event{Finish: &sdk.Finish{Reason: sdk.FinishToolCalls, PromptTokens: 1, CompletionTokens: 2}})
	}
	got := events(t, ask(t, f, `{"model":"tiny","input":"Hi","stream":true,`+customTools+`}`).Body.String())
	custom := `{"id":"ctc_1","type":"custom_tool_call","status":"completed","call_id":"call_a","name":"apply_patch","input":"x\n\"y"}`
	function := `{"id":"fc_2","type":"function_call","status":"completed","call_id":"call_b","name":"close","namespace":"agents","arguments":"{\"a\":1}"}`
	answertest.EqualLines(t, got[2:len(got)-1], []string{
		`response.output_item.added",2,"output_index":0,"item":{"id":"ctc_1","type":"custom_tool_call","status":"in_progress","call_id":"call_a","name":"apply_patch","input":""}}`,
		`response.custom_tool_call_input.delta",3,"item_id":"ctc_1","output_index":0,"delta":"x\n\"y"}`,
		`response.custom_tool_call_input.done",4,"item_id":"ctc_1","output_index":0,"input":"x\n\"y"}`,
		`response.output_item.done",5,"output_index":0,"item":` + custom + `}`,
		`response.output_item.added",6,"output_index":1,"item":{"id":"fc_2","type":"function_call","status":"in_progress","call_id":"call_b","name":"close","namespace":"agents","arguments":""}}`,
		`response.function_call_arguments.delta",7,"item_id":"fc_2","output_index":1,"delta":"{\"a\":1}"}`,
		`response.function_call_arguments.done",8,"item_id":"fc_2","output_index":1,"name":"close","arguments":"{\"a\":1}"}`,
		`response.output_item.done",9,"output_index":1,"item":` + function + `}`,
	})
	var whole struct{ Output, Tools []json.RawMessage }
	if err := json.Unmarshal(ask(t, f, `{"model":"tiny","input":"Hi",`+customTools+`}`).Body.Bytes(), &whole); err != nil || len(whole.Output) != 2 || len(whole.Tools) != 4 ||
		!strings.Contains(string(whole.Output[0]), `"input":"x\n\"y"`) || !strings.Contains(string(whole.Output[1]), `"namespace":"agents"`) {
		t.Errorf("%v %s", err, whole.Output)
	}
}

// The turns before have the calls as the model made them.
func TestCallsOfCustomToolsGoBackToTheModel(t *testing.T) {
	r, err := read(`{"model":"m","input":[{"type":"custom_tool_call","id":"ctc_1","call_id":"c1","name":"apply_patch","input":"x\n"},` +
		`{"type":"function_call","call_id":"c2","namespace":"agents","name":"close","arguments":"{}"},` +
		`{"type":"custom_tool_call_output","call_id":"c1","output":"done"}],` + customTools + `,"tool_choice":{"type":"custom","name":"apply_patch"}}`)
	if err != nil {
		t.Fatal(err)
	}
	answertest.EqualLines(t, []string{string(r.Chat.Messages), r.Chat.ToolChoice}, []string{
		`[{"role":"assistant","content":"","tool_calls":[{"id":"c1","type":"function","function":{"name":"apply_patch","arguments":"{\"input\":\"x\\n\"}"}},` +
			`{"id":"c2","type":"function","function":{"name":"agents__close","arguments":"{}"}}]},{"role":"tool","content":"done","tool_call_id":"c1"}]`,
		"function:apply_patch"})
}

// The form of an agent's edits is held.
func TestARegularGrammarIsHeld(t *testing.T) {
	definition, err := json.Marshal(patch)
	if err != nil {
		t.Fatal(err)
	}
	r, err := read(`{"model":"m","input":"a","tools":[{"type":"custom","name":"apply_patch","format":{"type":"grammar","syntax":"lark","definition":` + string(definition) + `}}]}`)
	if err != nil || !strings.Contains(string(r.Chat.Tools), `"pattern":"^(?:`) || !strings.Contains(string(r.Chat.Tools), `"strict":true`) {
		t.Errorf("%v %s", err, r.Chat.Tools)
	}
}

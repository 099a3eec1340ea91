package text

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/chat"
	"github.com/inference-pio/inference-pio/sdk/grammar/schema"
)

// heldTools have what is written differently in each format: strings with bounds, choices of words, numbers, nested values, types in a list.
const heldTools = `[
 {"type": "function", "function": {"name": "get_weather", "strict": true, "parameters": {"type": "object", "properties": {
   "city": {"type": "string", "minLength": 1, "maxLength": 6}, "unit": {"enum": ["C", "F"]}, "days": {"type": "integer", "minimum": 1, "maximum": 14},
   "where": {"type": "object", "properties": {"lat": {"type": "number", "minimum": -90, "maximum": 90}, "tag": {"type": "string", "maxLength": 3}}, "required": ["lat"], "additionalProperties": false},
   "note": {"type": ["string", "null"], "maxLength": 4}, "on": {"type": "boolean"}, "codes": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 9}, "maxItems": 3}},
   "required": ["city", "days", "where"], "additionalProperties": false}}},
 {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {"zone": {"type": "string", "pattern": "^[A-Z]{3}$"}}, "required": ["zone"], "additionalProperties": false}}},
 {"type": "function", "function": {"name": "ping"}}]`

// Whatever a model is inclined to say, a call that must come comes, and its arguments are valid: in every format, and wherever it is cut and resumed.
func TestForcedCallsAreValid(t *testing.T) {
	checks := map[string]*schema.Schema{}
	for _, tool := range chat.Tools([]byte(heldTools)) {
		if tool.Parameters == nil {
			continue
		}
		s, err := schema.Compile(tool.Parameters, true)
		if err != nil {
			t.Fatal(err)
		}
		checks[tool.Name] = s
	}
	seen := map[string]int{}
	for _, name := range tiny {
		m := open(t, name)
		model := babble{vocab: scriptVocab, likely: map[int32]float32{}}
		if id, ok := m.tokenizer.Added("</think>"); ok {
			model.likely[id] = 6
		}
		for _, choice := range []string{"required", "function:get_weather", "function:now", "function:ping", "auto"} {
			for seed := range uint64(6) {
				req := chats(t, name)[0].request()
				req.Chat.Tools, req.Chat.ToolChoice, req.Chat.SingleCall = []byte(heldTools), choice, choice == "required"
				req.Sampling, req.MaxTokens = sdk.Sampling{Seed: seed, Temperature: ptr(1.0)}, 1500
				said := model
				if choice == "auto" { // else it does not call
					id, _ := m.tokenizer.Added("<tool_call>")
					said.likely = map[int32]float32{id: 6}
					for id, v := range model.likely {
						said.likely[id] = v
					}
					req.Chat.SingleCall = true
				}
				whole, err := tell(t, m, said, req)
				if err != nil {
					t.Fatalf("%s, %s: %v", name, choice, err)
				}
				got := calls(t, whole)
				if len(got) != 1 || reason(whole) != sdk.FinishToolCalls {
					text, _ := shown(whole)
					t.Errorf("%s, %s: %d calls, %s: %.300q", name, choice, len(got), reason(whole), text)
					continue
				}
				if want, named := strings.CutPrefix(choice, "function:"); named && got[0].name != want {
					t.Errorf("%s, %s: calls %s", name, choice, got[0].name)
				}
				seen[got[0].name]++
				if s := checks[got[0].name]; s != nil {
					if err := s.Check([]byte(got[0].arguments)); err != nil {
						t.Errorf("%s, %s: %s: %v", name, choice, got[0].arguments, err)
					}
				} else if got[0].arguments[0] != '{' || !json.Valid([]byte(got[0].arguments)) {
					t.Errorf("%s, %s: the arguments are %s", name, choice, got[0].arguments)
				}
				for cut := 0; seed == 0 && cut < len(whole)-1; cut += 1 + len(whole)/30 {
					again := req
					again.Resume = &sdk.Resume{Prompt: whole[0].Start.Prompt, InReasoning: whole[0].Start.InReasoning}
					for _, ev := range whole[1 : 1+cut] {
						again.Resume.Generated = append(again.Resume.Generated, ev.Token.ID)
					}
					rest, err := tell(t, m, said, again)
					if err != nil || !reflect.DeepEqual(rest, whole[1+cut:]) {
						t.Fatalf("%s, %s, cut after %d: %v\n%s\nwant\n%s", name, choice, cut, err, show(rest), show(whole[1+cut:]))
					}
				}
			}
		}
	}
	if seen["get_weather"] < 20 || seen["now"] < 20 || seen["ping"] < 20 {
		t.Errorf("not all tools were called: %v", seen)
	}
}

// Arguments are an object, whatever their schema says. Without a schema there are none.
func TestArgumentsAreAnObject(t *testing.T) {
	for _, name := range []string{"qwen3_4b_instruct", "qwen3_coder_next", "glm_4_7_flash"} {
		m := open(t, name)
		model := babble{vocab: scriptVocab, likely: map[int32]float32{}}
		if id, ok := m.tokenizer.Added("</think>"); ok {
			model.likely[id] = 6
		}
		for parameters, want := range map[string]string{
			`null`: `{}`,
			`{"type":["null","object"],"properties":{"a":{"enum":[1]}},"required":["a"],"additionalProperties":false}`:         `{"a":1}`,
			`{"anyOf":[{"type":"integer"},{"properties":{"b":{"const":true}},"required":["b"],"additionalProperties":false}]}`: `{"b":true}`,
			`{"type":"string"}`: "", // any
		} {
			req := chats(t, name)[0].request()
			req.Chat.Tools = []byte(`[{"type":"function","function":{"name":"f","parameters":` + parameters + `}}]`)
			req.Chat.ToolChoice, req.MaxTokens, req.Sampling = "function:f", 1500, sdk.Sampling{Seed: 4, Temperature: ptr(1.0)}
			events, err := tell(t, m, model, req)
			if err != nil {
				t.Fatal(err)
			}
			got := calls(t, events)
			var object map[string]any
			if len(got) != 1 || json.Unmarshal([]byte(got[0].arguments), &object) != nil {
				said, _ := shown(events)
				t.Errorf("%s, %s: %+v, %s: %.300q", name, parameters, got, reason(events), said)
				continue
			}
			if plain, _ := json.Marshal(object); want != "" && string(plain) != want {
				t.Errorf("%s, %s: %s, want %s", name, parameters, plain, want)
			}
		}
	}
}

// A call that is cut off by the budget is no call.
func TestACallThatIsCutOffIsNoCall(t *testing.T) {
	for _, name := range tiny {
		m := open(t, name)
		req := chats(t, name)[0].request()
		req.Chat.Tools, req.Chat.ToolChoice = []byte(heldTools), "function:get_weather"
		req.Sampling = sdk.Sampling{Seed: 1, Temperature: ptr(1.0)}
		for _, most := range []int{1, 5, 12, 20, 30} {
			req.MaxTokens = most
			events, err := tell(t, m, babble{vocab: scriptVocab}, req)
			if err != nil {
				t.Fatal(err)
			}
			if got := calls(t, events); reason(events) == sdk.FinishLength && len(got) > 0 {
				t.Errorf("%s, cut after %d: %+v", name, most, got)
			}
		}
	}
}

// What of a tool's parameters is not held is said when the call is asked for, and the arguments are looked at when it is whole.
func TestWhatIsNotHeldOfACallIsLookedAt(t *testing.T) {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(before)
	for _, name := range []string{"qwen3_4b_instruct", "qwen3_coder_next", "glm_4_7_flash"} {
		m := open(t, name)
		for item, wrong := range map[string]bool{`{"type":"number","minimum":0,"maximum":0}`: true, `{"type":"number","minimum":0,"maximum":99}`: false} {
			items := `{"type":"object","additionalProperties":` + item + `,"propertyNames":{"const":"a"},"minProperties":1,"maxProperties":1}`
			log.Reset()
			req := chats(t, name)[0].request()
			req.Chat.ToolChoice, req.MaxTokens, req.Sampling = "function:f", 600, sdk.Sampling{Seed: 2, Temperature: ptr(1.0)}
			req.Chat.Tools = []byte(`[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"a":{"type":"array","items":` + items +
				`,"minItems":2,"maxItems":2,"uniqueItems":true}},"required":["a"],"additionalProperties":false}}}]`)
			model := babble{vocab: scriptVocab, likely: map[int32]float32{}}
			if id, ok := m.tokenizer.Added("</think>"); ok {
				model.likely[id] = 6
			}
			for range 2 { // the second time the language is known
				events, err := tell(t, m, model, req)
				if err != nil {
					t.Fatal(err)
				}
				if got := calls(t, events); len(got) != 1 {
					t.Fatalf("%s: %d calls", name, len(got))
				}
			}
			if n := strings.Count(log.String(), "a part of a tool's parameters is not held"); n != 1 {
				t.Errorf("%s: it is said %d times what is not held:\n%s", name, n, &log)
			}
			if n := strings.Count(log.String(), "the arguments of a call are not valid"); n != map[bool]int{true: 2}[wrong] {
				t.Errorf("%s, %s: %d calls are found wrong:\n%s", name, items, n, &log)
			}
		}
	}
}

func TestStrictToolsThatCannotBeHeldAreRefused(t *testing.T) {
	m := open(t, "qwen3_4b_instruct")
	tools := func(strict string) []byte {
		return []byte(`[{"type": "function", "function": {"name": "f", "strict": ` + strict + `, "parameters": {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": true}}}}}]`)
	}
	req := chats(t, "qwen3_4b_instruct")[0].request()
	req.MaxTokens = 8
	for _, choice := range []string{"auto", "required"} {
		req.Chat.ToolChoice, req.Chat.Tools = choice, tools("true")
		_, err := tell(t, m, babble{vocab: scriptVocab}, req)
		wantInvalid(t, err, "tools")
		if err != nil && !strings.Contains(err.Error(), `#/properties/a: "uniqueItems"`) {
			t.Errorf("%s: %v", choice, err)
		}
		req.Chat.Tools = tools("false")
		if _, err := tell(t, m, babble{vocab: scriptVocab}, req); err != nil {
			t.Errorf("%s, not strict: %v", choice, err)
		}
	}
}

package e2e

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/sdk/grammar/schema"
)

const city = `{"type": "object", "properties": {"city": {"type": "string", "maxLength": 8}, "people": {"type": "integer", "minimum": 0, "maximum": 99},
	"tags": {"type": "array", "items": {"enum": ["old", "new"]}, "maxItems": 2}}, "required": ["city", "people"], "additionalProperties": false}`

// Every family's answers are held to a schema by the real plugin: whole, in streams, several at once, thinking first or not.
func TestEveryFamilyHoldsAnswersToASchema(t *testing.T) {
	s, err := schema.Compile([]byte(city), true)
	if err != nil {
		t.Fatal(err)
	}
	format := object{"type": "json_schema", "json_schema": object{"name": "city", "strict": true, "schema": json.RawMessage(city)}}
	for _, family := range families {
		host := start(t, tinyOf(family, "tiny", small))
		for _, extra := range []object{{"temperature": 0}, {"temperature": 1, "seed": 3, "stream": true, "logprobs": true}, {"temperature": 1, "seed": 4, "enable_thinking": false}} {
			extra["response_format"], extra["max_tokens"] = format, 400
			if family != "qwen3_0_6b" && family != "glm_4_7_flash" {
				delete(extra, "enable_thinking")
			}
			got, err := host.complete("/v1/chat/completions", ask("What is the capital of Japan?", extra), nil)
			if err != nil {
				t.Fatalf("%s, %v: %v\n%s", family, extra, err, host.log)
			}
			if got.Finish == "length" { // a thought that did not end
				continue
			}
			if err := s.Check([]byte(got.Text)); err != nil || got.Finish != "stop" {
				t.Errorf("%s: %q ends with %s: %v", family, got.Text, got.Finish, err)
			}
		}
		host.stop()
	}
}

// Killed after any of its tokens, a held answer goes on with the same bytes: values of a schema and forced calls in each of the three forms,
// one after a thought.
func TestAHeldAnswerSurvivesAKillAtEveryToken(t *testing.T) {
	format := object{"type": "json_schema", "json_schema": object{"name": "city", "strict": true, "schema": json.RawMessage(city)}}
	tool := []object{{"type": "function", "function": object{"name": "note", "strict": true, "parameters": object{"type": "object", "required": []string{"city"},
		"properties": object{"city": object{"type": "string", "maxLength": 8}, "people": object{"type": "integer", "minimum": 0, "maximum": 99}}, "additionalProperties": false}}}}
	for _, c := range []struct {
		family, name string
		extra        object
	}{
		{"qwen3_4b_instruct", "schema", object{"response_format": format}},
		{"qwen3_0_6b", "schema after a thought", object{"response_format": format, "seed": 2}},
		{"qwen3_coder_next", "schema", object{"response_format": format}},
		{"qwen3_4b_instruct", "call", object{"tools": tool, "tool_choice": "required"}},
		{"qwen3_coder_next", "call", object{"tools": tool, "tool_choice": "required"}},
		{"glm_4_7_flash", "call", object{"tools": tool, "tool_choice": "required"}},
	} {
		t.Run(c.family+"/"+c.name, func(t *testing.T) {
			body := ask("What is the capital of Peru?", object{"temperature": 1, "seed": 11, "max_tokens": 200, "stream": true})
			maps.Copy(body, c.extra)
			got := killedAtEach(t, body, func(keys ...string) string { return tinyOf(c.family, "tiny", append(keys, small)...) })
			if call := c.name == "call"; len(got.IDs) < 12 || (len(got.Calls) == 1) != call || (got.Reasoning != "") != strings.Contains(c.name, "thought") {
				t.Errorf("this is not the answer that was to be interrupted: %+v", got)
			}
		})
	}
}

// A model that calls where it need not is held to a strict tool from the call's opening on: in each of the three forms, behind a thought or not,
// and also where the call goes on in another process. What the tool takes is not what the model would write.
func TestAStrictCallSurvivesAKillAtEveryToken(t *testing.T) {
	parameters := json.RawMessage(`{"type": "object", "properties": {"days": {"type": "integer", "minimum": 3, "maximum": 5}, "city": {"type": "string", "maxLength": 3}},
		"required": ["days", "city"], "additionalProperties": false}`)
	arguments := regexp.MustCompile(`^\{"days": ?[345], ?"city": ?"[^"\\]{0,3}"\}$`)
	tool := object{"type": "function", "function": object{"name": "get_weather", "strict": true, "parameters": parameters}}
	for _, family := range []string{"qwen3_0_6b", "qwen3_4b_instruct", "qwen3_coder_next", "glm_4_7_flash"} {
		t.Run(family, func(t *testing.T) {
			body := ask("What is the weather in Oslo?", object{"tools": []object{tool}, "tool_choice": "auto", "parallel_tool_calls": false,
				"logit_bias": object{addedToken(t, family, "<tool_call>"): 100}, "temperature": 1, "seed": 5, "max_tokens": 300, "stream": true})
			got := killedAtEach(t, body, func(keys ...string) string { return tinyOf(family, "tiny", append(keys, small)...) })
			if len(got.Calls) != 1 || got.Finish != "tool_calls" || !arguments.MatchString(got.Calls[0].Function.Arguments) {
				t.Errorf("%+v", got)
			}
		})
	}
}

// addedToken is the id of a token that the tokenizer added to its model, as logit_bias spells it.
func addedToken(t *testing.T, family, word string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(tinyDir(family), "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Added []struct {
			ID      int
			Content string
		} `json:"added_tokens"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	for _, a := range file.Added {
		if a.Content == word {
			return strconv.Itoa(a.ID)
		}
	}
	t.Fatalf("%s has no token %s", family, word)
	return ""
}

// The answers of one request are each held, with logprobs, and end where a stop string does, be it within the form.
func TestChoicesAreEachHeldUpToAStopString(t *testing.T) {
	host := start(t, tinyOf("qwen3_4b_instruct", "tiny"))
	form := regexp.MustCompile(`^[a-df-z]{12}$`)
	for _, stop := range []string{"e", "0"} {
		list := host.choices(ask("Letters", object{"n": 3, "temperature": 2, "top_p": 1, "top_k": 0, "seed": 5, "max_tokens": 40, "stream": true, "logprobs": true, "stop": stop,
			"guided_regex": `[a-d]{4}[e][a-df-z]{12}|[a-df-z]{12}`}))
		if len(list) != 3 {
			t.Fatalf("%d choices", len(list))
		}
		for i, c := range list {
			whole := form.MatchString(c.Text) || stop == "0" && len(c.Text) == 17
			cut := stop == "e" && regexp.MustCompile(`^[a-d]{4}$`).MatchString(c.Text)
			if !whole && !cut || c.Finish != "stop" || len(c.Logprobs) == 0 {
				t.Errorf("stop %q, choice %d: %+v", stop, i, c)
			}
		}
	}
}

// What a schema asks and the plugin cannot hold is refused with strict; without, the log says it once, and of each answer that it is not valid.
func TestWhatIsNotHeldIsLoggedAndChecked(t *testing.T) {
	host := start(t, tinyOf("qwen3_4b_instruct", "tiny"))
	// of objects with a zero behind the key there is no second one
	zero := object{"type": "object", "additionalProperties": object{"type": "number", "minimum": 0, "maximum": 0}, "propertyNames": object{"const": "a"}, "minProperties": 1, "maxProperties": 1}
	zeros := object{"type": "array", "items": zero, "minItems": 2, "maxItems": 2, "uniqueItems": true}
	format := func(strict bool) object {
		return object{"max_tokens": 300, "temperature": 0, "response_format": object{"type": "json_schema", "json_schema": object{"name": "zeros", "strict": strict, "schema": zeros}}}
	}
	status, body := host.post("/v1/chat/completions", ask("Two numbers", format(true)))
	told, _ := body["error"].(map[string]any)
	if message, _ := told["message"].(string); status != 400 || !strings.Contains(message, `#: "uniqueItems"`) {
		t.Errorf("strict: %d %v", status, body)
	}
	for range 2 {
		got, err := host.complete("/v1/chat/completions", ask("Two numbers", format(false)), nil)
		var list []map[string]float64
		if err != nil || json.Unmarshal([]byte(got.Text), &list) != nil || len(list) != 2 {
			t.Errorf("%+v, %v", got, err)
		}
	}
	host.stop()
	for words, times := range map[string]int{"a part of a schema is not held while an answer is written": 1, "an answer is not valid under its schema": 2} {
		if n := strings.Count(host.log.String(), words); n != times {
			t.Errorf("the log has %q %d times, want %d:\n%s", words, n, times, host.log)
		}
	}
}

func TestWhatHoldsAnAnswerIsToldWhereItIsWrong(t *testing.T) {
	host := start(t, tinyOf("qwen3_4b_instruct", "tiny"))
	for _, c := range []struct {
		fields object
		param  string
		words  string
	}{
		{object{"guided_regex": "("}, "guided_regex", "missing"},
		{object{"guided_grammar": "root ::= x"}, "guided_grammar", `line 1 of the grammar: there is no rule "x"`},
		{object{"response_format": object{"type": "json_schema", "json_schema": object{"name": "a", "strict": true, "schema": object{"type": "array", "uniqueItems": true}}}}, "response_format", `#: "uniqueItems"`},
	} {
		status, body := host.post("/v1/chat/completions", ask("Hi", c.fields))
		told, _ := body["error"].(map[string]any)
		if message, _ := told["message"].(string); status != 400 || told["param"] != c.param || !regexp.MustCompile(regexp.QuoteMeta(c.words)).MatchString(message) {
			t.Errorf("%v: %d %v", c.fields, status, body)
		}
	}
	for _, c := range []struct {
		fields object
		want   string
	}{{object{"guided_choice": []string{"Lima", "Oslo"}}, `Lima|Oslo`}, {object{"guided_regex": `[A-Z]{3}-\d{2}`}, `[A-Z]{3}-\d{2}`}, {object{"guided_grammar": "root ::= \"(\" item{1,3} \")\"\nitem ::= \"a\" | \"b\""}, `\([ab]{1,3}\)`}} {
		c.fields["seed"], c.fields["temperature"] = 1, 1
		got, err := host.complete("/v1/chat/completions", ask("Say it", c.fields), nil)
		if err != nil || got.Finish != "stop" || !regexp.MustCompile(`^(?:`+c.want+`)$`).MatchString(got.Text) {
			t.Errorf("%v: %+v, %v", c.fields, got, err)
		}
	}
}

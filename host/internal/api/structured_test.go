package api

import (
	"context"
	"reflect"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/answer/answertest"
	"github.com/inference-pio/inference-pio/sdk"
)

// What each field comes to, for a chat and for a completion.
func TestFieldsThatHoldAnAnswerReachThePlugin(t *testing.T) {
	for fields, want := range map[string]*sdk.Constraint{
		`"response_format": {"type": "text"}`:                                     nil,
		`"response_format": null`:                                                 nil,
		`"response_format": {"type": "json_object"}`:                              {JSONObject: true},
		`"response_format": {"type": "json_object", "schema": {"type": "array"}}`: {JSONSchema: []byte(`{"type": "array"}`)},
		`"response_format": {"type": "json_schema", "json_schema": {"name": "a", "strict": true, "schema": {"b": 1, "a": 2}}}`: {JSONSchema: []byte(`{"b": 1, "a": 2}`), Strict: true},
		`"response_format": {"type": "json_schema", "json_schema": {"name": "a", "strict": null, "schema": {}}}`:               {JSONSchema: []byte(`{}`)},
		`"guided_json": {"type": "object"}`:                                                      {JSONSchema: []byte(`{"type": "object"}`)},
		`"guided_json": "{\"type\": \"object\"}"`:                                                {JSONSchema: []byte(`{"type": "object"}`)},
		`"guided_regex": "a|b"`:                                                                  {Regex: "a|b"},
		`"guided_choice": ["a", "b"]`:                                                            {Choices: []string{"a", "b"}},
		`"guided_grammar": "root ::= \"a\""`:                                                     {Grammar: `root ::= "a"`},
		`"structured_outputs": {"json": {"const": 1}}`:                                           {JSONSchema: []byte(`{"const": 1}`)},
		`"structured_outputs": {"json_object": true}`:                                            {JSONObject: true},
		`"structured_outputs": {"json_object": false}`:                                           nil,
		`"structured_outputs": {"choice": ["a"], "disable_any_whitespace": true, "regex": null}`: {Choices: []string{"a"}},
		`"structured_outputs": {"grammar": "root ::= \"a\""}`:                                    {Grammar: `root ::= "a"`},
	} {
		for path, prompt := range map[string]string{"/v1/chat/completions": `"messages": [{"role": "user", "content": "Hi"}]`, "/v1/completions": `"prompt": "Hi"`} {
			f := answertest.New()
			f.Answer = func(ctx context.Context, g sdk.GenerateRequest, send func(sdk.Event) error) error {
				return answertest.Tokyo(ctx, g, func(e sdk.Event) error {
					if e.Start != nil {
						e.Start.Constrained = g.Constraint != nil
					}
					return send(e)
				})
			}
			w := answertest.Post(New(f, Options{}), path, `{"model": "tiny", `+prompt+`, `+fields+`}`)
			if w.Code != 200 || !reflect.DeepEqual(f.Seen[0].Constraint, want) {
				t.Errorf("%s, %s: %d, %+v, want %+v\n%s", path, fields, w.Code, f.Seen, want, w.Body)
			}
		}
	}
}

// A plugin that does not know of constraints is found out before a word is shown, and what one says of a constraint blames the client's field.
func TestAConstraintThatIsNotHeldIsRefused(t *testing.T) {
	for _, streamed := range []string{"false", "true"} {
		body := `{"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "n": 2, "guided_regex": "a", "stream": ` + streamed + `}`
		w := answertest.Post(New(answertest.New(), Options{}), "/v1/chat/completions", body)
		if w.Code != 400 || !strings.Contains(w.Body.String(), `"not_supported"`) || !strings.Contains(w.Body.String(), `"guided_regex"`) || strings.Contains(w.Body.String(), "Tokyo") {
			t.Errorf("streamed %s: %d %s", streamed, w.Code, w.Body)
		}
		f := answertest.New()
		f.Answer = func(context.Context, sdk.GenerateRequest, func(sdk.Event) error) error {
			return &sdk.Error{Reason: sdk.ReasonInvalid, Field: "constraint", Message: "it is wrong"}
		}
		if w := answertest.Post(New(f, Options{}), "/v1/chat/completions", body); w.Code != 400 || !strings.Contains(w.Body.String(), `"param":"guided_regex"`) {
			t.Errorf("streamed %s: %d %s", streamed, w.Code, w.Body)
		}
	}
}

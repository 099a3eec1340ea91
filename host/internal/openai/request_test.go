package openai

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/body"
	"github.com/inference-pio/inference-pio/host/internal/problem"
)

func TestPromptsAsTextOrIDs(t *testing.T) {
	for _, c := range []struct {
		prompt string
		texts  []string
		ids    [][]int32
	}{
		{`"Hello"`, []string{"Hello"}, [][]int32{nil}},
		{`""`, []string{""}, [][]int32{nil}},
		{`[1, 2]`, []string{""}, [][]int32{{1, 2}}},
		{`["a"]`, []string{"a"}, [][]int32{nil}},
		{`[[1], [2, 3]]`, []string{"", ""}, [][]int32{{1}, {2, 3}}},
	} {
		members, err := body.Members([]byte(`{"model": "tiny", "prompt": ` + c.prompt + `}`))
		if err != nil {
			t.Fatal(err)
		}
		r, err := parseCompletion(members, func(string) {})
		if err != nil {
			t.Fatalf("%s: %v", c.prompt, err)
		}
		list := r.Choices("x")
		if len(list) != len(c.texts) {
			t.Fatalf("%s: %d choices", c.prompt, len(list))
		}
		for i, g := range list {
			if g.Text != c.texts[i] || !reflect.DeepEqual(g.Tokens, c.ids[i]) || g.HasText != (c.ids[i] == nil) || g.MaxTokens != 16 {
				t.Errorf("%s: choice %d is %+v", c.prompt, i, g)
			}
		}
	}
}

// Equal prompts in one request have different answers, unless the client chose the seed.
func TestSeeds(t *testing.T) {
	seeds := func(text string) []uint64 {
		members, _ := body.Members([]byte(text))
		r, err := parseCompletion(members, func(string) {})
		if err != nil {
			t.Fatal(err)
		}
		var list []uint64
		for _, g := range r.Choices("x") {
			list = append(list, g.Sampling.Seed)
		}
		return list
	}
	drawn := seeds(`{"model": "tiny", "prompt": ["a", "a"]}`)
	chosen := seeds(`{"model": "tiny", "prompt": ["a", "a"], "seed": 18446744073709551615}`)
	if drawn[0] == drawn[1] || chosen[0] != 1<<64-1 || chosen[1] != chosen[0] {
		t.Errorf("drawn %v, chosen %v", drawn, chosen)
	}
}

// Whatever a client sends, the answer is a request or an *problem.Error with a 4xx status.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"model":"tiny","messages":[{"role":"user","content":"Hi"}]}`))
	f.Add([]byte(`{"model":"m","prompt":[[1,2],"x"],"stop":[""],"logit_bias":{"-1":3},"top_k":-2}`))
	f.Add([]byte(`{"messages":[{"role":"user","content":[{"type":"image_url"}]}],"stream_options":{"x":true}}`))
	f.Add([]byte(`{"chat_template_kwargs":3,"seed":1e3,"max_tokens":null}`))
	f.Add([]byte(`{"model":"m","messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{}"}}]},{"role":"tool","content":[{"type":"text","text":"x"}]}],` +
		`"tools":[{"type":"function","function":{"name":"f","parameters":{}}}],"tool_choice":{"type":"function","function":{"name":"f"}},"parallel_tool_calls":false,"n":2}`))
	f.Add([]byte(`{"model":"m","messages":[{"role":"user"}],"tools":[{}],"tool_choice":"required","logprobs":true,"top_logprobs":20,"add_generation_prompt":false,"chat_template_kwargs":{ }}`))
	f.Add([]byte(`{"model":"m","prompt":["a","b"],"n":64,"echo":true,"max_tokens":0,"logprobs":0}`))
	f.Add([]byte(`{"prompt":"a","tokens":[1,2],"return_token_strs":true,"add_special_tokens":null}`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, text []byte) {
		members, err := body.Members(text)
		if err != nil {
			mustBlameTheClient(t, text, err)
			return
		}
		for _, parse := range []func([]body.Member, func(string)) (*request, error){parseChat, parseCompletion} {
			r, err := parse(members, func(string) {})
			if err != nil {
				mustBlameTheClient(t, text, err)
				continue
			}
			list := r.Choices("x")
			if len(list) == 0 || len(list) > maxChoices {
				t.Fatalf("%q: %d choices", text, len(list))
			}
			if c := list[0].Chat; c != nil && (len(c.Kwargs) > 0 && !json.Valid(c.Kwargs) || len(c.Tools) == 0 && c.ToolChoice != "") {
				t.Fatalf("%q: the plugin gets %s and %q", text, c.Kwargs, c.ToolChoice)
			}
		}
		for _, table := range []fields{tokenizeFields, detokenizeFields} {
			if _, err := parse(members, func(string) {}, table); err != nil {
				mustBlameTheClient(t, text, err)
			}
		}
	})
}

func mustBlameTheClient(t *testing.T, text []byte, err error) {
	var e *problem.Error
	if !errors.As(err, &e) || e.Status < 400 || e.Status >= 500 || e.Message == "" {
		t.Fatalf("%q: %v", text, err)
	}
}

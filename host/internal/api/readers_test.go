package api

import (
	"fmt"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/answer/answertest"
	"github.com/inference-pio/inference-pio/host/internal/body"
)

// Each range ends where docs/api.md says: the last value inside is taken, the first outside refused by its name.
func TestTheBoundariesOfEveryRange(t *testing.T) {
	bias := func(n int) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf(`"%d":1`, i))
		}
		return "{" + strings.Join(list, ",") + "}"
	}
	stops := func(n, size int) string {
		return "[" + strings.TrimSuffix(strings.Repeat(`"`+strings.Repeat("s", size)+`",`, n), ",") + "]"
	}
	for _, c := range []struct {
		field        string
		taken, wrong []string
	}{
		{"temperature", []string{"0", "2", "1e-300"}, []string{"-0.001", "2.001", `"1"`, "1e999"}},
		{"top_p", []string{"1", "0.000001"}, []string{"0", "1.001", "-1"}},
		{"min_p", []string{"0", "1"}, []string{"-0.001", "1.001"}},
		{"top_k", []string{"-1", "0", "2147483647", "-1.0", "4e1"}, []string{"-2", "2147483648", "1.5", "-2.0", "1e10", `"1"`, "true"}},
		{"presence_penalty", []string{"-2", "2"}, []string{"-2.001", "2.001"}},
		{"frequency_penalty", []string{"-2", "2"}, []string{"-2.001", "2.001"}},
		{"repetition_penalty", []string{"100", "0.001"}, []string{"0", "100.001"}},
		{"seed", []string{"-9223372036854775808", "18446744073709551615", "0", "-1.0", "9007199254740992.0"}, []string{"-9223372036854775809", "18446744073709551616", "1.5", "9007199254740994.0"}},
		{"n", []string{"1", "128"}, []string{"0", "129"}},
		{"max_tokens", []string{"1", "2147483647", "2147483648", "1.0", "99999999999999999999", "1e40"}, []string{"-1", "1.5", "-1e40", "0.0", "1e999", "[]"}},
		{"logit_bias", []string{`{"0":100}`, `{"2147483647":-100}`, `{}`, bias(1024)},
			[]string{`{"0":100.001}`, `{"0":101}`, `{"0":-100.001}`, `{"0":-101}`, `{"-1":1}`, `{"2147483648":1}`, `{"a":1}`, `{"1":"1"}`, bias(1025), "[]"}},
		{"stop", []string{`"a"`, "[]", stops(16, 1024)}, []string{`""`, stops(17, 1), stops(1, 1025), "7"}},
	} {
		check := func(value string, want int) {
			t.Helper()
			for path, body := range map[string]string{
				"/v1/completions":      fmt.Sprintf(`{"model":"tiny","prompt":"a",%q:%s}`, c.field, value),
				"/v1/chat/completions": chatWith(fmt.Sprintf("%q:%s", c.field, value)),
			} {
				w := answertest.Post(New(answertest.New(), Options{}), path, body)
				if w.Code != want {
					t.Errorf("%s with %s %.80s: status %d, want %d: %.200s", path, c.field, value, w.Code, want, w.Body)
				} else if want == 400 && deref(errorOf(t, w).Param) != c.field {
					t.Errorf("%s with %s %.80s blames %s", path, c.field, value, deref(errorOf(t, w).Param))
				}
			}
		}
		for _, v := range c.taken {
			check(v, 200)
		}
		for _, v := range c.wrong {
			check(v, 400)
		}
	}
	for value, want := range map[string]int{"0": 200, "20": 200, "21": 400, "-1": 400} {
		if w := answertest.Post(New(answertest.New(), Options{}), "/v1/chat/completions", chatWith(`"logprobs":true,"top_logprobs":`+value)); w.Code != want {
			t.Errorf("top_logprobs %s: status %d", value, w.Code)
		}
		if w := answertest.Post(New(answertest.New(), Options{}), "/v1/completions", `{"model":"tiny","prompt":"a","logprobs":`+value+`}`); w.Code != want {
			t.Errorf("logprobs %s: status %d", value, w.Code)
		}
	}
	for prompts, want := range map[int]int{128: 200, 129: 400} {
		body := `{"model":"tiny","prompt":["a"` + strings.Repeat(`,"a"`, prompts-1) + `]}`
		if w := answertest.Post(New(answertest.New(), Options{}), "/v1/completions", body); w.Code != want {
			t.Errorf("%d prompts: status %d", prompts, w.Code)
		}
	}
	for depth, want := range map[int]int{body.MaxDepth: 200, body.MaxDepth + 1: 400} { // three of them are the body's, the list's and the message's
		value := strings.Repeat("[", depth-3) + strings.Repeat("]", depth-3)
		body := `{"model":"tiny","messages":[{"role":"user","content":"a","x":` + value + `}]}`
		if w := answertest.Post(New(answertest.New(), Options{}), "/v1/chat/completions", body); w.Code != want {
			t.Errorf("%d deep: status %d", depth, w.Code)
		}
	}
	for values, want := range map[int]int{body.MaxValues: 200, body.MaxValues + 1: 400} { // the list, the message, its three fields
		body := `{"model":"tiny","messages":[{"role":"user","content":"a","x":[1` + strings.Repeat(",1", values-6) + `]}]}`
		w := answertest.Post(New(answertest.New(), Options{}), "/v1/chat/completions", body)
		if w.Code != want || want == 400 && deref(errorOf(t, w).Param) != "messages" {
			t.Errorf("%d values: status %d: %.200s", values, w.Code, w.Body)
		}
	}
}

package api

import (
	"context"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/answer/answertest"
	"github.com/inference-pio/inference-pio/sdk"
)

// scoring answers "é!" in three tokens, the first two of which are half a character each, and an end token.
func scoring(_ context.Context, _ sdk.GenerateRequest, send func(sdk.Event) error) error {
	at := func(i int, text, bytes string, p float64, top ...sdk.TopLogprob) sdk.Event {
		return sdk.Event{Token: &sdk.Token{Index: i, ID: int32(40 + i), Text: text, Logprob: &sdk.TokenLogprob{Logprob: p, Bytes: []byte(bytes), Top: top}}}
	}
	best := func(bytes string, p float64) sdk.TopLogprob { return sdk.TopLogprob{Bytes: []byte(bytes), Logprob: p} }
	return answertest.Script(send, answertest.Start(7),
		at(0, "", "\xc3", -0.5, best("\xc3", -0.5), best("z", -1)),
		at(1, "é", "\xa9", -2, best("a", -0.25), best("\xa9", -2)),
		at(2, "", "!", math.Inf(-1), best("<b>", -0.125), best("c", -3)),
		at(3, "", "<end>", math.NaN()),
		sdk.Event{Finish: &sdk.Finish{Reason: sdk.FinishStop, Text: "!", PromptTokens: 1, CompletionTokens: 4}})
}

const scored4 = `[{"token":"\ufffd","logprob":-0.5,"bytes":[195],"top_logprobs":[{"token":"\ufffd","logprob":-0.5,"bytes":[195]},{"token":"z","logprob":-1,"bytes":[122]}]},` +
	`{"token":"\ufffd","logprob":-2,"bytes":[169],"top_logprobs":[{"token":"a","logprob":-0.25,"bytes":[97]},{"token":"\ufffd","logprob":-2,"bytes":[169]}]},` +
	`{"token":"!","logprob":-9999,"bytes":[33],"top_logprobs":[{"token":"<b>","logprob":-0.125,"bytes":[60,98,62]},{"token":"c","logprob":-3,"bytes":[99]}]},` +
	`{"token":"<end>","logprob":-9999,"bytes":[60,101,110,100,62],"top_logprobs":[]}]`

// There is one entry per id, as many as usage counts; a held-back one comes at once, so that a stream adds up to the same.
func TestLogprobsOfAChat(t *testing.T) {
	f := answertest.New()
	f.Answer = scoring
	h := New(f, Options{})
	w := answertest.Post(h, "/v1/chat/completions", chatWith(`"logprobs": true, "top_logprobs": 2`))
	var whole struct {
		Choices []struct{ Logprobs json.RawMessage }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &whole); err != nil {
		t.Fatal(err)
	}
	want := strings.ReplaceAll(scored4, `\ufffd`, "\uFFFD")
	answertest.EqualLines(t, []string{string(whole.Choices[0].Logprobs)}, []string{`{"content":` + want + `,"refusal":null}`})
	if s := f.Seen[0].Sampling; !s.Logprobs || s.TopLogprobs != 2 {
		t.Errorf("sampling %+v", s)
	}

	w = answertest.Post(h, "/v1/chat/completions", chatWith(`"logprobs": true, "top_logprobs": 2, "stream": true`))
	var entries []string
	list := answertest.DataOf(t, w.Body.String())
	for _, d := range list[:len(list)-1] {
		var c struct {
			Choices []struct {
				Logprobs struct{ Content []json.RawMessage }
			}
		}
		if err := json.Unmarshal([]byte(d), &c); err != nil {
			t.Fatal(err)
		}
		for _, e := range c.Choices[0].Logprobs.Content {
			entries = append(entries, string(e))
		}
	}
	answertest.EqualLines(t, []string{"[" + strings.Join(entries, ",") + "]"}, []string{want})
}

// Nobody gets what only a plugin thought of.
func TestLogprobsAreForWhoAskedForThem(t *testing.T) {
	f := answertest.New()
	f.Answer = scoring
	if w := answertest.Post(New(f, Options{}), "/v1/chat/completions", chatBody+"}"); !strings.Contains(w.Body.String(), `"logprobs":null`) {
		t.Error(w.Body)
	}
}

// The older form counts characters, and its objects have the sampled token beside the likeliest, likeliest first.
func TestLogprobsOfACompletion(t *testing.T) {
	f := answertest.New()
	f.Answer = scoring
	h := New(f, Options{})
	const u = "\uFFFD"
	want := `{"text_offset":[0,0,1,2],"token_logprobs":[-0.5,-2,-9999,-9999],"tokens":["` + u + `","` + u + `","!","<end>"],` +
		`"top_logprobs":[{"` + u + `":-0.5,"z":-1},{"a":-0.25,"` + u + `":-2},{"<b>":-0.125,"c":-3,"!":-9999},{"<end>":-9999}]}`
	w := answertest.Post(h, "/v1/completions", `{"model": "tiny", "prompt": "a", "logprobs": 2}`)
	if !strings.Contains(w.Body.String(), `"logprobs":`+want) {
		t.Errorf("got %s\nwant %s", w.Body, want)
	}
	w = answertest.Post(h, "/v1/completions", `{"model": "tiny", "prompt": "a", "logprobs": 2, "stream": true}`)
	var offsets []int
	var tokens []string
	list := answertest.DataOf(t, w.Body.String())
	for _, d := range list[:len(list)-1] {
		var c struct {
			Choices []struct {
				Logprobs struct {
					Offset []int `json:"text_offset"`
					Tokens []string
				}
			}
		}
		if err := json.Unmarshal([]byte(d), &c); err != nil {
			t.Fatal(err)
		}
		offsets, tokens = append(offsets, c.Choices[0].Logprobs.Offset...), append(tokens, c.Choices[0].Logprobs.Tokens...)
	}
	answertest.EqualLines(t, tokens, []string{u, u, "!", "<end>"})
	if len(offsets) != 4 || offsets[1] != 0 || offsets[2] != 1 || offsets[3] != 2 {
		t.Errorf("a stream's offsets do not go on: %v", offsets)
	}
}

// With echo the prompt's tokens come first, the first of them without a probability, and offsets go on through both.
func TestLogprobsOfAPromptThatIsEchoed(t *testing.T) {
	f := answertest.New()
	f.Answer = func(_ context.Context, g sdk.GenerateRequest, send func(sdk.Event) error) error {
		return answertest.Script(send,
			sdk.Event{Start: &sdk.Start{Prompt: []int32{1, 2}, PromptLogprobs: []sdk.TokenLogprob{
				{Bytes: []byte("né")}, {Bytes: []byte("e"), Logprob: -1, Top: []sdk.TopLogprob{{Bytes: []byte("x"), Logprob: -0.5}}},
			}}},
			sdk.Event{Token: &sdk.Token{Text: "!", Logprob: &sdk.TokenLogprob{Bytes: []byte("!"), Logprob: -2}}},
			sdk.Event{Finish: &sdk.Finish{Reason: sdk.FinishLength, PromptTokens: 2, CompletionTokens: 1}})
	}
	for _, c := range []struct{ fields, text, want string }{
		{`"max_tokens": 1`, "née!", `{"text_offset":[0,2,3],"token_logprobs":[null,-1,-2],"tokens":["né","e","!"],"top_logprobs":[null,{"x":-0.5,"e":-1},{"!":-2}]}`},
		{`"max_tokens": 0`, "née", `{"text_offset":[0,2],"token_logprobs":[null,-1],"tokens":["né","e"],"top_logprobs":[null,{"x":-0.5,"e":-1}]}`},
	} {
		w := answertest.Post(New(f, Options{}), "/v1/completions", `{"model": "tiny", "prompt": "née", "echo": true, "logprobs": 1, `+c.fields+`}`)
		if want := `"text":"` + c.text + `","logprobs":` + c.want; !strings.Contains(w.Body.String(), want) {
			t.Errorf("got  %s\nwant %s", w.Body, want)
		}
	}
	for _, g := range f.Seen {
		if !g.PromptLogprobs || !g.Sampling.Logprobs || g.Sampling.TopLogprobs != 1 {
			t.Errorf("asked %+v", g)
		}
	}
	answertest.Post(New(f, Options{}), "/v1/completions", `{"model": "tiny", "prompt": "née", "echo": true}`)
	if f.Seen[2].PromptLogprobs {
		t.Error("echo alone asks for probabilities, which cost a prefill without a cache")
	}
}

func TestEchoPutsThePromptBeforeTheAnswer(t *testing.T) {
	for _, c := range []struct{ fields, want string }{
		{`"prompt": "Hi ", "n": 2`, `Hi Tokyo <é>.|Hi Tokyo <é>.`},
		{`"prompt": ["a", "b"]`, `aTokyo <é>.|bTokyo <é>.`},
		{`"prompt": [104, 105]`, `hiTokyo <é>.`},
		{`"prompt": ["a", "b"], "max_tokens": 0`, `a|b`},
	} {
		for _, stream := range []string{"false", "true"} {
			f := answertest.New()
			w := answertest.Post(New(f, Options{}), "/v1/completions", `{"model": "tiny", "echo": true, "stream": `+stream+`, `+c.fields+`}`)
			bodies := []string{strings.TrimSpace(w.Body.String())}
			if stream == "true" {
				bodies = answertest.DataOf(t, w.Body.String())
				bodies = bodies[:len(bodies)-1]
			}
			texts := make([]string, len(f.Seen))
			for _, b := range bodies {
				var o completionObject
				if err := json.Unmarshal([]byte(b), &o); err != nil {
					t.Fatalf("%s: %v", b, err)
				}
				for _, choice := range o.Choices {
					texts[choice.Index] += choice.Text
				}
			}
			if got := strings.Join(texts, "|"); got != c.want {
				t.Errorf("%s, stream %s: got %q, want %q", c.fields, stream, got, c.want)
			}
		}
	}
}

// A plugin cannot generate nothing; its one token is neither shown nor counted.
func TestEchoOfThePromptAlone(t *testing.T) {
	f := answertest.New()
	w := answertest.Post(New(f, Options{}), "/v1/completions", `{"model": "tiny", "echo": true, "prompt": "abc", "max_tokens": 0, "return_token_ids": true}`)
	for _, want := range []string{`"text":"abc"`, `"finish_reason":"length"`, `"token_ids":[]`, `"prompt_token_ids":[7,8,9]`, `"prompt_tokens":3,"completion_tokens":0,"total_tokens":3`} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %s in %s", want, w.Body)
		}
	}
	if f.Seen[0].MaxTokens != 1 {
		t.Errorf("asked for %d tokens; 0 would mean all that the context holds", f.Seen[0].MaxTokens)
	}
}

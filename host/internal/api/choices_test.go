package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/answer/answertest"
	"github.com/inference-pio/inference-pio/sdk"
)

// The answers of n differ by their Choice alone, which together with the seed keys the generator.
func TestEveryChoiceIsAskedForAtOnce(t *testing.T) {
	f := answertest.New()
	const n = 3
	waiting := make(chan struct{}, n)
	all := make(chan struct{})
	f.Answer = func(ctx context.Context, g sdk.GenerateRequest, send func(sdk.Event) error) error {
		if err := send(answertest.Start(7, 8)); err != nil {
			return err
		}
		if waiting <- struct{}{}; len(waiting) == n {
			close(all)
		}
		<-all // nobody would come here if the choices ran one after the other
		return answertest.Script(send, answertest.Token(0, 40, fmt.Sprint("choice ", g.Choice)),
			sdk.Event{Finish: &sdk.Finish{Reason: sdk.FinishStop, PromptTokens: 2, CachedTokens: 2 * g.Choice, CompletionTokens: 10}})
	}
	w := answertest.Post(New(f, Options{}), "/v1/chat/completions", chatWith(`"n": 3`))
	var got struct {
		Choices []struct {
			Index   int
			Message struct{ Content string }
		}
		Usage struct {
			Prompt     int `json:"prompt_tokens"`
			Completion int `json:"completion_tokens"`
			Total      int `json:"total_tokens"`
			Details    struct {
				Cached int `json:"cached_tokens"`
			} `json:"prompt_tokens_details"`
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Choices) != n {
		t.Fatalf("%d choices: %s", len(got.Choices), w.Body)
	}
	for i, c := range got.Choices {
		if c.Index != i || c.Message.Content != fmt.Sprint("choice ", i) {
			t.Errorf("choice %d is %+v", i, c)
		}
	}
	// One prompt was read, whatever its neighbours found of it in the cache; three answers were written.
	if u := got.Usage; u.Prompt != 2 || u.Completion != 30 || u.Total != 32 || u.Details.Cached != 0 {
		t.Errorf("usage %+v", u)
	}
	ids, seeds := map[string]bool{}, map[uint64]bool{}
	for _, g := range f.Seen {
		ids[g.ID], seeds[g.Sampling.Seed] = true, true
		if !strings.HasPrefix(g.ID, w.Header().Get("X-Request-Id")) {
			t.Errorf("the choice's id %q has nothing of the request's", g.ID)
		}
	}
	if len(ids) != n || len(seeds) != 1 {
		t.Errorf("%d ids and %d seeds; want %d ids, one seed", len(ids), len(seeds), n)
	}
}

func TestChoicesOfSeveralPromptsCountThrough(t *testing.T) {
	f := answertest.New()
	f.Answer = func(_ context.Context, g sdk.GenerateRequest, send func(sdk.Event) error) error {
		prompt := g.Tokens // of all but the first answer to a prompt
		if g.HasText {
			prompt = []int32{int32(g.Text[0])}
		}
		if g.HasText != (g.Choice == 0) {
			t.Errorf("choice %d is asked for with the text %q and the ids %v", g.Choice, g.Text, g.Tokens)
		}
		return answertest.Script(send, answertest.Start(prompt...), answertest.Token(0, 1, fmt.Sprint(string(rune(prompt[0])), g.Choice)),
			sdk.Event{Finish: &sdk.Finish{Reason: sdk.FinishStop, PromptTokens: 5, CompletionTokens: 1}})
	}
	w := answertest.Post(New(f, Options{}), "/v1/completions", `{"model": "tiny", "prompt": ["a", "b"], "n": 2}`)
	var got completionObject
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	var texts []string
	for i, c := range got.Choices {
		if c.Index != i {
			t.Errorf("choice %d has the index %d", i, c.Index)
		}
		texts = append(texts, c.Text)
	}
	answertest.EqualLines(t, texts, []string{"a0", "a1", "b0", "b1"})
	if !strings.Contains(w.Body.String(), `"prompt_tokens":10,"completion_tokens":4,"total_tokens":14`) {
		t.Errorf("two prompts of 5 tokens, four answers of one: %s", w.Body)
	}
}

// The choices' pieces are mixed as they come; each carries its index and each choice its own beginning and end.
func TestChoicesStreamInterleaved(t *testing.T) {
	f := answertest.New()
	turn := []chan struct{}{make(chan struct{}, 1), make(chan struct{}, 1)}
	turn[0] <- struct{}{}
	f.Answer = func(_ context.Context, g sdk.GenerateRequest, send func(sdk.Event) error) error {
		for _, e := range []sdk.Event{answertest.Start(1), answertest.Token(0, 5, "a"), answertest.Token(1, 6, "b"), {Finish: &sdk.Finish{Reason: sdk.FinishStop}}} {
			<-turn[g.Choice]
			if err := send(e); err != nil {
				return err
			}
			turn[1-g.Choice] <- struct{}{}
		}
		return nil
	}
	w := answertest.Post(New(f, Options{}), "/v1/chat/completions", chatWith(`"n": 2, "stream": true`))
	var got []string
	list := answertest.DataOf(t, w.Body.String())
	for _, d := range list[:len(list)-1] {
		var c chatChunk
		if err := json.Unmarshal([]byte(d), &c); err != nil {
			t.Fatal(err)
		}
		one := c.Choices[0]
		line := fmt.Sprint(one.Index, one.Delta.Role)
		if one.Delta.Content != nil {
			line += *one.Delta.Content
		}
		if one.Finish != nil {
			line += string(*one.Finish)
		}
		got = append(got, line)
	}
	answertest.EqualLines(t, got, []string{"0assistant", "1assistant", "0a", "1a", "0b", "1b", "0stop", "1stop"})
	if list[len(list)-1] != "[DONE]" {
		t.Errorf("last event %s", list[len(list)-1])
	}
}

func TestAClientThatLeavesEndsEveryChoice(t *testing.T) {
	f := answertest.New()
	began, ended := make(chan struct{}, 4), make(chan error, 4)
	f.Answer = func(ctx context.Context, _ sdk.GenerateRequest, send func(sdk.Event) error) error {
		if err := send(answertest.Start(1)); err != nil {
			return err
		}
		began <- struct{}{}
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return context.Cause(ctx)
	}
	ctx, leave := context.WithCancel(context.Background())
	r := httptest.NewRequestWithContext(ctx, "POST", "/v1/chat/completions", strings.NewReader(chatWith(`"n": 4`)))
	r.Header.Set("Content-Type", "application/json")
	done := make(chan struct{})
	go func() {
		defer close(done)
		New(f, Options{}).ServeHTTP(httptest.NewRecorder(), r)
	}()
	for range 4 {
		<-began
	}
	leave()
	<-done
	if len(ended) != 4 {
		t.Errorf("%d of 4 choices ended with their client", len(ended))
	}
}

// A prompt that cannot be read is given to the plugin once, however many answers were wanted.
func TestAPromptIsReadOnceForAllItsAnswers(t *testing.T) {
	for path, body := range map[string]string{
		"/v1/chat/completions": chatWith(`"n": 64`), "/v1/completions": `{"model": "tiny", "prompt": "too long", "n": 64}`,
	} {
		f := answertest.New()
		f.Answer = func(context.Context, sdk.GenerateRequest, func(sdk.Event) error) error {
			return sdk.Errorf(sdk.ReasonContext, "it does not fit")
		}
		w := answertest.Post(New(f, Options{}), path, body)
		if w.Code != 400 || len(f.Seen) != 1 {
			t.Errorf("%s: status %d after %d requests to the plugin", path, w.Code, len(f.Seen))
		}
	}
}

// The answers of a chat behind the first go on from what it was read as: the same ids, in the state of reasoning that it ends in.
func TestFurtherAnswersOfAChatBeginFromItsIDs(t *testing.T) {
	f := answertest.New()
	f.Answer = func(_ context.Context, g sdk.GenerateRequest, send func(sdk.Event) error) error {
		return answertest.Script(send, sdk.Event{Start: &sdk.Start{Prompt: []int32{7, 8}, InReasoning: true, ContextLength: 2048}}, answertest.Token(0, 40, "x"),
			sdk.Event{Finish: &sdk.Finish{Reason: sdk.FinishStop, PromptTokens: 2, CompletionTokens: 1}})
	}
	w := answertest.Post(New(f, Options{}), "/v1/chat/completions", chatWith(`"n": 3, "return_token_ids": true`))
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"prompt_token_ids":[7,8]`) {
		t.Fatal(w.Code, w.Body)
	}
	for _, g := range f.Seen {
		if g.Chat == nil {
			t.Fatal("an answer was asked for without its chat")
		}
		if g.Choice == 0 && g.Resume != nil || g.Choice > 0 && !reflect.DeepEqual(g.Resume, &sdk.Resume{Prompt: []int32{7, 8}, InReasoning: true}) {
			t.Errorf("choice %d resumes %+v", g.Choice, g.Resume)
		}
	}
}

package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/answer/answertest"
	"github.com/inference-pio/inference-pio/host/internal/schedule"
	"github.com/inference-pio/inference-pio/sdk"
)

func TestTokenize(t *testing.T) {
	for _, c := range []struct{ body, want string }{
		{`{"model": "tiny", "prompt": "Hi"}`, `{"count":2,"max_model_len":2048,"tokens":[72,105],"token_strs":null}`},
		{`{"model": "small", "prompt": "Hi", "add_special_tokens": false}`, `{"count":2,"max_model_len":2048,"tokens":[72,105],"token_strs":null}`},
		{`{"prompt": "aba", "return_token_strs": true}`, `{"count":3,"max_model_len":2048,"tokens":[97,98,97],"token_strs":["Ġa","Ġb","Ġa"]}`},
		{`{"prompt": ""}`, `{"count":0,"max_model_len":2048,"tokens":[],"token_strs":null}`},
		{`{"prompt": "", "return_token_strs": true}`, `{"count":0,"max_model_len":2048,"tokens":[],"token_strs":[]}`},
	} {
		w := answertest.Post(New(answertest.New(), Options{}), "/tokenize", c.body)
		answertest.EqualLines(t, []string{strings.TrimSpace(w.Body.String())}, []string{c.want})
	}
}

func TestTokenizeRendersMessages(t *testing.T) {
	f := answertest.New()
	var seen sdk.Chat
	f.Rendered = func(chat sdk.Chat) (string, error) {
		seen = chat
		return "ok", nil
	}
	w := answertest.Post(New(f, Options{}), "/tokenize", `{"messages": [{"role": "user", "content": "Hi"}], "tools": [`+weatherTool+`],
		"add_generation_prompt": false, "chat_template_kwargs": {"a": 1}, "reasoning_effort": "none", "add_special_tokens": false, "continue_final_message": false}`)
	answertest.EqualLines(t, []string{strings.TrimSpace(w.Body.String())}, []string{`{"count":2,"max_model_len":2048,"tokens":[111,107],"token_strs":null}`})
	want := sdk.Chat{
		Messages: json.RawMessage(`[{"role": "user", "content": "Hi"}]`), Tools: json.RawMessage("[" + weatherTool + "]"),
		Kwargs: json.RawMessage(`{"a": 1,"enable_thinking":false,"reasoning_effort":"none","add_generation_prompt":false}`),
	}
	if !reflect.DeepEqual(seen, want) {
		t.Errorf("rendered %s %s %s", seen.Messages, seen.Tools, seen.Kwargs)
	}
}

// A picture is not fetched to be counted, and a model that takes none can tell that it is there.
func TestTokenizeTellsOfPictures(t *testing.T) {
	f := answertest.New()
	var seen sdk.Chat
	f.Rendered = func(chat sdk.Chat) (string, error) {
		seen = chat
		return "ok", nil
	}
	w := answertest.Post(New(f, Options{}), "/tokenize", `{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "http://127.0.0.1:1/a.png"}, {"type": "text", "text": "Hi"}]}]}`)
	want := `[{"role": "user", "content": [{"type":"image"}, {"type": "text", "text": "Hi"}]}]`
	if w.Code != 200 || string(seen.Messages) != want || len(seen.Images) != 1 || len(seen.Images[0]) != 0 {
		t.Errorf("%d %s; rendered %s with %d images", w.Code, w.Body, seen.Messages, len(seen.Images))
	}
}

func TestATemplatesRefusalBlamesTheMessages(t *testing.T) {
	f := answertest.New()
	f.Rendered = func(sdk.Chat) (string, error) {
		return "", sdk.Errorf(sdk.ReasonTemplate, "the chat template refused the messages: roles must alternate")
	}
	w := answertest.Post(New(f, Options{}), "/tokenize", `{"messages": [{"role": "user", "content": "Hi"}]}`)
	if e := errorOf(t, w); w.Code != 400 || deref(e.Param) != "messages" || deref(e.Code) != "chat_template_error" || !strings.HasSuffix(e.Message, "roles must alternate") {
		t.Errorf("%d %+v", w.Code, e)
	}
}

func TestDetokenize(t *testing.T) {
	for _, c := range []struct{ body, want string }{
		{`{"model": "tiny", "tokens": [72, 105]}`, `{"prompt":"Hi"}`},
		{`{"tokens": []}`, `{"prompt":""}`},
	} {
		w := answertest.Post(New(answertest.New(), Options{}), "/detokenize", c.body)
		answertest.EqualLines(t, []string{strings.TrimSpace(w.Body.String())}, []string{c.want})
	}
}

// With one model there is no doubt; with two there is.
func TestTheModelMayBeLeftOutWhereThereIsOne(t *testing.T) {
	f := answertest.New()
	f.Status = append(f.Status, schedule.Status{ID: "other"})
	if w := answertest.Post(New(f, Options{}), "/detokenize", `{"tokens": [72]}`); w.Code != 400 || deref(errorOf(t, w).Param) != "model" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// Ids and texts hold room until their client has read them: a client that does not read takes nobody's memory but its own.
func TestLargeAnswersOfATokenizerAreBoundedTogether(t *testing.T) {
	ids := "1" + strings.Repeat(",1", 1<<16)
	for _, c := range []struct{ path, body string }{
		{"/tokenize", `{"model": "tiny", "prompt": "` + strings.Repeat("a", 90_000) + `"}`},
		{"/tokenize", `{"model": "tiny", "return_token_strs": true, "prompt": "` + strings.Repeat("a", 20_000) + `"}`},
		{"/detokenize", `{"model": "tiny", "tokens": [` + ids + `]}`},
	} {
		h := New(answertest.New(), Options{MaxBodies: 1 << 20, MaxBody: 1 << 20})
		slow := &reluctant{ResponseRecorder: httptest.NewRecorder(), begun: make(chan struct{}), goOn: make(chan struct{})}
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			r := httptest.NewRequest(http.MethodPost, c.path, strings.NewReader(c.body))
			r.Header.Set("Content-Type", "application/json")
			h.ServeHTTP(slow, r)
		}()
		<-slow.begun
		refusedWith(t, "a second one of "+c.path, answertest.Post(h, c.path, c.body), 503, "overloaded", "server.max_bodies")
		if w := answertest.Post(h, "/tokenize", `{"model": "tiny", "prompt": "a few words"}`); w.Code != 200 {
			t.Errorf("a small one beside it: %d %.200s", w.Code, w.Body)
		}
		close(slow.goOn)
		<-sent
		if w := answertest.Post(h, c.path, c.body); w.Code != 200 {
			t.Errorf("%s after it was sent: %d %.200s", c.path, w.Code, w.Body)
		}
	}
}

package api

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/answer/answertest"
	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/host/internal/fetch"
	"github.com/inference-pio/inference-pio/host/internal/problem"
	"github.com/inference-pio/inference-pio/sdk"
)

// drawn is the beginning of a PNG, which is all that the host looks at, followed by what tells files apart.
func drawn(what string) string { return "\x89PNG\r\n\x1a\n" + what }

func url(file string) string {
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString([]byte(file))
}

func withPictures(urls ...string) string {
	var parts []string
	for _, u := range urls {
		parts = append(parts, fmt.Sprintf(`{"type":"image_url","image_url":{"url":%q}}`, u))
	}
	return `{"model":"tiny","messages":[{"role":"user","content":[` + strings.Join(parts, ",") + `,{"type":"text","text":"What?"}]}]`
}

func TestPicturesReachThePluginInOrder(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "c.png"), []byte(drawn("c")), 0o600); err != nil {
		t.Fatal(err)
	}
	f := answertest.New()
	h := New(f, Options{Pictures: fetch.New(config.Pictures{Dirs: []string{dir}})})
	w := answertest.Post(h, "/v1/chat/completions", withPictures(url(drawn("a")), "file://"+dir+"/c.png", url(drawn("b")), url(drawn("a")))+`,"n":2}`)
	if w.Code != 200 {
		t.Fatal(w.Body)
	}
	if len(f.Seen) != 2 {
		t.Fatalf("%d requests to the plugin", len(f.Seen))
	}
	for _, g := range f.Seen {
		var got []string
		for _, file := range g.Chat.Images {
			got = append(got, string(file))
		}
		answertest.EqualLines(t, got, []string{drawn("a"), drawn("c"), drawn("b"), drawn("a")})
		const want = `[{"role":"user","content":[{"type":"image"},{"type":"image"},{"type":"image"},{"type":"image"},{"type":"text","text":"What?"}]}]`
		if string(g.Chat.Messages) != want {
			t.Errorf("messages %s", g.Chat.Messages)
		}
	}
}

// The first picture that fails is the one that is told, and ends the others.
func TestAPictureThatCannotBeHadIsBlamed(t *testing.T) {
	f := answertest.New()
	w := answertest.Post(New(f, Options{}), "/v1/chat/completions", withPictures(url(drawn("a")), "data:image/png;base64,", url(drawn("b")))+"}")
	e := errorOf(t, w)
	if w.Code != 400 || deref(e.Param) != "messages[0].content[1].image_url" || !strings.HasPrefix(e.Message, "messages[0].content[1].image_url: the data: URL holds no bytes") {
		t.Errorf("%d %q %q", w.Code, deref(e.Param), e.Message)
	}
	if len(f.Seen) != 0 {
		t.Error("the plugin was asked all the same")
	}
}

// The bytes come from files, so that the bodies are small.
func TestPicturesThatAreTooMuch(t *testing.T) {
	dir := t.TempDir()
	var each []string // 9 files of 7 MiB
	for i := range 9 {
		name := filepath.Join(dir, fmt.Sprint(i, ".png"))
		if err := os.WriteFile(name, []byte(drawn(strings.Repeat("x", 7<<20))), 0o600); err != nil {
			t.Fatal(err)
		}
		each = append(each, name)
	}
	one := each[0]
	rules := config.Pictures{Dirs: []string{dir}}
	h := New(answertest.New(), Options{Pictures: fetch.New(rules)})
	rules.MaxBytes = 1 << 20
	strict := New(answertest.New(), Options{Pictures: fetch.New(rules)})
	for _, c := range []struct {
		name        string
		h           http.Handler
		body        string
		param, said string
	}{
		{"one", strict, withPictures(one) + "}", "messages[0].content[0].image_url", "the picture is larger than 1 MiB, the most this host takes of one"},
		{"one as a data: URL", strict, withPictures(url(drawn(strings.Repeat("x", 1<<20)))) + "}", "messages[0].content[0].image_url", "the picture is larger than 1 MiB"},
		{"all", h, withPictures(each...) + "}", "", "with this picture there are more than 60 MiB of them in the request"},
		{"one, many times", h, withPictures(one, one, one, one, one, one, one, one, one) + "}", "messages", "expected at most 60 MiB together, which is what a plugin takes"},
		{"for each of n answers", h, withPictures(one) + `,"n":64}`, "n", "bytes of pictures are sent to the plugin for each answer; expected at most 256 MiB together"},
	} {
		w := answertest.Post(c.h, "/v1/chat/completions", c.body)
		e := errorOf(t, w)
		if w.Code != 400 || c.param != "" && deref(e.Param) != c.param || !strings.Contains(e.Message, c.said) {
			t.Errorf("%s: %d %q %q", c.name, w.Code, deref(e.Param), e.Message)
		}
	}
	if w := answertest.Post(h, "/v1/chat/completions", withPictures(each[:8]...)+"}"); w.Code != 200 {
		t.Errorf("just enough: %d %s", w.Code, w.Body)
	}
}

// /tokenize tells where pictures are, not how many tokens each will be, so that none is fetched.
func TestTokenizeFetchesNothing(t *testing.T) {
	w := answertest.Post(New(answertest.New(), Options{}), "/tokenize", withPictures("https://example.com/a.png")+"}")
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"count":`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// Who asks for a model that is not here sends the host nowhere.
func TestNothingIsFetchedForAnUnknownModel(t *testing.T) {
	body := strings.Replace(withPictures("https://example.com/a.png"), `"tiny"`, `"huge"`, 1) + "}"
	if w := answertest.Post(New(answertest.New(), Options{}), "/v1/chat/completions", body); w.Code != 404 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// A client that is gone is no mistake of the URL's, and the plugin is not bothered.
func TestAClientThatLeavesBeforeItsPictureComes(t *testing.T) {
	var asked atomic.Int32
	ctx, cancel := context.WithCancel(t.Context())
	f := answertest.New()
	f.Answer = func(context.Context, sdk.GenerateRequest, func(sdk.Event) error) error {
		asked.Add(1)
		return nil
	}
	h := New(f, Options{Pictures: fetch.New(config.Pictures{Hosts: []string{"*"}, Timeout: time.Hour})})
	r := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(withPictures("https://example.com/a.png")+"}")).WithContext(ctx)
	r.Header.Set("Content-Type", "application/json")
	cancel()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != problem.StatusClientGone || asked.Load() != 0 {
		t.Errorf("%d %s, and the plugin was asked %d times", w.Code, w.Body, asked.Load())
	}
}

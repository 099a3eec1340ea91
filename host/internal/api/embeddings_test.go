package api

import (
	"fmt"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/answer/answertest"
	"github.com/inference-pio/inference-pio/sdk"
)

func TestEmbeddings(t *testing.T) {
	for _, c := range []struct{ body, want string }{
		{`{"model": "small", "input": "0ab"}`, `{"data":[{"object":"embedding","index":0,"embedding":[3,16]}],"model":"small","object":"list","usage":{"prompt_tokens":3,"total_tokens":3}}`},
		{`{"model": "tiny", "input": ["0", "1b"], "encoding_format": "float", "user": "u"}`,
			`{"data":[{"object":"embedding","index":0,"embedding":[1,16]},{"object":"embedding","index":1,"embedding":[2,16.333334]}],"model":"tiny","object":"list","usage":{"prompt_tokens":3,"total_tokens":3}}`},
		{`{"model": "tiny", "input": [6, 7]}`, `{"data":[{"object":"embedding","index":0,"embedding":[2,2]}],"model":"tiny","object":"list","usage":{"prompt_tokens":2,"total_tokens":2}}`},
		{`{"model": "tiny", "input": [[6, 7], "0", [9]], "dimensions": null}`,
			`{"data":[{"object":"embedding","index":0,"embedding":[2,2]},{"object":"embedding","index":1,"embedding":[1,16]},{"object":"embedding","index":2,"embedding":[1,3]}],"model":"tiny","object":"list","usage":{"prompt_tokens":4,"total_tokens":4}}`},
		{`{"model": "tiny", "input": "0ab", "encoding_format": "base64"}`,
			`{"data":[{"object":"embedding","index":0,"embedding":"` + words(3, 16) + `"}],"model":"tiny","object":"list","usage":{"prompt_tokens":3,"total_tokens":3}}`},
	} {
		w := answertest.Post(New(answertest.New(), Options{}), "/v1/embeddings", c.body)
		answertest.EqualLines(t, []string{strings.TrimSpace(w.Body.String())}, []string{c.want})
	}
}

func TestWhatIsNotEmbedded(t *testing.T) {
	f := answertest.New()
	f.Embeds = func(req sdk.EmbedRequest) error {
		switch req.Len() {
		case 2:
			return &sdk.Error{Reason: sdk.ReasonContext, Message: "the sequence would have 9000 tokens; the context holds 2048"}
		case 3:
			return &sdk.Error{Reason: sdk.ReasonInvalid, Field: "tokens", Message: "there is no id 7"}
		case 4:
			return &sdk.Error{Reason: sdk.ReasonUnimplemented, Field: "model", Message: `the plugin of the model "tiny" does not have the capability "embed"`}
		}
		return nil
	}
	for _, c := range []struct {
		body        string
		status      int
		param, text string
	}{
		{`{"input": "a"}`, 400, "model", "model is missing"},
		{`{"model": "none", "input": "a"}`, 404, "model", `the model "none" does not exist`},
		{`{"model": "tiny"}`, 400, "input", "input is missing"},
		{`{"model": "tiny", "input": ""}`, 400, "input", "input has an empty text at place 0"},
		{`{"model": "tiny", "input": ["a", ""]}`, 400, "input", "input has an empty text at place 1"},
		{`{"model": "tiny", "input": []}`, 400, "input", "expected a text, a list of texts"},
		{`{"model": "tiny", "input": [[]]}`, 400, "input", "expected a text, a list of texts"},
		{`{"model": "tiny", "input": [` + strings.Repeat(`"a",`, 2048) + `"a"]}`, 400, "input", "at most 2048"},
		{`{"model": "tiny", "input": "a", "dimensions": 256}`, 400, "dimensions", "dimensions is 256; expected nothing: this host does not support the field yet"},
		{`{"model": "tiny", "input": "a", "encoding_format": "int8"}`, 400, "encoding_format", `expected "float" or "base64"`},
		{`{"model": "tiny", "input": ["a", "b"]}`, 400, "input", "This model's maximum context length is 2048 tokens. However, the sequence would have 9000"},
		{`{"model": "tiny", "input": ["a", "b", "c"]}`, 400, "input", "there is no id 7"},
		{`{"model": "tiny", "input": ["a", "b", "c", "d"]}`, 400, "model", `does not have the capability "embed"`},
	} {
		w := answertest.Post(New(f, Options{}), "/v1/embeddings", c.body)
		if e := errorOf(t, w); w.Code != c.status || deref(e.Param) != c.param || !strings.Contains(e.Message, c.text) {
			t.Errorf("%.60s: %d, param %q: %s; want %d, %q, %q", c.body, w.Code, deref(e.Param), e.Message, c.status, c.param, c.text)
		}
	}
}

// Many inputs are sent in parts, of a number and of bytes, and come back in order.
func TestInputsAreEmbeddedInParts(t *testing.T) {
	f := answertest.New()
	var list []string
	for i := range 150 {
		list = append(list, `"`+strings.Repeat("a", i+1)+`"`)
	}
	list = append(list, `"`+strings.Repeat("b", 1<<20)+`"`, `"c"`)
	w := answertest.Post(New(f, Options{}), "/v1/embeddings", `{"model": "tiny", "input": [`+strings.Join(list, ",")+`]}`)
	var sizes []string
	for _, req := range f.Embedded {
		sizes = append(sizes, fmt.Sprint(req.Len()))
	}
	answertest.EqualLines(t, sizes, []string{"64", "64", "22", "1", "1"})
	for i := range 150 {
		if !strings.Contains(w.Body.String(), fmt.Sprintf(`{"object":"embedding","index":%d,"embedding":[%d,32.333332]}`, i, i+1)) {
			t.Fatalf("no vector for input %d", i)
		}
	}
}

package openai

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/body"
)

// What is not a picture stays as it was sent, to the byte: order, spaces, escapes, keys nobody knows, keys that are there twice.
func TestOnlyPicturesAreReplacedInMessages(t *testing.T) {
	sent := `[ {"b":1.0,"role":"user" , "content" : [{"text":"\u00e9 \"[","type":"text"}, PICTURE("x:1") ,{"type":"text","text":"]","extra":{"content":[1]}},PICTURE("x:2")]},` +
		`{"role":"assistant","content":"image_url","tool_calls":[{"function":{"name":"f","arguments":"{\"content\":[]}"}}]},` +
		`{"role":"tool","content":null},{"c\u006fntent":[PICTURE("x:3")],"role":"user","content":[],"n":[-1e3,true]}]`
	forms := []string{
		`{"type":"image_url","image_url":{"url":URL}}`,
		`{ "image_url" : URL , "type" : "image_url" }`,
		`{"image_url":{"detail":"low","url":URL},"type":"image_url","uuid":"7"}`,
	}
	for _, form := range forms {
		body, want := sent, sent
		for _, url := range []string{`"x:1"`, `"x:2"`, `"x:3"`} {
			body = strings.Replace(body, "PICTURE("+url+")", strings.Replace(form, "URL", url, 1), 1)
			want = strings.Replace(want, "PICTURE("+url+")", `{"type":"image"}`, 1)
		}
		got, list, err := splitPictures(json.RawMessage(body))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s\n got %s\nwant %s", form, got, want)
		}
		wantList := []answer.Picture{
			{Path: "messages[0].content[1].image_url", URL: "x:1"}, {Path: "messages[0].content[3].image_url", URL: "x:2"}, {Path: "messages[3].content[0].image_url", URL: "x:3"},
		}
		if !slices.Equal(list, wantList) {
			t.Errorf("%s: pictures %v", form, list)
		}
	}
}

// OpenAI's models refuse in fields of their own, which templates do not know: the words are an answer like others.
func TestRefusalsOfEarlierTurnsAreText(t *testing.T) {
	for sent, want := range map[string]string{
		`[{"role":"assistant","content":[{"type":"refusal","refusal":"I \u0063an't"} , {"type":"text","text":"b"}]}]`: `[{"role":"assistant","content":[{"type":"text","text":"I \u0063an't"} , {"type":"text","text":"b"}]}]`,
		`[{"role":"assistant","content":null,"refusal":"No."},{"role":"user","content":null}]`:                        `[{"role":"assistant","content":"No.","refusal":"No."},{"role":"user","content":null}]`,
		`[{"role":"assistant","content":"Yes","refusal":null},{"role":"assistant","content":null,"refusal":null}]`:    `[{"role":"assistant","content":"Yes","refusal":null},{"role":"assistant","content":null,"refusal":null}]`,
	} {
		got, pictures, err := splitPictures(json.RawMessage(sent))
		if err != nil || pictures != nil || string(got) != want {
			t.Errorf("%s: %v, %v\n got %s\nwant %s", sent, pictures, err, got, want)
		}
	}
}

func TestMessagesWithoutPicturesAreNotCopied(t *testing.T) {
	v := json.RawMessage(`[{"role":"user","content":[{"type":"text","text":"a"}]}]`)
	got, list, err := splitPictures(v)
	if err != nil || list != nil || &got[0] != &v[0] {
		t.Errorf("%s, %v, %v", got, list, err)
	}
}

func TestTooManyPictures(t *testing.T) {
	part := `{"type":"image_url","image_url":"x:1"}`
	many := func(n int) json.RawMessage {
		return json.RawMessage(`[{"role":"user","content":[` + part + strings.Repeat(","+part, n-1) + `]}]`)
	}
	if _, list, err := splitPictures(many(answer.MaxPictures)); err != nil || len(list) != answer.MaxPictures {
		t.Errorf("%d pictures: %v", len(list), err)
	}
	if _, _, err := splitPictures(many(answer.MaxPictures + 1)); err == nil || err.Error() != "has more than 128 pictures" {
		t.Errorf("one more: %v", err)
	}
}

// The places of values are those that encoding/json finds, for any JSON; and whatever messages there are, what comes out is JSON in
// which a picture is where a picture was.
func FuzzSpans(f *testing.F) {
	f.Add([]byte(`[1, "a\\\"]" ,{"x":[{}],"y":-1e5},[[]],null , true]`))
	f.Add([]byte(` {"a":{"b":"}"},"a":[1,2],"":0}`))
	f.Add([]byte(`[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}},{"type":"text","text":"\\"}]},7]`))
	f.Add([]byte(`[{"content":[{"type":"text","type":"image_url","image_url":"\u0000","text":""}],"content":"a"}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var v json.RawMessage
		if json.Unmarshal(text, &v) != nil {
			return
		}
		var want []json.RawMessage
		if v[0] == '[' {
			if err := json.Unmarshal(v, &want); err != nil {
				t.Fatal(err)
			}
		}
		n := 0
		for s := range body.Elements(v, 0) {
			if n >= len(want) || !bytes.Equal(v[s.From:s.To], want[n]) {
				t.Fatalf("element %d of %s is %s", n, v, v[s.From:s.To])
			}
			n++
		}
		if n != len(want) {
			t.Fatalf("%d elements of %s", n, v)
		}
		if values, depth := body.Extent(v); values != valuesOf(t, v) || depth > len(v) {
			t.Fatalf("%d values of %s, %d deep", values, v, depth)
		}
		last := map[string]json.RawMessage{}
		for key, s := range body.FieldsOf(v, 0) {
			last[key] = json.RawMessage(v[s.From:s.To])
		}
		var object map[string]json.RawMessage
		if v[0] == '{' && json.Unmarshal(v, &object) == nil {
			for key, value := range object {
				if !bytes.Equal(last[key], value) {
					t.Fatalf("%q of %s is %s, want %s", key, v, last[key], value)
				}
			}
		}
		if v[0] != '[' {
			return
		}
		out, list, err := splitPictures(v)
		if err == nil && (!json.Valid(out) || bytes.Count(out, []byte(imagePart)) < len(list)) {
			t.Fatalf("%s became %s with %d pictures", v, out, len(list))
		}
	})
}

// valuesOf counts the values of a JSON text as encoding/json finds them.
func valuesOf(t *testing.T, text []byte) (n int) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	type level struct{ object, key bool }
	stack := []level{{}}
	for {
		token, err := d.Token()
		if err != nil {
			return n
		}
		top := &stack[len(stack)-1]
		switch token {
		case json.Delim(']'), json.Delim('}'):
			stack = stack[:len(stack)-1]
			continue
		}
		if top.object && top.key {
			top.key = false
			continue
		}
		top.key = top.object
		n++
		switch token {
		case json.Delim('['):
			stack = append(stack, level{})
		case json.Delim('{'):
			stack = append(stack, level{object: true, key: true})
		}
	}
}

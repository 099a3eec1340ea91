package text

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/engine"
)

func wantInvalid(t testing.TB, err error, field string) {
	t.Helper()
	var e *sdk.Error
	if !errors.As(err, &e) || e.Reason != sdk.ReasonInvalid || e.Field != field {
		t.Errorf("want an invalid %s, got %v", field, err)
	}
}

func ptr[T any](v T) *T { return &v }

func TestDefaultsComeFromTheCheckpoint(t *testing.T) {
	for name, c := range map[string]struct {
		generation, config string
		want               engine.Params
		eos                []int32
	}{
		"nothing":           {"", "", engine.Params{Temperature: 1}, nil},
		"sampling":          {`{"do_sample": true, "temperature": 0.6, "top_p": 0.95, "top_k": 20, "repetition_penalty": 1.05}`, "", engine.Params{Temperature: 0.6, TopP: 0.95, TopK: 20, RepetitionPenalty: 1.05}, nil},
		"greedy":            {`{"do_sample": false, "temperature": 0.6}`, "", engine.Params{}, nil},
		"one end":           {`{"eos_token_id": 3}`, `{"eos_token_id": 9}`, engine.Params{Temperature: 1}, []int32{3}},
		"several ends":      {`{"eos_token_id": [3, 4]}`, "", engine.Params{Temperature: 1}, []int32{3, 4}},
		"end in config":     {`{"eos_token_id": null}`, `{"eos_token_id": 9}`, engine.Params{Temperature: 1}, []int32{9}},
		"end in the text's": {"", `{"text_config": {"eos_token_id": 11}}`, engine.Params{Temperature: 1}, []int32{11}},
	} {
		dir := t.TempDir()
		if c.generation != "" {
			write(t, filepath.Join(dir, "generation_config.json"), c.generation)
		}
		if c.config != "" {
			write(t, filepath.Join(dir, "config.json"), c.config)
		}
		m, err := Open(context.Background(), dir)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := m.Params(sdk.Sampling{}); !reflect.DeepEqual(got, c.want) || !reflect.DeepEqual(m.EOS(), c.eos) {
			t.Errorf("%s: %+v, ends %v", name, got, m.EOS())
		}
	}
}

func TestClientOverridesTheCheckpoint(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "generation_config.json"), `{"do_sample": false, "top_p": 0.9, "top_k": 20}`)
	m, err := Open(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	s := sdk.Sampling{Seed: 4, Temperature: ptr(0.8), TopP: ptr(1.0), TopK: ptr(-1), MinP: ptr(0.1), PresencePenalty: ptr(0.2), FrequencyPenalty: ptr(0.3),
		RepetitionPenalty: ptr(1.4), LogitBias: map[int32]float64{1: 2}, Logprobs: true, TopLogprobs: 3}
	want := engine.Params{Seed: 4, Temperature: 0.8, TopP: 1, TopK: -1, MinP: 0.1, PresencePenalty: 0.2, FrequencyPenalty: 0.3,
		RepetitionPenalty: 1.4, LogitBias: map[int32]float64{1: 2}, Logprobs: true, TopLogprobs: 3}
	if got := m.Params(s); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

// A field that is added to sdk.Sampling and forgotten on the way fails here.
func TestEverySamplingFieldReachesTheEngine(t *testing.T) {
	kind := reflect.TypeFor[sdk.Sampling]()
	for i := range kind.NumField() {
		name := kind.Field(i).Name
		var s sdk.Sampling
		field := reflect.ValueOf(&s).Elem().Field(i)
		var want any
		switch field.Interface().(type) {
		case *float64:
			want = 0.25
			field.Set(reflect.ValueOf(ptr(0.25)))
		case *int:
			want = 7
			field.Set(reflect.ValueOf(ptr(7)))
		case uint64:
			want = uint64(9)
		case int:
			want = 3
		case bool:
			want = true
		case map[int32]float64:
			want = map[int32]float64{3: -1}
		default:
			t.Fatalf("%s has a type this test does not know", name)
		}
		if field.Kind() != reflect.Pointer {
			field.Set(reflect.ValueOf(want))
		}
		got := reflect.ValueOf(new(Model).Params(s)).FieldByName(name)
		if !got.IsValid() || !reflect.DeepEqual(got.Interface(), want) {
			t.Errorf("%s is lost: %v", name, got)
		}
	}
}

func TestTopPOfZeroTakesTheLikeliest(t *testing.T) {
	p := new(Model).Params(sdk.Sampling{Temperature: ptr(1.0), TopP: ptr(0.0)})
	for position := range 200 {
		if id, _, err := engine.NewSampler(p, 0).Sample([]float32{1, 1.1, 0.9}, position); err != nil || id != 1 {
			t.Fatalf("id %d, %v", id, err)
		}
	}
}

func TestBadCheckpointFilesAreNamed(t *testing.T) {
	for name, c := range map[string]struct{ file, text, words string }{
		"broken JSON":      {"generation_config.json", `{"top_k": `, "generation_config.json"},
		"wrong type":       {"generation_config.json", `{"top_k": "many"}`, "top_k"},
		"out of range":     {"generation_config.json", `{"top_p": 7}`, "top_p"},
		"end is a word":    {"generation_config.json", `{"eos_token_id": "</s>"}`, "an id or a list of ids"},
		"broken config":    {"config.json", `[]`, "config.json"},
		"broken tokenizer": {"tokenizer.json", `{}`, "tokenizer.json"},
	} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, c.file), c.text)
		if _, err := Open(context.Background(), dir); sdk.ReasonOf(err) != sdk.ReasonCheckpoint || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whoever opened a pipe that nobody writes to would wait for ever.
func TestOnlyRegularFilesOfACheckpointAreOpened(t *testing.T) {
	inPlaceOf := map[string]string{"chat_template.json": "chat_template.jinja", "config.json": "generation_config.json"}
	for _, file := range []string{"tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "chat_template.json", "additional_chat_templates/tool_use.jinja",
		"generation_config.json", "config.json"} {
		dir := checkpoint(t, "qwen3_0_6b")
		path := filepath.Join(dir, file)
		if strings.HasPrefix(file, "additional") { // read only beside this one
			write(t, filepath.Join(dir, "chat_template.jinja"), "{{ messages }}")
		}
		if other, ok := inPlaceOf[file]; ok {
			if err := os.Remove(filepath.Join(dir, other)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.RemoveAll(path), syscall.Mkfifo(path, 0o600)); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(context.Background(), dir); sdk.ReasonOf(err) != sdk.ReasonCheckpoint || !strings.Contains(err.Error(), path+": is a named pipe") {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestBadRequestsNameTheField(t *testing.T) {
	m := open(t, "qwen3_0_6b")
	chat := func(messages, tools, kwargs string) sdk.GenerateRequest {
		return sdk.GenerateRequest{Chat: &sdk.Chat{Messages: []byte(messages), Tools: []byte(tools), Kwargs: []byte(kwargs)}}
	}
	const hello = `[{"role": "user", "content": "hello"}]`
	for _, c := range []struct {
		field string
		req   sdk.GenerateRequest
	}{
		{"prompt", sdk.GenerateRequest{}},
		{"prompt", sdk.GenerateRequest{Text: "a", Tokens: []int32{1}}},
		{"prompt", sdk.GenerateRequest{Text: "\xff"}},
		{"prompt", sdk.GenerateRequest{Tokens: []int32{}}},
		{"prompt", sdk.GenerateRequest{Tokens: []int32{9999}}},
		{"messages", chat("", "", "")},
		{"messages", chat("null", "", "")},
		{"messages", chat(`{"role": "user"}`, "", "")},
		{"messages", chat("[]", "", "")},
		{"messages", chat(`["hello"]`, "", "")},
		{"messages", chat(`[null]`, "", "")},
		{"messages", chat(`[{"content": "hello"}]`, "", "")},
		{"messages", chat(`[{"role": 7}]`, "", "")},
		{"messages", chat(`[{"role": "user"`, "", "")},
		{"messages[1].role", chat(`[{"role": "user", "content": "x"}, {"role": "critic", "content": "y"}]`, "", "")},
		{"tools", chat(hello, `{}`, "")},
		{"tools", chat(hello, `["x"]`, "")},
		{"chat_template_kwargs", chat(hello, "", `[]`)},
		{"max_tokens", sdk.GenerateRequest{Tokens: []int32{1}, MaxTokens: -1}},
		{"stop", sdk.GenerateRequest{Tokens: []int32{1}, Stop: []string{""}}},
		{"temperature", sdk.GenerateRequest{Tokens: []int32{1}, Sampling: sdk.Sampling{Temperature: ptr(-1.0)}}},
	} {
		events, err := run(t, m, c.req, &script{vocab: scriptVocab})
		wantInvalid(t, err, c.field)
		if len(events) > 0 {
			t.Errorf("%s: %d events before the error", c.field, len(events))
		}
	}
	if _, err := m.Render(context.Background(), sdk.Chat{Messages: []byte(hello), Tools: []byte(" null "), Kwargs: []byte("null")}); err != nil {
		t.Errorf("null for nothing: %v", err)
	}
}

func TestPromptThatDoesNotFitIsToldBeforeAnyEvent(t *testing.T) {
	m := open(t, "qwen3_0_6b")
	events, err := run(t, m, sdk.GenerateRequest{Tokens: make([]int32, 2048)}, &script{vocab: scriptVocab})
	if sdk.ReasonOf(err) != sdk.ReasonContext || len(events) > 0 || !strings.Contains(err.Error(), "2048") {
		t.Errorf("%d events, %v", len(events), err)
	}
}

// What is certain not to fit costs no memory: the longest text costs what it is, and no more.
func TestPromptThatCannotFitIsNotTokenized(t *testing.T) {
	m := open(t, "qwen3_0_6b")
	long := strings.Repeat("a ", 4<<20)
	for name, req := range map[string]sdk.GenerateRequest{
		"text": {Text: long}, "chat": {Chat: &sdk.Chat{Messages: []byte(`[{"role":"user","content":"` + long + `"}]`)}},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		events, err := run(t, m, req, &script{vocab: scriptVocab})
		runtime.ReadMemStats(&after)
		if sdk.ReasonOf(err) != sdk.ReasonContext || len(events) > 0 || !strings.Contains(err.Error(), "at least") {
			t.Errorf("%s: %d events, %v", name, len(events), err)
		}
		most := uint64(1 << 20)
		if name == "chat" { // its JSON is read and written
			most = uint64(20 * len(long))
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > most {
			t.Errorf("%s: %d MiB were made of a text of 8 MiB", name, took>>20)
		}
	}
}

// A text that has the context to itself may fill it.
func TestTextThatCannotFitIsNotTokenized(t *testing.T) {
	m := open(t, "qwen3_0_6b")
	ctx := context.Background()
	long := strings.Repeat("a ", 4<<20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := m.TokenizeWithin(ctx, long, 2048)
	runtime.ReadMemStats(&after)
	if sdk.ReasonOf(err) != sdk.ReasonContext || !strings.Contains(err.Error(), "at least") {
		t.Errorf("%v", err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
		t.Errorf("%d MiB were made of a text of 8 MiB", took>>20)
	}

	text := strings.Repeat("a ", 100)
	bound := m.tokenizer.AtLeast(text)
	want, err := m.Tokenize(ctx, text)
	if err != nil || bound == 0 {
		t.Fatalf("at least %d tokens, %v", bound, err)
	}
	if ids, err := m.TokenizeWithin(ctx, text, bound); err != nil || !slices.Equal(ids, want) {
		t.Errorf("a text that may fill the context: %v, %v", ids, err)
	}
	if _, err := m.TokenizeWithin(ctx, text, bound-1); sdk.ReasonOf(err) != sdk.ReasonContext {
		t.Errorf("one position less: %v", err)
	}
}

func TestTemplatesOwnRefusalIsPassedOn(t *testing.T) {
	dir := checkpoint(t, "qwen3_0_6b")
	write(t, filepath.Join(dir, "chat_template.jinja"), `{{ raise_exception("roles must alternate") }}`)
	m, err := Open(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.Render(context.Background(), sdk.Chat{Messages: []byte(`[{"role": "user", "content": "hello"}]`)})
	if sdk.ReasonOf(err) != sdk.ReasonTemplate || !strings.Contains(err.Error(), "roles must alternate") {
		t.Errorf("%v", err)
	}
}

func TestCheckpointWithoutTemplateHasNoChat(t *testing.T) {
	dir := t.TempDir()
	link(t, filepath.Join("..", "tokenizer", "testdata", "qwen3_0_6b.json"), filepath.Join(dir, "tokenizer.json"))
	m, err := Open(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = m.Prompt(context.Background(), sdk.GenerateRequest{Text: "hello"}); err != nil {
		t.Error(err)
	}
	_, err = m.Render(context.Background(), sdk.Chat{Messages: []byte(`[{"role": "user", "content": "hello"}]`)})
	if sdk.ReasonOf(err) != sdk.ReasonTemplate || !strings.Contains(err.Error(), "no chat template") {
		t.Errorf("%v", err)
	}
}

func FuzzGenerationConfig(f *testing.F) {
	f.Add([]byte(`{"do_sample": true, "temperature": 0.6, "eos_token_id": [1, 2]}`))
	f.Add([]byte(`{"eos_token_id": null, "top_k": 1e99}`))
	f.Add([]byte(`{"repetition_penalty": -1}`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		write(t, filepath.Join(dir, "generation_config.json"), string(text))
		d, err := readDefaults(dir)
		if err == nil && d.sampling.Validate(1) != nil {
			t.Errorf("%q was accepted: %+v", text, d.sampling)
		}
		if err != nil && sdk.ReasonOf(err) != sdk.ReasonCheckpoint {
			t.Errorf("%q: %v", text, err)
		}
	})
}

// No messages crash the way to the prompt; what is refused has a reason that names the client's side.
func FuzzMessages(f *testing.F) {
	m := open(f, "qwen3_0_6b")
	f.Add([]byte(`[{"role": "user", "content": "hello"}]`), []byte(`[]`), []byte(`{"enable_thinking": false}`))
	f.Add([]byte(`[{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{\"a\": 1}"}}]}]`), []byte(`[{"type": "function"}]`), []byte(`null`))
	f.Add([]byte(`[{"role": "tool", "content": [{"type": "text", "text": 5}]}]`), []byte(``), []byte(`{"messages": 3}`))
	f.Fuzz(func(t *testing.T, messages, tools, kwargs []byte) {
		_, err := m.Prompt(context.Background(), sdk.GenerateRequest{Chat: &sdk.Chat{Messages: messages, Tools: tools, Kwargs: kwargs}})
		if reason := sdk.ReasonOf(err); err != nil && reason != sdk.ReasonInvalid && reason != sdk.ReasonTemplate {
			t.Errorf("%s: %v", reason, err)
		}
	})
}

package chat

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// referenceFile is what the reference made of chats with several templates.
type referenceFile struct {
	Chats, Tools map[string]json.RawMessage
	Tokens       map[string]string
	Cases        map[string][]struct {
		Chat, Tools    string
		Options        map[string]json.RawMessage
		Text           *string
		Error, Message string
	}
}

func readFileT(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func parseT(t testing.TB, source string, tokens map[string]string) *Template {
	t.Helper()
	tmpl, err := Parse(source, tokens)
	if err != nil {
		t.Fatal(err)
	}
	return tmpl
}

// checkReference renders every case as it is. Where the reference fails, so must we.
func checkReference(t *testing.T, path string, source func(name string) string) {
	var file referenceFile
	if err := json.Unmarshal(readFileT(t, path), &file); err != nil {
		t.Fatal(err)
	}
	for name, cases := range file.Cases {
		tmpl := parseT(t, source(name), file.Tokens)
		if len(cases) < 200 {
			t.Fatalf("%s: only %d cases", name, len(cases))
		}
		for _, c := range cases {
			generate := string(c.Options["add_generation_prompt"]) == "true"
			delete(c.Options, "add_generation_prompt")
			kwargs, err := json.Marshal(c.Options)
			if err != nil {
				t.Fatal(err)
			}
			got, err := tmpl.Render(context.Background(), Input{Messages: file.Chats[c.Chat], Tools: file.Tools[c.Tools], Kwargs: kwargs, AddGenerationPrompt: generate, Verbatim: true})
			switch {
			case c.Text == nil && err == nil:
				t.Errorf("%s, chat %s, tools %s: got %q, want %s: %s", name, c.Chat, c.Tools, got, c.Error, c.Message)
			case c.Text != nil && err != nil:
				t.Errorf("%s, chat %s, tools %s: %v", name, c.Chat, c.Tools, err)
			case c.Text != nil && got != *c.Text:
				t.Errorf("%s, chat %s, tools %s:\n got  %q\n want %q", name, c.Chat, c.Tools, got, *c.Text)
			}
		}
	}
}

func TestOwnTemplatesRenderAsTheReference(t *testing.T) {
	checkReference(t, "testdata/templates_tiny.json", tinySource(t))
}

func tinySource(t testing.TB) func(string) string {
	return func(name string) string {
		if name == "chatml_hermes_thinking" {
			return "{%- set thinking_model = true %}\n" + string(readFileT(t, "testdata/templates/chatml_hermes.jinja"))
		}
		return string(readFileT(t, filepath.Join("testdata/templates", name+".jinja")))
	}
}

// referenceData is the folder with third parties' templates, which cannot be part of this repository.
func referenceData(t testing.TB) string {
	dir := os.Getenv("PIO_REFERENCE_DATA")
	if dir == "" {
		t.Skip("third-party data: PIO_REFERENCE_DATA is not set: no published templates to compare with")
	}
	return dir
}

func TestPublishedTemplatesRenderAsTheReference(t *testing.T) {
	dir := referenceData(t)
	checkReference(t, filepath.Join(dir, "expected", "templates_published.json"), func(name string) string {
		return string(readFileT(t, filepath.Join(dir, "templates", name+".jinja")))
	})
}

// goldenModel is a tiny checkpoint's text side and what the reference rendered with it.
type goldenModel struct {
	Model           string
	ChatTemplate    *string         `json:"chat_template"`
	TokenizerConfig json.RawMessage `json:"tokenizer_config"`
	Cases           []struct {
		Name            string
		Messages, Tools json.RawMessage
		EnableThinking  *bool `json:"enable_thinking"`
		Rendered        string
	}
}

// TestTinyModelsRenderAsTheReference goes the whole way from a checkpoint's files.
func TestTinyModelsRenderAsTheReference(t *testing.T) {
	var models []goldenModel
	if err := json.Unmarshal(readFileT(t, "testdata/golden.json"), &models); err != nil {
		t.Fatal(err)
	}
	for _, m := range models {
		dir := t.TempDir()
		write(t, dir, "tokenizer_config.json", string(m.TokenizerConfig))
		if m.ChatTemplate != nil {
			write(t, dir, "chat_template.jinja", *m.ChatTemplate)
		}
		tmpl, err := Load(dir)
		if err != nil {
			t.Fatalf("%s: %v", m.Model, err)
		}
		for _, c := range m.Cases {
			in := Input{Messages: c.Messages, Tools: c.Tools, AddGenerationPrompt: true}
			if c.EnableThinking != nil {
				in.Kwargs, _ = json.Marshal(map[string]bool{"enable_thinking": *c.EnableThinking})
			}
			got, err := tmpl.Render(context.Background(), in)
			if err != nil || got != c.Rendered {
				t.Errorf("%s, %s: %v\n got  %q\n want %q", m.Model, c.Name, err, got, c.Rendered)
			}
		}
	}
}

func write(t testing.TB, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestACheckpointWithoutATemplateSaysSo(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(dir); !errors.Is(err, ErrNoTemplate) {
		t.Errorf("empty folder: %v", err)
	}
	write(t, dir, "tokenizer_config.json", `{"eos_token": "</s>", "chat_template": null}`)
	if _, err := Load(dir); !errors.Is(err, ErrNoTemplate) {
		t.Errorf("null template: %v", err)
	}
}

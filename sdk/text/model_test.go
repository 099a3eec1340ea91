package text

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/engine"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sameTokenizer are the tiny models that have another's tokenizer.
var sameTokenizer = map[string]string{"qwen3_coder_next": "qwen3_coder_30b", "qwen3_vl_2b": "qwen3_4b_instruct"}

// checkpoint makes a folder of one of the tiny models' text files; its tokenizer is the tokenizer package's test data.
func checkpoint(t testing.TB, name string) string {
	t.Helper()
	dir := t.TempDir()
	files, err := filepath.Glob(filepath.Join("testdata", name, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files for %s: %v", name, err)
	}
	for _, f := range files {
		link(t, f, filepath.Join(dir, filepath.Base(f)))
	}
	if other, ok := sameTokenizer[name]; ok {
		name = other
	}
	link(t, filepath.Join("..", "tokenizer", "testdata", name+".json"), filepath.Join(dir, "tokenizer.json"))
	return dir
}

func link(t testing.TB, from, to string) {
	t.Helper()
	abs, err := filepath.Abs(from)
	if err == nil {
		err = os.Symlink(abs, to)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, name string) *Model {
	t.Helper()
	m, err := Open(context.Background(), checkpoint(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func encode(m *Model, text string) []int32 {
	ids, err := m.tokenizer.Encode(context.Background(), text)
	if err != nil {
		panic(err) // a caller who stays and a tokenizer without expressions
	}
	return ids
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// golden cases were computed by Hugging Face transformers and tokenizers.
type goldenCase struct {
	Name      string          `json:"name"`
	Messages  json.RawMessage `json:"messages"`
	Tools     json.RawMessage `json:"tools"`
	Thinking  *bool           `json:"enable_thinking"`
	Rendered  string          `json:"rendered"`
	IDs       []int32         `json:"ids"`
	GreedyIDs []int32         `json:"greedy_ids"`
	Text      string          `json:"greedy_text"`
}

// chats leaves out the cases that are raw prompts.
func chats(t testing.TB, name string) []goldenCase {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name, "golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []goldenCase `json:"cases"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	var list []goldenCase
	for _, c := range file.Cases {
		if c.Messages != nil {
			list = append(list, c)
		}
	}
	if len(list) < 4 {
		t.Fatalf("%s: only %d chats", name, len(list))
	}
	return list
}

func (c *goldenCase) request() sdk.GenerateRequest {
	chat := &sdk.Chat{Messages: c.Messages, Tools: c.Tools}
	if c.Thinking != nil {
		chat.Kwargs, _ = json.Marshal(map[string]bool{"enable_thinking": *c.Thinking})
	}
	return sdk.GenerateRequest{Chat: chat}
}

// script is a model that answers with the given ids, whatever the prompt.
type script struct {
	prompt, vocab int
	answer        []int32
	rows          [][]float32
}

func (s *script) Step(b *engine.Batch) ([][]float32, error) {
	s.rows = s.rows[:0]
	for _, r := range b.Rows {
		if !r.Output {
			continue
		}
		row := make([]float32, s.vocab)
		if n := int(r.Pos) + 1 - s.prompt; n >= 0 && n < len(s.answer) {
			row[s.answer[n]] = 9
		}
		s.rows = append(s.rows, row)
	}
	return s.rows, nil
}

const scriptVocab = 1024

// answer runs one greedy request against a script of the given ids and returns its events.
func answer(t testing.TB, m *Model, req sdk.GenerateRequest, ids []int32) ([]sdk.Event, error) {
	t.Helper()
	prompt, err := m.Prompt(context.Background(), req)
	if err != nil {
		return nil, err
	}
	zero := 0.0
	req.Sampling.Temperature = &zero
	return run(t, m, req, &script{prompt: len(prompt), vocab: scriptVocab, answer: ids})
}

func run(t testing.TB, m *Model, req sdk.GenerateRequest, s *script) (events []sdk.Event, err error) {
	t.Helper()
	e, err := engine.New(s, engine.Config{Blocks: 32, MaxSequences: 1, StepTokens: 128, Context: 2048, Vocab: scriptVocab, PromptLogprobs: true})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	err = m.Generate(context.Background(), e, req, func(ev sdk.Event) error {
		if ev.Finish != nil {
			ev.Finish.Queued = 0 // differs
		}
		events = append(events, ev)
		return nil
	})
	return events, err
}

// shown joins what the events show.
func shown(events []sdk.Event) (text, reasoning string) {
	var a, b strings.Builder
	for _, ev := range events {
		switch {
		case ev.Token != nil:
			a.WriteString(ev.Token.Text)
			b.WriteString(ev.Token.Reasoning)
		case ev.Finish != nil:
			a.WriteString(ev.Finish.Text)
			b.WriteString(ev.Finish.Reasoning)
		}
	}
	return a.String(), b.String()
}

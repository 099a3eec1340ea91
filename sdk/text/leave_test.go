package text

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/engine"
)

// When the client has left, each step on the way to a prompt stops, and says so in the context's words: not as if the request
// or the checkpoint had been wrong.
func TestWorkOnAPromptStopsWhenTheClientHasLeft(t *testing.T) {
	m := open(t, "qwen3_0_6b")
	e, err := engine.New(&script{vocab: scriptVocab}, engine.Config{Blocks: 1 << 13, MaxSequences: 1, StepTokens: 128, Context: 1 << 17, Vocab: scriptVocab}) // which the text fits
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	long := strings.Repeat("long text ", 1<<16)
	content, _ := json.Marshal(long)
	turn := `{"role":"user","content":` + string(content) + `},{"role":"assistant","content":"x"}`
	chat := sdk.Chat{Messages: []byte("[" + strings.Repeat(turn+",", 20) + turn + "]")}
	seer := &Model{Pictures: eyes{new(int)}, tokenizer: m.tokenizer}
	gone, leave := context.WithCancel(t.Context())
	leave()
	for name, work := range map[string]func() error{
		"Tokenize": func() error { _, err := m.Tokenize(gone, long); return err },
		"Render":   func() error { _, err := m.Render(gone, chat); return err },
		"a chat":   func() error { _, err := m.Prompt(gone, sdk.GenerateRequest{Chat: &chat}); return err },
		"a text":   func() error { _, err := m.Prompt(gone, sdk.GenerateRequest{Text: long, HasText: true}); return err },
		"pictures": func() error {
			_, _, err := seer.see(gone, sdk.GenerateRequest{Chat: &sdk.Chat{Images: files("gone")}}, []int32{9})
			return err
		},
		"Generate": func() error {
			return m.Generate(gone, e, sdk.GenerateRequest{Text: long, HasText: true}, func(sdk.Event) error { return errors.New("an event") })
		},
		"Open": func() error { _, err := Open(gone, checkpoint(t, "qwen3_0_6b")); return err },
	} {
		var told *sdk.Error
		if err := work(); !errors.Is(err, context.Canceled) || errors.As(err, &told) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

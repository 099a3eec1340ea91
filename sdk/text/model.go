// model.go opens a checkpoint's text side.

package text

import (
	"context"
	"errors"
	"strings"

	"github.com/inference-pio/inference-pio/internal/regular"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/chat"
	"github.com/inference-pio/inference-pio/sdk/tokenizer"
)

// Model is the text side of one checkpoint. It never changes but for what it remembers, and is safe for concurrent use.
type Model struct {
	Pictures Pictures // nil: the model sees none. To be set before the first request.

	tokenizer *tokenizer.Tokenizer // nil: prompts of ids only
	template  *chat.Template       // nil: no chats
	defaults  defaults
	tags      tags
	calls     chat.ToolFormat // how the template writes tool calls
	guides    guides
}

// tags mark reasoning. They are the template's; empty if it knows no reasoning.
type tags struct {
	open, close string
	begun       bool // the model may open a thought itself
}

// Open reads the tokenizer, the chat template, generation_config.json and config.json in dir, or what a GGUF file has in their place. The
// first two may be missing, as in a checkpoint that is only a config.json.
func Open(ctx context.Context, dir string) (*Model, error) {
	if regular.IsGGUF(dir) {
		return openGGUF(ctx, dir)
	}
	m := new(Model)
	var err error
	if m.defaults, err = readDefaults(dir); err != nil {
		return nil, err
	}
	if m.tokenizer, err = openTokenizer(ctx, dir); err != nil || m.tokenizer == nil {
		return m, err
	}
	t, err := chat.Load(dir)
	if errors.Is(err, chat.ErrNoTemplate) {
		return m, nil
	}
	if err != nil {
		return nil, sdk.Errorf(sdk.ReasonCheckpoint, "%w", err)
	}
	m.use(ctx, t)
	return m, nil
}

// use has chats written by a template.
func (m *Model) use(ctx context.Context, t *chat.Template) {
	m.template = t
	// many tokenizers have the tags for models that never reason; the template knows
	if strings.Contains(m.template.Source(), "</think>") {
		m.tags = tags{open: "<think>", close: "</think>"}
		m.tags.begun = m.thinksIfAsked(ctx)
	}
	m.calls = m.template.ToolFormat()
}

func openTokenizer(ctx context.Context, dir string) (*tokenizer.Tokenizer, error) {
	if !tokenizer.Exists(dir) {
		return nil, nil
	}
	t, err := tokenizer.Load(ctx, dir)
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, sdk.Errorf(sdk.ReasonCheckpoint, "%w", err)
	}
	return t, nil
}

// HasTokenizer says whether there is a tokenizer. Without one the model takes prompts of ids and shows no text.
func (m *Model) HasTokenizer() bool { return m.tokenizer != nil }

// EOS are the ids that end an answer.
func (m *Model) EOS() []int32 { return m.defaults.eos }

// Tokenize returns the ids of text; special tokens spelled out in it are recognised.
func (m *Model) Tokenize(ctx context.Context, text string) ([]int32, error) {
	if m.tokenizer == nil {
		return nil, errNoTokenizer("text")
	}
	return m.encode(ctx, "text", text)
}

// encode is for text that stands in a field of a request.
func (m *Model) encode(ctx context.Context, field, text string) ([]int32, error) {
	ids, err := m.tokenizer.Encode(ctx, text)
	if err != nil && ctx.Err() == nil { // this text is one of few: the model goes on with others
		return nil, invalid(field, "this text cannot be tokenized: %v", err)
	}
	return ids, err
}

// Detokenize returns the text of ids, special tokens included.
func (m *Model) Detokenize(ids []int32) (string, error) {
	if m.tokenizer == nil {
		return "", errNoTokenizer("tokens")
	}
	return m.tokenizer.Decode(ids, false), nil
}

// Spell returns the tokens as the vocabulary has them, "" for ids without one.
func (m *Model) Spell(ids []int32) ([]string, error) {
	if m.tokenizer == nil {
		return nil, errNoTokenizer("tokens")
	}
	tokens := make([]string, len(ids))
	for i, id := range ids {
		tokens[i] = m.tokenizer.Token(id)
	}
	return tokens, nil
}

func errNoTokenizer(field string) error {
	return invalid(field, "the checkpoint has no tokenizer.json; only prompts of token ids can be used")
}

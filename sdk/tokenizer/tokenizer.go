// tokenizer.go joins the steps: text -> added tokens and gaps -> normalised -> words -> ids.

package tokenizer

import (
	"context"
	"fmt"
	"slices"
	"unicode/utf8"
)

// Tokenizer is made by Load or Parse and never changes afterwards.
type Tokenizer struct {
	file      string // "" if it was not read from one
	vocab     *vocab
	added     map[string]int32 // contents of added tokens
	special   map[int32]bool
	raw       *matcher // added tokens, looked for before the text is normalised
	normal    *matcher // and after
	normalize normalizeFunc
	words     splitter
	bpe       *bpe
	bound     bound
}

// Encode returns the ids of text. Added tokens in it, special ones too, become their ids: do not pass text of strangers through it in one piece
// with a template's; EncodeOrdinary is for that. Bytes that are not UTF-8 are read as U+FFFD.
//
// The error is the context's, or says that the checkpoint's own pattern for cutting words takes too long on this text.
func (t *Tokenizer) Encode(ctx context.Context, text string) ([]int32, error) {
	e := t.encoder(ctx, len(text))
	return e.result(t.raw.split(valid(text), func(s string) error {
		s, err := t.normalize(e.pace, s)
		if err != nil {
			return err
		}
		return t.normal.split(s, e.gap, e.token)
	}, e.token))
}

// EncodeOrdinary returns the ids of text, read as nothing but text: "<|im_end|>" becomes the tokens of its characters.
func (t *Tokenizer) EncodeOrdinary(ctx context.Context, text string) ([]int32, error) {
	e := t.encoder(ctx, len(text))
	if text == "" {
		return e.result(nil)
	}
	text, err := t.normalize(e.pace, valid(text))
	if err == nil {
		err = e.gap(text)
	}
	return e.result(err)
}

// encoder is one text on its way to ids.
type encoder struct {
	*Tokenizer
	pace *pace
	ids  []int32
}

func (t *Tokenizer) encoder(ctx context.Context, size int) *encoder {
	return &encoder{t, &pace{ctx: ctx}, make([]int32, 0, size/3+4)}
}

// gap takes text without added tokens.
func (e *encoder) gap(text string) error { return e.words.split(e.pace, text, e.word) }

func (e *encoder) word(text string) (err error) {
	if e.ids, err = e.bpe.append(e.pace, e.ids, text); err != nil {
		return err
	}
	return e.pace.spend(len(text))
}

func (e *encoder) token(id int32) error {
	e.ids = append(e.ids, id)
	return e.pace.spend(1)
}

func (e *encoder) result(err error) ([]int32, error) {
	switch {
	case e.pace.ctx.Err() != nil && err != nil: // not the text's fault, nor the file's
		return nil, e.pace.ctx.Err()
	case err != nil && e.file != "":
		return nil, fmt.Errorf("%s: %w", e.file, err)
	case err != nil:
		return nil, err
	}
	return e.ids, nil
}

func valid(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	return lossy([]byte(text))
}

// ID returns the id of a token by its content, as tokenizer.json spells it ("<|im_end|>", "Ġthe").
func (t *Tokenizer) ID(token string) (int32, bool) {
	if id, ok := t.added[token]; ok {
		return id, true
	}
	if id := t.vocab.index.find([]byte(token)); id >= 0 {
		return id, true
	}
	return 0, false
}

// Ordinary says that there is a token with this id, and that it is the model's: not one that was added.
func (t *Tokenizer) Ordinary(id int32) bool {
	if !t.vocab.has(id) || t.vocab.content[id] == "" {
		return false
	}
	_, added := t.added[t.vocab.content[id]]
	return !added
}

// Added returns the id of a token that was added to the model's, by its content.
func (t *Tokenizer) Added(token string) (int32, bool) {
	id, ok := t.added[token]
	return id, ok
}

// Token returns the content of the token with this id, "" if there is none.
func (t *Tokenizer) Token(id int32) string {
	if !t.vocab.has(id) {
		return ""
	}
	return t.vocab.content[id]
}

// Bytes returns the bytes that the token stands for, "" if there is no token. They need not be whole characters.
func (t *Tokenizer) Bytes(id int32) string { return t.bytes(id, false) }

// Words returns the bytes of the model's tokens by id. Added tokens, special or not, have none, nor have ids without a token.
func (t *Tokenizer) Words() []string {
	words := slices.Clone(t.vocab.bytes)
	for _, id := range t.added {
		words[id] = ""
	}
	return words
}

// Size returns one more than the highest id. A model may have more rows of logits than that; their ids decode to nothing.
func (t *Tokenizer) Size() int { return len(t.vocab.content) }

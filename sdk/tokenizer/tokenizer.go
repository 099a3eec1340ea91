// tokenizer.go joins the steps: text -> added tokens and gaps -> normalised -> words -> ids.

package tokenizer

import "unicode/utf8"

// Tokenizer is made by Load or Parse and never changes afterwards.
type Tokenizer struct {
	vocab     *vocab
	added     map[string]int32 // contents of added tokens
	special   map[int32]bool
	raw       *matcher // added tokens, looked for before the text is normalised
	normal    *matcher // and after
	normalize func(string) string
	words     splitter
	bpe       *bpe
}

// Encode returns the ids of text. Added tokens in it, special ones too, become their ids: do not pass text of strangers through it in one piece
// with a template's; EncodeOrdinary is for that. Bytes that are not UTF-8 are read as U+FFFD.
func (t *Tokenizer) Encode(text string) []int32 {
	ids := make([]int32, 0, len(text)/3+4)
	token := func(id int32) { ids = append(ids, id) }
	word := func(w string) { ids = t.bpe.append(ids, w) }
	gap := func(s string) { t.words.split(s, word) }
	t.raw.split(valid(text), func(s string) { t.normal.split(t.normalize(s), gap, token) }, token)
	return ids
}

// EncodeOrdinary returns the ids of text, read as nothing but text: "<|im_end|>" becomes the tokens of its characters.
func (t *Tokenizer) EncodeOrdinary(text string) []int32 {
	ids := make([]int32, 0, len(text)/3+4)
	if text != "" {
		t.words.split(t.normalize(valid(text)), func(w string) { ids = t.bpe.append(ids, w) })
	}
	return ids
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

// Token returns the content of the token with this id, "" if there is none.
func (t *Tokenizer) Token(id int32) string {
	if !t.vocab.has(id) {
		return ""
	}
	return t.vocab.content[id]
}

// Bytes returns the bytes that the token stands for, "" if there is no token. They need not be whole characters.
func (t *Tokenizer) Bytes(id int32) string { return t.bytes(id, false) }

// IsSpecial reports whether the id is an added token marked special: skipped by Decode if that is asked for.
func (t *Tokenizer) IsSpecial(id int32) bool { return t.special[id] }

// Size returns one more than the highest id. A model may have more rows of logits than that; their ids decode to nothing.
func (t *Tokenizer) Size() int { return len(t.vocab.content) }

// gguf.go reads the tokenizer that a GGUF file has in its keys: tokens with their types, merges, and a name for how text is cut.

package tokenizer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/inference-pio/inference-pio/internal/gguf"
)

// The types of tokens that matter. All others are of the vocabulary.
const (
	ggufControl = 3 // special, or spelled as special tokens are
	ggufUser    = 4 // added, and found in any text
	ggufUnused  = 5 // stands for an id that has no token
)

// GPT-2's way to write what is between a tokenizer.json's fixed parts; %s is how text is normalised and the pattern of its words.
const ggufHead = `{"normalizer": %s, "decoder": {"type": "ByteLevel"},
"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Split", "behavior": "Isolated", "pattern": {"Regex": %s}},
{"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]}, "added_tokens": `

// ggufWords is how text is cut by Qwen, and with up to so many digits together by others.
const ggufWords = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`

// splitters are those that are built, by the names that files have for them.
var splitters = map[string]struct{ normalizer, digits string }{
	"qwen2": {`{"type": "NFC"}`, `\p{N}`},
	"glm4":  {`null`, `\p{N}{1,3}`},
}

// LoadGGUF builds the tokenizer of a file from its keys; nil if it has none. Errors name the key.
func LoadGGUF(ctx context.Context, h *gguf.Header) (*Tokenizer, error) {
	const at = "tokenizer.ggml."
	if _, ok := h.Keys[at+"tokens"]; !ok {
		return nil, nil
	}
	if model, _ := h.Keys[at+"model"].Text(); model != "gpt2" {
		return nil, fmt.Errorf("key %smodel is %q; only \"gpt2\", byte-level BPE, is read", at, clip(model))
	}
	pre, _ := h.Keys[at+"pre"].Text()
	s, ok := splitters[pre]
	if !ok {
		return nil, fmt.Errorf("key %spre is %q: how text is cut into words is known of \"qwen2\" and \"glm4\"; take a file that was made anew, or the folder", at, clip(pre))
	}
	vocabulary, added, err := ggufTokens(h)
	if err != nil {
		return nil, err
	}
	var merges []string
	if !h.Keys[at+"merges"].Texts(func(_ int, text []byte) bool { merges = append(merges, string(text)); return true }) {
		return nil, fmt.Errorf("key %smerges is missing, or no list of strings", at)
	}
	list, err := json.Marshal(merges)
	if err != nil {
		return nil, err
	}
	special, err := json.Marshal(added)
	if err != nil {
		return nil, err
	}
	pattern, err := json.Marshal(fmt.Sprintf(ggufWords, s.digits))
	if err != nil {
		return nil, err
	}
	head := fmt.Sprintf(ggufHead, s.normalizer, pattern)
	return parse(ctx, slices.Concat([]byte(head), special, []byte(`, "model": {"type": "BPE", "vocab": `), vocabulary, []byte(`, "merges": `), list, []byte(`}}`)), nil)
}

// ggufTokens are the vocabulary, as a tokenizer.json has it, and the added tokens.
func ggufTokens(h *gguf.Header) (vocabulary []byte, added []addedToken, err error) {
	const tokens, types = "tokenizer.ggml.tokens", "tokenizer.ggml.token_type"
	if !h.Keys[tokens].Texts(func(int, []byte) bool { return false }) {
		return nil, nil, errors.New("key " + tokens + " is no list of strings")
	}
	kinds, ok := h.Keys[types].Ints()
	if !ok || len(kinds) != h.Keys[tokens].Count {
		return nil, nil, fmt.Errorf("key %s is missing, or has not one type for each token", types)
	}
	vocabulary = []byte("{")
	h.Keys[tokens].Texts(func(i int, text []byte) bool {
		switch kinds[i] {
		case ggufUnused:
			return true
		case ggufControl, ggufUser:
			added = append(added, addedToken{ID: int32(i), Content: string(text), Special: kinds[i] == ggufControl})
		}
		var quoted []byte
		if quoted, err = json.Marshal(string(text)); err != nil {
			return false
		}
		if len(vocabulary) > 1 {
			vocabulary = append(vocabulary, ',')
		}
		vocabulary = fmt.Appendf(append(vocabulary, quoted...), ":%d", i)
		return true
	})
	return append(vocabulary, '}'), added, err
}

// Ends reads the ids of the tokens that end an answer from a file's keys: those it names, and those that are spelled as ends are.
func Ends(h *gguf.Header, t *Tokenizer) []int32 {
	var ids []int32
	add := func(id int32) {
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	for _, name := range []string{"eos", "eot", "eom"} {
		if id, ok := h.Keys["tokenizer.ggml."+name+"_token_id"].Int(); ok && id >= 0 && id < maxTokens {
			add(int32(id))
		}
	}
	for _, text := range []string{"<|im_end|>", "<|endoftext|>"} {
		if id, ok := t.ID(text); ok {
			add(id)
		}
	}
	return ids
}

// Named are the tokens that templates name, such as bos_token, by those names.
func Named(h *gguf.Header, t *Tokenizer) map[string]string {
	named := map[string]string{}
	for key, name := range map[string]string{"bos": "bos_token", "eos": "eos_token", "padding": "pad_token", "unknown": "unk_token"} {
		if id, ok := h.Keys["tokenizer.ggml."+key+"_token_id"].Int(); ok && id >= 0 && id < maxTokens {
			if text := t.Token(int32(id)); text != "" && !strings.HasPrefix(text, "[PAD") {
				named[name] = text
			}
		}
	}
	return named
}

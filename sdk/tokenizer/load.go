// load.go reads tokenizer.json and builds the Tokenizer. What the file asks for and we do not do is an error here, not a wrong id later.

package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

const maxFile = 256 << 20 // bytes; the largest published tokenizer.json has 35 MB

// Load reads dir/tokenizer.json, and from dir/tokenizer_config.json, if it is there, those added tokens that the first lacks.
// Errors name the file and the key.
func Load(dir string) (*Tokenizer, error) {
	path := filepath.Join(dir, "tokenizer.json")
	text, err := readFile(path)
	if err != nil {
		return nil, err
	}
	extra, err := configTokens(filepath.Join(dir, "tokenizer_config.json"))
	if err != nil {
		return nil, err
	}
	t, err := parse(text, extra)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// Parse builds a Tokenizer from the text of a tokenizer.json alone.
func Parse(tokenizerJSON []byte) (*Tokenizer, error) { return parse(tokenizerJSON, nil) }

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size := int64(0)
	if info, err := f.Stat(); err == nil {
		size = info.Size()
	}
	if size > maxFile {
		return nil, fmt.Errorf("%s: %d bytes; at most %d are read", path, size, maxFile)
	}
	text := make([]byte, size)
	n, err := io.ReadFull(f, text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w after %d bytes", path, err, n)
	}
	return text, nil
}

// configTokens reads added_tokens_decoder, {"id": token, ...}, in the order of ids.
func configTokens(path string) ([]addedToken, error) {
	text, err := readFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var config struct {
		Decoder map[string]addedToken `json:"added_tokens_decoder"`
	}
	if err := json.Unmarshal(text, &config); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	tokens := make([]addedToken, 0, len(config.Decoder))
	for key, token := range config.Decoder {
		id, err := strconv.ParseUint(key, 10, 31)
		if err != nil {
			return nil, fmt.Errorf("%s: added_tokens_decoder: %q is not a token id", path, clip(key))
		}
		token.ID = int32(id)
		tokens = append(tokens, token)
	}
	slices.SortFunc(tokens, func(a, b addedToken) int { return int(a.ID) - int(b.ID) })
	return tokens, nil
}

// file is the parts of a tokenizer.json that matter, uncut. Absent parts are null. post_processor is not among them: it only adds tokens that
// a prompt's template already has.
type file struct {
	added, normalizer, preTokenizer, decoder []byte
	model                                    map[string][]byte
}

func parseFile(text []byte) (*file, error) {
	null := []byte("null")
	f := &file{null, null, null, null, map[string][]byte{"vocab": null, "merges": null}}
	parts := map[string]*[]byte{"added_tokens": &f.added, "normalizer": &f.normalizer, "pre_tokenizer": &f.preTokenizer, "decoder": &f.decoder}
	s := scanner{data: text}
	err := s.object(func(key string) (err error) {
		if key == "model" {
			return s.object(func(key string) (err error) {
				f.model[key], err = s.value()
				return err
			})
		}
		value, err := s.value()
		if part := parts[key]; part != nil {
			*part = value
		}
		return err
	})
	return f, errors.Join(err, s.end())
}

func parse(text []byte, extra []addedToken) (*Tokenizer, error) {
	f, err := parseFile(text)
	if err != nil {
		return nil, err
	}
	if err := checkDecoder(f.decoder); err != nil {
		return nil, err
	}
	t := &Tokenizer{added: map[string]int32{}, special: map[int32]bool{}}
	if t.normalize, err = parseNormalizer(f.normalizer); err != nil {
		return nil, err
	}
	if t.words, err = parsePreTokenizer(f.preTokenizer); err != nil {
		return nil, err
	}
	if t.bpe, t.vocab, err = parseModel(f.model); err != nil {
		return nil, err
	}
	var tokens []addedToken
	if err := json.Unmarshal(f.added, &tokens); err != nil {
		return nil, fmt.Errorf("added_tokens: %w", err)
	}
	return t, t.addTokens(tokens, extra)
}

// model is the keys of tokenizer.json's model, less vocab and merges.
type model struct {
	Type         string   `json:"type"`
	Dropout      *float64 `json:"dropout"`
	Unknown      *string  `json:"unk_token"`
	Prefix       *string  `json:"continuing_subword_prefix"`
	Suffix       *string  `json:"end_of_word_suffix"`
	IgnoreMerges bool     `json:"ignore_merges"`
}

func parseModel(parts map[string][]byte) (*bpe, *vocab, error) {
	var m model
	for key, field := range map[string]any{"type": &m.Type, "dropout": &m.Dropout, "unk_token": &m.Unknown, "continuing_subword_prefix": &m.Prefix,
		"end_of_word_suffix": &m.Suffix, "ignore_merges": &m.IgnoreMerges} {
		if raw, ok := parts[key]; ok {
			if err := json.Unmarshal(raw, field); err != nil {
				return nil, nil, fmt.Errorf("model.%s: %w", key, err)
			}
		}
	}
	if err := m.check(); err != nil {
		return nil, nil, err
	}
	v, err := parseVocab(parts["vocab"])
	if err != nil {
		return nil, nil, err
	}
	merges, err := parseMerges(parts["merges"], v)
	if err != nil {
		return nil, nil, err
	}
	b := &bpe{merges: merges, alphabet: newAlphabet(), recentHashes: maphash.MakeSeed()}
	if m.IgnoreMerges {
		b.wholeWord = v.ids
	}
	for i := range b.start {
		char := string(b.alphabet.char[i])
		id, ok := v.ids[char]
		switch {
		case ok:
			b.start[i] = id
		case m.Unknown != nil:
			return nil, nil, fmt.Errorf("model.vocab lacks %q (byte 0x%02x): not byte-level BPE, and unk_token is not supported", char, i)
		default:
			b.start[i] = -1
		}
	}
	return b, v, nil
}

func (m *model) check() error {
	empty := func(s *string) bool { return s == nil || *s == "" }
	switch {
	case m.Type != "BPE" && m.Type != "": // the oldest files have no type
		return fmt.Errorf("model.type: %q is not supported; BPE is", clip(m.Type))
	case m.Dropout != nil && *m.Dropout != 0:
		return errors.New("model.dropout: set; it would make ids random")
	case !empty(m.Prefix):
		return errors.New("model.continuing_subword_prefix: set; byte-level BPE has none")
	case !empty(m.Suffix):
		return errors.New("model.end_of_word_suffix: set; byte-level BPE has none")
	}
	return nil
}

func checkDecoder(raw []byte) error {
	var d struct {
		Type     string
		Decoders []struct{ Type string }
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		return fmt.Errorf("decoder: %w", err)
	}
	if d.Type == "ByteLevel" || d.Type == "Sequence" && len(d.Decoders) == 1 && d.Decoders[0].Type == "ByteLevel" {
		return nil
	}
	return fmt.Errorf("decoder: type %q is not supported; ByteLevel is", clip(d.Type))
}

// addTokens gives added tokens their ids as the reference does: the vocabulary's if it has the content, else the next one free. The ids written in
// the file follow from that rule and are not read.
func (t *Tokenizer) addTokens(tokens, extra []addedToken) error {
	inFile := map[string]bool{}
	for _, a := range tokens {
		inFile[a.Content] = true
	}
	for _, a := range extra {
		if !inFile[a.Content] {
			tokens = append(tokens, a)
		}
	}
	next, alphabet := int32(len(t.vocab.ids)), newAlphabet()
	last := map[int32]addedToken{} // of a content written twice the last counts
	var order []int32
	for _, a := range tokens {
		if a.Content == "" {
			continue
		}
		id, ok := t.ID(a.Content)
		if !ok {
			id = next
		}
		if id >= maxTokens {
			return fmt.Errorf("added_tokens: %q has id %d; ids below %d are read", clip(a.Content), id, maxTokens)
		}
		next = max(next, id+1)
		t.added[a.Content], a.ID = id, id
		t.special[id] = t.special[id] || a.Special
		if a.Normalized {
			a.Content = t.normalize(a.Content)
		}
		t.vocab.set(alphabet, id, a.Content)
		if _, ok := last[id]; !ok {
			order = append(order, id)
		}
		last[id] = a
	}
	var raw, normal []addedToken
	for _, id := range order {
		if a := last[id]; a.Normalized {
			normal = append(normal, a)
		} else {
			raw = append(raw, a)
		}
	}
	t.raw, t.normal = newMatcher(raw), newMatcher(normal)
	return nil
}

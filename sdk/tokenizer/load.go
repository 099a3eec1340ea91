// load.go reads tokenizer.json and builds the Tokenizer. What the file asks for and we do not do is an error here, not a wrong id later.

package tokenizer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/inference-pio/inference-pio/internal/regular"
)

const (
	maxFile       = 256 << 20 // bytes; the largest published tokenizer.json has 35 MB
	maxConfigFile = 64 << 20  // bytes of tokenizer_config.json, which may list every added token
)

// Load reads dir/tokenizer.json, and from dir/tokenizer_config.json, if it is there, those added tokens that the first lacks; without a
// tokenizer.json it reads a vocab.json and merges.txt that are Qwen's. Errors name the file and the key.
func Load(ctx context.Context, dir string) (*Tokenizer, error) {
	extra, err := configTokens(filepath.Join(dir, "tokenizer_config.json"))
	if err != nil {
		return nil, err
	}
	if !has(dir, wholeFile) {
		return loadPair(ctx, dir, extra)
	}
	path := filepath.Join(dir, wholeFile)
	text, err := regular.Read(path, maxFile)
	if err != nil {
		return nil, err
	}
	t, err := parse(ctx, text, extra)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	t.file = path
	return t, nil
}

// Parse builds a Tokenizer from the text of a tokenizer.json alone.
func Parse(tokenizerJSON []byte) (*Tokenizer, error) {
	return parse(context.Background(), tokenizerJSON, nil)
}

// configTokens reads added_tokens_decoder, {"id": token, ...}, in the order of ids.
func configTokens(path string) ([]addedToken, error) {
	text, err := regular.Read(path, maxConfigFile)
	if errors.Is(err, fs.ErrNotExist) {
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

func parse(ctx context.Context, text []byte, extra []addedToken) (*Tokenizer, error) {
	p := &pace{ctx: ctx}
	f, err := parseFile(p, text)
	if err != nil {
		return nil, err
	}
	if err := checkDecoder(f.decoder); err != nil {
		return nil, err
	}
	t := &Tokenizer{vocab: f.model.vocab, added: map[string]int32{}, special: map[int32]bool{}}
	if t.normalize, err = parseNormalizer(f.normalizer); err != nil {
		return nil, err
	}
	if t.words, err = parsePreTokenizer(f.preTokenizer); err != nil {
		return nil, err
	}
	if t.bpe, err = f.model.bpe(); err != nil {
		return nil, err
	}
	var tokens []addedToken
	if err := json.Unmarshal(f.added, &tokens); err != nil {
		return nil, fmt.Errorf("added_tokens: %w", err)
	}
	if err := t.addTokens(p, tokens, extra); err != nil {
		return nil, err
	}
	t.bound = t.newBound()
	return t, nil
}

// file is the parts of a tokenizer.json that matter. Small ones are kept as text; absent ones are null. post_processor is not among them: it
// only adds tokens that a prompt's template already has.
type file struct {
	added, normalizer, preTokenizer, decoder []byte
	model                                    model
}

// model is tokenizer.json's model.
type model struct {
	kind         string
	dropout      *float64
	unknown      *string
	prefix       *string
	suffix       *string
	byteFallback bool
	ignoreMerges bool
	vocab        *vocab
	merges       *mergeTable
}

func parseFile(p *pace, text []byte) (*file, error) {
	null := []byte("null")
	f := &file{added: null, normalizer: null, preTokenizer: null, decoder: null}
	parts := map[string]*[]byte{"added_tokens": &f.added, "normalizer": &f.normalizer, "pre_tokenizer": &f.preTokenizer, "decoder": &f.decoder}
	s := &scanner{data: text, pace: p}
	err := s.object(func(key []byte) error {
		if string(key) == "model" {
			return f.model.parse(s)
		}
		part := parts[string(key)]
		value, err := s.value()
		if part != nil {
			*part = value
		}
		return err
	})
	if err == nil {
		err = s.end()
	}
	if err == nil {
		err = f.model.check()
	}
	return f, err
}

// parse reads the model. The two large parts are read where they lie; merges that come before the vocabulary have to wait for it.
func (m *model) parse(s *scanner) error {
	fields := map[string]any{"type": &m.kind, "dropout": &m.dropout, "unk_token": &m.unknown, "continuing_subword_prefix": &m.prefix,
		"end_of_word_suffix": &m.suffix, "byte_fallback": &m.byteFallback, "ignore_merges": &m.ignoreMerges}
	var early []byte // merges
	err := s.object(func(name []byte) (err error) {
		switch key := string(name); {
		case key == "vocab":
			m.vocab, err = parseVocab(s)
		case key == "merges" && m.vocab != nil:
			m.merges, err = parseMerges(s, m.vocab)
		case key == "merges":
			early, err = s.value()
		default:
			err = m.field(s, key, fields[key])
		}
		if kind := m.checkKind(); kind != nil {
			return kind // another kind's vocabulary looks otherwise, and has no merges
		}
		return err
	})
	if err == nil && m.vocab == nil {
		err = errors.New("model.vocab: missing")
	}
	if err == nil && early != nil {
		m.merges, err = parseMerges(&scanner{data: early, pace: s.pace}, m.vocab)
	}
	if err == nil && m.merges == nil {
		err = errors.New("model.merges: missing")
	}
	return err
}

func (m *model) field(s *scanner, key string, to any) error {
	value, err := s.value()
	if err == nil && to != nil {
		err = json.Unmarshal(value, to)
	}
	if err != nil {
		return fmt.Errorf("model.%s: %w", key, err)
	}
	return nil
}

// check refuses what byte-level BPE does not have.
func (m *model) check() error {
	empty := func(s *string) bool { return s == nil || *s == "" }
	switch {
	case m.vocab == nil:
		return errors.New("model: missing")
	case m.dropout != nil && *m.dropout != 0:
		return errors.New("model.dropout: set; it would make ids random")
	case !empty(m.prefix):
		return errors.New("model.continuing_subword_prefix: set; byte-level BPE has none")
	case !empty(m.suffix):
		return errors.New("model.end_of_word_suffix: set; byte-level BPE has none")
	case m.byteFallback:
		return errors.New("model.byte_fallback: set; this is a SentencePiece vocabulary, as Llama 2 and Gemma have, and only byte-level BPE is read")
	}
	return nil
}

func (m *model) checkKind() error {
	if m.kind != "BPE" && m.kind != "" { // the oldest files have no type
		return fmt.Errorf("model.type: %q is not supported; BPE is", clip(m.kind))
	}
	return nil
}

func (m *model) bpe() (*bpe, error) {
	b := &bpe{merges: m.merges, alphabet: newAlphabet(), recentHashes: maphash.MakeSeed()}
	if m.ignoreMerges {
		b.wholeWord = m.vocab.index
	}
	for i := range b.start {
		char := string(b.alphabet.char[i])
		b.start[i] = m.vocab.index.find([]byte(char))
		if b.start[i] < 0 && m.unknown != nil {
			return nil, fmt.Errorf("model.vocab: lacks %q (byte 0x%02x), so it is not byte-level, and unk_token is not supported", char, i)
		}
	}
	return b, nil
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
	name := d.Type
	for _, inner := range d.Decoders {
		name += " " + inner.Type
	}
	return fmt.Errorf("decoder: type %q is not supported; ByteLevel is", clip(name))
}

// addTokens gives added tokens their ids as the reference does: the vocabulary's if it has the content, else the next one free. The ids written in
// the file follow from that rule and are not read.
func (t *Tokenizer) addTokens(p *pace, tokens, extra []addedToken) error {
	inFile := map[string]bool{}
	for _, a := range tokens {
		inFile[a.Content] = true
	}
	for _, a := range extra {
		if !inFile[a.Content] {
			tokens = append(tokens, a)
		}
	}
	next, alphabet := int32(t.vocab.tokens), newAlphabet()
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
			var err error
			if a.Content, err = t.normalize(p, a.Content); err != nil {
				return err
			}
		}
		if err := p.spend(len(a.Content)); err != nil {
			return err
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

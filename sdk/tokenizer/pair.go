// pair.go reads a checkpoint that has vocab.json and merges.txt in the place of a tokenizer.json, as those of Qwen may. What the pair does not
// say, how text is normalised and cut into words, is what the reference's class for it does; other classes are refused by name.

package tokenizer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/inference-pio/inference-pio/internal/regular"
)

const (
	wholeFile             = "tokenizer.json"
	vocabFile, mergesFile = "vocab.json", "merges.txt"
)

// otherFiles hold vocabularies of kinds that are not read.
var otherFiles = []string{"tokenizer.model", "spiece.model", "tekken.json", "vocab.txt"}

// Exists says whether dir has a file that a tokenizer is kept in. It may be one that Load refuses.
func Exists(dir string) bool {
	for _, name := range append([]string{wholeFile, vocabFile, mergesFile}, otherFiles...) {
		if has(dir, name) {
			return true
		}
	}
	return false
}

func has(dir, name string) bool {
	_, err := os.Lstat(filepath.Join(dir, name))
	return !errors.Is(err, fs.ErrNotExist)
}

// advice is what to do about a folder that is not read.
const advice = "AutoTokenizer.from_pretrained(dir).save_pretrained(dir) of transformers writes a tokenizer.json"

// loadPair reads the pair.
func loadPair(ctx context.Context, dir string, extra []addedToken) (*Tokenizer, error) {
	for _, name := range otherFiles {
		if has(dir, name) && !has(dir, vocabFile) {
			return nil, fmt.Errorf("%s: it has a %s and no tokenizer.json, which is what is read; %s", dir, name, advice)
		}
	}
	if !has(dir, vocabFile) || !has(dir, mergesFile) { // the whole file is the one to be told of if there is nothing
		_, err := regular.Read(filepath.Join(dir, wholeFile), maxFile)
		return nil, err
	}
	if err := checkPair(dir, extra); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, vocabFile)
	vocab, err := regular.Read(path, maxFile)
	if err != nil {
		return nil, err
	}
	if !json.Valid(vocab) {
		return nil, fmt.Errorf("%s: not JSON", path)
	}
	merges, err := readMerges(filepath.Join(dir, mergesFile))
	if err != nil {
		return nil, err
	}
	text := slices.Concat([]byte(pairHead), vocab, []byte(`,"merges":`), merges, []byte(`}}`))
	t, err := parse(ctx, text, extra)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", path, mergesFile, err)
	}
	t.file = path
	return t, nil
}

// pairHead is how the reference's Qwen2Tokenizer reads text, as a tokenizer.json has it.
const pairHead = `{"added_tokens": [], "normalizer": {"type": "NFC"}, "decoder": {"type": "ByteLevel"},
"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Split", "behavior": "Isolated", "pattern": {"Regex":
"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}},
{"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]}, "model": {"type": "BPE", "vocab": `

// readMerges returns the lines of a merges.txt as a JSON list.
func readMerges(path string) ([]byte, error) {
	text, err := regular.Read(path, maxFile)
	if err != nil {
		return nil, err
	}
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("%s: not UTF-8", path)
	}
	lines := strings.Split(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return json.Marshal(lines)
}

// checkPair refuses what the reference reads in another way than Qwen2Tokenizer does, or without the special tokens.
func checkPair(dir string, added []addedToken) error {
	path := filepath.Join(dir, "tokenizer_config.json")
	var config map[string]json.RawMessage
	if err := readObject(path, &config); err != nil {
		return err
	}
	var class, modelType string
	var space bool
	_ = json.Unmarshal(config["tokenizer_class"], &class)
	_ = json.Unmarshal(config["add_prefix_space"], &space)
	if class == "" {
		var model map[string]json.RawMessage
		if err := readObject(filepath.Join(dir, "config.json"), &model); err != nil {
			return err
		}
		_ = json.Unmarshal(model["model_type"], &modelType)
		if strings.HasPrefix(modelType, "qwen2") || strings.HasPrefix(modelType, "qwen3") {
			class = "Qwen2Tokenizer"
		}
	}
	switch {
	case class == "":
		return fmt.Errorf("%s: it has a vocab.json and no tokenizer.json, and tokenizer_config.json has no tokenizer_class to say how text is cut; %s", dir, advice)
	case class != "Qwen2Tokenizer" && class != "Qwen2TokenizerFast":
		return fmt.Errorf("%s: tokenizer_class: a vocab.json without a tokenizer.json is read for Qwen2Tokenizer, not for %q; %s", path, clip(class), advice)
	case space:
		return fmt.Errorf("%s: add_prefix_space is true, which is not read without a tokenizer.json; %s", path, advice)
	case len(added) == 0:
		return fmt.Errorf("%s: without a tokenizer.json it needs added_tokens_decoder, or the special tokens of chats would be read as text; %s", path, advice)
	}
	for _, key := range []string{"bos_token", "eos_token", "pad_token", "unk_token"} {
		content := tokenOf(config, key)
		if content != "" && !slices.ContainsFunc(added, func(a addedToken) bool { return a.Content == content }) {
			return fmt.Errorf("%s: %s is %q, which added_tokens_decoder does not have; %s", path, key, clip(content), advice)
		}
	}
	return nil
}

// tokenOf is a special token that the configuration names, or that the class has without it.
func tokenOf(config map[string]json.RawMessage, key string) string {
	raw, given := config[key]
	if !given && key != "bos_token" {
		return "<|endoftext|>"
	}
	var text string
	var object struct{ Content string }
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	_ = json.Unmarshal(raw, &object)
	return object.Content
}

// readObject reads a JSON object; of a file that is missing nothing is read.
func readObject(path string, to any) error {
	text, err := regular.Read(path, maxConfigFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(text, to)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

package chat

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/inference-pio/inference-pio/internal/regular"
)

// ErrNoTemplate says that a checkpoint has no chat template: it is a base model, or it was exported without one.
var ErrNoTemplate = errors.New("the checkpoint has no chat template")

const (
	maxTemplateFile = 1 << 20  // bytes; the longest published template has about 30,000
	maxConfigFile   = 64 << 20 // bytes of tokenizer_config.json, which may list every added token
)

// Load finds the template of the checkpoint in dir: chat_template.jinja, with its like in additional_chat_templates/;
// else chat_template.json; else the key chat_template of tokenizer_config.json, which is a string or a list of
// {name, template}. Of several, "default" is the template and "tool_use" replaces it where a request has tools. The
// special tokens that templates name, such as bos_token, come from tokenizer_config.json.
func Load(dir string) (*Template, error) {
	config, err := readConfig(filepath.Join(dir, "tokenizer_config.json"))
	if err != nil {
		return nil, err
	}
	sources, from, err := findSources(dir, config)
	if err != nil {
		return nil, err
	}
	t, err := New(sources, specialTokens(config))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	return t, nil
}

// New parses templates by name: "default", and "tool_use" if there is one. tokens are those that templates name.
func New(sources, tokens map[string]string) (*Template, error) {
	if sources["default"] == "" {
		return nil, ErrNoTemplate
	}
	t, err := Parse(sources["default"], tokens)
	if err != nil {
		return nil, err
	}
	if s, ok := sources["tool_use"]; ok {
		if t.toolUse, err = Parse(s, t.tokens); err != nil {
			return nil, fmt.Errorf("the template tool_use: %w", err)
		}
	}
	return t, nil
}

// findSources returns the templates by name, of which "default" always is one, and the file they are from.
func findSources(dir string, config map[string]json.RawMessage) (map[string]string, string, error) {
	path := filepath.Join(dir, "chat_template.jinja")
	data, err := regular.Read(path, maxTemplateFile)
	switch {
	case err == nil:
		sources := map[string]string{"default": string(data)}
		more, err := regular.Read(filepath.Join(dir, "additional_chat_templates", "tool_use.jinja"), maxTemplateFile)
		if err == nil {
			sources["tool_use"] = string(more)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, "", err
		}
		return sources, path, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, "", err
	}
	path = filepath.Join(dir, "chat_template.json")
	own, err := readConfig(path)
	if err != nil {
		return nil, "", err
	}
	if _, ok := own["chat_template"]; !ok {
		own, path = config, filepath.Join(dir, "tokenizer_config.json")
	}
	sources, err := namedSources(own["chat_template"])
	if err != nil {
		return nil, "", fmt.Errorf("%s: chat_template: %w", path, err)
	}
	if sources["default"] == "" {
		return nil, "", fmt.Errorf("%s: %w", dir, ErrNoTemplate)
	}
	return sources, path, nil
}

// namedSources reads the value of chat_template. A list with one template needs no "default".
func namedSources(raw json.RawMessage) (map[string]string, error) {
	var one string
	if len(raw) == 0 || json.Unmarshal(raw, &one) == nil {
		return map[string]string{"default": one}, nil
	}
	var several []struct{ Name, Template string }
	if json.Unmarshal(raw, &several) != nil {
		return nil, errors.New("it is neither a string nor a list of {name, template}")
	}
	sources := map[string]string{}
	for _, s := range several {
		sources[s.Name] = s.Template
	}
	if len(several) == 1 {
		sources["default"] = several[0].Template
	}
	if sources["default"] == "" && len(several) > 0 {
		return nil, errors.New(`none of the templates is named "default"`)
	}
	return sources, nil
}

// readConfig reads a JSON object; a missing file is an empty one.
func readConfig(path string) (map[string]json.RawMessage, error) {
	data, err := regular.Read(path, maxConfigFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil {
		return nil, fmt.Errorf("%s: not a JSON object: %w", path, err)
	}
	return object, nil
}

// specialTokens returns what the keys that end in "_token" hold: a string, or an object with the string as content.
func specialTokens(config map[string]json.RawMessage) map[string]string {
	tokens := map[string]string{}
	for key, raw := range config {
		if !strings.HasSuffix(key, "_token") {
			continue
		}
		var text string
		var object struct{ Content string }
		switch {
		case json.Unmarshal(raw, &text) == nil && text != "":
			tokens[key] = text
		case json.Unmarshal(raw, &object) == nil && object.Content != "":
			tokens[key] = object.Content
		}
	}
	return tokens
}

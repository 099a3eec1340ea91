// folder.go tells what a folder holds as Hugging Face publishes it, from config.json and the headers of its safetensors files.

package contents

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"github.com/inference-pio/inference-pio/internal/regular"
	"github.com/inference-pio/inference-pio/internal/safetensors"
)

// mostConfig bounds the files that tell of a model in words.
const mostConfig = 64 << 20

// object is the keys of one in JSON, as far as they are asked for.
type object map[string]json.RawMessage

func (o object) text(key string) (s string) {
	_ = json.Unmarshal(o[key], &s) // what is of another type is told by the plugin that reads it
	return s
}

func (o object) number(key string) (n int64) {
	_ = json.Unmarshal(o[key], &n)
	return n
}

func (o object) inside(key string) (in object) {
	_ = json.Unmarshal(o[key], &in)
	return in
}

func readFolder(dir string) (File, error) {
	if err := regular.Folder(dir); err != nil {
		return File{}, err
	}
	path := filepath.Join(dir, "config.json")
	text, err := regular.Read(path, mostConfig)
	if err != nil {
		return File{}, err
	}
	var config object
	if err := json.Unmarshal(bytes.TrimPrefix(text, []byte("\ufeff")), &config); err != nil {
		return File{}, fmt.Errorf("%s: is broken: %w", path, err)
	}
	f := File{Parts: []string{}, Codes: codes(dir, config), Template: template(dir), Roles: []Role{}, Refused: []string{}}
	f.tell(config)
	paths, index, err := safetensors.Files(dir, regular.Read)
	if errors.Is(err, fs.ErrNotExist) {
		f.Refused = append(f.Refused, regular.NoTensors(dir, safetensors.SingleFile, safetensors.IndexFile).Error())
		return f, nil
	}
	if err != nil {
		return File{}, err
	}
	f.Parts = paths
	tensors, err := f.headers(index)
	if err != nil {
		return File{}, err
	}
	f.count(tensors)
	if f.Codes != "" {
		f.Parameters = 0 // words of codes are none
	}
	return f, nil
}

// tell takes over what a config says. Of a model that sees it is that of its decoder.
func (f *File) tell(config object) {
	var architectures []string
	_ = json.Unmarshal(config["architectures"], &architectures)
	if len(architectures) > 0 {
		f.Architecture = architectures[0]
	}
	f.Name = config.text("model_type")
	if decoder := config.inside("text_config"); decoder != nil {
		config = decoder
	}
	f.Layers, f.Context, f.Tokens = config.number("num_hidden_layers"), config.number("max_position_embeddings"), int(config.number("vocab_size"))
}

// codes is who has quantised a checkpoint's weights, "" if they are plain numbers.
func codes(dir string, config object) string {
	for _, q := range []object{config.inside("quantization_config"), config.inside("text_config").inside("quantization_config")} {
		if method := q.text("quant_method"); method != "" {
			return method
		}
	}
	if config.inside("quantization") != nil || config.inside("quantization_config") != nil {
		return "mlx" // which names no method
	}
	for _, name := range regular.SettingsOfCodes {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return name
		}
	}
	return ""
}

// template says whether a folder has a chat template, in any of the places for it.
func template(dir string) bool {
	for _, name := range []string{"chat_template.jinja", "chat_template.json"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	text, err := regular.Read(filepath.Join(dir, "tokenizer_config.json"), mostConfig)
	var settings object
	return err == nil && json.Unmarshal(text, &settings) == nil && len(settings["chat_template"]) > 0 && string(settings["chat_template"]) != "null"
}

// headers reads those of all files, and refuses an index that they do not keep to.
func (f *File) headers(index map[string]string) (list []tensor, err error) {
	in := map[string]string{}
	for _, path := range f.Parts {
		h, err := safetensors.ReadFile(path, regular.Open)
		if err != nil {
			return nil, err
		}
		for _, e := range h.Entries {
			if other, twice := in[e.Name]; twice {
				return nil, fmt.Errorf("%s: tensor %q is in %s as well", path, e.Name, other)
			}
			in[e.Name] = filepath.Base(path)
			list = append(list, tensor{e.Name, e.Format, e.Shape, e.To - e.From})
		}
	}
	if err := safetensors.Holds(index, in); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(filepath.Dir(f.Parts[0]), safetensors.IndexFile), err)
	}
	return list, nil
}

// elements is how many a tensor has; the most there can be where that is more.
func elements(shape []int) int64 {
	n := int64(1)
	for _, d := range shape {
		if d == 0 {
			return 0
		}
		if n > math.MaxInt64/int64(d) {
			return math.MaxInt64
		}
		n *= int64(d)
	}
	return n
}

// sum is a+b, neither of which is negative; the most there can be where that is more.
func sum(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

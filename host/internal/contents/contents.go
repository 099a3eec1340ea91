// Package contents tells what a checkpoint holds, a GGUF file or a folder as Hugging Face publishes it, from its headers alone: what it says of itself,
// which tensors it has in which types, and what of a GGUF file no plugin of ours reads. Whether a plugin runs the model is for the plugin to say.
package contents

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/inference-pio/inference-pio/internal/gguf"
	"github.com/inference-pio/inference-pio/internal/regular"
)

// File is what a checkpoint holds, with all its parts.
type File struct {
	Architecture string   `json:"architecture"`
	Name         string   `json:"name"`       // of a folder: model_type
	Parts        []string `json:"parts"`      // paths
	Parameters   int64    `json:"parameters"` // 0: a folder's are codes
	Bytes        int64    `json:"bytes"`      // of tensors
	Layers       int64    `json:"layers"`
	Context      int64    `json:"context"`
	Tokens       int      `json:"tokens"`
	Splitter     string   `json:"splitter"` // how text is cut into words
	Template     bool     `json:"template"`
	Roles        []Role   `json:"roles"`
	Refused      []string `json:"refused"` // what is not read, and why
	Codes        string   `json:"codes"`   // of a folder: who has quantised it; "": nobody
}

// Role is the tensors of one name, in whatever blocks they are: all experts of all layers are one.
type Role struct {
	Name       string   `json:"role"`
	Tensors    int      `json:"tensors"`
	Shape      []int    `json:"shape"`      // of the first
	Parameters int64    `json:"parameters"` // numbers, or what a file has in their place
	Bytes      int64    `json:"bytes"`
	Types      []string `json:"types"` // the most frequent first, with how often where there are several
}

// Read reads the headers of all parts.
func Read(path string) (File, error) {
	if info, err := os.Stat(path); !regular.IsGGUF(path) || err == nil && info.IsDir() {
		return readFolder(path)
	}
	first := gguf.FirstPart(path)
	h, err := header(first)
	if err != nil {
		return File{}, err
	}
	parts, err := h.Parts(first)
	if err != nil {
		return File{}, fmt.Errorf("%s: %w", first, err)
	}
	f := describe(h)
	f.Parts = parts
	tensors, names := []gguf.Tensor{}, map[string]bool{}
	for i, part := range parts {
		head := h
		if i > 0 {
			if head, err = header(part); err != nil {
				return File{}, err
			}
		}
		if err := head.CheckPart(i, len(parts)); err != nil {
			return File{}, fmt.Errorf("%s: %w", part, err)
		}
		for _, t := range head.Tensors {
			if names[t.Name] {
				return File{}, fmt.Errorf("%s: tensor %q is in a file before it as well", part, t.Name)
			}
			names[t.Name] = true
		}
		tensors = append(tensors, head.Tensors...)
	}
	f.count(tensorsOf(tensors))
	f.refuse(h, tensors)
	return f, nil
}

// tensor is one of either kind of file.
type tensor struct {
	name, kind string
	shape      []int
	bytes      int64
}

func tensorsOf(list []gguf.Tensor) (all []tensor) {
	for _, t := range list {
		bytes, _ := t.Bytes()
		all = append(all, tensor{t.Name, gguf.TypeName(t.Type), t.Shape, bytes})
	}
	return all
}

func header(path string) (*gguf.Header, error) {
	f, size, err := regular.OpenGGUF(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h, err := gguf.Read(f, size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return h, nil
}

func describe(h *gguf.Header) File {
	text := func(key string) string {
		s, _ := h.Keys[key].Text()
		return strings.ToValidUTF8(s, "\ufffd")
	}
	f := File{Architecture: text("general.architecture"), Name: text("general.name"), Splitter: text("tokenizer.ggml.pre"),
		Tokens: h.Keys["tokenizer.ggml.tokens"].Count, Refused: []string{}}
	number := func(key string) int64 {
		n, _ := h.Keys[f.Architecture+"."+key].Int()
		return n
	}
	f.Layers, f.Context = number("block_count")-number("nextn_predict_layers"), number("context_length")
	_, f.Template = h.Keys["tokenizer.chat_template"]
	return f
}

var number = regexp.MustCompile(`(^|\.)\d+(\.|$)`)

// role is a name without its numbers: of layers, and of experts.
func role(name string) string {
	for {
		shorter := number.ReplaceAllString(name, "${1}N$2")
		if shorter == name {
			return strings.ToValidUTF8(name, "\ufffd")
		}
		name = shorter // numbers that follow each other share their dot
	}
}

// count lists the roles in the order in which they come first.
func (f *File) count(tensors []tensor) {
	f.Roles = []Role{}
	at, kinds := map[string]int{}, map[string]map[string]int{}
	for _, t := range tensors {
		name := role(t.name)
		i, ok := at[name]
		if !ok {
			i, at[name], kinds[name] = len(f.Roles), len(f.Roles), map[string]int{}
			f.Roles = append(f.Roles, Role{Name: name, Shape: t.shape})
		}
		n, r := elements(t.shape), &f.Roles[i]
		r.Tensors, r.Parameters, r.Bytes = r.Tensors+1, sum(r.Parameters, n), sum(r.Bytes, t.bytes)
		f.Parameters, f.Bytes = sum(f.Parameters, n), sum(f.Bytes, t.bytes)
		kinds[name][t.kind]++
	}
	for i := range f.Roles {
		f.Roles[i].Types = inWords(kinds[f.Roles[i].Name])
	}
}

// inWords lists types by how often they are.
func inWords(kinds map[string]int) []string {
	var names []string
	for name := range kinds {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(kinds[b]-kinds[a], strings.Compare(a, b)) })
	if len(names) > 1 {
		for i, name := range names {
			names[i] = fmt.Sprintf("%s x %d", name, kinds[name])
		}
	}
	return names
}

// refuse says what is not read, whatever the model is.
func (f *File) refuse(h *gguf.Header, tensors []gguf.Tensor) {
	unread := map[string][]string{}
	for _, t := range tensors {
		if e, ok := gguf.ElementOf(t.Type); !ok || !e.Read {
			unread[gguf.TypeName(t.Type)] = append(unread[gguf.TypeName(t.Type)], t.Name)
		}
	}
	for _, kind := range inWords(countOf(unread)) {
		name, _, _ := strings.Cut(kind, " x ")
		f.Refused = append(f.Refused, fmt.Sprintf("%s, the type of %s%s, is not read; take the model in another, such as Q8_0, Q4_K_M or BF16",
			name, unread[name][0], others(len(unread[name])-1)))
	}
	if model, _ := h.Keys["tokenizer.ggml.model"].Text(); f.Tokens > 0 && model != "gpt2" {
		f.Refused = append(f.Refused, fmt.Sprintf("the tokenizer is %q; only byte-level BPE, \"gpt2\", is read", model))
	}
	if f.Tokens == 0 && f.Architecture != "clip" {
		f.Refused = append(f.Refused, "there is no tokenizer in it")
	}
}

func countOf(lists map[string][]string) map[string]int {
	n := map[string]int{}
	for name, list := range lists {
		n[name] = len(list)
	}
	return n
}

func others(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" and %d more", n)
}

package hfconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// File is a config.json that has been decoded, and what turns out to be wrong with it.
type File struct {
	*Problems
	rope         RopeKeys
	quantization quantizationKeys
}

// Read decodes config.json into each of the given pointers, which may look at different keys of it. Keys that none of them has
// are ignored. A wrong type is told as people say it.
func Read(text []byte, into ...any) (*File, error) {
	f := &File{Problems: new(Problems)}
	for _, part := range append(into, &f.rope, &f.quantization) {
		if err := decode(text, part); err != nil {
			return nil, fmt.Errorf("config.json: %w", err)
		}
	}
	return f, nil
}

// Architectures are the classes that config.json says can run the checkpoint; nothing else of it is looked at.
func Architectures(text []byte) ([]string, error) {
	var head struct {
		Architectures []string `json:"architectures"`
	}
	err := decode(text, &head)
	return head.Architectures, err
}

// Rope begins to read the rope that the top level describes.
func (f *File) Rope() *Rope { return f.rope.Read(f.Problems) }

func decode(text []byte, into any) error {
	err := json.Unmarshal(bytes.TrimPrefix(text, []byte("\ufeff")), into)
	var wrong *json.UnmarshalTypeError
	var broken *json.SyntaxError
	switch {
	case errors.As(err, &wrong) && wrong.Field == "":
		return fmt.Errorf("an object was expected, found %s", wrong.Value)
	case errors.As(err, &wrong):
		return fmt.Errorf("%s: %s was expected, found %s", keys(wrong.Field), inWords(wrong.Type.Kind()), wrong.Value)
	case errors.As(err, &broken):
		return fmt.Errorf("is broken JSON at byte %d: %w", broken.Offset, err)
	}
	return err
}

// keys is a path without the Go names of embedded structs, which encoding/json puts into it: no key begins with a capital.
func keys(path string) string {
	parts := strings.Split(path, ".")
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s != "" && 'A' <= s[0] && s[0] <= 'Z' }), ".")
}

func inWords(k reflect.Kind) string {
	switch k {
	case reflect.Int:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "an object"
	}
	return "a " + k.String()
}

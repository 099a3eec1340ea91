// The walk over a model's struct that finds its weights by their tags.

package nn

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/inference-pio/inference-pio/cuda"
)

// leaf is one weight of a model.
type leaf struct {
	name   string   // in the checkpoint
	path   []string // the name's pieces without the prefix
	weight *cuda.Weight
	keep   bool // in the file's form
}

func (l leaf) elements() int64 {
	n := int64(1)
	for _, d := range l.weight.Shape {
		n *= int64(d)
	}
	return n
}

// walk lists the weights in the order of the fields; a weight that is met again is left out.
func walk(model any, prefix string) ([]leaf, error) {
	v := reflect.ValueOf(model)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return nil, fmt.Errorf("a model to bind is a pointer to a struct, not %T", model)
	}
	w := walker{prefix: prefix, seen: map[*cuda.Weight]bool{}}
	err := w.visit(v.Elem(), place{})
	return w.leaves, err
}

type walker struct {
	prefix string
	seen   map[*cuda.Weight]bool
	leaves []leaf
}

// place is where the walk is.
type place struct {
	path []string
	root bool // outside the prefix
	keep bool // weights there keep the file's form
}

// to is the place that pieces lead to.
func (p place) to(pieces ...string) place {
	p.path = append(p.path[:len(p.path):len(p.path)], pieces...)
	return p
}

var weightType = reflect.TypeFor[*cuda.Weight]()

// visit goes through what stands at a place.
func (w *walker) visit(v reflect.Value, at place) error {
	if v.Type() == weightType {
		return w.leaf(v, at)
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface: // an optional part, or one of several kinds of part
		if v.IsNil() {
			return nil
		}
		return w.visit(v.Elem(), at)
	case reflect.Slice:
		for i := range v.Len() {
			if err := w.visit(v.Index(i), at.to(strconv.Itoa(i))); err != nil {
				return err
			}
		}
		return nil
	case reflect.Struct:
		return w.fields(v, at)
	}
	return fmt.Errorf("%s is tagged as a weight and is a %s", strings.Join(at.path, "."), v.Type())
}

func (w *walker) fields(v reflect.Value, at place) error {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		tag, ok := field.Tag.Lookup("weight")
		if !ok {
			continue
		}
		if !field.IsExported() {
			return fmt.Errorf("%s.%s is tagged as a weight and is not exported", v.Type(), field.Name)
		}
		words := strings.Split(tag, ",")
		piece, options := words[0], words[1:]
		if slices.Contains(options, "optional") && v.Field(i).IsZero() {
			continue
		}
		inner := at
		if slices.Contains(options, "root") {
			inner.path, inner.root = nil, true
		}
		if piece != "." { // which adds nothing to the path
			inner = inner.to(strings.Split(piece, ".")...)
		}
		inner.keep = inner.keep || slices.Contains(options, "keep")
		if err := w.visit(v.Field(i), inner); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) leaf(v reflect.Value, at place) error {
	weight := v.Interface().(*cuda.Weight)
	name := strings.Join(at.path, ".")
	if !at.root {
		name = w.prefix + name
	}
	if weight == nil {
		return fmt.Errorf("the model has no shape for %s", name)
	}
	if !w.seen[weight] {
		w.seen[weight] = true
		w.leaves = append(w.leaves, leaf{name, at.path, weight, at.keep})
	}
	return nil
}

// moduleOf is the id of the module a path belongs to, and its decoder layer (-1 outside the layers).
func moduleOf(path []string) (id string, layer int) {
	end := 1
	for i, p := range path {
		if _, err := strconv.Atoi(p); err == nil {
			end = i + 1
		}
	}
	layer = -1
	if len(path) > 1 && path[0] == "layers" {
		if n, err := strconv.Atoi(path[1]); err == nil {
			layer = n
		}
	}
	return strings.Join(path[:end], "."), layer
}

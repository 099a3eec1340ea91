// The walk over a model's struct that finds its weights by their tags.

package nn

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/inference-pio/inference-pio/cuda"
)

// leaf is one weight of a model.
type leaf struct {
	name   string   // in the checkpoint
	path   []string // the name's pieces without the prefix
	weight *cuda.Weight
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
	err := w.visit(v.Elem(), nil, false)
	return w.leaves, err
}

type walker struct {
	prefix string
	seen   map[*cuda.Weight]bool
	leaves []leaf
}

var weightType = reflect.TypeFor[*cuda.Weight]()

// visit goes through what stands at a path. root says that the path is outside the prefix.
func (w *walker) visit(v reflect.Value, path []string, root bool) error {
	if v.Type() == weightType {
		return w.leaf(v, path, root)
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface: // an optional part, or one of several kinds of part
		if v.IsNil() {
			return nil
		}
		return w.visit(v.Elem(), path, root)
	case reflect.Slice:
		for i := range v.Len() {
			if err := w.visit(v.Index(i), append(path[:len(path):len(path)], strconv.Itoa(i)), root); err != nil {
				return err
			}
		}
		return nil
	case reflect.Struct:
		return w.fields(v, path, root)
	}
	return fmt.Errorf("%s is tagged as a weight and is a %s", strings.Join(path, "."), v.Type())
}

func (w *walker) fields(v reflect.Value, path []string, root bool) error {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		tag, ok := field.Tag.Lookup("weight")
		if !ok {
			continue
		}
		if !field.IsExported() {
			return fmt.Errorf("%s.%s is tagged as a weight and is not exported", v.Type(), field.Name)
		}
		piece, option, _ := strings.Cut(tag, ",")
		if option == "optional" && v.Field(i).IsZero() {
			continue
		}
		inner, outside := path, root
		if piece != "." { // which adds nothing to the path
			inner = append(path[:len(path):len(path)], strings.Split(piece, ".")...)
		}
		if option == "root" {
			inner, outside = strings.Split(piece, "."), true
		}
		if err := w.visit(v.Field(i), inner, outside); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) leaf(v reflect.Value, path []string, root bool) error {
	weight := v.Interface().(*cuda.Weight)
	name := strings.Join(path, ".")
	if !root {
		name = w.prefix + name
	}
	if weight == nil {
		return fmt.Errorf("the model has no shape for %s", name)
	}
	if !w.seen[weight] {
		w.seen[weight] = true
		w.leaves = append(w.leaves, leaf{name, path, weight})
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

// scope.go follows references whose aim depends on the way there, $dynamicRef and $recursiveRef: a schema is copied for each way on which they lead
// elsewhere, and in the copy they are references like any other.

package schema

import (
	"cmp"
	"encoding/binary"
	"maps"
	"reflect"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// maxCopies bounds the schemas that are copied; beyond it the references stay as they are, and are not held.
const maxCopies = 1 << 13

// settled is a schema in which every reference leads to one place, if there are such as do not.
func settled(root *jsonschema.Schema) *jsonschema.Schema {
	s := scopes{copies: map[string]*jsonschema.Schema{}, ids: map[*jsonschema.Schema]uint32{}}
	if !s.moving(root, map[*jsonschema.Schema]bool{}) {
		return root
	}
	if out := s.in(root, scope{}); len(s.copies) <= maxCopies {
		return out
	}
	return root
}

// scope is what was passed on the way to a schema, as far as references depend on it.
type scope struct {
	anchors   map[string]*jsonschema.Schema // by name: what the outermost document with it has there
	recursive *jsonschema.Schema            // the outermost document with $recursiveAnchor
	unsure    bool                          // it was not entered at its beginning, where the library that checks leaves the specification
}

// scopes copies schemas.
type scopes struct {
	copies map[string]*jsonschema.Schema
	ids    map[*jsonschema.Schema]uint32
}

// moving says that a reference below a schema depends on the way there.
func (s *scopes) moving(at *jsonschema.Schema, seen map[*jsonschema.Schema]bool) (found bool) {
	if seen[at] {
		return false
	}
	seen[at] = true
	if d := at.DynamicRef; d != nil && moves(d) || at.RecursiveRef != nil && at.RecursiveRef.RecursiveAnchor {
		return true
	}
	all := *at
	below(&all, func(t *jsonschema.Schema) *jsonschema.Schema {
		found = found || s.moving(t, seen)
		return t
	})
	return found
}

// moves says that the aim of a $dynamicRef depends on the way there: what it names where it stands has that name for all.
func moves(d *jsonschema.DynamicRef) bool { return d.Anchor != "" && d.Ref.DynamicAnchor == d.Anchor }

// in is the copy of a schema in a scope.
func (s *scopes) in(at *jsonschema.Schema, sc scope) *jsonschema.Schema {
	if at.Bool != nil {
		return at
	}
	sc = sc.with(at)
	key := s.key(at, sc)
	if known := s.copies[key]; known != nil {
		return known
	}
	out := *at
	s.copies[key] = &out
	if len(s.copies) > maxCopies {
		return &out
	}
	below(&out, func(t *jsonschema.Schema) *jsonschema.Schema { return s.in(t, sc) })
	if d := at.DynamicRef; d != nil {
		aim := d.Ref
		if there := sc.anchors[d.Anchor]; moves(d) && there != nil {
			aim = there
		}
		out.DynamicRef = nil
		refer(&out, s.in(aim, sc))
	}
	if aim := at.RecursiveRef; aim != nil && !(aim.RecursiveAnchor && sc.unsure) {
		if aim.RecursiveAnchor && sc.recursive != nil {
			aim = sc.recursive
		}
		out.RecursiveRef = nil
		refer(&out, s.in(aim, sc))
	}
	return &out
}

// refer adds a reference to a copy.
func refer(s, aim *jsonschema.Schema) {
	if s.Ref == nil {
		s.Ref = aim
	} else {
		s.AllOf = append(slices.Clip(s.AllOf), aim)
	}
}

// with is the scope once a schema is entered. What was passed before counts before.
func (sc scope) with(at *jsonschema.Schema) scope {
	document, anchors := documentOf(at)
	for name, s := range anchors {
		if sc.anchors[name] == nil {
			more := maps.Clone(sc.anchors)
			if more == nil {
				more = map[string]*jsonschema.Schema{}
			}
			more[name], sc.anchors = s, more
		}
	}
	if document != nil && document.RecursiveAnchor && sc.recursive == nil {
		sc.recursive, sc.unsure = document, document != at
	}
	return sc
}

// key tells a schema in a scope.
func (s *scopes) key(at *jsonschema.Schema, sc scope) string {
	key := s.id(nil, at)
	key = s.id(key, sc.recursive)
	for _, name := range slices.SortedFunc(maps.Keys(sc.anchors), cmp.Compare) {
		key = append(s.id(key, sc.anchors[name]), name+"\x00"...)
	}
	return string(key)
}

func (s *scopes) id(key []byte, at *jsonschema.Schema) []byte {
	if _, known := s.ids[at]; !known {
		s.ids[at] = uint32(len(s.ids))
	}
	return binary.LittleEndian.AppendUint32(key, s.ids[at])
}

// documentOf is the schema with an address of its own in which another stands, and the anchors there by name. The library keeps both to itself; without
// them, should it change, such references are not held.
func documentOf(s *jsonschema.Schema) (document *jsonschema.Schema, anchors map[string]*jsonschema.Schema) {
	at := reflect.ValueOf(s).Elem().FieldByName("resource")
	if !at.IsValid() || at.Type() != reflect.TypeFor[*jsonschema.Schema]() || at.IsNil() {
		return nil, nil
	}
	document = (*jsonschema.Schema)(at.UnsafePointer())
	named := at.Elem().FieldByName("dynamicAnchors")
	if !named.IsValid() || named.Type() != reflect.TypeFor[map[string]*jsonschema.Schema]() {
		return document, nil
	}
	anchors = map[string]*jsonschema.Schema{}
	for i := named.MapRange(); i.Next(); {
		anchors[i.Key().String()] = (*jsonschema.Schema)(i.Value().UnsafePointer())
	}
	return document, anchors
}

// below puts what f makes of them in the place of all schemas that s is made of.
func below(s *jsonschema.Schema, f func(*jsonschema.Schema) *jsonschema.Schema) {
	for _, at := range []**jsonschema.Schema{&s.Ref, &s.Not, &s.If, &s.Then, &s.Else, &s.PropertyNames, &s.UnevaluatedProperties, &s.Contains, &s.Items2020, &s.UnevaluatedItems} {
		if *at != nil {
			*at = f(*at)
		}
	}
	for _, list := range []*[]*jsonschema.Schema{&s.AllOf, &s.AnyOf, &s.OneOf, &s.PrefixItems} {
		*list = each(*list, f)
	}
	s.Properties, s.PatternProperties, s.DependentSchemas = eachOf(s.Properties, f), eachOf(s.PatternProperties, f), eachOf(s.DependentSchemas, f)
	s.Items, s.AdditionalItems, s.AdditionalProperties = eitherOf(s.Items, f), eitherOf(s.AdditionalItems, f), eitherOf(s.AdditionalProperties, f)
	s.Dependencies = maps.Clone(s.Dependencies)
	for name, d := range s.Dependencies {
		s.Dependencies[name] = eitherOf(d, f)
	}
}

func each(list []*jsonschema.Schema, f func(*jsonschema.Schema) *jsonschema.Schema) []*jsonschema.Schema {
	list = slices.Clone(list)
	for i, s := range list {
		list[i] = f(s)
	}
	return list
}

func eachOf[K comparable](m map[K]*jsonschema.Schema, f func(*jsonschema.Schema) *jsonschema.Schema) map[K]*jsonschema.Schema {
	m = maps.Clone(m)
	for name, s := range m {
		m[name] = f(s)
	}
	return m
}

// eitherOf is for what may be a schema, several, or something else.
func eitherOf(v any, f func(*jsonschema.Schema) *jsonschema.Schema) any {
	switch v := v.(type) {
	case *jsonschema.Schema:
		return f(v)
	case []*jsonschema.Schema:
		return each(v, f)
	}
	return v
}

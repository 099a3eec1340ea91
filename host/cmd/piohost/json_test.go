package main

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// fieldNames lists the names of a document's fields as the help writes them, in their order: outer before inner.
func fieldNames(t reflect.Type) []string {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		return fieldNames(t.Elem())
	case reflect.Struct:
	default:
		return nil
	}
	var names []string
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous:
		case f.Type.Kind() == reflect.Slice:
			names = append(names, name+"[]")
		default:
			names = append(names, name)
		}
		names = append(names, fieldNames(f.Type)...)
	}
	return names
}

// What `piohost help json` promises is what the documents have: every field, and no other.
func TestHelpNamesEveryField(t *testing.T) {
	word := regexp.MustCompile(`^[a-z0-9_]+(\[\])?(, [a-z0-9_]+(\[\])?)*(  |$)`)
	for title, document := range map[string]any{
		"models": modelsDocument{}, "plugin list, plugin lock": pluginsDocument{}, "plugin inspect": inspectDocument{},
		"plugin test": testDocument{}, "config check": checkDocument{}, "plan": planDocument{}, "bench": benchDocument{},
		"pull": pullDocument{}, "models scan": scanDocument{}, "ps": psDocument{},
	} {
		_, section, ok := strings.Cut(jsonHelp, "\n\n"+title+"\n")
		if !ok {
			t.Errorf("no section %q", title)
			continue
		}
		section, _, _ = strings.Cut(section, "\n\n")
		var promised []string
		for line := range strings.Lines(section) {
			names := strings.TrimSpace(word.FindString(strings.TrimSpace(line)))
			promised = append(promised, strings.Split(names, ", ")...)
		}
		if has := fieldNames(reflect.TypeOf(document)); !slices.Equal(promised, has) {
			t.Errorf("%s: the help has %q\nthe document has %q", title, promised, has)
		}
	}
}

package config

import (
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

func TestLinesOfKeys(t *testing.T) {
	lines := locate(`# comment with [brackets] and "quotes
title = """
[not.a.header]
two "" quotes and \"""" # still outside
other.dotted . "quoted key" = 'x' # c

[[model]]
id = 'a # b'
list = [ 1, # one
  [2,
   3], { k = "]", l = [
   "#"]} ]
[model.env]
A = '''
'''''
[[model]]
id = "b"
[[model.part]]
x = 1
[[model.part]]
x = 2
[plugins]
dirs = [
  "a",

  "b"]
`)
	for path, want := range map[string]int{
		"title":                   2,
		"other":                   5,
		"other.dotted":            5,
		"other.dotted.quoted key": 5,
		"model":                   7,
		"model[0]":                7,
		"model[0].id":             8,
		"model[0].list":           9,
		"model[0].list[0]":        9,
		"model[0].list[1]":        10,
		"model[0].list[1][1]":     11,
		"model[0].list[2].k":      11,
		"model[0].list[2].l[0]":   12,
		"model[0].env":            13,
		"model[0].env.A":          14,
		"model[1]":                16,
		"model[1].id":             17,
		"model[1].part[0].x":      19,
		"model[1].part[1].x":      21,
		"plugins.dirs[1]":         26,
	} {
		if got := lines[path]; got != want {
			t.Errorf("%s: line %d, want %d", path, got, want)
		}
	}
}

// Every key that the TOML parser finds in a document has a line.
func FuzzLocate(f *testing.F) {
	f.Add("a = 1\n[b]\nc = [1, {d = 2}]\n[[e]]\nf.g = '''\n'''\n[[e]]\n[e.h]\n")
	f.Add("\"a\\u0062\" = \"\"\"\\\"\"\"\"\n'c.d'.e = 1979-05-27T07:32:00Z\n")
	f.Add("a=[[[],[]],\n#]\n]\n")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4<<10 {
			return
		}
		lines := locate(text) // must end, whatever the text
		var values map[string]any
		if _, err := toml.Decode(text, &values); err != nil {
			return
		}
		last := strings.Count(text, "\n") + 1
		visit("", values, func(path string) {
			if line := lines[path]; line < 1 || line > last {
				t.Errorf("%q has line %d of %d", path, line, last)
			}
		})
	})
}

// visit calls f with the path of every key and array element.
func visit(path string, value any, f func(path string)) {
	if path != "" {
		f(path)
	}
	switch value := value.(type) {
	case map[string]any:
		for key, v := range value {
			visit(join(path, key), v, f)
		}
	case []map[string]any:
		for i, v := range value {
			visit(element(path, i), v, f)
		}
	case []any:
		for i, v := range value {
			visit(element(path, i), v, f)
		}
	}
}

func TestNearestFindsSlipsOfTheFingerOnly(t *testing.T) {
	keys := []string{"id", "path", "context", "devices", "max_sequences", "priority"}
	for name, want := range map[string]string{
		"contxt": "context", "cotnext": "context", "Context": "context", "max_sequence": "max_sequences",
		"device": "devices", "pth": "path", "temperature": "", "x": "", "ctx": "",
	} {
		if got := nearest(name, keys); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestSizesAreWrittenExactly(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 bytes", 1: "1 bytes", 1023: "1023 bytes", 1024: "1 KiB", 1025: "1025 bytes", 1536 << 10: "1536 KiB", 20 << 20: "20 MiB", 3 << 30: "3072 MiB",
	} {
		if got := FormatSize(n); got != want {
			t.Errorf("%d: %q, not %q", n, got, want)
		}
	}
}

func TestSizesAndRates(t *testing.T) {
	for text, want := range map[string]int64{
		"1B": 1, "20GiB": 20 << 30, "1 MiB": 1 << 20, "1.5KiB": 1536, "512MB": 512e6, "2kB": 2000, " 1TB ": 1e12, "1024TiB": 1 << 50,
	} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("%s: got %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "20", "GiB", "-1GiB", "0B", "0.1B", "1e3MB", "0x10MB", "NaNMB", "InfGiB", "1025TiB", "1 G", "1gib", "1_0MB", "1MiB/s", "１MB"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("%q was read as %d", text, got)
		}
	}
	if rate, err := parseRate("2.5GB/s"); err != nil || rate != 2.5e9 {
		t.Errorf("got %v, %v", rate, err)
	}
	if _, err := parseRate("2.5GB/min"); err == nil {
		t.Error("a rate per minute was read")
	}
	if speed, err := ParseFLOPS("1.5 TFLOP/s"); err != nil || speed != 1.5e12 {
		t.Errorf("got %v, %v", speed, err)
	}
	for _, text := range []string{"", "40", "40GFLOP/s", "0TFLOP/s", "-1TFLOP/s", "1e3TFLOP/s", "NaNTFLOP/s", "InfTFLOP/s", "TFLOP/s"} {
		if got, err := ParseFLOPS(text); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}

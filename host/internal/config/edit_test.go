package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const commented = `# what we serve

[server] # here
listen = "127.0.0.1:1"

# the first
[[model]]
id   = "one"
path = "model" # of mine
[model.env]
A = "[[model]]"
# about its env

# [[model]]
# id = "not there"

# the second
[[model]]
id = "two"
path = """
[[model]]
"""


[[model]]
id = "three"
path = "model"
# the end
`

func edited(t *testing.T, text string, change func(file string) error) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "models.toml")
	if err := os.WriteFile(file, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
	link := file + ".link"
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	err := change(link)
	got, _ := os.ReadFile(file)
	if info, _ := os.Stat(file); info.Mode().Perm() != 0o640 {
		t.Errorf("the file has the mode %v", info.Mode())
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), ".models*")); len(left) > 0 {
		t.Errorf("there is %v", left)
	}
	return string(got), err
}

func TestAnEntryIsTakenOut(t *testing.T) {
	for id, gone := range map[string]string{
		"one":   "[[model]]\nid   = \"one\"\npath = \"model\" # of mine\n[model.env]\nA = \"[[model]]\"\n# about its env\n\n",
		"two":   "[[model]]\nid = \"two\"\npath = \"\"\"\n[[model]]\n\"\"\"\n\n\n",
		"three": "[[model]]\nid = \"three\"\npath = \"model\"\n# the end\n",
	} {
		got, err := edited(t, commented, func(file string) error { return Remove(file, id) })
		if want := strings.Replace(commented, gone, "", 1); err != nil || got != want || want == commented {
			t.Errorf("without %s, %v:\n%s", id, err, got)
		}
	}
	for text, want := range map[string]string{
		commented:                          "it has no such entry",
		`model = [{id = "x", path = "p"}]`: "take it out by hand",
		"[[model]]\nid = \"x\"\n[[model\n": "models.toml:4: not valid TOML",
	} {
		got, err := edited(t, text, func(file string) error { return Remove(file, "x") })
		if err == nil || !strings.Contains(err.Error(), want) || got != text {
			t.Errorf("%v", err)
		}
	}
}

func TestEntriesAreAdded(t *testing.T) {
	t.Setenv("HOME", "/home-of-mine")
	e := Entry{ID: "new", Path: "/home-of-mine/m\"x", Plugin: "p", Note: "a\nb"}
	const block = "# a b\n[[model]]\nid     = \"new\"\npath   = \"~/m\\\"x\"\nplugin = \"p\"\n"
	got, err := edited(t, commented, func(file string) error { return Add(file, e) })
	if err != nil || got != commented+"\n"+block {
		t.Errorf("%v:\n%s", err, got)
	}
	got, err = edited(t, "[server]", func(file string) error { return Add(file, e, Entry{ID: "o", Path: "/p"}) })
	if err != nil || got != "[server]\n\n"+block+"\n[[model]]\nid     = \"o\"\npath   = \"/p\"\n" {
		t.Errorf("%v:\n%s", err, got)
	}
	file := filepath.Join(t.TempDir(), "models.toml")
	if err := Add(file, e); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(file); string(got) != block {
		t.Errorf("a new file:\n%s", got)
	}
	if _, err := edited(t, `model = [{id = "x", path = "p"}]`, func(file string) error { return Add(file, e) }); err == nil {
		t.Error("an array of inline tables has been added to")
	}
	if got := Free("m", []string{"m", "m-2"}); got != "m-3" || Free("n", nil) != "n" {
		t.Error(got)
	}
}

// Whatever the file is: what is taken out is the entry, or nothing.
func FuzzRemove(f *testing.F) {
	f.Add(commented)
	f.Add("[[model]]\nid = 'a'\n[[model]]\nid = \"one\"\n[model.env]\n\"x.y\" = '''\n[[model]]'''\n[[device]]\n")
	f.Add("model = [{id = 'one'}]\n")
	f.Fuzz(func(t *testing.T, text string) {
		file := filepath.Join(t.TempDir(), "models.toml")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		err := Remove(file, "one")
		got, readErr := os.ReadFile(file)
		if readErr != nil {
			t.Fatal(readErr)
		}
		if err != nil {
			if string(got) != text {
				t.Errorf("%v, and it has changed: %q", err, got)
			}
			return
		}
		_, models, err := decode(string(got))
		for _, m := range models {
			if m, _ := m.(map[string]any); m["id"] == "one" {
				t.Errorf("it is still there: %q", got)
			}
		}
		if err != nil || len(got) >= len(text) {
			t.Errorf("%v: %q of %q", err, got, text)
		}
	})
}

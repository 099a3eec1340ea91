// edit.go adds entries to a models.toml and takes them out, and leaves every other line as it is, comments too. What comes of it is
// read again before it is written: it has what it had, but for the entries meant.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// Entry is a [[model]] to write.
type Entry struct {
	ID, Path string
	Plugin   string // "": left to the host
	Alias    string // another name; ""
	Note     string // a comment above it; ""
}

// TOML is the entry as it stands in the file. A path below the user's home begins with a tilde.
func (e Entry) TOML() string {
	var b strings.Builder
	if e.Note != "" {
		fmt.Fprintf(&b, "# %s\n", strings.Map(printableOrSpace, e.Note))
	}
	fmt.Fprintf(&b, "[[model]]\nid     = %s\npath   = %s\n", quote(e.ID), quote(Contract(e.Path)))
	if e.Alias != "" {
		fmt.Fprintf(&b, "aliases = [%s]\n", quote(e.Alias))
	}
	if e.Plugin != "" {
		fmt.Fprintf(&b, "plugin = %s\n", quote(e.Plugin))
	}
	return b.String()
}

func printableOrSpace(r rune) rune {
	if r < ' ' || r == 0x7f {
		return ' '
	}
	return r
}

// Contract is Expand undone.
func Contract(path string) string {
	home, err := os.UserHomeDir()
	if err != nil || home == "/" {
		return path
	}
	if rest, ok := strings.CutPrefix(path, strings.TrimRight(home, "/")+"/"); ok {
		return "~/" + rest
	}
	return path
}

// NameOf makes a model's id of the name of its folder or file.
func NameOf(path string) string { return nameOf(path) }

// Free is name, or with a number behind it if the file has a model of that name already.
func Free(name string, taken []string) string {
	free := name
	for n := 2; slices.Contains(taken, free); n++ {
		free = fmt.Sprintf("%s-%d", name, n)
	}
	return free
}

// Add writes entries at the end of a file, which is made if it is not there.
func Add(file string, entries ...Entry) error {
	return edit(file, func(text string) (string, error) {
		for _, e := range entries {
			if text != "" && !strings.HasSuffix(text, "\n") {
				text += "\n"
			}
			if text != "" {
				text += "\n"
			}
			text += e.TOML()
		}
		return text, nil
	}, func(models []any) []any {
		for _, e := range entries {
			m := map[string]any{"id": e.ID, "path": Contract(e.Path)}
			if e.Plugin != "" {
				m["plugin"] = e.Plugin
			}
			if e.Alias != "" {
				m["aliases"] = []any{e.Alias}
			}
			models = append(models, m)
		}
		return models
	})
}

// Remove takes the entry with that id out. Comments above it stay.
func Remove(file, id string) error {
	is := func(model any) bool {
		m, _ := model.(map[string]any)
		return m["id"] == id
	}
	return edit(file, func(text string) (string, error) { return without(text, is) }, func(models []any) []any {
		return slices.DeleteFunc(models, is)
	})
}

// edit rewrites a file. expected makes of the models that it has those that it is to have.
func edit(file string, rewrite func(string) (string, error), expected func([]any) []any) error {
	if to, err := filepath.EvalSymlinks(file); err == nil {
		file = to
	}
	old, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	before, models, err := decode(string(old))
	if err != nil {
		return syntaxProblem(file, err).asError()
	}
	text, err := rewrite(string(old))
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	after, now, err := decode(text)
	if err != nil || !reflect.DeepEqual(before, after) || !reflect.DeepEqual(append([]any{}, now...), append([]any{}, expected(models)...)) {
		return fmt.Errorf("%s: it is written in a way that is not changed without harm; change it by hand", file)
	}
	return overwrite(file, text)
}

func (p Problem) asError() error { return Problems{p} }

// decode reads a file's tables, and apart from them its models.
func decode(text string) (rest map[string]any, models []any, err error) {
	rest = map[string]any{}
	if _, err := toml.Decode(text, &rest); err != nil {
		return nil, nil, err
	}
	switch list := rest["model"].(type) {
	case []map[string]any:
		for _, m := range list {
			models = append(models, m)
		}
	case []any:
		models = list
	}
	delete(rest, "model")
	return rest, models, nil
}

// without is the text less the lines of the models that match: from the header to what belongs to the next one.
func without(text string, matches func(any) bool) (string, error) {
	_, models, err := decode(text)
	if err != nil {
		return "", err
	}
	lines := strings.SplitAfter(text, "\n")
	headers := walk(text).headers
	found := false
	for i := len(models) - 1; i >= 0; i-- {
		if !matches(models[i]) {
			continue
		}
		path := element("model", i)
		at := slices.IndexFunc(headers, func(h header) bool { return h.path == path })
		if at < 0 {
			return "", errors.New("the entry has no [[model]] of its own; take it out by hand")
		}
		found = true
		end := len(lines)
		for _, h := range headers[at+1:] {
			if !strings.HasPrefix(h.path, path+".") {
				end = h.line - 1
				break
			}
		}
		lines = slices.Delete(lines, headers[at].line-1, keepTail(lines, headers[at].line-1, end))
	}
	if !found {
		return "", errors.New("it has no such entry")
	}
	return strings.Join(lines, ""), nil
}

// keepTail moves the end of an entry up: comments behind its last empty line belong to what follows. The empty lines before the
// entry stay, so those behind it go.
func keepTail(lines []string, start, end int) int {
	blank := func(i int) bool { return strings.TrimSpace(lines[i]) == "" }
	tail := end
	for tail > start && (blank(tail-1) || strings.HasPrefix(strings.TrimSpace(lines[tail-1]), "#")) {
		tail--
	}
	for tail < end && !blank(tail) { // comments right below the entry are its own
		tail++
	}
	for tail < end && blank(tail) {
		tail++
	}
	return tail
}

// overwrite puts text in a file's place, whole or not at all.
func overwrite(file, text string) error {
	mode := fs.FileMode(0o644)
	if info, err := os.Stat(file); err == nil {
		mode = info.Mode().Perm()
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".models-*.toml")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // nothing, once it has its name
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}

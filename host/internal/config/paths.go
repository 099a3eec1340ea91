// paths.go finds what a path means: in a home, relative to the file, and of a checkpoint the folder that has its files.
package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/inference-pio/inference-pio/internal/regular"
)

// disk is what the reader asks of the file system; tests that have no files answer themselves.
type disk struct {
	stat       func(path string) (fs.FileInfo, error)
	checkpoint func(path string) (folder string, err error)
}

// Expand puts the user's home in place of a "~" that begins a path.
func Expand(path string) string {
	if path != "~" && !strings.HasPrefix(path, "~/") {
		return path
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return path // what is wrong with it is told when it is opened
	}
	return filepath.Join(home, path[1:])
}

// Checkpoint finds the folder that a path of a checkpoint means: itself, or in the root of a model's hub cache the revision. A GGUF file means
// itself, too. What is no checkpoint is an error that says what it is; what is in the files is the plugin's to judge.
func Checkpoint(path string) (folder string, err error) {
	if info, err := os.Stat(path); regular.IsGGUF(path) && (err != nil || !info.IsDir()) {
		return path, regular.Checkpoint(path)
	}
	if revision, ok := regular.Snapshot(path); ok {
		path = revision
	}
	if err := regular.Folder(path); err != nil {
		return path, err
	}
	file, _, err := regular.Open(filepath.Join(path, "config.json"))
	if err != nil {
		return path, err
	}
	return path, file.Close()
}

// Alone is the Config of a checkpoint that no file lists, for one host of its own. plugin may be "". Where base is not nil, plugins,
// devices and all else are as there; else plugins are in dirs.
func Alone(path, plugin string, base *Config, dirs []string) (*Config, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if _, err := Checkpoint(path); err != nil {
		return nil, err
	}
	text := fmt.Sprintf("[plugins]\ndirs = %s\n[[model]]\nid = %s\npath = %s\n", quote(dirs), quote(nameOf(path)), quote(path))
	if base != nil {
		text = fmt.Sprintf("[[model]]\nid = %s\npath = %s\n", quote(nameOf(path)), quote(path))
	}
	if plugin != "" {
		text += fmt.Sprintf("plugin = %s\n", quote(plugin))
	}
	anyDir := disk{stat: os.Stat, checkpoint: Checkpoint}
	if base != nil { // its own folders of plugins are checked already: any folder passes for those that the text leaves out
		anyDir.stat = func(string) (fs.FileInfo, error) { return os.Stat(filepath.Dir(path)) }
	}
	c, err := parse(path, []byte(text), anyDir)
	if err != nil {
		return nil, plainly(err)
	}
	if base == nil {
		return c, nil
	}
	alone := *base
	alone.Models = c.Models
	for _, d := range base.Devices {
		if d.Name != "cpu" {
			alone.Models[0].Devices = append(alone.Models[0].Devices, d.Name)
		}
	}
	return &alone, nil
}

// plainly leaves the lines of a text that nobody wrote out of its problems.
func plainly(err error) error {
	var problems Problems
	if !errors.As(err, &problems) {
		return err
	}
	texts := make([]string, len(problems))
	for i, p := range problems {
		texts[i] = p.Text
	}
	return errors.New(strings.Join(texts, "\n"))
}

// nameOf makes a model's id of its folder's name.
func nameOf(path string) string {
	name := strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return '-'
		}
		return r
	}, filepath.Base(path))
	return name[:min(len(name), 120)]
}

// quote writes a value as TOML has it, which for strings and arrays of them is as JSON has it.
func quote(value any) string {
	text, _ := json.Marshal(value) // of strings alone
	return string(text)
}

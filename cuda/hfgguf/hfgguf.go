// Package hfgguf reads a GGUF file as the Hugging Face checkpoint that it was made of: its keys as a config.json, its tensors under the
// names and in the shapes that the checkpoint has them. What opens a checkpoint then opens the file, and a model is told nothing of where it
// comes from.
//
// An [Architecture] is a table that a plugin has: which names stand for which, and what of the config stands where. What the converters change
// besides names is undone here by name: [Experts] in one tensor, [Rows] that were joined, [Add] where a norm has one added. docs/formats.md
// says what was found by running them.
package hfgguf

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/inference-pio/inference-pio/cuda/weights"
	"github.com/inference-pio/inference-pio/internal/gguf"
	"github.com/inference-pio/inference-pio/internal/regular"
)

// Architecture is how files of one architecture are read.
type Architecture struct {
	Name   string                      // general.architecture
	Config func(k *Keys) Config        // config.json
	Rules  func(k *Keys) Rules         // what stands for what
	Finish func(k *Keys, t *Table)     // what more than one tensor stands for; nil: nothing
	Sight  func(k *Keys, c Config) any // preprocessor_config.json of a model that sees, whose tower is in a file of its own; nil: it sees nothing
}

// Model is a file that is open.
type Model struct {
	Config       []byte              // config.json
	Preprocessor []byte              // preprocessor_config.json; nil if it has none
	Source       weights.Source      // tensors by the checkpoint's names
	Checkpoint   *weights.Checkpoint // the mapped files, by their own names
	Head         *gguf.Header        // of the first file
}

// ErrOther says that a file is of another architecture.
type ErrOther struct{ Path, Has, Want string }

func (e *ErrOther) Error() string {
	return fmt.Sprintf("%s: general.architecture is %q, not %q", e.Path, e.Has, e.Want)
}

// Open maps a file and reads it. An error names the file; that it is of another architecture is an *ErrOther.
func (a Architecture) Open(path string) (_ *Model, err error) {
	c, head, err := weights.OpenGGUF(path)
	if err != nil {
		return nil, err
	}
	m := &Model{Checkpoint: c, Head: head}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.Checkpoint.Close())
		}
	}()
	if arch, _ := head.Keys["general.architecture"].Text(); arch != a.Name {
		return nil, &ErrOther{path, arch, a.Name}
	}
	k := &Keys{arch: a.Name, head: head, src: c}
	config := a.Config(k)
	t := newTable(c, a.Rules(k))
	if a.Sight != nil {
		if err := m.addTower(a, path, config, t, k); err != nil {
			return nil, err
		}
	}
	if a.Finish != nil {
		a.Finish(k, t)
	}
	if err := joined(append(k.errs, t.errs...)); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if m.Config, err = json.Marshal(config); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	m.Source = t.source()
	return m, nil
}

// towerName is what people call the files of towers.
var towerName = regexp.MustCompile(`(?i)mmproj.*\.gguf$`)

// TowerOf finds the file beside a model's that has its tower. Of several it is the one with the most exact numbers.
func TowerOf(path string) (string, error) {
	dir := filepath.Dir(path)
	names, err := regular.List(dir)
	if err != nil {
		return "", err
	}
	own := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)) + ".mmproj.gguf"
	best, rank := "", 0
	for _, name := range names {
		if !towerName.MatchString(name) || strings.HasSuffix(name, ".mmproj.gguf") && name != own {
			continue
		}
		r := 1
		for i, kind := range []string{"q8", "f16", "bf16", "f32"} {
			if strings.Contains(strings.ToLower(name), kind) {
				r = i + 2
			}
		}
		if name == own {
			r = 9
		}
		if r > rank {
			best, rank = filepath.Join(dir, name), r
		}
	}
	if best == "" {
		return "", fmt.Errorf("%s: the part of the model that sees is in a file of its own, mmproj-*.gguf, which is not beside it; download it from where the model comes from", path)
	}
	return best, nil
}

// addTower reads the file of the tower.
func (m *Model) addTower(a Architecture, path string, config Config, t *Table, k *Keys) error {
	tower, err := TowerOf(path)
	if err != nil {
		return err
	}
	c, head, err := weights.OpenGGUF(tower)
	if err != nil {
		return err
	}
	m.Checkpoint.Adopt(c)
	if arch, _ := head.Keys["general.architecture"].Text(); arch != "clip" {
		return fmt.Errorf("%s: general.architecture is %q, not \"clip\", as the part of a model that sees has it", tower, arch)
	}
	kt := &Keys{arch: "clip", head: head, src: c}
	t.add(c)
	sight := a.Sight(kt, config)
	if err := kt.Err(); err != nil {
		return fmt.Errorf("%s: %w", tower, err)
	}
	if m.Preprocessor, err = json.Marshal(sight); err != nil {
		return fmt.Errorf("%s: %w", tower, err)
	}
	return nil
}

// joined is several errors in one line, each once, of very many the first; nil if there are none.
func joined(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	var texts []string
	for i, e := range errs {
		if len(texts) == mostTold {
			texts = append(texts, fmt.Sprintf("and %d more", len(errs)-i))
			break
		}
		if text := e.Error(); !slices.Contains(texts, text) { // what several asked for
			texts = append(texts, text)
		}
	}
	return errors.New(strings.Join(texts, "; "))
}

// mostTold is how many things that are wrong somebody reads.
const mostTold = 16

// Table is the tensors of a model by the names of the checkpoint, while they are put together.
type Table struct {
	views map[string]weights.View
	rules Rules
	errs  []error
	cut   int // matrices of experts
}

func newTable(src weights.Source, rules Rules) *Table {
	t := &Table{views: map[string]weights.View{}, rules: rules}
	t.add(src)
	return t
}

// add puts a file's tensors into the table. One that no rule knows keeps its name, and is told to be unknown.
func (t *Table) add(src weights.Source) {
	for _, name := range src.Names() {
		v, _ := src.Get(name, nil)
		pattern, n := numbered(name)
		switch rule, ok := t.rules[pattern]; {
		case ok:
			rule(t, n, v)
		case strings.HasPrefix(pattern, "blk.N.nextn."): // of a layer that guesses further tokens
		default:
			t.Put(name, v)
		}
	}
}

var blockNumber = regexp.MustCompile(`\.(\d{1,5})(\.|$)`)

// numbered replaces a name's first number by N: blk.7.attn_q.weight is blk.N.attn_q.weight, and 7.
func numbered(name string) (pattern string, n int) {
	at := blockNumber.FindStringSubmatchIndex(name)
	if at == nil {
		return name, 0
	}
	n, _ = strconv.Atoi(name[at[2]:at[3]])
	return name[:at[2]] + "N" + name[at[3]:], n
}

// Put adds a tensor under its name in the checkpoint.
func (t *Table) Put(name string, v weights.View) {
	if _, twice := t.views[name]; twice {
		t.errs = append(t.errs, fmt.Errorf("two tensors stand for %s", name))
		return
	}
	t.views[name] = v
}

// Take removes a tensor, to put something else in its place.
func (t *Table) Take(name string) (weights.View, bool) {
	v, ok := t.views[name]
	delete(t.views, name)
	return v, ok
}

// Rename gives a tensor another name; false if it is not there.
func (t *Table) Rename(from, to string) bool {
	v, ok := t.Take(from)
	if ok {
		t.Put(to, v)
	}
	return ok
}

// Refuse remembers that a tensor is not what it should be.
func (t *Table) Refuse(format string, args ...any) {
	t.errs = append(t.errs, fmt.Errorf(format, args...))
}

func (t *Table) source() weights.Source {
	return tableSource{t.views, slices.Sorted(maps.Keys(t.views))}
}

type tableSource struct {
	views map[string]weights.View
	names []string
}

func (s tableSource) Names() []string { return s.names }

func (s tableSource) Get(name string, _ []int) (weights.View, bool) {
	v, ok := s.views[name]
	return v, ok
}

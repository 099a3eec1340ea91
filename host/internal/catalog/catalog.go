// Package catalog knows which plugins there are: it looks through folders, holds each binary against pio.lock, and finds
// the plugin for a checkpoint.
//
// # What is a plugin
//
// Every executable regular file in a plugin folder is a candidate; folders, hidden files and files without an executable
// bit are passed over, but one that must have lost that bit is told. A symbolic link to such a file counts if a lock lists what it points to: the lock names content,
// so it does not matter where the content lies. An unlisted link is never followed.
//
// # Identity
//
// What a plugin is called is what it says in Describe. A listed binary need not be started to know that: pio.lock records
// its name and version beside its hash, so that listing costs reading the files. The record is held against Describe
// when the plugin is first started. A binary that no lock lists is not started, unless Options.AllowUnlocked says so;
// then it is started once, to ask it.
//
// # Order
//
// Folders are searched in order; a name found in an earlier one hides that name in later ones. Two binaries of one name in
// the same folder are both left out, and the problem names both.
package catalog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"

	"github.com/inference-pio/inference-pio/sdk"
)

// Plugin is a binary that may be started.
type Plugin struct {
	Name    string
	Version string
	Path    string
	SHA256  string // in hex, when it was found
	Locked  bool   // a pio.lock lists it
}

// Pin is the hash its starts must insist on: none for a binary that nobody vouches for, which may be rebuilt at any time.
func (p Plugin) Pin() string {
	if p.Locked {
		return p.SHA256
	}
	return ""
}

// Options of Open.
type Options struct {
	Dirs          []string
	AllowUnlocked bool
	Start         StartFunc
	Log           *slog.Logger // nil: nobody is told
	Memory        *Memory      // of earlier looks; nil: there was none
}

// Catalog is what Open found. Its methods may be called concurrently.
type Catalog struct {
	options  Options
	plugins  []Plugin
	problems []error
}

// Open looks through the folders. A file that cannot be used is a problem of the Catalog, not an error; an unreadable
// folder or a damaged lock is an error.
func Open(ctx context.Context, o Options) (*Catalog, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Memory == nil {
		o.Memory = new(Memory)
	}
	c := &Catalog{options: o}
	for _, dir := range o.Dirs {
		if err := c.search(ctx, dir); err != nil {
			return nil, err
		}
	}
	for _, problem := range o.Memory.news(c.problems) {
		o.Log.Warn(problem.Error())
	}
	return c, nil
}

// search adds the plugins of one folder.
func (c *Catalog) search(ctx context.Context, dir string) error {
	files, err := candidates(dir)
	if err != nil {
		return err
	}
	lock, err := readLock(LockPath(dir))
	if err != nil {
		return err
	}
	var found []Plugin
	for _, file := range files {
		switch silent, problem := file.pass(lock); {
		case problem != nil:
			c.problems = append(c.problems, problem)
			continue
		case silent:
			continue
		}
		p, err := c.identify(ctx, file, lock)
		if err != nil {
			c.problems = append(c.problems, err)
			continue
		}
		found = append(found, p)
	}
	c.add(found)
	return nil
}

// identify says what one file is, or why it is not used.
func (c *Catalog) identify(ctx context.Context, file candidate, lock Lock) (Plugin, error) {
	sum, err := c.options.Memory.sumOf(file.path)
	if err != nil {
		return Plugin{}, &Undecided{err}
	}
	p := Plugin{Path: file.path, SHA256: sum}
	if entry, ok := lock.find(sum); ok {
		p.Name, p.Version, p.Locked = entry.Name, entry.Version, true
		return p, nil
	}
	switch {
	case !c.options.AllowUnlocked:
		return Plugin{}, lock.unlisted(file.path)
	case file.link:
		return Plugin{}, fmt.Errorf("%s is a link to a binary that no pio.lock lists; it is not followed", file.path)
	}
	d, known := c.options.Memory.description(p)
	if !known {
		if d, err = c.firstStart(ctx, p); err != nil {
			return Plugin{}, err
		}
	}
	p.Name, p.Version = d.Name, d.Version
	return p, nil
}

// firstStart asks a binary that no lock lists who it is.
func (c *Catalog) firstStart(ctx context.Context, p Plugin) (sdk.Description, error) {
	c.options.Log.Warn("starting a plugin that no pio.lock lists, as plugins.allow_unlocked says", "path", p.Path)
	d, err := describe(ctx, c.options.Start, p)
	if err == nil {
		c.options.Memory.remember(p, d)
	}
	return d, err
}

// add keeps the plugins of one folder whose names are neither hidden nor ambiguous.
func (c *Catalog) add(found []Plugin) {
	paths := map[string][]string{}
	for _, p := range found {
		paths[p.Name] = append(paths[p.Name], p.Path)
	}
	var fresh []Plugin
	for _, p := range found {
		earlier, hidden := c.lookUp(p.Name)
		switch same := paths[p.Name]; {
		case len(same) > 1:
			if same[0] == p.Path { // tell it once
				c.problems = append(c.problems, fmt.Errorf("%s all say that they are %s; none is used, remove all but one", strings.Join(same, " and "), p.Name))
			}
		case hidden:
			c.problems = append(c.problems, fmt.Errorf("%s is not used: %s is also %s and comes first", p.Path, earlier.Path, p.Name))
		default:
			fresh = append(fresh, p)
		}
	}
	c.plugins = append(c.plugins, fresh...)
}

func (c *Catalog) lookUp(name string) (Plugin, bool) {
	i := slices.IndexFunc(c.plugins, func(p Plugin) bool { return p.Name == name })
	if i < 0 {
		return Plugin{}, false
	}
	return c.plugins[i], true
}

// Plugins lists what may be started, in the order of the folders and of the files in them.
func (c *Catalog) Plugins() []Plugin { return slices.Clone(c.plugins) }

// Problems says in a sentence each which files are not used and why.
func (c *Catalog) Problems() []error { return slices.Clone(c.problems) }

// Named finds a plugin. Its error says what there is instead, and what of the name is not used.
func (c *Catalog) Named(name string) (Plugin, error) {
	if p, ok := c.lookUp(name); ok {
		return p, nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "no plugin %s in %s", name, strings.Join(c.options.Dirs, ", "))
	if len(c.plugins) > 0 {
		names := make([]string, len(c.plugins))
		for i, p := range c.plugins {
			names[i] = p.Name
		}
		fmt.Fprintf(&b, "; there are %s", strings.Join(names, ", "))
	}
	told := false
	for _, problem := range c.problems {
		if strings.Contains(problem.Error(), string(filepath.Separator)+name) || len(c.plugins) == 0 {
			fmt.Fprintf(&b, "\n    %v", problem)
			told = true
		}
	}
	for _, dir := range c.options.Dirs {
		if path := filepath.Join(dir, name); !told && isThere(path) {
			fmt.Fprintf(&b, "\n    %s is no program that may be started; build the plugin to this place, or move it away", path)
		}
	}
	return Plugin{}, c.verdict(b.String(), nil)
}

// Undecided is an error that may be another one, or none, the next time although nothing was changed: a file could not be
// read, a plugin did not start. A lock that does not list a binary, or a plugin that refuses a checkpoint, is none.
type Undecided struct{ err error }

func (e *Undecided) Error() string { return e.err.Error() }
func (e *Undecided) Unwrap() error { return e.err }

// verdict is the error that nothing suits: undecided if one of the problems or of the opinions is.
func (c *Catalog) verdict(text string, opinions []opinion) error {
	errs := slices.Clone(c.problems)
	for _, o := range opinions {
		errs = append(errs, o.err)
	}
	var open *Undecided
	if errors.As(errors.Join(errs...), &open) {
		return &Undecided{errors.New(text)}
	}
	return errors.New(text)
}

// found.go makes entries for models.toml of checkpoints that are found on the disk: which plugin takes each, and whether the file
// has it already.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/inference-pio/inference-pio/host/internal/catalog"
	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/sdk"
)

var partSuffix = regexp.MustCompile(`-\d{5}-of-\d{5}$`)

// finder knows the plugins that there are, and what models.toml lists.
type finder struct {
	plugins *catalog.Catalog
	noAsk   error // why no plugin can be asked
	ids     []string
	entries []config.Model
}

// finder looks at models.toml as far as it can be read, and for plugins where it says, or where they are built.
func (g *global) finder(ctx context.Context) *finder {
	f := &finder{}
	plugins := config.Plugins{Dirs: []string{pluginDir()}, MTLS: true}
	switch c, err := config.Patient(g.file()); {
	case err == nil:
		plugins, f.entries = c.Plugins, c.Models
		for _, m := range c.Models {
			f.ids = append(append(f.ids, m.ID), m.Aliases...)
		}
	case !g.absent():
		f.noAsk = err
		return f
	}
	log, err := g.pluginLog()
	if err == nil {
		f.plugins, err = openCatalog(ctx, plugins, log, nil)
	}
	f.noAsk = err
	return f
}

// foundEntry is what can be said of a checkpoint.
type foundEntry struct {
	config.Entry
	lines   string // as they stand in models.toml; "" where no plugin takes it
	listed  string // the id under which models.toml has it
	version string // of the plugin
	table   sdk.LayerTable
	why     error // no plugin takes it
}

// entry asks the plugins about a checkpoint. A second entry of the same name gets another.
func (f *finder) entry(ctx context.Context, name, path string) foundEntry {
	e := foundEntry{Entry: config.Entry{ID: config.Free(config.NameOf(name), f.ids), Path: path}}
	for _, m := range f.entries {
		if samePlace(m.Path, path) {
			e.ID, e.listed, e.Plugin = m.ID, m.ID, m.Plugin
		}
	}
	if f.noAsk != nil {
		e.why = f.noAsk
		return e
	}
	folder, err := config.Checkpoint(path)
	if err != nil {
		e.why = err
		return e
	}
	p, in, err := f.plugins.Choose(ctx, sdk.InspectRequest{Path: folder, Numerics: config.DefaultNumerics("", folder)})
	var tie *catalog.Tie
	if errors.As(err, &tie) { // whichever: they run it equally well
		p, in, err = tie.Plugins[0], tie.Inspections[0], nil
		e.Note = "its plugin may also be " + otherNames(tie.Plugins[1:])
	}
	if err != nil {
		e.why = err
		return e
	}
	e.Plugin, e.version, e.table = p.Name, p.Version, in.Table
	e.lines = e.TOML()
	f.ids = append(f.ids, e.ID)
	return e
}

func otherNames(plugins []catalog.Plugin) string {
	var names []string
	for _, p := range plugins {
		names = append(names, p.Name)
	}
	return strings.Join(names, " or ")
}

// samePlace says whether two paths of checkpoints mean the same: a repository of a hub cache and the revision that it stands for do.
func samePlace(a, b string) bool { return resolved(a) == resolved(b) }

func resolved(path string) string {
	if folder, err := config.Checkpoint(path); err == nil {
		path = folder
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}

// addEntries writes entries into models.toml.
func (g *global) addEntries(out io.Writer, found ...foundEntry) error {
	var entries []config.Entry
	for _, e := range found {
		entries = append(entries, e.Entry)
	}
	if len(entries) == 0 {
		fmt.Fprintf(out, "there is nothing to add to %s\n", g.config)
		return nil
	}
	if err := config.Add(g.file(), entries...); err != nil {
		return err
	}
	for _, e := range entries {
		fmt.Fprintf(out, "%s has %s now: %s, by %s\n", g.config, e.ID, config.Contract(e.Path), e.Plugin)
	}
	if c, err := config.Patient(g.file()); err == nil && g.serves(c) {
		fmt.Fprintf(out, "the host at %s learns of it by SIGHUP or `piohost reload`\n", c.Server.Listen)
	}
	return nil
}

// serves says whether a host answers at the configured address.
func (g *global) serves(c *config.Config) bool {
	ctx, cancel := context.WithTimeout(context.Background(), completeTime)
	defer cancel()
	_, err := overTCP(c.Server.Listen).models(ctx)
	return err == nil
}

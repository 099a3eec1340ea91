// remove.go is `piohost models rm`: an entry of models.toml, and with it the files if they lie in the hub's cache.
package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/host/internal/hub"
	"github.com/inference-pio/inference-pio/internal/weightcache"
)

const removeHelp = `Take a model out of models.toml, and remove its files if they lie in the cache of the Hugging Face hub.

MODEL is a name of models.toml, or what "piohost pull" takes: ORG/NAME, or ORG/NAME:KIND for one of the GGUF files of a repository. Files that
lie anywhere else are yours, Ollama's or LM Studio's, and stay. It says what goes and asks; --yes does not ask.`

type removeFlags struct{ yes, dry, keep bool }

func newModelsRemove(g *global) *cobra.Command {
	var o removeFlags
	cmd := &cobra.Command{
		Use: "rm MODEL", Short: "Remove a model: its entry, and what was downloaded for it", Long: removeHelp, Args: takes(1, 1), ValidArgsFunction: g.completeModel,
		RunE: func(cmd *cobra.Command, args []string) error { return g.remove(cmd.Context(), args[0], o) },
	}
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&o.dry, "dry-run", false, "say what would go, and remove nothing")
	cmd.Flags().BoolVar(&o.keep, "keep-files", false, "take the entry out and leave the files")
	return cmd
}

// going is what a removal takes.
type going struct {
	entries []config.Model
	files   *hub.Removal // nil: none
	stays   string       // files that stay, and why

	folder weightcache.Folder
	kept   []weightcache.Entry // quantised weights of those entries alone
}

func (g *global) remove(ctx context.Context, name string, o removeFlags) error {
	home, err := hub.FindHome()
	if err != nil {
		return &codeError{exitUsage, err}
	}
	var c *config.Config
	if !g.absent() {
		if c, err = g.patient(); err != nil {
			return err
		}
	}
	what, err := whatGoes(c, home, name, o.keep)
	if err != nil {
		return &codeError{exitUsage, err}
	}
	if err := what.keptOf(c); err != nil {
		return err
	}
	g.tellGoing(what)
	if o.dry {
		return nil
	}
	if !o.yes {
		if err := g.confirm(ctx); err != nil {
			return err
		}
	}
	return g.removeAll(c, what)
}

// whatGoes finds what a name stands for: an entry, else something of the cache.
func whatGoes(c *config.Config, home hub.Home, name string, keep bool) (w going, err error) {
	if c != nil {
		if m, ok := c.Model(name); ok {
			return ofEntry(c, home, m, keep)
		}
	}
	ref, err := hub.Parse(name, home.Endpoint)
	if err != nil {
		if c != nil {
			return w, unknownModel(name, c)
		}
		return w, err
	}
	cached, ok := hub.Find(home.Cache, ref.Repo)
	if !ok {
		return w, fmt.Errorf("there is nothing of %s in %s; `piohost models scan` lists what there is", ref.Repo, home.Cache)
	}
	r, err := cached.Removal(ref.Pick)
	if err != nil {
		return w, err
	}
	w.entries = users(c, r)
	if keep {
		w.stays = "its files stay: " + r.Dir
	} else {
		w.files = &r
	}
	return w, nil
}

// ofEntry: what else an entry of the file uses stays, with a word about it.
func ofEntry(c *config.Config, home hub.Home, m config.Model, keep bool) (w going, err error) {
	w.entries = []config.Model{m}
	cached, ok := hub.Holding(home.Cache, m.Path)
	switch {
	case keep || !ok:
		w.stays = "its files stay: " + m.Path
		return w, nil
	}
	pick := ""
	if strings.EqualFold(filepath.Ext(m.Path), ".gguf") {
		pick = filepath.Base(m.Path)
	}
	r, err := cached.Removal(pick)
	if err != nil { // of files that are gone there is nothing to remove
		w.stays = fmt.Sprintf("its files are left as they are: %v", err)
		return w, nil
	}
	others := slices.DeleteFunc(users(c, r), func(o config.Model) bool { return o.ID == m.ID })
	if len(others) > 0 {
		w.stays = fmt.Sprintf("its files stay, for %s uses them too: %s", others[0].ID, m.Path)
		return w, nil
	}
	w.files = &r
	return w, nil
}

// keptOf finds the quantised weights of the entries that go, if no other entry has the same checkpoint.
func (w *going) keptOf(c *config.Config) (err error) {
	var paths []string
	for _, m := range w.entries {
		gone := func(o config.Model) bool {
			return o.Path != m.Path || slices.ContainsFunc(w.entries, func(e config.Model) bool { return e.ID == o.ID })
		}
		if c != nil && !slices.ContainsFunc(c.Models, func(o config.Model) bool { return !gone(o) }) {
			paths = append(paths, m.Path)
		}
	}
	if w.folder = cacheOf(c); len(paths) > 0 {
		w.kept, err = keptOf(w.folder, paths...)
	}
	return err
}

// users are the entries whose files go.
func users(c *config.Config, r hub.Removal) (list []config.Model) {
	if c == nil {
		return nil
	}
	for _, m := range c.Models {
		below := strings.HasPrefix(m.Path, r.Dir+string(filepath.Separator)) || m.Path == r.Dir
		if below && (r.Links == nil || slices.Contains(r.Links, m.Path)) {
			list = append(list, m)
		}
	}
	return list
}

func (g *global) tellGoing(w going) {
	for _, m := range w.entries {
		fmt.Fprintf(g.std.out, "the entry %s of %s\n", m.ID, g.config)
	}
	if r := w.files; r != nil && r.Links == nil {
		fmt.Fprintf(g.std.out, "%s, all of it: %s\n", r.Dir, hub.Size(r.Bytes))
	} else if r != nil {
		for _, link := range r.Links {
			fmt.Fprintln(g.std.out, link)
		}
		fmt.Fprintf(g.std.out, "together %s\n", hub.Size(r.Bytes))
	}
	for _, e := range w.kept {
		fmt.Fprintf(g.std.out, "its quantised weights, %s: %s\n", cmp.Or(e.About.Quantize, "as its own codes are packed"), hub.Size(e.Bytes))
	}
	if w.stays != "" {
		fmt.Fprintln(g.std.out, w.stays)
	}
}

// confirm asks the user, whose answer must be yes.
func (g *global) confirm(ctx context.Context) error {
	if !isTerminal(g.std.in) {
		return &codeError{exitUsage, errors.New("nobody can be asked whether that is to go; --yes says that it is")}
	}
	fmt.Fprint(g.std.out, "remove this? [y/N] ")
	answered := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(io.LimitReader(g.std.in, 1<<10)).ReadString('\n')
		answered <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case answer := <-answered:
		if answer == "y" || answer == "yes" {
			return nil
		}
		return errors.New("nothing was removed")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// removeAll takes the entries out first: an entry without files is worse than files without one.
func (g *global) removeAll(c *config.Config, w going) error {
	if err := w.takeOut(g.file()); err != nil {
		return err
	}
	if err := w.discard(); err != nil {
		return err
	}
	fmt.Fprintln(g.std.out, "removed")
	if len(w.entries) > 0 && g.serves(c) {
		fmt.Fprintf(g.std.out, "the host at %s still serves it, until SIGHUP or `piohost reload`\n", c.Server.Listen)
	}
	return nil
}

// takeOut has models.toml without the entries.
func (w going) takeOut(file string) error {
	for _, m := range w.entries {
		if err := config.Remove(file, m.ID); err != nil {
			return err
		}
	}
	return nil
}

// discard removes what is of the entries alone.
func (w going) discard() error {
	if w.files != nil {
		if err := w.files.Do(); err != nil {
			return err
		}
	}
	for _, e := range w.kept {
		if err := w.folder.Remove(e); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// bytes are what becomes free, as far as is known.
func (w going) bytes() (n int64) {
	if w.files != nil {
		n = w.files.Bytes
	}
	for _, e := range w.kept {
		n += e.Bytes
	}
	return n
}

// kept.go is what plugins keep of models between loads: quantised weights. `piohost models` lists them, `piohost models clean` and
// `piohost models rm` remove them.
package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/host/internal/hub"
	"github.com/inference-pio/inference-pio/internal/weightcache"
)

const cleanHelp = `Remove quantised weights that plugins keep between loads (docs/config.md, [weights]): of the model of models.toml that is named, or of all. A model
whose weights go is quantised again when it is loaded next. What a process uses stays.`

func newModelsClean(g *global) *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use: "clean [MODEL]", Short: "Remove the quantised weights that are kept", Long: cleanHelp, Args: takes(0, 1), ValidArgsFunction: g.completeModel,
		RunE: func(_ *cobra.Command, args []string) error { return g.clean(args, dry) },
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "say what would go, and remove nothing")
	return cmd
}

// cacheOf is the folder of what is kept; without a file that of a user who has none.
func cacheOf(c *config.Config) weightcache.Folder {
	w := config.Weights{}
	if c != nil {
		w = c.Weights
	}
	kept := w.Kept()
	return weightcache.Folder{Path: kept.Folder, Most: kept.Bytes}
}

// keptOf lists what is kept of some checkpoints, or of all.
func keptOf(folder weightcache.Folder, paths ...string) ([]weightcache.Entry, error) {
	if folder.Path == "" {
		return nil, nil
	}
	list, err := folder.Entries()
	if len(paths) > 0 {
		list = slices.DeleteFunc(list, func(e weightcache.Entry) bool { return !slices.Contains(paths, e.About.Model) })
	}
	return list, err
}

func (g *global) clean(args []string, dry bool) error {
	var c *config.Config
	var err error
	if !g.absent() || len(args) > 0 {
		if c, err = g.patient(); err != nil {
			return err
		}
	}
	var paths []string
	if len(args) > 0 {
		m, ok := c.Model(args[0])
		if !ok {
			return &codeError{exitUsage, unknownModel(args[0], c)}
		}
		paths = []string{m.Path}
	}
	folder := cacheOf(c)
	list, err := keptOf(folder, paths...)
	if err != nil {
		return err
	}
	return g.removeKept(folder, list, dry)
}

// removeKept removes what nobody uses.
func (g *global) removeKept(folder weightcache.Folder, list []weightcache.Entry, dry bool) error {
	bytes := int64(0)
	for _, e := range list {
		if e.InUse {
			fmt.Fprintf(g.std.out, "stays, for a process uses it: %s\n", keptName(e))
			continue
		}
		if !dry {
			if err := folder.Remove(e); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		fmt.Fprintf(g.std.out, "%s: %s\n", keptName(e), hub.Size(e.Bytes))
		bytes += e.Bytes
	}
	what := "removed"
	if dry {
		what = "would be removed"
	}
	_, err := fmt.Fprintf(g.std.out, "%s %s of quantised weights\n", hub.Size(bytes), what)
	return err
}

// keptName is what a file is of.
func keptName(e weightcache.Entry) string {
	if e.Err != nil {
		return e.Path + " (" + e.Err.Error() + ")"
	}
	return e.About.Model + ", " + cmp.Or(e.About.Quantize, "as its own codes are packed")
}

// listKept shows what is kept, if anything is.
func (g *global) listKept(d modelsDocument) error {
	if len(d.Kept) == 0 {
		return nil
	}
	sum := int64(0)
	w := tabwriter.NewWriter(g.std.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "\nKEPT\tQUANTIZE\tBYTES\tUSED\tOF")
	for _, k := range d.Kept {
		sum += k.Bytes
		used := localDay(k.Used)
		switch {
		case k.InUse:
			used = "now"
		case !k.Whole:
			used += ", unfinished"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", cmp.Or(k.Plugin, "-"), cmp.Or(k.Quantize, "-"), hub.Size(k.Bytes), used, cmp.Or(k.Model, k.Path))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(g.std.out, "together %s in %s; `piohost models clean` removes them\n", hub.Size(sum), d.KeptIn)
	return err
}

// localDay is a time of RFC 3339 as a day and a time here.
func localDay(rfc string) string {
	t, err := time.Parse(time.RFC3339, rfc)
	if err != nil {
		return cmp.Or(rfc, "-")
	}
	return t.Local().Format("2006-01-02 15:04")
}

// keptLine is a file of weights that are kept.
type keptLine struct {
	Path     string `json:"path"`
	Model    string `json:"model"`    // the checkpoint's path when it was made; "": the file cannot be read
	Quantize string `json:"quantize"` // "": as the checkpoint's own codes are packed
	Plugin   string `json:"plugin"`   // with its version
	Bytes    int64  `json:"bytes"`    // on the disk
	Used     string `json:"used"`     // when last; RFC 3339
	InUse    bool   `json:"in_use"`
	Whole    bool   `json:"whole"` // false: it is being made, or was left unfinished
}

// keptLines lists what is kept; that it cannot be is remarked.
func (g *global) keptLines(folder weightcache.Folder) []keptLine {
	lines := []keptLine{}
	list, err := keptOf(folder)
	if err != nil {
		fmt.Fprintln(g.std.err, err)
	}
	for _, e := range list {
		lines = append(lines, keptLine{e.Path, e.About.Model, e.About.Quantize, e.About.Plugin, e.Bytes, e.Used.UTC().Format(time.RFC3339), e.InUse, e.Whole})
	}
	return lines
}

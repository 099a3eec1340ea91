// pull.go is `piohost pull`: a model from a hub into the hub's own cache, and its entry for models.toml.
package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/inference-pio/inference-pio/host/internal/hub"
)

const pullHelp = `Download a model from the Hugging Face hub, or what speaks its protocol.

MODEL is ORG/NAME, ORG/NAME@REVISION, ORG/NAME:KIND for a GGUF file of that kind (Q4_K_M) or of that name, or a URL of a repository or of
one of its GGUF files. Of a checkpoint all files are fetched but the same weights in other forms; of a GGUF file all its parts, and the tower
beside it if it sees.

Files go where the hub's own library keeps them, and it finds them there; what either has is not fetched again. They have their names when
their hashes are those that the hub lists. A pull that is interrupted, even killed, is gone on with by the next one.

The environment is the library's: HF_ENDPOINT, HF_TOKEN (or the file that "hf auth login" writes), HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE.`

type pullFlags struct {
	dry, all, add, json bool
	revision, id        string
	jobs                int
}

func newPull(g *global) *cobra.Command {
	var o pullFlags
	cmd := &cobra.Command{
		Use: "pull MODEL", Short: "Download a model from the Hugging Face hub", Long: pullHelp, Args: takes(1, 1),
		Example: `  piohost pull Qwen/Qwen3-0.6B --add
  piohost pull unsloth/Qwen3-0.6B-GGUF:Q4_K_M
  piohost pull https://huggingface.co/Qwen/Qwen3-0.6B --dry-run`,
		RunE: func(cmd *cobra.Command, args []string) error { return g.pull(cmd.Context(), args[0], o) },
	}
	f := cmd.Flags()
	f.BoolVar(&o.dry, "dry-run", false, "say what would be downloaded, and download nothing")
	f.BoolVar(&o.add, "add", false, "add the model's entry to models.toml")
	f.StringVar(&o.id, "id", "", "the `NAME` of the model in models.toml")
	f.BoolVar(&o.all, "all", false, "take every file of the repository")
	f.StringVar(&o.revision, "revision", "", "a branch, a tag or a commit; main if none is named")
	f.IntVar(&o.jobs, "jobs", 4, "how many files at once")
	f.BoolVar(&o.json, "json", false, "print one JSON document; see piohost help json")
	return cmd
}

func (g *global) pull(ctx context.Context, name string, o pullFlags) error {
	home, err := hub.FindHome()
	if err != nil {
		return &codeError{exitUsage, err}
	}
	ref, err := hub.Parse(name, home.Endpoint)
	if err == nil && o.revision != "" {
		ref.Revision = o.revision
		err = ref.Check()
	}
	if err == nil && (o.jobs < 1 || o.jobs > 64) {
		err = fmt.Errorf("--jobs %d: expected 1 to 64", o.jobs)
	}
	if err != nil {
		return &codeError{exitUsage, err}
	}
	if home.Offline {
		return &codeError{exitUsage, errors.New("HF_HUB_OFFLINE is set: nothing is downloaded")}
	}
	f := g.finder(ctx)
	if o.id != "" && slices.Contains(f.ids, o.id) {
		return &codeError{exitUsage, fmt.Errorf("--id %s: %s has a model of that name", o.id, g.config)}
	}
	c := hub.New(home, ref)
	c.Jobs, c.Told = o.jobs, func(text string) { fmt.Fprintln(g.console, text) }
	p, err := c.Plan(ctx, ref, o.all)
	if err != nil {
		return err
	}
	d := pullDocumentOf(p)
	if o.dry {
		return g.pullWould(d, p, o)
	}
	if err := g.fetch(ctx, c, p); err != nil {
		return err
	}
	return g.pulled(ctx, f, d, p, o)
}

// fetch downloads with a line of progress; where there is none, one line says when it begins and one that it has ended.
func (g *global) fetch(ctx context.Context, c *hub.Client, p *hub.Plan) error {
	if p.Missing == 0 {
		return c.Pull(ctx, p, nil) // its links and its name may be missing
	}
	fmt.Fprintf(g.console, "%s: %d files of %s, of which %s are missing, to %s\n", p.Reference, len(p.Files), hub.Size(p.Bytes), hub.Size(p.Missing), p.Repository())
	began := time.Now()
	err := c.Pull(ctx, p, func(at hub.Progress) { g.console.show(fmt.Sprintf("%s: %s", p.Reference, at)) })
	g.console.show("")
	if ctx.Err() != nil {
		fmt.Fprintln(g.console, "what has come is kept; the next pull goes on with it")
	}
	if err != nil {
		return err
	}
	took := time.Since(began)
	fmt.Fprintf(g.console, "%s has come in %v, %s/s\n", hub.Size(p.Missing), took.Round(time.Second/10), hub.Size(int64(float64(p.Missing)/took.Seconds())))
	return nil
}

// pullWould is the answer to --dry-run.
func (g *global) pullWould(d pullDocument, p *hub.Plan, o pullFlags) error {
	if o.json {
		if err := g.printJSON(d); err != nil {
			return err
		}
		return p.Room()
	}
	w := tabwriter.NewWriter(g.std.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "SIZE\tMISSING\tFILE")
	for _, f := range d.Files {
		fmt.Fprintf(w, "%s\t%s\t%s\n", hub.Size(f.Size), missingOf(f), f.Path)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(g.std.out, "\n%s at commit %s: %s, of which %s are to be downloaded to %s\n", p.Reference, p.Commit[:12], hub.Size(d.Bytes), hub.Size(d.Missing), p.Repository())
	if d.Free >= 0 {
		fmt.Fprintf(g.std.out, "%s are free there\n", hub.Size(d.Free))
	}
	return p.Room()
}

func missingOf(f pullFile) string {
	switch {
	case f.Have == f.Size:
		return "-"
	case f.Have > 0:
		return hub.Size(f.Size - f.Have)
	}
	return "all"
}

// pulled says where the model is, and offers its entry or adds it.
func (g *global) pulled(ctx context.Context, f *finder, d pullDocument, p *hub.Plan, o pullFlags) error {
	name := o.id
	if name == "" {
		name = modelName(p)
	}
	found := f.entry(ctx, name, p.Checkpoint())
	if o.json {
		d.Missing, d.Entry = 0, found.lines
		for i := range d.Files {
			d.Files[i].Have = d.Files[i].Size
		}
		if err := g.printJSON(d); err != nil {
			return err
		}
	}
	show := g.std.out
	if o.json {
		show = g.std.err
	}
	switch {
	case found.listed != "":
		fmt.Fprintf(show, "%s\n%s has it as %s\n", p.Checkpoint(), g.config, found.listed)
		return nil
	case found.why != nil:
		fmt.Fprintln(show, p.Checkpoint())
		return found.why
	case o.add:
		return g.addEntries(show, found)
	case o.json:
		return nil
	}
	fmt.Fprintf(show, "%s\n\nits entry for %s, which --add adds:\n\n%s", p.Checkpoint(), g.config, found.lines)
	return nil
}

// modelName is what a model is called unless the user says otherwise: the repository's name, or the file's.
func modelName(p *hub.Plan) string {
	if p.Main != "" {
		return fileModelName(p.Main)
	}
	return filepath.Base(filepath.FromSlash(p.Repo))
}

// fileModelName is the name of a GGUF file without what is no name of the model's.
func fileModelName(path string) string {
	name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	return partSuffix.ReplaceAllString(name, "")
}

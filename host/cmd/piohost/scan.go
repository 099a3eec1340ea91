// scan.go is `piohost models scan`: checkpoints that other programs have put on this machine, which plugin takes each, and the
// entries for them.
package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/inference-pio/inference-pio/host/internal/discover"
	"github.com/inference-pio/inference-pio/host/internal/hub"
)

const scanHelp = `List the models that are on this machine: in the cache of the Hugging Face hub (HF_HUB_CACHE, HF_HOME), in Ollama's store (OLLAMA_MODELS)
and in LM Studio's folder; which plugin takes each, and the entries to add to models.toml. Nothing is copied: an entry names the files where
they are.

With words, those alone in whose name or path each word is found.`

func newModelsScan(g *global) *cobra.Command {
	var add bool
	cmd := &cobra.Command{Use: "scan [WORD...]", Short: "Find models that other programs have downloaded", Long: scanHelp}
	asJSON := jsonFlag(cmd.Flags())
	cmd.Flags().BoolVar(&add, "add", false, "add the entries of those that a plugin takes to models.toml")
	cmd.RunE = func(cmd *cobra.Command, words []string) error {
		found, problems, err := g.scan(cmd.Context(), words)
		if err != nil {
			return err
		}
		for _, p := range problems {
			fmt.Fprintln(g.std.err, p)
		}
		if *asJSON {
			err = g.printJSON(scanDocumentOf(found, problems))
		} else {
			err = g.showScan(found, words, add)
		}
		if err == nil && add {
			err = g.addFound(found, *asJSON)
		}
		return err
	}
	return cmd
}

// scanned is a checkpoint with what the plugins say of it.
type scanned struct {
	discover.Found
	foundEntry
}

// scan asks the plugins about all that there is.
func (g *global) scan(ctx context.Context, words []string) (list []scanned, problems []error, err error) {
	home, err := hub.FindHome()
	if err != nil {
		return nil, nil, &codeError{exitUsage, err}
	}
	found, problems := discover.Here(home.Cache).All()
	f := g.finder(ctx)
	if f.noAsk != nil {
		return nil, nil, f.noAsk
	}
	defer f.plugins.Keep()()
	defer g.console.show("")
	for _, one := range found {
		if !matches(one, words) {
			continue
		}
		g.console.show("asking the plugins about " + one.Name)
		list = append(list, scanned{one, f.entry(ctx, foundName(one), one.Path)})
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
	}
	return list, problems, nil
}

func matches(f discover.Found, words []string) bool {
	text := strings.ToLower(f.Source + " " + f.Name + " " + f.Path)
	for _, w := range words {
		if !strings.Contains(text, strings.ToLower(w)) {
			return false
		}
	}
	return true
}

// foundName is what to call a model: without whoever has published it, and with its kind.
func foundName(f discover.Found) string {
	if f.Source == discover.Ollama {
		return f.Name[strings.LastIndexByte(f.Name, '/')+1:]
	}
	if strings.HasSuffix(strings.ToLower(f.Path), ".gguf") {
		return fileModelName(f.Path)
	}
	return f.Name[strings.LastIndexByte(f.Name, '/')+1:]
}

// showNone says where nothing was found.
func (g *global) showNone(words []string) error {
	where := "with " + strings.Join(words, " ") + " in its name or path"
	if home, err := hub.FindHome(); err == nil && len(words) == 0 {
		where = "in " + strings.Join(discover.Here(home.Cache).Folders(), ", ")
	}
	_, err := fmt.Fprintln(g.std.out, "no model was found "+where)
	return err
}

// showScan is a line for each, then why some are taken by no plugin, then the entries.
func (g *global) showScan(list []scanned, words []string, add bool) error {
	if len(list) == 0 {
		return g.showNone(words)
	}
	w := tabwriter.NewWriter(g.std.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "WHERE\tMODEL\tSIZE\tPLUGIN\tIN MODELS.TOML")
	for _, s := range list {
		plugin, listed := s.Plugin, s.listed
		if s.why != nil {
			plugin = ""
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", s.Source, s.Name, hub.Size(s.Bytes), orHyphen(plugin), orHyphen(listed))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, s := range list {
		if s.why != nil {
			fmt.Fprintf(g.std.out, "\n%s: %v\n", s.Name, s.why)
		}
	}
	offered := offers(list)
	if len(offered) == 0 || add {
		return nil
	}
	fmt.Fprintf(g.std.out, "\nentries for %s, which --add adds:\n", g.config)
	for _, s := range offered {
		fmt.Fprintf(g.std.out, "\n%s", s.lines)
	}
	return nil
}

func orHyphen(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// offers are those that a plugin takes and models.toml does not have.
func offers(list []scanned) (offered []scanned) {
	seen := map[string]bool{}
	for _, s := range list {
		if place := resolved(s.Found.Path); s.why == nil && s.listed == "" && !seen[place] {
			seen[place] = true
			offered = append(offered, s)
		}
	}
	return offered
}

func (g *global) addFound(list []scanned, quiet bool) error {
	var entries []foundEntry
	for _, s := range offers(list) {
		entries = append(entries, s.foundEntry)
	}
	out := g.std.out
	if quiet {
		out = g.std.err
	}
	return g.addEntries(out, entries...)
}

// scanDocument is that of `models scan`.
type scanDocument struct {
	Models   []scannedLine `json:"models"`
	Problems []string      `json:"problems"` // what could not be read, a sentence each
}

type scannedLine struct {
	Source string `json:"source"` // hub, ollama or lmstudio
	Name   string `json:"name"`
	Path   string `json:"path"`
	Bytes  int64  `json:"bytes"`
	Plugin string `json:"plugin"` // "": none takes it
	Reason string `json:"reason"` // why
	Listed string `json:"listed"` // its id in models.toml, or ""
	Entry  string `json:"entry"`  // lines to add; "": there is nothing to add
}

func scanDocumentOf(list []scanned, problems []error) scanDocument {
	d := scanDocument{Models: []scannedLine{}, Problems: []string{}}
	for _, s := range list {
		line := scannedLine{Source: s.Source, Name: s.Name, Path: s.Found.Path, Bytes: s.Bytes, Plugin: s.Plugin, Listed: s.listed}
		if s.why != nil {
			line.Plugin, line.Reason = "", s.why.Error()
		} else if s.listed == "" {
			line.Entry = s.lines
		}
		d.Models = append(d.Models, line)
	}
	for _, p := range problems {
		d.Problems = append(d.Problems, p.Error())
	}
	return d
}

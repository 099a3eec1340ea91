package main

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/inference-pio/inference-pio/host/internal/config"
)

func newModels(g *global) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "models",
		Short: "List the models of models.toml and how they stand in a running host; find others, and remove them",
		Args:  noArgs,
	}
	cmd.AddCommand(newModelsScan(g), newModelsRemove(g), newModelsClean(g))
	asJSON := jsonFlag(cmd.Flags())
	g.hostFlag(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		d, err := g.models(cmd.Context())
		if err != nil {
			return err
		}
		if *asJSON {
			return g.printJSON(d)
		}
		return g.listModels(d)
	}
	return cmd
}

// models asks the host that the user has named, or the one at the configured address. That there is none here is remarked, and no
// error.
func (g *global) models(ctx context.Context) (modelsDocument, error) {
	r, err := g.elsewhere()
	if err != nil {
		return modelsDocument{}, err
	}
	if r != nil {
		answered, err := r.models(ctx)
		if err != nil {
			return modelsDocument{}, err
		}
		d := modelsDocument{Host: r.base, Running: true, Models: []modelLine{}, Kept: []keptLine{}}
		for _, m := range answered {
			d.Models = append(d.Models, modelLine{ID: m.ID, Aliases: list(m.Aliases), State: m.State, Reason: m.Reason, Context: m.Context,
				RetryAt: m.RetryAt, WaitsFor: m.WaitsFor, Cores: m.Cores})
		}
		return d, nil
	}
	c, err := g.patient()
	if err != nil {
		return modelsDocument{}, err
	}
	return g.modelsHere(ctx, c), nil
}

func (g *global) modelsHere(ctx context.Context, c *config.Config) modelsDocument {
	answered, err := local(c).models(ctx)
	if err != nil {
		fmt.Fprintln(g.std.err, err)
	}
	served := map[string]listedModel{}
	for _, m := range answered {
		served[m.ID] = m
	}
	folder := cacheOf(c)
	d := modelsDocument{Host: c.Server.Listen, Running: err == nil, Models: []modelLine{}, KeptIn: folder.Path, Kept: g.keptLines(folder)}
	for _, m := range c.Models {
		r := served[m.ID]
		d.Models = append(d.Models, modelLine{m.ID, list(m.Aliases), m.Path, m.Plugin, r.State, r.Reason, r.Context, r.RetryAt, r.WaitsFor,
			m.Quantize, string(m.Numerics), m.KVCache, r.Cores})
	}
	return d
}

func (g *global) listModels(d modelsDocument) error {
	w := tabwriter.NewWriter(g.std.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "MODEL\tSTATE\tCONTEXT\tCORES\tQUANTIZE\tCACHE\tPATH")
	for _, m := range d.Models {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", m.ID, cmp.Or(m.State, "-"), orDash(m.Context), orDash(m.Cores), cmp.Or(m.Quantize, "-"), cmp.Or(m.KVCache, "-"), cmp.Or(m.Path, "-"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, m := range d.Models {
		if m.Reason != "" {
			fmt.Fprintf(g.std.out, "\n%s is %s: %s\n", m.ID, m.State, m.Reason)
		}
		if m.WaitsFor != "" {
			fmt.Fprintf(g.std.out, "    next attempt: %s\n    it waits for: %s\n", localTime(m.RetryAt), m.WaitsFor)
		}
	}
	return g.listKept(d)
}

// orDash is a number, or "-" for one that is not.
func orDash(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}

// localTime is a host's time as the clock on the wall has it.
func localTime(rfc string) string {
	t, err := time.Parse(time.RFC3339, rfc)
	if err != nil {
		return rfc
	}
	return t.Local().Format(time.TimeOnly)
}

package main

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/inference-pio/inference-pio/host/internal/config"
)

func newModels(g *global) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "models",
		Short: "List the models of models.toml and how they stand in a running host",
		Args:  noArgs,
	}
	asJSON := jsonFlag(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := g.load()
		if err != nil {
			return err
		}
		d := g.models(cmd.Context(), c)
		if *asJSON {
			return g.printJSON(d)
		}
		return g.listModels(d)
	}
	return cmd
}

// models asks the host at the configured address. That there is none is remarked, and no error.
func (g *global) models(ctx context.Context, c *config.Config) modelsDocument {
	answered, err := overTCP(c.Server.Listen).models(ctx)
	if err != nil {
		fmt.Fprintln(g.std.err, err)
	}
	served := map[string]listedModel{}
	for _, m := range answered {
		served[m.ID] = m
	}
	d := modelsDocument{Host: c.Server.Listen, Running: err == nil, Models: []modelLine{}}
	for _, m := range c.Models {
		r := served[m.ID]
		d.Models = append(d.Models, modelLine{m.ID, list(m.Aliases), m.Path, m.Plugin, r.State, r.Reason, r.Context})
	}
	return d
}

func (g *global) listModels(d modelsDocument) error {
	w := tabwriter.NewWriter(g.std.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "MODEL\tSTATE\tCONTEXT\tPATH")
	for _, m := range d.Models {
		positions := "-"
		if m.Context > 0 {
			positions = strconv.Itoa(m.Context)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", m.ID, cmp.Or(m.State, "-"), positions, m.Path)
	}
	return w.Flush()
}

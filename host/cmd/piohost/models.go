package main

import (
	"context"
	"fmt"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/inference-pio/inference-pio/host/internal/config"
)

func newModels(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "models",
		Short: "List the models of models.toml and how they stand in a running host",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := g.load()
			if err != nil {
				return err
			}
			return g.models(cmd.Context(), c)
		},
	}
}

func (g *global) models(ctx context.Context, c *config.Config) error {
	list, err := overTCP(c.Server.Listen).models(ctx)
	if err != nil {
		fmt.Fprintf(g.std.err, "no host answers at %s\n", c.Server.Listen)
	}
	running := map[string]listedModel{}
	for _, m := range list {
		running[m.ID] = m
	}
	w := tabwriter.NewWriter(g.std.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "MODEL\tSTATE\tCONTEXT\tPATH")
	for _, m := range c.Models {
		state, positions := "-", "-"
		if r, ok := running[m.ID]; ok {
			state = r.State
			if r.Context > 0 {
				positions = strconv.Itoa(r.Context)
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", m.ID, state, positions, m.Path)
	}
	return w.Flush()
}

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/inference-pio/inference-pio/host/internal/config"
)

func newConfig(g *global) *cobra.Command {
	group := newGroup("config", "Check models.toml")
	check := &cobra.Command{
		Use:   "check",
		Short: "Say what is wrong with models.toml, and which plugin each model gets",
		Args:  noArgs,
	}
	asJSON := jsonFlag(check.Flags())
	check.RunE = func(cmd *cobra.Command, _ []string) error { return g.check(cmd.Context(), *asJSON) }
	group.AddCommand(check)
	return group
}

// check goes as far as a start would without loading anything.
func (g *global) check(ctx context.Context, asJSON bool) error {
	models, problems, err := g.checked(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		err = g.printJSON(checkDocument{g.config, len(problems) == 0, models, problemLines(problems)})
	} else {
		for _, m := range models {
			fmt.Fprintf(g.std.out, "%s: %s %s\n", m.ID, m.Plugin, m.Version)
		}
	}
	if len(problems) > 0 {
		return &codeError{exitUsage, problems}
	}
	return err
}

// checked returns what could be served, and what is wrong with the file.
func (g *global) checked(ctx context.Context) ([]checkedLine, config.Problems, error) {
	models := []checkedLine{}
	c, err := config.Load(g.file())
	var problems config.Problems
	switch {
	case errors.As(err, &problems):
		return models, problems, nil
	case err != nil:
		return nil, nil, err
	}
	g.note(c.Notes)
	log, err := g.pluginLog()
	if err != nil {
		return nil, nil, err
	}
	plugins, err := openCatalog(ctx, c.Plugins, log, nil)
	if err != nil {
		return nil, nil, err
	}
	for i, m := range c.Models {
		p, err := choose(ctx, plugins, m)
		switch {
		case ctx.Err() != nil:
			return nil, nil, ctx.Err()
		case err != nil:
			problems = append(problems, config.Problem{File: g.config, Line: m.Line, Key: fmt.Sprintf("model[%d]", i), Text: err.Error()})
		default:
			models = append(models, checkedLine{m.ID, p.Name, p.Version})
		}
	}
	return models, problems, nil
}

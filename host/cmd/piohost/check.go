package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

func newConfig(g *global) *cobra.Command {
	cmd := newGroup("config", "Check models.toml")
	cmd.AddCommand(&cobra.Command{
		Use:   "check",
		Short: "Say what is wrong with models.toml, and which plugin each model gets",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return g.check(cmd.Context()) },
	})
	return cmd
}

// check goes as far as a start would without loading anything.
func (g *global) check(ctx context.Context) error {
	c, err := g.load()
	if err != nil {
		return err
	}
	log, err := g.pluginLog()
	if err != nil {
		return err
	}
	plugins, err := openCatalog(ctx, c, log)
	if err != nil {
		return err
	}
	var problems []error
	for _, m := range c.Models {
		p, err := choose(ctx, plugins, m)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s:%d: model %q: %w", c.File, m.Line, m.ID, err))
			continue
		}
		fmt.Fprintf(g.std.out, "%s: %s %s\n", m.ID, p.Name, p.Version)
	}
	if err := errors.Join(problems...); err != nil {
		return &codeError{exitUsage, err}
	}
	return nil
}

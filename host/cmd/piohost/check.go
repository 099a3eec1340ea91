package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/inference-pio/inference-pio/host/internal/catalog"
	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/host/internal/schedule"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/machine"
	"github.com/inference-pio/inference-pio/sdk/plan"
)

func newConfig(g *global) *cobra.Command {
	group := newGroup("config", "Check models.toml, and make keys for it")
	check := &cobra.Command{
		Use:   "check",
		Short: "Say what is wrong with models.toml, which plugin each model gets, and what it takes of memory",
		Args:  noArgs,
	}
	asJSON := jsonFlag(check.Flags())
	check.RunE = func(cmd *cobra.Command, _ []string) error { return g.check(cmd.Context(), *asJSON) }
	group.AddCommand(check, newKeyCommand(g))
	return group
}

// check goes as far as a start would without loading anything: every model's plugin is asked about its checkpoint, and memory is
// divided.
func (g *global) check(ctx context.Context, asJSON bool) error {
	d, problems, err := g.checked(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		d.File, d.OK, d.Problems = g.config, len(problems) == 0, problemLines(problems)
		err = g.printJSON(d)
	} else {
		err = g.showCheck(d)
	}
	if len(problems) > 0 {
		return &codeError{exitUsage, problems}
	}
	return err
}

func (g *global) showCheck(d checkDocument) (err error) {
	print := func(format string, args ...any) {
		if err == nil {
			_, err = fmt.Fprintf(g.std.out, format, args...)
		}
	}
	for _, m := range d.Models {
		print("%s: %s %s\n", m.ID, m.Plugin, m.Version)
		if t := m.Memory; t.Total > 0 {
			print("    context %d, room for %d of it at once\n", m.Context, m.Sequences)
			print("    %s of memory: %s\n", plan.Size(t.Total), t.parts())
		}
	}
	if t := d.Memory; t.Taken > 0 {
		print("%s of %s of memory are taken (%s)\n", plan.Size(t.Taken), plan.Size(t.Bytes), t.From)
	}
	return err
}

// checked returns what could be served, and what is wrong with the file.
func (g *global) checked(ctx context.Context) (d checkDocument, problems config.Problems, err error) {
	d.Models = []checkedLine{}
	c, err := config.Load(g.file())
	switch {
	case errors.As(err, &problems):
		return d, problems, nil
	case err != nil:
		return d, nil, err
	}
	g.note(c.Notes)
	log, err := g.pluginLog()
	if err != nil {
		return d, nil, err
	}
	plugins, err := openCatalog(ctx, c.Plugins, log, nil)
	if err != nil {
		return d, nil, err
	}
	problems = certificateProblems(g.config, c)
	var asked []schedule.Asked
	for i, m := range c.Models {
		p, in, err := inspect(ctx, plugins, m)
		switch {
		case ctx.Err() != nil:
			return d, nil, ctx.Err()
		case err != nil:
			problems = append(problems, problemOf(g.config, i, m, err))
		default:
			d.Models = append(d.Models, checkedLine{ID: m.ID, Plugin: p.Name, Version: p.Version})
			asked = append(asked, schedule.Asked{Model: m, Need: plan.NeedOf(in.Table, m.Inspect()).WithSpill(m.Spill())})
		}
	}
	budget := schedule.BudgetOf(c, machine.Read())
	d.Memory = checkedMemory{Bytes: budget.Bytes, From: budget.From}
	problems = append(problems, g.divided(c, &d, budget, asked)...)
	return d, problems, nil
}

// divided puts into the document what each model would have of the memory. Those that would have none are problems.
func (g *global) divided(c *config.Config, d *checkDocument, budget schedule.Budget, asked []schedule.Asked) (problems config.Problems) {
	lines := d.Models
	d.Models = []checkedLine{}
	for n, share := range sharesOf(budget, asked) {
		i := slices.IndexFunc(c.Models, func(m config.Model) bool { return m.ID == asked[n].Model.ID })
		if share.Err != nil {
			problems = append(problems, problemOf(g.config, i, asked[n].Model, share.Err))
			continue
		}
		line := lines[n]
		if need := asked[n].Need; need.Known() {
			if budget.Bytes == 0 {
				share.Bytes = need.Wanted()
			}
			f, _ := need.Fit(share.Bytes)
			line.Context, line.Sequences = f.Context, max(1, f.Positions/f.Context)
			line.Memory = takenOf(f)
			if !asked[n].Model.OnDemand {
				d.Memory.Taken += f.Bytes()
			}
		}
		d.Models = append(d.Models, line)
	}
	return problems
}

// sharesOf divides the memory between those that are loaded at the start. One that comes on demand needs room beside the others only
// while it is there: it is given what it would have if it were the first to ask.
func sharesOf(budget schedule.Budget, asked []schedule.Asked) []schedule.Share {
	var start []schedule.Asked
	for _, a := range asked {
		if !a.Model.OnDemand {
			start = append(start, a)
		}
	}
	together := schedule.Shares(budget, start)
	var shares []schedule.Share
	for n, a := range asked {
		if !a.Model.OnDemand {
			shares, together = append(shares, together[0]), together[1:]
			continue
		}
		others := slices.Delete(slices.Clone(asked), n, n+1)
		for i := range others {
			others[i].Model.Priority = min(others[i].Model.Priority, a.Model.Priority)
		}
		shares = append(shares, schedule.Shares(budget, append([]schedule.Asked{a}, others...))[0])
	}
	return shares
}

func problemOf(file string, i int, m config.Model, err error) config.Problem {
	return config.Problem{File: file, Line: m.Line, Key: fmt.Sprintf("model[%d]", i), Text: err.Error()}
}

// inspect asks the plugin of an entry about its checkpoint.
func inspect(ctx context.Context, c *catalog.Catalog, m config.Model) (catalog.Plugin, sdk.Inspection, error) {
	if m.Plugin == "" {
		p, in, _, err := c.Settle(ctx, m.Inspect())
		return p, in, err
	}
	p, err := c.Named(m.Plugin)
	if err != nil {
		return p, sdk.Inspection{}, err
	}
	in, err := c.Inspect(ctx, p, m.Inspect())
	if err == nil && in.Fit == sdk.FitNone {
		err = fmt.Errorf("the plugin %s does not run this checkpoint: %s", p.Name, in.Reason)
	}
	return p, in, err
}

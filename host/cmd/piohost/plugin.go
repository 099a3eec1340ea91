package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/inference-pio/inference-pio/host/internal/catalog"
	"github.com/inference-pio/inference-pio/host/internal/process"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
	"github.com/inference-pio/inference-pio/sdk/conformance"
)

func newPlugin(g *global) *cobra.Command {
	cmd := newGroup("plugin", "List, inspect, test and pin plugins")
	cmd.AddCommand(newPluginList(g), newPluginInspect(g), newPluginTest(g), newPluginLock(g))
	return cmd
}

func newPluginList(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the plugins in the configured folders",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := g.load()
			if err != nil {
				return err
			}
			plugins, err := openCatalog(cmd.Context(), c, nil)
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(g.std.out, 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "PLUGIN\tVERSION\tLOCKED\tPATH")
			for _, p := range plugins.Plugins() {
				fmt.Fprintf(w, "%s\t%s\t%v\t%s\n", p.Name, p.Version, p.Locked, p.Path)
			}
			if err := w.Flush(); err != nil {
				return err
			}
			for _, problem := range plugins.Problems() {
				fmt.Fprintln(g.std.err, problem)
			}
			return nil
		},
	}
}

// spawn starts a binary that the user has named, listed or not.
func (g *global) spawn(ctx context.Context, path string) (*process.Process, error) {
	log, err := g.pluginLog()
	if err != nil {
		return nil, err
	}
	return process.Start(ctx, process.Spec{Name: filepath.Base(path), Path: path, Log: log})
}

// pluginLog shows of a plugin's log what --log-level asks for, but only warnings if it does not ask.
func (g *global) pluginLog() (*slog.Logger, error) {
	quiet := *g
	if quiet.logLevel == "info" {
		quiet.logLevel = "warn"
	}
	return quiet.logger()
}

func newPluginInspect(g *global) *cobra.Command {
	var model string
	cmd := &cobra.Command{
		Use:   "inspect BIN",
		Short: "Show what a plugin says of itself, and of a checkpoint",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			p, err := g.spawn(ctx, args[0])
			if err != nil {
				return err
			}
			defer p.Stop(context.WithoutCancel(ctx))
			d, err := p.Client().Describe(ctx)
			if err != nil {
				return err
			}
			if err := g.describe(d, p); err != nil || model == "" {
				return err
			}
			inspection, err := p.Client().Inspect(ctx, sdk.InspectRequest{Path: model, Numerics: sdk.NumericsExact})
			if err != nil {
				return err
			}
			return g.inspection(model, inspection)
		},
	}
	cmd.Flags().StringVar(&model, "model", "", "a checkpoint's folder")
	return cmd
}

func (g *global) describe(d sdk.Description, p *process.Process) error {
	w := tabwriter.NewWriter(g.std.out, 0, 8, 2, ' ', 0)
	for _, line := range [][2]string{
		{"name", d.Name}, {"version", d.Version}, {"sdk", d.SDKVersion}, {"protocol", words(d.Majors)},
		{"architectures", words(d.Architectures)}, {"capabilities", words(d.Capabilities)}, {"kernels", d.Kernels},
		{"numerics", words(d.Numerics)}, {"devices", words(append([]string{"cpu"}, d.Devices...))}, {"sha256", p.SHA256()},
	} {
		fmt.Fprintf(w, "%s\t%s\n", line[0], line[1])
	}
	return w.Flush()
}

func words[T any](list []T) string {
	return strings.Trim(fmt.Sprint(list), "[]")
}

func (g *global) inspection(model string, i sdk.Inspection) error {
	fmt.Fprintf(g.std.out, "\n%s\nfit: %s", model, i.Fit)
	if i.Reason != "" {
		fmt.Fprintf(g.std.out, " (%s)", i.Reason)
	}
	fmt.Fprintln(g.std.out)
	if i.Fit == sdk.FitNone {
		return nil
	}
	fmt.Fprintf(g.std.out, "parameters: %d\ncontext: %d\nvocabulary: %d\n", i.Table.Parameters, i.Table.Context, i.Table.VocabSize)
	if len(i.Table.Modules) == 0 {
		return nil
	}
	fmt.Fprintln(g.std.out)
	w := tabwriter.NewWriter(g.std.out, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "MODULE\tWEIGHTS\tSTATE/TOKEN\tSTATE/SEQUENCE\tMFLOP/TOKEN\t")
	for _, m := range i.Table.Modules {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%.3f\t\n", m.ID, m.WeightBytes, m.StateBytesToken, m.StateBytesSeq, m.FLOPsToken/1e6)
	}
	return w.Flush()
}

func newPluginTest(g *global) *cobra.Command {
	var model string
	cmd := &cobra.Command{
		Use:   "test BIN --model DIR",
		Short: "Check that a plugin keeps the protocol",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if model == "" {
				return &codeError{exitUsage, errors.New("--model is missing; expected the folder of a checkpoint that the plugin fits")}
			}
			return g.test(cmd.Context(), args[0], model)
		},
	}
	cmd.Flags().StringVar(&model, "model", "", "a checkpoint that the plugin fits")
	return cmd
}

func (g *global) test(ctx context.Context, bin, model string) error {
	passed := conformance.Check(conformance.Config{
		Model: model,
		Start: func(started context.Context) (*client.Client, func(), error) {
			if ctx.Err() != nil {
				return nil, nil, ctx.Err()
			}
			p, err := g.spawn(started, bin)
			if err != nil {
				return nil, nil, err
			}
			return p.Client(), func() { _ = p.Stop(context.Background()) }, nil
		},
	}, func(r conformance.Result) {
		word := "ok"
		if r.Failed {
			word = "FAIL"
		} else if r.Skipped {
			word = "skip"
		}
		fmt.Fprintf(g.std.out, "%-4s  %-12s  %6.2f s  %s\n", word, r.Case.Name, r.Seconds, strings.Join(r.Case.Musts, " "))
		for _, line := range r.Lines {
			fmt.Fprintf(g.std.out, "      %s\n", line)
		}
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case !passed:
		return fmt.Errorf("%s does not keep the protocol; PROTOCOL.md explains each number", bin)
	}
	return nil
}

func newPluginLock(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "lock DIR...",
		Short: "Write the pio.lock of plugin folders: what lies in them now may be started",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			log, err := g.pluginLog()
			if err != nil {
				return err
			}
			list, err := catalog.WriteLock(cmd.Context(), catalog.Starter(log, false), args...)
			if err != nil {
				return err
			}
			for _, p := range list {
				fmt.Fprintf(g.std.out, "%s %s %s\n", p.SHA256[:12], p.Name, p.Version)
			}
			return nil
		},
	}
}

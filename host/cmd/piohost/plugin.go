package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/inference-pio/inference-pio/host/internal/catalog"
	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/host/internal/process"
)

func newPlugin(g *global) *cobra.Command {
	cmd := newGroup("plugin", "List, inspect, test and pin plugins")
	cmd.AddCommand(newPluginList(g), newPluginInspect(g), newPluginTest(g), newPluginLock(g), newPluginEnv(g))
	return cmd
}

func newPluginList(g *global) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the plugins in the configured folders",
		Args:  noArgs,
	}
	asJSON := jsonFlag(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := g.load()
		if err != nil {
			return err
		}
		plugins, err := openCatalog(cmd.Context(), c.Plugins, nil, nil)
		if err != nil {
			return err
		}
		d := pluginsDocument{pluginLines(plugins.Plugins()), []string{}}
		for _, problem := range plugins.Problems() {
			d.Problems = append(d.Problems, problem.Error())
			fmt.Fprintln(g.std.err, problem)
		}
		if *asJSON {
			return g.printJSON(d)
		}
		return g.listPlugins(d.Plugins)
	}
	return cmd
}

func (g *global) listPlugins(list []pluginLine) error {
	w := tabwriter.NewWriter(g.std.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "PLUGIN\tVERSION\tLOCKED\tPATH")
	for _, p := range list {
		fmt.Fprintf(w, "%s\t%s\t%v\t%s\n", p.Name, p.Version, p.Locked, p.Path)
	}
	return w.Flush()
}

// spawn starts a binary that the user has named, listed or not, as serve would.
func (g *global) spawn(ctx context.Context, path string) (*process.Process, error) {
	path = config.Expand(path)
	log, err := g.pluginLog()
	if err != nil {
		return nil, err
	}
	mtls, err := g.mtls()
	if err != nil {
		return nil, err
	}
	return process.Start(ctx, process.Spec{Name: filepath.Base(path), Path: path, MTLS: mtls, Log: log})
}

// mtls is what models.toml says of the sockets to plugins; these commands need no such file.
func (g *global) mtls() (bool, error) {
	on, err := config.MTLS(g.file())
	if err != nil {
		return false, &codeError{exitUsage, err}
	}
	return on, nil
}

// pluginLog shows of a plugin's log what --log-level asks for, but only warnings if it does not ask.
func (g *global) pluginLog() (*slog.Logger, error) {
	quiet := *g
	if quiet.logLevel == "info" {
		quiet.logLevel = "warn"
	}
	return quiet.logger()
}

func newPluginLock(g *global) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lock [DIR...]",
		Short: "Write the pio.lock of plugin folders: what lies in them now may be started",
		Long: `Write the pio.lock of plugin folders, by default of the configured ones: what lies in them now may be started.

The lock is beside the folder; it has the hash, name and version of every plugin in it.`,
	}
	asJSON := jsonFlag(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		log, err := g.pluginLog()
		if err != nil {
			return err
		}
		for i, dir := range args {
			args[i] = config.Expand(dir)
		}
		if len(args) == 0 {
			c, err := g.load()
			if err != nil {
				return err
			}
			args = c.Plugins.Dirs
		}
		mtls, err := g.mtls()
		if err != nil {
			return err
		}
		list, err := catalog.WriteLock(cmd.Context(), catalog.Starter(log, mtls), args...)
		if err != nil {
			return err
		}
		if *asJSON {
			return g.printJSON(pluginsDocument{pluginLines(list), []string{}})
		}
		for _, p := range list {
			fmt.Fprintf(g.std.out, "%s %s %s\n", p.SHA256[:12], p.Name, p.Version)
		}
		return nil
	}
	return cmd
}

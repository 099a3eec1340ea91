// complete.go tells the shell how words may go on: piohost completion bash, zsh, fish or powershell prints what asks here.
package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// completeTime is how long a person waits for a tabulator without wondering.
const completeTime = 500 * time.Millisecond

// completeModel knows the names of models: those of the host that the user has named, or of models.toml and the host at its
// address. A word that begins as a path goes on as one.
func (g *global) completeModel(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names := g.modelNames(cmd.Context())
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, word) })
	slices.Sort(names)
	if strings.ContainsAny(word, "/.~") && len(names) == 0 {
		return nil, cobra.ShellCompDirectiveFilterDirs
	}
	return slices.Compact(names), cobra.ShellCompDirectiveNoFileComp
}

// modelNames are as many as can be found in the time; what is wrong is told when the command runs.
func (g *global) modelNames(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, completeTime)
	defer cancel()
	if r, err := g.elsewhere(); r != nil || err != nil {
		if err != nil {
			return nil
		}
		list, _ := r.models(ctx)
		return servedNames(list, true)
	}
	c, err := g.load()
	if err != nil {
		return nil
	}
	list, _ := local(c).models(ctx)
	names := servedNames(list, true)
	for _, m := range c.Models {
		names = append(append(names, m.ID), m.Aliases...)
	}
	return names
}

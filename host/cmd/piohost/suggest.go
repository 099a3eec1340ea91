package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// nearest is the candidate that name most likely meant, or "": one that begins or is spelled almost like it, else the only
// one it is a part of.
func nearest(name string, candidates []string) string {
	if name == "" {
		return ""
	}
	spelling := &cobra.Command{SuggestionsMinimumDistance: 2}
	var around []string
	for _, c := range candidates {
		spelling.AddCommand(&cobra.Command{Use: c, Run: func(*cobra.Command, []string) {}}) // without Run it would count as help
		if strings.Contains(strings.ToLower(c), strings.ToLower(name)) {
			around = append(around, c)
		}
	}
	if close := spelling.SuggestionsFor(name); len(close) > 0 {
		return close[0]
	}
	if len(around) == 1 {
		return around[0]
	}
	return ""
}

// noArgs is for a command that only runs sub-commands, or takes nothing: a stray word is most likely a command misspelled.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	switch meant := nearest(args[0], names); {
	case len(names) == 0:
		return fmt.Errorf("%s takes no arguments, but is given %q", cmd.CommandPath(), args[0])
	case meant != "":
		return fmt.Errorf("%s has no command %q; did you mean %s?", cmd.CommandPath(), args[0], meant)
	default:
		return fmt.Errorf("%s has no command %q; it has %s", cmd.CommandPath(), args[0], strings.Join(names, ", "))
	}
}

// args.go says what is wrong with a command line in words that help: what was meant, and what is expected.
package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

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

// takes is for a command with arguments, which its Use names.
func takes(low, high int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch usage := strings.TrimSuffix(cmd.UseLine(), " [flags]"); {
		case len(args) < low:
			return fmt.Errorf("an argument is missing; expected %s", usage)
		case len(args) > high:
			return fmt.Errorf("%q is too much; expected %s, where several words need quotes", args[high], usage)
		}
		return nil
	}
}

// misspelled finds the flag that an unknown one is like.
func misspelled(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return err
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	if meant := nearest(unknown.GetSpecifiedName(), names); meant != "" {
		return fmt.Errorf("%w; did you mean --%s?", err, meant)
	}
	return err
}

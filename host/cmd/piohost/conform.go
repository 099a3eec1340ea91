// conform.go is `plugin test`: the conformance kit as a command.
package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/inference-pio/inference-pio/host/internal/process"
	"github.com/inference-pio/inference-pio/sdk/client"
	"github.com/inference-pio/inference-pio/sdk/conformance"
)

func newPluginTest(g *global) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test BIN --model DIR",
		Short: "Check that a plugin keeps the protocol",
		Args:  takes(1, 1),
	}
	model := cmd.Flags().String("model", "", "a checkpoint that the plugin fits")
	asJSON := jsonFlag(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *model == "" {
			return &codeError{exitUsage, errors.New("--model is missing; expected the folder of a checkpoint that the plugin fits")}
		}
		return g.test(cmd.Context(), args[0], g.checkpoint(*model), *asJSON)
	}
	return cmd
}

func (g *global) test(ctx context.Context, bin, model string, asJSON bool) error {
	d := testDocument{Plugin: bin, Model: model}
	processes := map[*client.Client]*process.Process{} // all that were started; the kit runs one case at a time
	d.Passed = conformance.Check(conformance.Config{
		Binary: bin,
		Model:  model,
		Start: func(started context.Context) (*client.Client, func(), error) {
			if ctx.Err() != nil {
				return nil, nil, ctx.Err()
			}
			p, err := g.spawn(started, bin)
			if err != nil {
				return nil, nil, err
			}
			processes[p.Client()] = p
			return p.Client(), func() { _ = p.Stop(context.Background()) }, nil
		},
		LastWords: func(c *client.Client) string { return lastWords(processes[c]) },
	}, func(r conformance.Result) {
		d.Cases = append(d.Cases, caseOf(r))
		if !asJSON {
			g.showCase(d.Cases[len(d.Cases)-1])
		}
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if asJSON {
		if err := g.printJSON(d); err != nil {
			return err
		}
	}
	if !d.Passed {
		return fmt.Errorf("%s does not keep the protocol; PROTOCOL.md explains each number", bin)
	}
	return nil
}

// lastWords tells of a process that ended otherwise than it should. A trace of a panic in them begins with it, so that the
// author's file and line are there.
func lastWords(p *process.Process) string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if _, err := p.Client().Describe(ctx); errors.Is(err, client.ErrGone) {
		process.Closed(p.Done(), time.Second) // the connection breaks before the exit is known
	}
	select {
	case <-p.Done():
	default:
		return ""
	}
	exit := p.Exit()
	if exit.Code == 0 {
		return ""
	}
	return strings.Join(append([]string{"it " + exit.String()}, exit.LastLines...), "\n    ")
}

func (g *global) showCase(c testCase) {
	word := map[string]string{"pass": "ok", "fail": "FAIL", "skip": "skip"}[c.Result]
	fmt.Fprintf(g.std.out, "%-4s  %-12s  %6.2f s  %s\n", word, c.Name, c.Seconds, strings.Join(c.Musts, " "))
	for _, line := range c.Lines {
		fmt.Fprintf(g.std.out, "      %s\n", strings.ReplaceAll(line, "\n", "\n      "))
	}
}

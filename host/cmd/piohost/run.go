package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/inference-pio/inference-pio/host/internal/config"
)

const (
	// maxPrompt bounds what is read from stdin: more than any context holds.
	maxPrompt = 8 << 20

	// patience is how long nothing may come on stdin before it is said that something is waited for.
	patience = 2 * time.Second
)

func newRun(g *global) *cobra.Command {
	var f askFlags
	var images []string
	cmd := &cobra.Command{
		Use:   "run MODEL [PROMPT]",
		Short: "Ask a model one question",
		Long: `Ask a model one question. What comes on stdin, if it is no terminal, stands before PROMPT; without PROMPT it is the question.
MODEL is a name, or the path of a checkpoint's folder, which is served for this question.

The answer goes to stdout. What the model thinks before it answers goes to stderr if that is a terminal, and is left out
otherwise. If a host at the configured address serves the model, it is asked; else the model is loaded for this question.`,
		Example: `  piohost run MODEL "Why is that?"
  piohost run MODEL "Sum this up in three sentences." < report.txt
  piohost run ./checkpoints/mine "Who are you?"`,
		Args:              takes(1, 2),
		ValidArgsFunction: g.completeModel,
		RunE: func(cmd *cobra.Command, args []string) error {
			prompt, err := g.prompt(cmd.Context(), args[1:])
			if err != nil {
				return err
			}
			talk := f.conversation()
			for _, path := range images {
				p, err := openPicture(config.Expand(path))
				if err != nil {
					return &codeError{exitUsage, err}
				}
				talk.attached = append(talk.attached, p)
			}
			return g.reach(cmd.Context(), args[0], func(r *remote, model string) error {
				return g.run(cmd.Context(), r, f.request(model, talk, prompt), f.verbose)
			})
		},
	}
	f.add(cmd.Flags())
	g.askFlags(cmd)
	cmd.Flags().StringArrayVar(&images, "image", nil, "a picture's `FILE` to ask about; may be given several times")
	return cmd
}

// askFlags gives a command that asks a model its flags of where that model is.
func (g *global) askFlags(cmd *cobra.Command) {
	g.hostFlag(cmd.Flags())
	cmd.Flags().StringVar(&g.plugin, "plugin", "", "of a checkpoint's path: the `NAME` of the plugin, where several can run it")
}

// prompt is what stands on stdin and what was given as an argument, in this order.
func (g *global) prompt(ctx context.Context, args []string) (string, error) {
	given := strings.Join(args, "")
	if isTerminal(g.std.in) {
		if given == "" {
			return "", &codeError{exitUsage, errors.New("no prompt; give one as an argument or on stdin")}
		}
		return given, nil
	}
	piped, err := g.stdin(ctx)
	switch {
	case err != nil:
		return "", err
	case piped == "" && given == "":
		return "", &codeError{exitUsage, errors.New("no prompt: stdin is empty; give one as an argument or on stdin")}
	case piped == "":
		return given, nil
	case given == "":
		return piped, nil
	}
	return piped + "\n\n" + given, nil
}

// stdin reads all that comes, as other tools do: a pipe says by its end that there is no more. One on which nothing comes is
// waited for, since what writes it may be slow; that is said, so that nobody wonders.
func (g *global) stdin(ctx context.Context) (string, error) {
	waiting := time.AfterFunc(patience, func() {
		fmt.Fprintln(g.std.err, "reading stdin, where nothing has come yet; if nothing is meant to, give < /dev/null")
	})
	defer waiting.Stop()
	var text strings.Builder
	_, err := io.Copy(&text, io.LimitReader(&firstByte{newSource(ctx, g.std.in), func() { waiting.Stop() }}, maxPrompt+1))
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case errors.Is(err, syscall.EBADF): // closed, or not for reading, as nohup leaves it: there is nothing
	case err != nil:
		return "", fmt.Errorf("the prompt on stdin could not be read: %w", err)
	case text.Len() > maxPrompt:
		return "", &codeError{exitUsage, fmt.Errorf("stdin has more than %d MB, which no context holds; give a part of it", maxPrompt>>20)}
	case !utf8.ValidString(text.String()):
		return "", &codeError{exitUsage, errors.New("what comes on stdin is no UTF-8 text; a picture is given by --image FILE")}
	}
	return strings.TrimRight(text.String(), "\r\n"), nil
}

// firstByte tells when something has come.
type firstByte struct {
	io.Reader
	came func()
}

func (f *firstByte) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	f.came()
	return n, err
}

// run asks, and says on stderr what is to be said of the answer.
func (g *global) run(ctx context.Context, r *remote, request map[string]any, verbose bool) error {
	a, err := ask(ctx, r, request, g.printer())
	if err != nil {
		return err
	}
	if a.finish == "length" {
		fmt.Fprintln(g.std.err, cutOff)
	}
	if said := a.figures.String(); said != "" && verbose {
		fmt.Fprintln(g.std.err, said)
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// maxPrompt bounds what is read from stdin: more than any context holds.
const maxPrompt = 8 << 20

func newRun(g *global) *cobra.Command {
	var f askFlags
	var images []string
	cmd := &cobra.Command{
		Use:   "run MODEL [PROMPT]",
		Short: "Ask a model one question",
		Long: `Ask a model one question. Without PROMPT the question is read from stdin.

The answer goes to stdout. What the model thinks before it answers goes to stderr if that is a terminal, and is left out
otherwise. If a host at the configured address serves the model, it is asked; else the model is loaded for this question.`,
		Args: takes(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			prompt, err := promptOf(args[1:], g.std.in)
			if err != nil {
				return err
			}
			talk := f.conversation()
			for _, path := range images {
				p, err := openPicture(path)
				if err != nil {
					return &codeError{exitUsage, err}
				}
				talk.attached = append(talk.attached, p)
			}
			return g.run(cmd.Context(), args[0], f.request(args[0], talk, prompt))
		},
	}
	f.add(cmd.Flags())
	cmd.Flags().StringArrayVar(&images, "image", nil, "a picture's `FILE` to ask about; may be given several times")
	return cmd
}

func promptOf(args []string, in io.Reader) (string, error) {
	if len(args) == 1 {
		return args[0], nil
	}
	if isTerminal(in) {
		return "", &codeError{exitUsage, errors.New("no prompt; give one as an argument or on stdin")}
	}
	text, err := io.ReadAll(io.LimitReader(in, maxPrompt))
	if err != nil {
		return "", fmt.Errorf("the prompt on stdin could not be read: %w", err)
	}
	prompt := strings.TrimRight(string(text), "\n")
	if prompt == "" {
		return "", &codeError{exitUsage, errors.New("no prompt: stdin is empty; give one as an argument or on stdin")}
	}
	return prompt, nil
}

func (g *global) run(ctx context.Context, model string, request map[string]any) error {
	c, err := g.load()
	if err != nil {
		return err
	}
	return g.reach(ctx, c, model, func(r *remote) error {
		_, err := ask(ctx, r, request, g.printer())
		return err
	})
}

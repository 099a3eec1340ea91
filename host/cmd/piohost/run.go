package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/inference-pio/inference-pio/host/internal/api"
	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/host/internal/schedule"
	"github.com/inference-pio/inference-pio/host/internal/telemetry"
	"github.com/inference-pio/inference-pio/sdk"
)

// maxPrompt bounds what is read from stdin: more than any context holds.
const maxPrompt = 8 << 20

type runFlags struct {
	system      string
	temperature float64
	topP        float64
	topK        int
	maxTokens   int
	seed        uint64
	noThink     bool
}

func newRun(g *global) *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run MODEL [PROMPT]",
		Short: "Ask a model one question",
		Long: `Ask a model one question. Without PROMPT the question is read from stdin.

The answer goes to stdout. What the model thinks before it answers goes to stderr if that is a terminal, and is left out
otherwise. If a host at the configured address serves the model, it is asked; else the model is loaded for this question.`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			prompt, err := promptOf(args[1:], g.std.in)
			if err != nil {
				return err
			}
			return g.run(cmd.Context(), args[0], f.request(cmd, args[0], prompt))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.system, "system", "", "a system message before the question")
	flags.Float64Var(&f.temperature, "temperature", 0, "0 is greedy; the checkpoint's default if absent")
	flags.Float64Var(&f.topP, "top-p", 1, "the checkpoint's default if absent")
	flags.IntVar(&f.topK, "top-k", 0, "the checkpoint's default if absent")
	flags.IntVar(&f.maxTokens, "max-tokens", 0, "as many as the context holds if absent")
	flags.Uint64Var(&f.seed, "seed", 0, "makes the answer repeatable; drawn if absent")
	flags.BoolVar(&f.noThink, "no-think", false, "answer without reasoning first, where the model can")
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

// request has only what was asked for, so that everything else is the checkpoint's default.
func (f *runFlags) request(cmd *cobra.Command, model, prompt string) map[string]any {
	var messages []map[string]string
	if f.system != "" {
		messages = append(messages, map[string]string{"role": "system", "content": f.system})
	}
	messages = append(messages, map[string]string{"role": "user", "content": prompt})
	req := map[string]any{"model": model, "messages": messages, "stream": true}
	for name, value := range map[string]any{
		"temperature": f.temperature, "top-p": f.topP, "top-k": f.topK, "max-tokens": f.maxTokens, "seed": f.seed,
	} {
		if cmd.Flags().Changed(name) {
			req[strings.ReplaceAll(name, "-", "_")] = value
		}
	}
	if f.noThink {
		req["chat_template_kwargs"] = map[string]any{"enable_thinking": false}
	}
	return req
}

func (g *global) run(ctx context.Context, model string, request map[string]any) error {
	c, err := g.load()
	if err != nil {
		return err
	}
	if r := overTCP(c.Server.Listen); r.has(ctx, model) {
		return g.ask(ctx, r, request)
	}
	entry, ok := c.Model(model)
	if !ok {
		return &codeError{exitUsage, fmt.Errorf("no model %q in %s; it has %s", model, c.File, modelNames(c))}
	}
	alone := *c
	alone.Models = []config.Model{entry}
	return g.withHost(ctx, &alone, func(r *remote) error { return g.ask(ctx, r, request) })
}

func modelNames(c *config.Config) string {
	var names []string
	for _, m := range c.Models {
		names = append(names, m.ID)
	}
	return strings.Join(names, ", ")
}

// withHost runs a host of our own for the length of use. Only this user can reach it.
func (g *global) withHost(ctx context.Context, c *config.Config, use func(*remote) error) error {
	con := newConsole(g.std.err)
	quiet := *g
	if quiet.logLevel == "info" { // the answer is what matters here; --log-level debug still shows all
		quiet.logLevel = "error"
	}
	log, err := quiet.logger(con)
	if err != nil {
		return err
	}
	came := make(chan schedule.Status, 1) // ready, or given up
	host, err := newHost(ctx, c, log, telemetry.New(sdk.Version), func(s schedule.Status) {
		con.show(progressLine(s))
		if s.State == schedule.StateReady || s.State == schedule.StateQuarantined {
			select {
			case came <- s:
			default:
			}
		}
	})
	if err != nil {
		return err
	}
	running := start(host)
	defer func() {
		ended, cancel := context.WithCancel(context.Background())
		cancel() // the question has been answered or given up: nothing to wait for
		host.Close(ended)
		<-running
	}()
	select {
	case s := <-came:
		con.show("")
		if s.State == schedule.StateQuarantined {
			return &codeError{exitLoad, fmt.Errorf("the model %s could not be loaded: %s", s.ID, s.Reason)}
		}
	case <-ctx.Done():
		con.show("")
		return ctx.Err()
	}
	r, closeServer, err := private(api.New(host, api.Options{Log: log}))
	if err != nil {
		return err
	}
	defer closeServer()
	return use(r)
}

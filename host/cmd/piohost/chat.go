package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

func newChat(g *global) *cobra.Command {
	var f askFlags
	var forget bool
	cmd := &cobra.Command{
		Use:   "chat [MODEL]",
		Short: "Talk with a model",
		Long: `Talk with a model. MODEL may be left out if there is only one; the path of a checkpoint's folder is served for this chat.

In a terminal: /help lists the commands, the arrow keys recall what was typed, also in earlier chats. Through a pipe: each
line is a turn, the answers go to stdout, and the first error ends the chat.

Several lines are one message if they stand between """ and """, or end in a backslash. If a host at the configured address
serves the model, it is asked; else the model is loaded for this chat.`,
		Args:              takes(0, 1),
		ValidArgsFunction: g.completeModel,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGHUP) // the terminal is closed: leave nothing behind
			defer stop()
			model, err := g.theModel(ctx, args)
			if err != nil {
				return err
			}
			err = g.reach(ctx, model, func(r *remote, model string) error {
				return g.chat(ctx, chat{remote: r, model: model, ask: &f, talk: f.conversation()}, !forget)
			})
			if ctx.Err() != nil && cmd.Context().Err() == nil {
				return errors.New("the terminal was closed")
			}
			return err
		},
	}
	f.add(cmd.Flags())
	g.askFlags(cmd)
	cmd.Flags().BoolVar(&forget, "no-history", false, "do not keep what is typed for the next chat")
	return cmd
}

// theModel is the one that args name, or the only one there is.
func (g *global) theModel(ctx context.Context, args []string) (string, error) {
	if len(args) == 1 {
		return args[0], nil
	}
	place, names, err := g.choices(ctx)
	switch {
	case err != nil:
		return "", err
	case len(names) == 1:
		return names[0], nil
	}
	return "", &codeError{exitUsage, fmt.Errorf("which model? %s has %s", place, strings.Join(names, ", "))}
}

// choices are the names of the models that could be meant, and who has them.
func (g *global) choices(ctx context.Context) (place string, names []string, err error) {
	r, err := g.elsewhere()
	switch {
	case err != nil:
		return "", nil, err
	case r != nil:
		list, err := r.models(ctx)
		return r.named, servedNames(list, false), err
	}
	c, err := g.load()
	if err != nil {
		return "", nil, err
	}
	return c.File, ids(c), nil
}

// chat is a conversation with somebody at the other end: a terminal or a pipe.
type chat struct {
	remote *remote
	model  string
	ask    *askFlags
	talk   conversation

	input   lines
	printer func() *printer
	notes   io.Writer // what is said beside the conversation
	patient bool      // an error does not end the chat
	grey    bool      // notes takes colours
}

// lines is where messages come from.
type lines interface {
	// line reads the next one. io.EOF is the end, errInterrupted an interrupt in an empty line.
	line(prompt string) (string, error)
	// watch returns a context that ends when the user does not want to hear more, and what stops watching.
	watch(ctx context.Context) (context.Context, func())
}

func (g *global) chat(ctx context.Context, c chat, remember bool) error {
	in, out := g.std.in, g.std.out
	c.patient = isTerminal(in) && isTerminal(out)
	if !c.patient || !obeys(out) {
		p := &piped{in: bufio.NewReader(newSource(ctx, in))}
		if c.patient {
			p.prompts = out
		}
		c.input, c.printer, c.notes = p, g.printer, g.std.err
		return c.run(ctx)
	}
	path := ""
	if remember {
		path = historyPath(os.Getenv)
	}
	c.notes, c.grey = out, coloured(out)
	h := openHistory(path, func(err error) { c.note(err.Error()) })
	s, err := openScreen(ctx, fileOf(in), fileOf(out), h, complete)
	if err != nil {
		return err
	}
	defer s.close()
	defer g.console.redirect(s)()
	c.input, c.notes = terminalLines{s}, s
	c.printer = func() *printer { return &printer{out: s, thoughts: s, terminal: true, grey: c.grey} }
	c.note(c.model + "; /help lists the commands")
	return c.run(ctx)
}

// run goes on until the input ends. In a terminal an error costs only its turn.
func (c *chat) run(ctx context.Context) error {
	for {
		text, literal, err := c.compose()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errGivenUp):
			c.note(err.Error())
			continue
		case errors.Is(err, io.EOF), errors.Is(err, errInterrupted):
			return nil
		case err != nil:
			return err
		}
		err = c.turn(ctx, text, literal)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errExit):
			return nil
		case err != nil && !c.patient:
			return err
		case err != nil:
			c.note(err.Error())
		}
	}
}

// turn does what a message asks for. A literal one is no command.
func (c *chat) turn(ctx context.Context, text string, literal bool) error {
	if word, argument, ok := commandWord(text); ok && !literal {
		return c.command(word, argument)
	}
	if strings.TrimSpace(text) == "" {
		return nil
	}
	return c.question(ctx, text)
}

// question asks, and keeps what is answered. An answer that was interrupted is kept as far as it came, one that failed is
// not: the question can be put again.
func (c *chat) question(ctx context.Context, text string) error {
	watched, stop := c.input.watch(ctx)
	a, err := ask(watched, c.remote, c.ask.request(c.model, c.talk, text), c.printer())
	interrupted := err != nil && watched.Err() != nil && ctx.Err() == nil
	stop()
	var told *apiError
	switch {
	case interrupted:
		c.note("interrupted")
	case errors.As(err, &told) && told.Code == "context_length_exceeded":
		return fmt.Errorf("%w; /reset begins anew", err)
	case err != nil && len(c.talk.attached) > 0 && c.patient:
		return fmt.Errorf("%w; what was attached still is, /image takes it away", err)
	case err != nil:
		return err
	case a.finish == "length":
		c.note(cutOff)
	}
	if said := a.figures.String(); said != "" && (c.patient || c.ask.verbose) {
		c.note(said)
	}
	c.talk.add(text, a)
	return nil
}

func (c *chat) note(text string) {
	if c.patient {
		text = printable(text)
	}
	if c.grey {
		text = dim + text + plain
	}
	fmt.Fprintln(c.notes, text)
}

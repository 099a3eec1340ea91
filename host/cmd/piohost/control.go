// control.go has the commands that tell a running host what to do with its models.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

// newControls are the commands about a model's life, and reload.
func newControls(g *global) []*cobra.Command {
	about := func(verb, short, long string) *cobra.Command {
		return &cobra.Command{
			Use: verb + " MODEL", Short: short, Long: short + ".\n\n" + long + operatorHelp, Args: takes(1, 1), ValidArgsFunction: g.completeModel,
			RunE: func(cmd *cobra.Command, args []string) error { return g.control(cmd.Context(), verb, args[0]) },
		}
	}
	list := []*cobra.Command{
		about("start", "Start a model that is stopped or unloaded, or that waits for its next attempt", "It returns when the model is ready."),
		about("stop", "Let a model's requests finish and end its process", "It returns when the process is gone. The model stays stopped until it is started or the host is."),
		about("restart", "Give a model a new process, of the binary and the checkpoint that lie there now",
			"Answers under way go on in the new process. It returns when the model is ready."),
		{
			Use: "reload", Short: "Have the running host read models.toml again, as SIGHUP does", Args: noArgs,
			Long: `Have the running host read models.toml again, as SIGHUP does.

Entries that were added start, those that are gone finish their requests and end, those that differ do so one after the other;
the others go on. A file with mistakes changes nothing.` + operatorHelp,
			RunE: func(cmd *cobra.Command, _ []string) error { return g.reload(cmd.Context()) },
		},
	}
	for _, cmd := range list {
		g.hostFlag(cmd.Flags())
	}
	return list
}

const operatorHelp = "\n\nIt asks the host at the configured address, or the one that --host names, which needs server.admin = true."

// control gives an order about a model and says what has become of it.
func (g *global) control(ctx context.Context, verb, model string) error {
	r, err := g.running()
	if err != nil {
		return err
	}
	var m listedModel
	if err := r.order(ctx, "/admin/"+verb+"/"+modelPath(model), &m); err != nil {
		return err
	}
	fmt.Fprintf(g.std.out, "%s is %s\n", m.ID, m.State)
	return nil
}

func (g *global) reload(ctx context.Context) error {
	r, err := g.running()
	if err != nil {
		return err
	}
	var done struct {
		Added, Removed, Changed []string
		Later                   []string `json:"needs_new_host"`
	}
	if err := r.order(ctx, "/admin/reload", &done); err != nil {
		return err
	}
	told := false
	for _, part := range []struct {
		what string
		list []string
	}{{"added", done.Added}, {"removed", done.Removed}, {"changed", done.Changed}, {"changed, but only a new host has it:", done.Later}} {
		if len(part.list) > 0 {
			told = true
			fmt.Fprintln(g.std.out, part.what, strings.Join(part.list, ", "))
		}
	}
	if !told {
		fmt.Fprintln(g.std.out, "every model stays as it is")
	}
	return nil
}

// running is the host that orders go to.
func (g *global) running() (*remote, error) {
	if r, err := g.elsewhere(); r != nil || err != nil {
		return r, err
	}
	c, err := g.patient()
	if err != nil {
		return nil, err
	}
	return overTCP(c.Server.Listen), nil
}

// modelPath is a model's name as a path has it: a slash in it stays one.
func modelPath(model string) string { return (&url.URL{Path: model}).EscapedPath() }

// order posts to an operator's path and decodes the answer. It takes as long as the order does.
func (r *remote) order(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.base+path, nil)
	if err != nil {
		return err
	}
	resp, err := r.client.Do(req)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("no host answers at %s: %w", r.named, unreachable(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		return json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(into)
	}
	err = refusal(resp)
	var told *apiError
	switch {
	case !errors.As(err, &told):
	case told.Code == "not_found":
		return errors.New("the host takes no orders; set server.admin = true in its models.toml, and have it read that with SIGHUP")
	case told.Code == "model_quarantined":
		return &codeError{exitLoad, err}
	}
	return err
}

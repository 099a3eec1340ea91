// ask.go asks a host and prints what it says; the host may be one of our own that nobody else can reach.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// private serves h on a unix socket in a folder that only this user can enter.
func private(h http.Handler) (*remote, func(), error) {
	dir, err := os.MkdirTemp("", "piohost-") // mode 0700
	if err != nil {
		return nil, nil, fmt.Errorf("no place for the private socket: %w", err)
	}
	socket := filepath.Join(dir, "api")
	l, err := net.Listen("unix", socket)
	if err != nil {
		os.RemoveAll(dir)
		return nil, nil, fmt.Errorf("no private socket: %w", err)
	}
	server := newServer(h)
	go func() { _ = server.Serve(l) }() // ends with Close
	return overUnix(socket), func() {
		_ = server.Close()
		os.RemoveAll(dir)
	}, nil
}

// dim and plain switch a terminal to grey and back.
const dim, plain = "\x1b[2m", "\x1b[0m"

// ask prints the answer as it comes.
func (g *global) ask(ctx context.Context, r *remote, request map[string]any) error {
	thinks := isTerminal(g.std.err)
	thinking, ended := false, true
	err := r.chat(ctx, request, func(text, reasoning string) {
		if reasoning != "" && thinks {
			if !thinking {
				fmt.Fprint(g.std.err, dim)
			}
			thinking = true
			fmt.Fprint(g.std.err, reasoning)
		}
		if text == "" {
			return
		}
		if thinking {
			fmt.Fprintln(g.std.err, plain)
			thinking = false
		}
		fmt.Fprint(g.std.out, text)
		ended = strings.HasSuffix(text, "\n")
	})
	if thinking {
		fmt.Fprintln(g.std.err, plain)
	}
	if !ended {
		fmt.Fprintln(g.std.out)
	}
	var told *apiError
	if errors.As(err, &told) && told.Code == "model_quarantined" {
		return &codeError{exitLoad, err}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

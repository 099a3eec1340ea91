// log.go sets up the host's log: one slog logger, text for people and JSON for collectors.
package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// NewLogger writes to w. level is "debug", "info", "warn" or "error"; format is "text" or "json". Empty means "info" and
// "text".
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if level != "" {
		if err := l.UnmarshalText([]byte(level)); err != nil {
			return nil, fmt.Errorf("log level %q: expected debug, info, warn or error", level)
		}
	}
	o := &slog.HandlerOptions{Level: l}
	switch strings.ToLower(format) {
	case "", "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return nil, fmt.Errorf("log format %q: expected text or json", format)
}

// Discard is a logger that says nothing.
func Discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

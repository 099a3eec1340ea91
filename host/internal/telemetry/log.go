// log.go sets up the host's log: one slog logger, text for people and JSON for collectors. Neither steers a terminal, whatever
// the words of a plugin, a request or a file that stand in it.
package telemetry

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/inference-pio/inference-pio/sdk/client"
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
		return slog.New(slog.NewJSONHandler(escaping{w}, o)), nil
	}
	return nil, fmt.Errorf("log format %q: expected text or json", format)
}

// escaping writes JSON whose strings a terminal may show. slog's text handler quotes what cannot be printed; its JSON handler
// leaves what JSON allows: DEL, the control characters of C1, changes of direction.
type escaping struct{ w io.Writer }

func (e escaping) Write(line []byte) (int, error) {
	text := string(bytes.TrimSuffix(line, []byte("\n")))
	if client.Printable(text) == text {
		return e.w.Write(line)
	}
	var b strings.Builder
	for _, r := range text {
		if s := string(r); r == '\t' || client.Printable(s) != s {
			fmt.Fprintf(&b, `\u%04x`, r) // all of them lie in the first plane
		} else {
			b.WriteRune(r)
		}
	}
	b.WriteByte('\n')
	if _, err := io.WriteString(e.w, b.String()); err != nil {
		return 0, err
	}
	return len(line), nil
}

// Discard is a logger that says nothing.
func Discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

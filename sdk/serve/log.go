package serve

// log.go: lines the host reads with their level and fields. The host's end is hashicorp/go-hclog, which knows JSON lines
// with the keys @level, @message, @timestamp and takes everything else for plain text.

import (
	"context"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/inference-pio/inference-pio/sdk"
)

const hclogTime = "2006-01-02T15:04:05.000000Z07:00"

// levelFromEnv is the level the host asked for, info without one.
func levelFromEnv() slog.Level {
	var l slog.Level
	if err := l.UnmarshalText([]byte(os.Getenv(sdk.EnvLogLevel))); err != nil {
		return slog.LevelInfo
	}
	return l
}

// NewLogHandler makes a slog handler that writes such lines. Main sets it as the default; an author who builds a logger of
// another kind can use it underneath.
func NewLogHandler(w io.Writer, level slog.Leveler) slog.Handler {
	return &logHandler{slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: hclogKeys})}
}

func hclogKeys(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return a
	}
	switch a.Key {
	case slog.TimeKey:
		return slog.String("@timestamp", a.Value.Time().Format(hclogTime))
	case slog.LevelKey:
		return slog.String("@level", levelName(a.Value))
	case slog.MessageKey:
		a.Key = "@message"
	}
	return a
}

// levelName rounds down to a level that hclog has.
func levelName(v slog.Value) string {
	level, _ := v.Any().(slog.Level)
	switch {
	case level >= slog.LevelError:
		return "error"
	case level >= slog.LevelWarn:
		return "warn"
	case level >= slog.LevelInfo:
		return "info"
	}
	return "debug"
}

// logHandler renames an author's attributes that would be taken for the line's own: what a host makes of a key that is there
// twice, or of another type, is not to be relied on, and slog cannot tell an attribute called "time" from the time.
type logHandler struct{ slog.Handler }

func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	clean := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		clean.AddAttrs(rename(a))
		return true
	})
	return h.Handler.Handle(ctx, clean)
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	renamed := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		renamed[i] = rename(a)
	}
	return &logHandler{h.Handler.WithAttrs(renamed)}
}

func (h *logHandler) WithGroup(name string) slog.Handler {
	return &logHandler{h.Handler.WithGroup(name)}
}

func rename(a slog.Attr) slog.Attr {
	switch {
	case a.Key == "" && a.Value.Kind() == slog.KindGroup: // its members stand on the line's own level
		var members []any
		for _, m := range a.Value.Group() {
			members = append(members, rename(m))
		}
		return slog.Group("", members...)
	case a.Key == slog.TimeKey, a.Key == slog.LevelKey, a.Key == slog.MessageKey, strings.HasPrefix(a.Key, "@"):
		a.Key = "_" + a.Key
	}
	return a
}

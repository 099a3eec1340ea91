package process

// stderr.go brings a plugin's stderr into the host's log. The sdk writes JSON lines with @level and @message; libraries,
// the Go runtime and C code write anything. Nothing a plugin writes may stop the reading: it would block on its next
// line.

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	maxAttrs = 32 // of one JSON line

	logRate  = 200  // lines per second that are forwarded in the long run
	logBurst = 1000 // and at once: a start, a goroutine dump
)

// stderr is the log of one process.
type stderr struct {
	log   *slog.Logger
	tail  *tail
	crash bool // an unstructured line has announced the end of the process

	mu    sync.Mutex // stdout's lines before the handshake come from another goroutine
	limit limiter
}

func newStderr(log *slog.Logger) *stderr {
	return &stderr{log: log, tail: &tail{}, limit: limiter{now: time.Now, tokens: logBurst}}
}

// read forwards line by line until the end of r.
func (s *stderr) read(r io.Reader) {
	lines := newLines(r)
	for {
		line, err := lines.next()
		if err != nil {
			break
		}
		s.line(line)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tell(s.limit.flush())
}

func (s *stderr) line(line string) {
	record, structured := parseRecord(line)
	if structured {
		s.crash = false // a dying runtime writes no JSON
		s.tail.recover()
	} else {
		record = slog.NewRecord(time.Now(), s.plainLevel(line), line, 0)
	}
	s.forward(line, record, !structured && announcesCrash(line))
}

// stray takes a line that came on stdout before the handshake.
func (s *stderr) stray(line string) {
	record := slog.NewRecord(time.Now(), slog.LevelInfo, line, 0)
	record.AddAttrs(slog.String("stream", "stdout"))
	s.forward(line, record, false)
}

// forward logs one line. Every line reaches the tail, but a flood only in part the log.
func (s *stderr) forward(line string, record slog.Record, crash bool) {
	if strings.TrimSpace(line) == "" {
		return
	}
	s.tail.add(line, crash)
	s.mu.Lock()
	defer s.mu.Unlock()
	pass, dropped := s.limit.allow()
	s.tell(dropped)
	if ctx := context.Background(); pass && s.log.Enabled(ctx, record.Level) {
		s.log.Handler().Handle(ctx, record)
	}
}

// tell says how much of a flood was left out.
func (s *stderr) tell(dropped int) {
	if dropped > 0 {
		s.log.Warn("the plugin logs too much; some lines were left out", "lines", dropped)
	}
}

// plainLevel guesses the level of a line that does not name it.
func (s *stderr) plainLevel(line string) slog.Level {
	s.crash = s.crash || announcesCrash(line)
	switch {
	case s.crash, strings.HasPrefix(line, "[ERROR]"):
		return slog.LevelError
	case strings.HasPrefix(line, "[WARN]"):
		return slog.LevelWarn
	case strings.HasPrefix(line, "[DEBUG]"), strings.HasPrefix(line, "[TRACE]"):
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// announcesCrash knows how the runtimes of Go and C begin their last words.
func announcesCrash(line string) bool {
	for _, start := range []string{"panic: ", "fatal error: ", "SIG", "terminate called", "Assertion ", "*** "} {
		if strings.HasPrefix(line, start) {
			return true
		}
	}
	return false
}

// parseRecord reads a JSON line as hclog or slog writes it. Any other JSON is left to be logged as it stands.
func parseRecord(line string) (slog.Record, bool) {
	var fields map[string]any
	if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &fields) != nil {
		return slog.Record{}, false
	}
	message, ok := take(fields, "@message", "msg")
	level, leveled := take(fields, "@level", "level")
	if !ok || !leveled {
		return slog.Record{}, false
	}
	delete(fields, "@timestamp") // the host's own clock is in the record
	delete(fields, "time")
	record := slog.NewRecord(time.Now(), parseLevel(level), message, 0)
	for i, key := range slices.Sorted(maps.Keys(fields)) {
		if i == maxAttrs {
			break
		}
		record.AddAttrs(slog.Any(strings.TrimPrefix(key, "@"), fields[key]))
	}
	return record, true
}

// take removes the first of the keys that is there, if it is a string.
func take(fields map[string]any, keys ...string) (string, bool) {
	for _, key := range keys {
		if value, ok := fields[key].(string); ok {
			delete(fields, key)
			return value, true
		}
	}
	return "", false
}

func parseLevel(name string) slog.Level {
	switch strings.ToLower(name) {
	case "trace", "debug":
		return slog.LevelDebug
	case "warn", "warning":
		return slog.LevelWarn
	case "error", "fatal", "panic":
		return slog.LevelError
	}
	return slog.LevelInfo
}

// limiter is a bucket that holds logBurst lines and gains logRate per second.
type limiter struct {
	now     func() time.Time
	tokens  float64
	last    time.Time
	dropped int
}

// allow says whether the next line may pass, and how many were dropped before it.
func (l *limiter) allow() (pass bool, dropped int) {
	now := l.now()
	if !l.last.IsZero() {
		l.tokens = min(logBurst, l.tokens+logRate*now.Sub(l.last).Seconds())
	}
	l.last = now
	need := 1.0
	if l.dropped > 0 { // a second's worth at once: what was left out is not told for each line that passes
		need = logRate
	}
	if l.tokens < need {
		l.dropped++
		return false, 0
	}
	l.tokens--
	return true, l.flush()
}

func (l *limiter) flush() int {
	dropped := l.dropped
	l.dropped = 0
	return dropped
}

// recent.go keeps the newest lines of the log for who asks over HTTP.
package telemetry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// What is kept at most. A line that is longer is cut to its words.
const (
	recentLines = 1000
	recentBytes = 1 << 20
	recentLine  = 8 << 10
)

// Recent has the newest lines of a log from "info" on, but for those of single requests, which would push all else out. A line is JSON, as the
// log itself has it with the format "json" but for durations, which are texts such as "1.5s", and has its number in "seq", from 1.
type Recent struct {
	Since time.Time // of the first line: numbers begin anew with each host

	mu    sync.Mutex
	lines []json.RawMessage // of which the last has the number last
	bytes int
	last  uint64
}

// RequestLine is what the lines of single requests say.
const RequestLine = "request"

// NewRecent has no line yet.
func NewRecent() *Recent { return &Recent{Since: time.Now()} }

// Listen is a logger that says everything to log and to r.
func (r *Recent) Listen(log *slog.Logger) *slog.Logger {
	o := &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Value.Kind() == slog.KindDuration { // as people read it, which nanoseconds are not
			a.Value = slog.StringValue(a.Value.Duration().String())
		}
		return a
	}}
	return slog.New(slog.NewMultiHandler(log.Handler(), slog.NewJSONHandler(escaping{r}, o)))
}

// Write implements io.Writer for a JSON handler, which writes a line at once.
func (r *Recent) Write(line []byte) (int, error) {
	var head struct {
		Time  time.Time `json:"time"`
		Level string    `json:"level"`
		Msg   string    `json:"msg"`
		Cut   bool      `json:"cut,omitempty"`
	}
	if err := json.Unmarshal(line, &head); err != nil {
		return 0, fmt.Errorf("a line of the log is no JSON: %w", err)
	}
	if head.Msg == RequestLine {
		return len(line), nil
	}
	text := bytes.TrimSpace(line)
	if len(text) > recentLine {
		head.Msg, head.Cut = strings.ToValidUTF8(head.Msg[:min(len(head.Msg), recentLine/8)], ""), true
		text, _ = json.Marshal(head)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	kept := append(fmt.Appendf(nil, `{"seq":%d,`, r.last), text[1:]...)
	r.lines = append(r.lines, kept)
	r.bytes += len(kept)
	for len(r.lines) > recentLines || r.bytes > recentBytes {
		r.bytes -= len(r.lines[0])
		r.lines[0] = nil
		r.lines = r.lines[1:]
	}
	return len(line), nil
}

// After has the lines with a number above n that are still there, and the number of the last line of all.
func (r *Recent) After(n uint64) (lines []json.RawMessage, last uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	lines = []json.RawMessage{}
	if n < r.last {
		missed := min(uint64(len(r.lines)), r.last-n)
		lines = append(lines, r.lines[len(r.lines)-int(missed):]...)
	}
	return lines, r.last
}

package telemetry

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// recentLineOf is a line as who asks reads it.
type recentLineOf struct {
	Seq        uint64
	Level, Msg string
	Cut        bool
	Device     string
	Took       string
}

func readRecent(t *testing.T, r *Recent, after uint64) (list []recentLineOf, last uint64) {
	t.Helper()
	lines, last := r.After(after)
	for _, text := range lines {
		var l recentLineOf
		if err := json.Unmarshal(text, &l); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		list = append(list, l)
	}
	return list, last
}

func TestTheNewestLinesAreKept(t *testing.T) {
	var console bytes.Buffer
	r := NewRecent()
	log := r.Listen(slog.New(slog.NewTextHandler(&console, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if list, last := readRecent(t, r, 0); len(list) != 0 || last != 0 {
		t.Errorf("before anything was said: %v, %d", list, last)
	}
	log.Debug("not for anybody")
	log.With("device", "far").Info("the share changes", "took", 3*time.Second)
	log.Info(RequestLine, "model", "tiny")
	log.Warn("\x1b[31mred")
	list, last := readRecent(t, r, 0)
	if len(list) != 2 || last != 2 || list[0] != (recentLineOf{Seq: 1, Level: "INFO", Msg: "the share changes", Device: "far", Took: "3s"}) ||
		list[1] != (recentLineOf{Seq: 2, Level: "WARN", Msg: "\x1b[31mred"}) {
		t.Errorf("%+v, %d", list, last)
	}
	if text := console.String(); strings.Contains(text, "share") || !strings.Contains(text, "red") {
		t.Errorf("the log itself, from warnings on, says %q", text)
	}
	if list, _ := readRecent(t, r, 1); len(list) != 1 || list[0].Seq != 2 {
		t.Errorf("after the first: %+v", list)
	}
	for _, after := range []uint64{2, 3, 1 << 63} {
		if list, last := readRecent(t, r, after); len(list) != 0 || last != 2 {
			t.Errorf("after %d: %+v, %d", after, list, last)
		}
	}
}

func TestWhatIsKeptIsBounded(t *testing.T) {
	r := NewRecent()
	log := r.Listen(Discard())
	for range recentLines + 5 {
		log.Info("line")
	}
	if list, last := readRecent(t, r, 0); len(list) != recentLines || list[0].Seq != 6 || last != recentLines+5 {
		t.Errorf("%d lines from %d on, %d said", len(list), list[0].Seq, last)
	}
	long := strings.Repeat("ä", recentLine/4)
	for range recentLines {
		log.Info("long", "text", long)
	}
	size := 0
	lines, _ := r.After(0)
	for _, l := range lines {
		size += len(l)
	}
	if size > recentBytes || len(lines) < recentBytes/recentLine {
		t.Errorf("%d lines of %d bytes are kept", len(lines), size)
	}
	log.Error(strings.Repeat("ä", recentLine), "secret", long)
	list, _ := readRecent(t, r, 0)
	if l := list[len(list)-1]; !l.Cut || l.Level != "ERROR" || !strings.HasPrefix(l.Msg, "ää") || len(l.Msg) > recentLine/8 {
		t.Errorf("a line that is too long: %d bytes of words, cut %v", len(l.Msg), l.Cut)
	}
}

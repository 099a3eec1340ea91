package serve

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"testing"
	"time"
)

func TestLogLinesAreWhatTheHostReads(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(NewLogHandler(&out, slog.LevelDebug))
	line := func() map[string]any {
		t.Helper()
		m := map[string]any{}
		if err := json.Unmarshal(out.Bytes(), &m); err != nil {
			t.Fatalf("%v in %s", err, out.Bytes())
		}
		out.Reset()
		return m
	}
	log.Warn("half full", "used", 3, slog.Group("device", "time", 5))
	m := line()
	if m["@level"] != "warn" || m["@message"] != "half full" || m["used"] != 3.0 || m["device"].(map[string]any)["time"] != 5.0 {
		t.Errorf("got %v", m)
	}
	if _, err := time.Parse(hclogTime, m["@timestamp"].(string)); err != nil {
		t.Error(err)
	}
	for level, name := range map[slog.Level]string{-8: "debug", slog.LevelDebug: "debug", slog.LevelInfo + 1: "info", slog.LevelError + 4: "error"} {
		log.Log(t.Context(), max(level, slog.LevelDebug), "x")
		if got := line()["@level"]; got != name {
			t.Errorf("level %d is %q, want %q", level, got, name)
		}
	}
}

// A host's logger may fall over a line whose own keys are not strings, so no attribute can take their place.
func TestAttributesCannotPoseAsTheLinesOwn(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(NewLogHandler(&out, slog.LevelInfo)).With("@level", 1).With(slog.Group("", "@timestamp", 2))
	log.Info("said", "msg", 3, "time", 4, "level", 5, "@message", 6, slog.Group("", "@level", 7))
	var m map[string]any
	if err := json.Unmarshal(out.Bytes(), &m); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"@level", "@message", "@timestamp"} {
		if _, ok := m[key].(string); !ok {
			t.Errorf("%s is %v in %s", key, m[key], out.Bytes())
		}
	}
	if m["@message"] != "said" || m["_msg"] != 3.0 || m["_time"] != 4.0 || m["_level"] != 5.0 {
		t.Errorf("got %s", out.Bytes())
	}
}

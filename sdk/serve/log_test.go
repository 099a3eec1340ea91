package serve

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
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

// A host reads a line's level, message and time by their keys, so no attribute can take their place.
func TestAttributesCannotPoseAsTheLinesOwn(t *testing.T) {
	var out bytes.Buffer
	const pose = "posing"
	log := slog.New(NewLogHandler(&out, slog.LevelInfo)).With("@level", pose).With(slog.Group("", "@timestamp", pose))
	log.Info("said", "msg", 3, "time", 4, "level", 5, "@message", pose, slog.Group("", "@level", pose))
	var m map[string]any
	if err := json.Unmarshal(out.Bytes(), &m); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"@level", "@message", "@timestamp"} {
		if m["_"+key] != pose || strings.Count(out.String(), `"`+key+`"`) != 1 {
			t.Errorf("%s is %v, _%s is %v in %s", key, m[key], key, m["_"+key], out.Bytes())
		}
	}
	if m["@message"] != "said" || m["_msg"] != 3.0 || m["_time"] != 4.0 || m["_level"] != 5.0 {
		t.Errorf("got %s", out.Bytes())
	}
}

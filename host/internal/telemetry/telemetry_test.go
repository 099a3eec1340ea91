package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/sdk/client"
)

// The names that an endpoint picker scrapes are a contract: a model without a single request must already have them.
func TestAScraperSeesAModelBeforeItsFirstRequest(t *testing.T) {
	m := New("1.2.3")
	m.Touch("tiny")
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	body := w.Body.String()
	for _, want := range []string{
		`vllm:num_requests_running{model_name="tiny"} 0`,
		`vllm:num_requests_waiting{model_name="tiny"} 0`,
		`vllm:kv_cache_usage_perc{model_name="tiny"} 0`,
		`vllm:prefix_cache_queries{model_name="tiny"} 0`,
		`vllm:prefix_cache_hits{model_name="tiny"} 0`,
		`vllm:time_to_first_token_seconds_count{model_name="tiny"} 0`,
		`vllm:inter_token_latency_seconds_count{model_name="tiny"} 0`,
		`vllm:e2e_request_latency_seconds_count{model_name="tiny"} 0`,
		`pio_model_ready{model_name="tiny"} 0`,
		`pio_build_info{version="1.2.3"} 1`,
	} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	if ct := w.Header().Get("Content-Type"); !strings.HasPrefix(ct, "text/plain; version=0.0.4") {
		t.Errorf("content type %q", ct)
	}
}

func TestTwoHostsInOneProcessDoNotShareMetrics(t *testing.T) {
	a, b := New("a"), New("b")
	a.Deaths.WithLabelValues("tiny").Inc()
	got, err := b.Gather().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range got {
		if f.GetName() == "pio_plugin_deaths_total" {
			t.Errorf("the other host's deaths are in this registry: %v", f)
		}
	}
}

func TestLoggerObeysLevelAndFormat(t *testing.T) {
	var b bytes.Buffer
	l, err := NewLogger(&b, "warn", "json")
	if err != nil {
		t.Fatal(err)
	}
	l.Info("hidden")
	l.Warn("seen", "model", "tiny")
	var line map[string]any
	if err := json.Unmarshal(b.Bytes(), &line); err != nil {
		t.Fatalf("one JSON line expected, got %q: %v", b.String(), err)
	}
	if line["msg"] != "seen" || line["model"] != "tiny" {
		t.Errorf("got %v", line)
	}
}

func TestLoggerRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, c := range []struct{ level, format, want string }{
		{"loud", "", `log level "loud"`},
		{"", "xml", `log format "xml"`},
	} {
		if _, err := NewLogger(nil, c.level, c.format); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("NewLogger(%q, %q): %v, want %s", c.level, c.format, err, c.want)
		}
	}
}

// What stands in a log line came from plugins, requests and files; a person reads it on a terminal.
func TestLogDoesNotSteerATerminal(t *testing.T) {
	const hostile = "Zürich 東京 \x1b[2J\x7f\u009b31m\u202egnp.exe\u2028\r\n level=ERROR"
	for _, format := range []string{"text", "json"} {
		var b bytes.Buffer
		l, err := NewLogger(&b, "", format)
		if err != nil {
			t.Fatal(err)
		}
		l.Info(hostile, hostile, hostile, "error", errors.New(hostile), slog.Group("g", "list", []string{hostile}))
		line := strings.TrimSuffix(b.String(), "\n")
		if got := client.Printable(line); got != line || strings.Contains(line, "\n") {
			t.Errorf("%s: %q", format, line)
		}
		if format == "text" {
			continue
		}
		var fields map[string]any
		if err := json.Unmarshal(b.Bytes(), &fields); err != nil || fields["msg"] != hostile || fields["error"] != hostile {
			t.Errorf("%v: %q", err, fields)
		}
	}
}

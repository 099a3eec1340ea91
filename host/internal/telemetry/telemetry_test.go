package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http/httptest"
	"os"
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
		`vllm:prefix_cache_queries_total{model_name="tiny"} 0`,
		`vllm:prefix_cache_hits_total{model_name="tiny"} 0`,
		`vllm:num_preemptions_total{model_name="tiny"} 0`,
		`pio_prefix_cache_kept{model_name="tiny"} 0`,
		`pio_prefix_cache_thrown_total{model_name="tiny"} 0`,
		`vllm:time_to_first_token_seconds_count{model_name="tiny"} 0`,
		`vllm:inter_token_latency_seconds_count{model_name="tiny"} 0`,
		`vllm:e2e_request_latency_seconds_count{model_name="tiny"} 0`,
		`vllm:request_queue_time_seconds_count{model_name="tiny"} 0`,
		`vllm:request_prefill_time_seconds_count{model_name="tiny"} 0`,
		`vllm:request_decode_time_seconds_count{model_name="tiny"} 0`,
		`pio_model_ready{model_name="tiny"} 0`,
		`pio_moves_total{model_name="tiny"} 0`,
		`pio_pictures_reused_total{model_name="tiny"} 0`,
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
	got, err := b.registry.Gather()
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

// What a process counts begins anew with the next; the sum of all does not. A count that falls is no count.
func TestCountsOfProcessesAddUp(t *testing.T) {
	m := New("")
	var first, second Counts
	first = m.Grow("tiny", first, Counts{Moves: 5, Seen: 1})
	first = m.Grow("tiny", first, Counts{Moves: 7, Seen: 1})
	first = m.Grow("tiny", first, Counts{Moves: 2, Seen: 2})
	if m.Grow("tiny", first, Counts{Moves: 7, Seen: 2}) != first {
		t.Error("what was counted already is counted again")
	}
	m.Grow("tiny", second, Counts{Moves: 9, Reused: 3}) // of the next process
	for name, want := range map[string]float64{"pio_moves_total": 16, "pio_pictures_seen_total": 2, "pio_pictures_reused_total": 3} {
		if got := valueOf(t, m, name); got != want {
			t.Errorf("%s is %g, want %g", name, got, want)
		}
	}
}

// A process that is gone holds nothing.
func TestNothingIsSaidOfMemoryThatIsGone(t *testing.T) {
	m := New("")
	for _, model := range []string{"tiny", "other"} {
		m.CacheUsage.WithLabelValues(model).Set(0.5)
		m.Registered.WithLabelValues(model).Set(500)
		m.DeviceUsed.WithLabelValues(model, "cpu").Set(1000)
		m.DeviceReal.WithLabelValues(model, "cpu").Set(1000)
	}
	m.Gone("tiny")
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	body := w.Body.String()
	if strings.Contains(body, `_bytes{device="cpu",model_name="tiny"}`) || !strings.Contains(body, `pio_device_used_bytes{device="cpu",model_name="other"} 1000`) ||
		!strings.Contains(body, `vllm:kv_cache_usage_perc{model_name="tiny"} 0`) || !strings.Contains(body, `pio_registered_weights_bytes{model_name="tiny"} 0`) {
		t.Errorf("%s", body)
	}
}

func valueOf(t *testing.T, m *Metrics, name string) float64 {
	t.Helper()
	list, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range list {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("no %s", name)
	return 0
}

// docs/api.md has a row for every metric of the table, with its type, and for no other. Counters end in _total, and nothing
// else does; what is measured in something says so.
func TestTheDocumentedMetricsAreTheTable(t *testing.T) {
	text, err := os.ReadFile("../../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## Metrics\n")
	if !found {
		t.Fatal("docs/api.md says nothing of metrics")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	documented := map[string]string{}
	for _, line := range strings.Split(section, "\n") {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || !strings.Contains(cells[1], "`") {
			continue
		}
		for _, name := range strings.Split(cells[1], ",") {
			documented[strings.Trim(name, " `")] = strings.TrimSpace(cells[2])
		}
	}
	for _, r := range New("").table.rows {
		if documented[r.name] != r.kind {
			t.Errorf("docs/api.md says that %s is a %q; it is a %s: %s", r.name, documented[r.name], r.kind, r.help)
		}
		if strings.HasSuffix(r.name, "_total") != (r.kind == "counter") {
			t.Errorf("%s is a %s", r.name, r.kind)
		}
		if r.kind == "histogram" && !strings.HasSuffix(r.name, "_seconds") {
			t.Errorf("the histogram %s does not say what it measures", r.name)
		}
		delete(documented, r.name)
	}
	for name := range documented {
		t.Errorf("docs/api.md has the metric %s, which there is not", name)
	}
}

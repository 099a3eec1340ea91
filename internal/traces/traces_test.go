package traces

import (
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// clean takes what the machine's own environment says of traces away.
func clean(t *testing.T, more map[string]string) {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_SERVICE_NAME"} {
		t.Setenv(name, more[name])
	}
}

func TestTracesAreOffUnlessACollectorIsNamed(t *testing.T) {
	const at = "http://127.0.0.1:1"
	for _, env := range []map[string]string{{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": at, "OTEL_SDK_DISABLED": "true"}, {"OTEL_EXPORTER_OTLP_ENDPOINT": at, "OTEL_TRACES_EXPORTER": "none"}} {
		clean(t, env)
		traces, err := New(context.Background(), "piohost", "1")
		if err != nil || traces.On {
			t.Errorf("%v: %+v, %v", env, traces, err)
		}
		if _, span := traces.Tracer("").Start(context.Background(), "a"); span.IsRecording() {
			t.Errorf("%v: a span is kept", env)
		}
		if err := traces.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
	clean(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": at, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
	if _, err := New(context.Background(), "piohost", "1"); err == nil || !strings.Contains(err.Error(), `OTEL_EXPORTER_OTLP_PROTOCOL is "grpc"; traces are sent by http/protobuf alone`) {
		t.Errorf("%v", err)
	}
}

// What a collector gets is OTLP: the span, and whose it is.
func TestTracesReachACollector(t *testing.T) {
	got := make(chan *collector.ExportTraceServiceRequest, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(r.Body)
			if err != nil {
				t.Error(err)
				return
			}
			body = z
		}
		text, err := io.ReadAll(body)
		sent := &collector.ExportTraceServiceRequest{}
		if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(text, sent) != nil {
			t.Errorf("%s: %v, %d bytes", r.URL.Path, err, len(text))
		}
		got <- sent
	}))
	defer server.Close()
	clean(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": server.URL})
	traces, err := New(context.Background(), "piohost", "1.2.3")
	if err != nil || !traces.On {
		t.Fatalf("%+v, %v", traces, err)
	}
	_, span := traces.Tracer("test").Start(context.Background(), "chat tiny")
	span.End()
	if err := traces.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	sent := <-got
	whose := map[string]string{}
	for _, a := range sent.ResourceSpans[0].Resource.Attributes {
		whose[a.Key] = a.Value.GetStringValue()
	}
	if name := sent.ResourceSpans[0].ScopeSpans[0].Spans[0].Name; name != "chat tiny" || whose["service.name"] != "piohost" || whose["service.version"] != "1.2.3" {
		t.Errorf("%q of %v", name, whose)
	}
}

// What is asked by nobody has no span; what a traced request asks has one.
func TestBelowAreOnlySpansOfTracedRequests(t *testing.T) {
	clean(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})
	traces, err := Below(context.Background(), func() (string, string) { return "plugin", "1" })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ended, cancel := context.WithCancel(context.Background()); cancel(); _ = traces.Close(ended) })
	for flags, want := range map[trace.TraceFlags]bool{0: false, trace.FlagsSampled: true} {
		parent := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: flags, Remote: true})
		if _, span := traces.Tracer("").Start(trace.ContextWithSpanContext(context.Background(), parent), "a"); span.IsRecording() != want {
			t.Errorf("flags %v: %v", flags, span.IsRecording())
		}
	}
	if _, span := traces.Tracer("").Start(context.Background(), "a"); span.IsRecording() {
		t.Error("a span of nobody's request is kept")
	}
}

// A plugin is told of the collector, and gets no keys.
func TestWhatAPluginIsTold(t *testing.T) {
	got := Passed([]string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318", "OTEL_EXPORTER_OTLP_HEADERS=api-key=1", "OTEL_EXPORTER_OTLP_TRACES_HEADERS=api-key=1", "OTEL_SERVICE_NAME=host", "OTEL_BSP_SCHEDULE_DELAY=50", "HOME=/"})
	if want := []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318", "OTEL_BSP_SCHEDULE_DELAY=50"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// received is what a collector has got.
type received struct {
	mu    sync.Mutex
	spans []whose
}

// whose is a span and the program that it is of.
type whose struct {
	service string
	*otlp.Span
}

// collect is a collector as OTLP over HTTP has it.
func collect(t *testing.T) (*received, string) {
	t.Helper()
	all := &received{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			var err error
			if in, err = gzip.NewReader(r.Body); err != nil {
				t.Error(err)
				return
			}
		}
		body, err := io.ReadAll(in)
		sent := &collector.ExportTraceServiceRequest{}
		if err != nil || proto.Unmarshal(body, sent) != nil {
			t.Errorf("%s: %v, %d bytes", r.URL.Path, err, len(body))
		}
		all.take(sent)
	}))
	t.Cleanup(server.Close)
	return all, server.URL
}

func (r *received) take(sent *collector.ExportTraceServiceRequest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, of := range sent.ResourceSpans {
		service := ""
		for _, a := range of.Resource.Attributes {
			if a.Key == "service.name" {
				service = a.Value.GetStringValue()
			}
		}
		for _, scope := range of.ScopeSpans {
			for _, s := range scope.Spans {
				r.spans = append(r.spans, whose{service, s})
			}
		}
	}
}

// short is a span's name without the contract's.
func (w whose) short() string { return w.Name[strings.LastIndex(w.Name, ".")+1:] }

// tree is every span with the one above it, and whether it failed.
func (r *received) tree(trace string) (lines []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := map[string]string{}
	for _, s := range r.spans {
		names[hex.EncodeToString(s.SpanId)] = s.service + " " + s.short()
	}
	for _, s := range r.spans {
		line := fmt.Sprintf("%s > %s %s", names[hex.EncodeToString(s.ParentSpanId)], s.service, s.short())
		if s.Status.GetCode() == otlp.Status_STATUS_CODE_ERROR {
			line += " failed"
		}
		if id := hex.EncodeToString(s.TraceId); id != trace {
			line += " of the trace " + id
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}

// One trace has what the host and its plugins did for a request, also where a plugin's process ends under it and the answer goes on in the next.
func TestOneTraceGoesThroughAKill(t *testing.T) {
	all, url := collect(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
	const trace = "0af7651916cd43dd8448eb211c80319c"
	s := start(t, tinyModel(hold(3)))
	killed := make(chan struct{})
	go func() {
		defer close(killed)
		s.held(3)
		s.kill()
	}()
	text, err := json.Marshal(ask("What is the capital of Japan?", object{"temperature": 0, "stream": true}))
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, s.url+"/v1/chat/completions", bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Traceparent", "00-"+trace+"-b7ad6b7169203331-01")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if said, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(said), "[DONE]") {
		t.Fatalf("%v: %s", err, said)
	}
	<-killed
	s.stop() // what has not been sent is sent now
	want := []string{
		" > piohost POST /v1/chat/completions",
		"piohost Model/Generate > qwen3_0_6b Model/Generate",
		"piohost POST /v1/chat/completions > piohost chat tiny",
		"piohost chat tiny > piohost Model/Generate", "piohost chat tiny > piohost Model/Generate failed",
		"piohost chat tiny > piohost admission", "piohost chat tiny > piohost decode", "piohost chat tiny > piohost prefill", "piohost chat tiny > piohost queue", "piohost chat tiny > piohost resume",
	}
	slices.Sort(want)
	if got := all.tree(trace); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"), s.log)
	}
	for _, s := range all.spans {
		attributes := map[string]string{}
		for _, a := range s.Attributes {
			attributes[a.Key] = a.Value.String()
		}
		if s.service == "qwen3_0_6b" && (attributes["pio.resumed_tokens"] != "int_value:4" || attributes["gen_ai.usage.output_tokens"] == "" || attributes["gen_ai.response.finish_reasons"] == "") {
			t.Errorf("the plugin's span has %v", attributes)
		}
	}
}

// A host without a collector tells its plugins of none, and there is nothing to send.
func TestThereAreNoTracesUnlessTheyAreAskedFor(t *testing.T) {
	all, url := collect(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
	t.Setenv("OTEL_SDK_DISABLED", "true")
	s := start(t, tinyModel())
	if _, err := s.complete("/v1/chat/completions", ask("What is the capital of Japan?", object{"temperature": 0}), nil); err != nil {
		t.Fatal(err)
	}
	s.stop()
	if got := all.tree(""); len(got) > 0 {
		t.Errorf("%q", got)
	}
}

package api

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/inference-pio/inference-pio/host/internal/answer/answertest"
	"github.com/inference-pio/inference-pio/sdk"
)

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// traced sends a request with a traceparent to a host that keeps its spans.
func tracedBy(f *answertest.Fake, method, path, body string) tracetest.SpanStubs {
	spans := tracetest.NewInMemoryExporter()
	h := New(f, Options{Traces: trace.NewTracerProvider(trace.WithSyncer(spans))})
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Traceparent", parent)
	h.ServeHTTP(httptest.NewRecorder(), r)
	return spans.GetSpans()
}

// tree is each span with the one above it, and how long it took.
func tree(spans tracetest.SpanStubs) []string {
	names := map[string]string{"b7ad6b7169203331": "client"}
	for _, s := range spans {
		names[s.SpanContext.SpanID().String()] = s.Name
	}
	var lines []string
	for _, s := range spans {
		lines = append(lines, fmt.Sprint(names[s.Parent.SpanID().String()], " > ", s.Name, " ", s.EndTime.Sub(s.StartTime)))
		if s.SpanContext.TraceID().String() != "0af7651916cd43dd8448eb211c80319c" {
			lines = append(lines, "of another trace: "+s.Name)
		}
	}
	slices.Sort(lines)
	return lines
}

func attributes(spans tracetest.SpanStubs, name string) map[string]string {
	list := map[string]string{}
	for _, s := range spans {
		for _, a := range s.Attributes {
			if s.Name == name {
				list[string(a.Key)] = a.Value.String()
			}
		}
	}
	return list
}

// One trace has the request, the answer, and what took how long: here two seconds in the plugin's queue, three at the prompt, four between
// the first token and the end.
func TestATraceOfAnAnswer(t *testing.T) {
	for path, body := range map[string]string{
		"/v1/chat/completions": chatBody + `,"temperature":0.5,"max_tokens":7}`,
		"/v1/messages":         `{"model":"tiny","messages":[{"role":"user","content":"a"}],"temperature":0.5,"max_tokens":7,"stream":true}`,
	} {
		synctest.Test(t, func(t *testing.T) {
			f := answertest.New()
			f.Answer = func(_ context.Context, _ sdk.GenerateRequest, send func(sdk.Event) error) error {
				if err := send(answertest.Start(1, 2, 3)); err != nil {
					return err
				}
				time.Sleep(5 * time.Second)
				if err := send(answertest.Token(0, 1, "secret words")); err != nil {
					return err
				}
				time.Sleep(4 * time.Second)
				return send(sdk.Event{Finish: &sdk.Finish{Reason: sdk.FinishStop, PromptTokens: 3, CachedTokens: 2, CompletionTokens: 1, Queued: 2 * time.Second}})
			}
			spans := tracedBy(f, "POST", path, body)
			answertest.EqualLines(t, tree(spans), []string{
				"POST " + path + " > chat tiny 9s", "chat tiny > admission 0s", "chat tiny > decode 4s", "chat tiny > prefill 3s", "chat tiny > queue 2s", "client > POST " + path + " 9s"})
			got := attributes(spans, "chat tiny")
			for key, want := range map[string]string{
				"gen_ai.operation.name": "chat", "gen_ai.provider.name": "inference_pio", "gen_ai.request.model": "tiny", "gen_ai.response.model": "tiny", "gen_ai.request.max_tokens": "7",
				"gen_ai.request.temperature": "0.5", "gen_ai.usage.input_tokens": "3", "gen_ai.usage.cache_read.input_tokens": "2", "gen_ai.usage.output_tokens": "1", "gen_ai.response.finish_reasons": `["stop"]`,
			} {
				if got[key] != want {
					t.Errorf("%s: %s is %q, want %q", path, key, got[key], want)
				}
			}
			if route := attributes(spans, "POST "+path)["http.route"]; route != path {
				t.Errorf("the route is %q", route)
			}
			if text := fmt.Sprint(spans); strings.Contains(text, "secret") {
				t.Errorf("the trace has words of the answer: %s", text)
			}
		})
	}
}

func TestATraceOfAFailure(t *testing.T) {
	f := answertest.New()
	f.Answer = func(context.Context, sdk.GenerateRequest, func(sdk.Event) error) error {
		return sdk.Errorf(sdk.ReasonMemory, "no room")
	}
	if got := attributes(tracedBy(f, "POST", "/v1/completions", `{"model":"tiny","prompt":"a"}`), "text_completion tiny"); got["error.type"] != "out_of_memory" {
		t.Errorf("%v", got)
	}
	if got := attributes(tracedBy(f, "POST", "/v1/chat/completions", `{"model":7}`), "messages"); got["error.type"] != "invalid model" {
		t.Errorf("%v", got)
	}
}

// Probes have no trace, and a path that a client has chosen is no span's name.
func TestWhatHasNoTrace(t *testing.T) {
	for _, path := range []string{"/healthz", "/health", "/readyz", "/readyz/tiny", "/metrics"} {
		if spans := tracedBy(answertest.New(), http.MethodGet, path, ""); len(spans) > 0 {
			t.Errorf("%s: %v", path, tree(spans))
		}
	}
	if spans := tracedBy(answertest.New(), http.MethodGet, "/what/ever", ""); len(spans) != 1 || spans[0].Name != "GET /" {
		t.Errorf("%v", tree(spans))
	}
}

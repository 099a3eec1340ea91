// traces.go gives each request a span, below the one that its client names in traceparent.
package api

import (
	"cmp"
	"net/http"
	"strings"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// traced begins a span for what somebody may want to see. Probes, which come each second, have none.
func traced(to trace.TracerProvider, next http.Handler) http.Handler {
	if _, none := to.(noop.TracerProvider); none {
		return next
	}
	return otelhttp.NewHandler(next, "request", otelhttp.WithTracerProvider(to),
		otelhttp.WithPropagators(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})),
		otelhttp.WithFilter(func(r *http.Request) bool {
			path := r.URL.Path
			return path != "/healthz" && path != "/health" && path != "/metrics" && !strings.HasPrefix(path, "/readyz")
		}))
}

// nameSpan sets the name by which spans of a kind are found: the route, not the path, which is a client's to choose.
func nameSpan(r *http.Request, method, route string) {
	span := trace.SpanFromContext(r.Context())
	if !span.IsRecording() {
		return
	}
	span.SetName(cmp.Or(method, r.Method) + " " + route)
	span.SetAttributes(semconv.HTTPRoute(route))
}

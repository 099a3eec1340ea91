// traces.go sends traces to a collector, if OpenTelemetry's own variables of the environment name one. Without them there are none.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	api "go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Traces are where spans go. Close sends what has not been sent.
type Traces struct {
	api.TracerProvider
	Close func(context.Context) error
	On    bool
}

// NewTraces reads the environment: OTEL_EXPORTER_OTLP_ENDPOINT, or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, names the collector; the others of
// OpenTelemetry hold as they are specified (headers, the sampler, the service's name). Only http/protobuf is spoken.
func NewTraces(ctx context.Context, version string) (*Traces, error) {
	off := &Traces{noop.NewTracerProvider(), func(context.Context) error { return nil }, false}
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT")+os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" ||
		strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") || os.Getenv("OTEL_TRACES_EXPORTER") == "none" {
		return off, nil
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"} {
		if p := os.Getenv(name); p != "" && p != "http/protobuf" {
			return nil, fmt.Errorf("%s is %q; traces are sent by http/protobuf alone, which collectors take at port 4318", name, p)
		}
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("traces cannot be sent: %w", err)
	}
	about, err := resource.New(ctx, resource.WithAttributes(semconv.ServiceName("piohost"), semconv.ServiceVersion(version)), resource.WithFromEnv(), resource.WithTelemetrySDK())
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, fmt.Errorf("traces cannot be sent: %w", err)
	}
	p := trace.NewTracerProvider(trace.WithBatcher(exporter), trace.WithResource(about))
	return &Traces{p, p.Shutdown, true}, nil
}

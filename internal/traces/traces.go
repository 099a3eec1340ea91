// Package traces sends the spans of a program to a collector, if OpenTelemetry's own variables of the environment name one. Without them there
// are none, and they cost nothing. The host and its plugins are such programs: what a plugin does for a request belongs to the request's trace.
package traces

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
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

// New reads the environment: OTEL_EXPORTER_OTLP_ENDPOINT, or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, names the collector; the others of
// OpenTelemetry hold as they are specified (headers, the sampler, the service's name). Only http/protobuf is spoken. The service is what the
// program is called there unless OTEL_SERVICE_NAME says otherwise.
func New(ctx context.Context, service, version string, more ...trace.TracerProviderOption) (*Traces, error) {
	if !wanted() {
		return none(), nil
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
	about, err := resource.New(ctx, resource.WithAttributes(semconv.ServiceName(service), semconv.ServiceVersion(version)), resource.WithFromEnv(), resource.WithTelemetrySDK())
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, fmt.Errorf("traces cannot be sent: %w", err)
	}
	p := trace.NewTracerProvider(append(more, trace.WithBatcher(exporter), trace.WithResource(about))...)
	return &Traces{p, p.Shutdown, true}, nil
}

func none() *Traces {
	return &Traces{noop.NewTracerProvider(), func(context.Context) error { return nil }, false}
}

// wanted says whether the environment names a collector, and nothing that turns spans off.
func wanted() bool {
	return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT")+os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "" &&
		!strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") && os.Getenv("OTEL_TRACES_EXPORTER") != "none"
}

// Below is New for a program that is asked by another, and has spans of those requests alone of which that one has. Who it is it is asked only if
// there is somebody to tell.
func Below(ctx context.Context, about func() (service, version string)) (*Traces, error) {
	if !wanted() {
		return none(), nil
	}
	service, version := about()
	return New(ctx, service, version, trace.WithSampler(trace.ParentBased(trace.NeverSample())))
}

// passed are the variables that lead a plugin to the host's collector. Headers are not among them: they are where keys stand, which the host does not
// hand on. Nor is the service's name, which is the host's.
var passed = []string{"ENDPOINT", "TRACES_ENDPOINT", "PROTOCOL", "TRACES_PROTOCOL", "COMPRESSION", "TRACES_COMPRESSION", "TIMEOUT", "TRACES_TIMEOUT",
	"CERTIFICATE", "TRACES_CERTIFICATE", "INSECURE", "TRACES_INSECURE"}

// Passed leaves of an environment what a plugin needs to send its spans where the host sends its own.
func Passed(env []string) (list []string) {
	for _, pair := range env {
		name, _, _ := strings.Cut(pair, "=")
		of, exporter := strings.CutPrefix(name, "OTEL_EXPORTER_OTLP_")
		if exporter && slices.Contains(passed, of) || strings.HasPrefix(name, "OTEL_BSP_") {
			list = append(list, pair)
		}
	}
	return list
}

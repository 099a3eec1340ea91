// traces.go gives the calls of a plugin spans, and tells the plugin whose they are: in the metadata of each call, as W3C's traceparent.
package process

import (
	"path"
	"slices"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"
)

// asked are the calls that are made for a request of somebody's. Others would be traces of their own, one for each health check.
var asked = []string{"Generate", "OpenSequence", "ForkSequence", "CloseSequence", "Forward", "Embed", "Tokenize", "Detokenize", "Spell", "Render"}

func traced(to trace.TracerProvider) []grpc.DialOption {
	if to == nil {
		return nil
	}
	return []grpc.DialOption{grpc.WithStatsHandler(otelgrpc.NewClientHandler(
		otelgrpc.WithTracerProvider(to), otelgrpc.WithPropagators(propagation.TraceContext{}),
		otelgrpc.WithFilter(func(info *stats.RPCTagInfo) bool { return slices.Contains(asked, path.Base(info.FullMethodName)) }),
	))}
}

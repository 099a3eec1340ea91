package service

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/inference-pio/inference-pio/sdk"
)

// span.go is what the span of a call tells.

// observed tells the span of a call what its answer comes to, by the names of OpenTelemetry's conventions for generative AI; nothing of what is
// said. Without a span it is send.
func observed(ctx context.Context, req sdk.GenerateRequest, send func(sdk.Event) error) func(sdk.Event) error {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return send
	}
	span.SetAttributes(attribute.String("pio.request", req.ID), attribute.Int("pio.choice", req.Choice))
	if req.Resume != nil {
		span.SetAttributes(attribute.Int("pio.resumed_tokens", len(req.Resume.Generated)))
	}
	begun := false
	return func(e sdk.Event) error {
		switch {
		case e.Token != nil && !begun:
			begun = true
			span.AddEvent("first token")
		case e.Finish != nil:
			span.SetAttributes(semconv.GenAIUsageInputTokens(e.Finish.PromptTokens), semconv.GenAIUsageCacheReadInputTokens(e.Finish.CachedTokens),
				semconv.GenAIUsageOutputTokens(e.Finish.CompletionTokens), semconv.GenAIResponseFinishReasons(string(e.Finish.Reason)))
		}
		return send(e)
	}
}

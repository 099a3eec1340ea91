// spans.go tells a trace of a request what became of it: the model's answer by the names of OpenTelemetry's conventions for generative AI,
// and below it what took how long. Nothing of what was asked or answered is in it.
package answer

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/inference-pio/inference-pio/host/internal/problem"
	"github.com/inference-pio/inference-pio/sdk"
)

// provider is who makes the answers, as the conventions name it.
const provider = "inference_pio"

// tracer is of the service, or one that does nothing.
func (s *Service) tracer() trace.Tracer {
	return s.Traces.Tracer("github.com/inference-pio/inference-pio/host/internal/answer")
}

// describe tells a span what a request asks for.
func describe(span trace.Span, r *Request) {
	if !span.IsRecording() {
		return
	}
	operation := semconv.GenAIOperationNameChat
	if r.Chat == nil {
		operation = semconv.GenAIOperationNameTextCompletion
	}
	span.SetName(operation.Value.AsString() + " " + r.Model)
	list := []attribute.KeyValue{operation, semconv.GenAIProviderNameKey.String(provider), semconv.GenAIRequestModel(r.Model), semconv.GenAIRequestChoiceCount(r.N)}
	if r.MaxTokens > 0 {
		list = append(list, semconv.GenAIRequestMaxTokens(r.MaxTokens))
	}
	for key, value := range map[attribute.Key]*float64{
		semconv.GenAIRequestTemperatureKey: r.Sampling.Temperature, semconv.GenAIRequestTopPKey: r.Sampling.TopP,
		semconv.GenAIRequestPresencePenaltyKey: r.Sampling.PresencePenalty, semconv.GenAIRequestFrequencyPenaltyKey: r.Sampling.FrequencyPenalty,
	} {
		if value != nil {
			list = append(list, key.Float64(*value))
		}
	}
	span.SetAttributes(list...)
}

// conclude tells a span what a request came to.
func conclude(span trace.Span, t *Tally) {
	span.SetAttributes(semconv.GenAIResponseID(t.ID), semconv.GenAIResponseModel(t.Model), semconv.GenAIUsageInputTokens(t.Usage.Prompt),
		semconv.GenAIUsageCacheReadInputTokens(t.Usage.Cached), semconv.GenAIUsageOutputTokens(max(t.Usage.Generated, t.ids)))
	if len(t.reasons) > 0 {
		span.SetAttributes(semconv.GenAIResponseFinishReasons(t.reasons...))
	}
	if t.failure != "" {
		span.SetAttributes(semconv.ErrorTypeKey.String(t.failure))
		span.SetStatus(codes.Error, t.failure)
	}
	span.End()
}

// course is when the parts of one choice began.
type course struct {
	asked, started, first time.Time
}

// see notes an event, and tells of all parts at the last.
func (c *course) see(ctx context.Context, tracer trace.Tracer, choice int, e sdk.Event) {
	now := time.Now()
	switch {
	case e.Start != nil:
		c.started = now
	case e.Token != nil && c.first.IsZero():
		c.first = now
	case e.Finish != nil:
		if c.first.IsZero() {
			c.first = now
		}
		begun := c.asked // of the prompt: the plugin says how long it let it wait
		if !c.started.IsZero() {
			begun = c.started
		}
		begun = earlier(begun.Add(e.Finish.Queued), c.first)
		part(ctx, tracer, "queue", choice, c.asked, begun)
		part(ctx, tracer, "prefill", choice, begun, c.first)
		part(ctx, tracer, "decode", choice, c.first, now)
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// part is a span of what is over.
func part(ctx context.Context, tracer trace.Tracer, name string, choice int, from, to time.Time) {
	_, span := tracer.Start(ctx, name, trace.WithTimestamp(from), trace.WithAttributes(attribute.Int("pio.choice", choice)))
	span.End(trace.WithTimestamp(to))
}

// admitted ends the span of what comes before the model is asked.
func admitted(span trace.Span, err error) {
	if err != nil {
		e := problem.From(err, "")
		span.SetStatus(codes.Error, e.Code)
	}
	span.End()
}

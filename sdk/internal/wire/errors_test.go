package wire

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/inference-pio/inference-pio/sdk"
)

func TestErrorsKeepReasonMessageAndField(t *testing.T) {
	for reason, code := range map[sdk.Reason]codes.Code{
		sdk.ReasonInvalid: codes.InvalidArgument, sdk.ReasonTemplate: codes.InvalidArgument, sdk.ReasonContext: codes.OutOfRange,
		sdk.ReasonNotFound: codes.NotFound, sdk.ReasonCheckpoint: codes.FailedPrecondition, sdk.ReasonChanged: codes.FailedPrecondition, sdk.ReasonDevice: codes.FailedPrecondition, sdk.ReasonState: codes.FailedPrecondition,
		sdk.ReasonMemory: codes.ResourceExhausted, sdk.ReasonOverloaded: codes.ResourceExhausted,
		sdk.ReasonUnimplemented: codes.Unimplemented, sdk.ReasonInternal: codes.Internal, "OF_THE_AUTHOR": codes.Unknown,
	} {
		sent := sdk.Errorf(reason, "layers.3: 7 of 9 bytes")
		sent.Field = "path"
		s := status.Convert(StatusError(fmt.Errorf("load: %w", sent)))
		if s.Code() != code {
			t.Errorf("%s travels as %s, want %s", reason, s.Code(), code)
		}
		got, known := Error(s)
		if !known || got.Reason != reason || got.Message != "load: layers.3: 7 of 9 bytes" || got.Field != "path" {
			t.Errorf("%s arrived as %+v (known: %v)", reason, got, known)
		}
	}
}

func TestErrorsWithoutReason(t *testing.T) {
	for _, c := range []struct {
		name   string
		err    error
		reason sdk.Reason
		known  bool
	}{
		{"a plain error is a bug of the plugin", StatusError(errors.New("oops")), sdk.ReasonInternal, true},
		{"a cancelled call is no error of the request", StatusError(fmt.Errorf("step: %w", context.Canceled)), sdk.ReasonInternal, false},
		{"nor is one out of time", StatusError(context.DeadlineExceeded), sdk.ReasonInternal, false},
		{"nor one whose connection broke", status.Error(codes.Unavailable, "EOF"), sdk.ReasonInternal, false},
		{"a code is enough for an author who forgot the reason", status.Error(codes.NotFound, "no"), sdk.ReasonNotFound, true},
		{"nor a message above gRPC's limit, whose it may be", status.Error(codes.ResourceExhausted, "too large"), sdk.ReasonInternal, false},
		{"an older plugin lacks a method", status.Error(codes.Unimplemented, "unknown method"), sdk.ReasonUnimplemented, true},
	} {
		e, known := Error(status.Convert(c.err))
		if e.Reason != c.reason || known != c.known {
			t.Errorf("%s: got %s, known %v", c.name, e.Reason, known)
		}
	}
	if StatusError(nil) != nil {
		t.Error("no error became one")
	}
}

func TestErrorThatNoHeaderCarriesIsCut(t *testing.T) {
	s := status.Convert(StatusError(sdk.Errorf(sdk.ReasonCheckpoint, "missing \xff %s", strings.Repeat("layer, ", 100_000))))
	if len(s.Message()) > maxErrorBytes+100 || !strings.HasPrefix(s.Message(), "missing \uFFFD layer") || !strings.HasSuffix(s.Message(), "(cut)") {
		t.Errorf("the message has %d bytes and begins with %.40q", len(s.Message()), s.Message())
	}
}

// What cannot be is refused, and the sentence names the field.
func TestRefusals(t *testing.T) {
	generate := func(change func(*sdk.GenerateRequest)) error {
		r := sdk.GenerateRequest{HasText: true, Text: "a"}
		change(&r)
		_, err := GenerateRequest(GenerateRequestToPB(r))
		return err
	}
	nan := func() *float64 { x := 0.0; x /= x; return &x }
	load := func(d ...sdk.DeviceBudget) error {
		_, err := LoadRequest(LoadRequestToPB(sdk.LoadRequest{InspectRequest: sdk.InspectRequest{Path: "/m"}, Devices: d}))
		return err
	}
	for field, err := range map[string]error{
		"prompt":               generate(func(r *sdk.GenerateRequest) { r.HasText, r.Text = false, "" }),
		"max_tokens":           generate(func(r *sdk.GenerateRequest) { r.MaxTokens = -1 }),
		"choice":               generate(func(r *sdk.GenerateRequest) { r.Choice = -1 }),
		"tokens":               generate(func(r *sdk.GenerateRequest) { *r = sdk.GenerateRequest{Tokens: []int32{4, -4}} }),
		"resume.generated":     generate(func(r *sdk.GenerateRequest) { r.Resume = &sdk.Resume{Generated: []int32{-1}} }),
		"sampling.temperature": generate(func(r *sdk.GenerateRequest) { r.Sampling.Temperature = nan() }),
		"sampling.logit_bias":  generate(func(r *sdk.GenerateRequest) { r.Sampling.LogitBias = map[int32]float64{1: *nan()} }),
		"devices":              load(sdk.DeviceBudget{Name: "gpu.0"}),
		"devices.bytes":        load(sdk.DeviceBudget{Name: "cpu", Bytes: -1}),
		"devices.copy_rate":    load(sdk.DeviceBudget{Name: "cpu", CopyRate: -1}),
	} {
		var e *sdk.Error
		if !errors.As(err, &e) || e.Reason != sdk.ReasonInvalid || e.Field != field || !strings.HasPrefix(e.Message, field+" ") {
			t.Errorf("%s: got %v", field, err)
		}
	}
}

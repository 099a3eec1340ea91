package client

// border_test.go: how a call can end other than by an answer, for every method there is.

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/internal/pb"
	"github.com/inference-pio/inference-pio/sdk/internal/pipe"
	"github.com/inference-pio/inference-pio/sdk/internal/waiting"
)

// calls is every call of the contract, and health.
func calls(c *Client) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Describe": func(ctx context.Context) error { _, err := c.Describe(ctx); return err },
		"Inspect":  func(ctx context.Context) error { _, err := c.Inspect(ctx, sdk.InspectRequest{Path: "/m"}); return err },
		"Load":     func(ctx context.Context) error { _, err := c.Load(ctx, sdk.LoadRequest{}, nil); return err },
		"Unload":   c.Unload,
		"Drain":    c.Drain,
		"Generate": func(ctx context.Context) error {
			return c.Generate(ctx, sdk.GenerateRequest{HasText: true}, func(sdk.Event) error { return nil })
		},
		"OpenSequence":  func(ctx context.Context) error { return c.OpenSequence(ctx, "a") },
		"ForkSequence":  func(ctx context.Context) error { return c.ForkSequence(ctx, "a", "b") },
		"CloseSequence": func(ctx context.Context) error { return c.CloseSequence(ctx, "a") },
		"Forward":       func(ctx context.Context) error { _, err := c.Forward(ctx, sdk.ForwardRequest{}); return err },
		"Embed":         func(ctx context.Context) error { _, err := c.Embed(ctx, sdk.EmbedRequest{}); return err },
		"Tokenize":      func(ctx context.Context) error { _, err := c.Tokenize(ctx, "a"); return err },
		"Detokenize":    func(ctx context.Context) error { _, err := c.Detokenize(ctx, nil); return err },
		"Spell":         func(ctx context.Context) error { _, err := c.Spell(ctx, nil); return err },
		"Render":        func(ctx context.Context) error { _, err := c.Render(ctx, sdk.Chat{}); return err },
		"Health":        c.Health,
		"Schedule": func(ctx context.Context) error {
			s, err := c.Schedule(ctx)
			if err == nil {
				_, err = s.Recv()
			}
			return err
		},
	}
}

// answering connects a Client to a plugin that answers every call with what end returns.
func answering(t *testing.T, end func(context.Context) error) *Client {
	t.Helper()
	waiting.Bound(t)
	server := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error { return end(s.Context()) }))
	conn, stop, err := pipe.Connect(server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return New(conn)
}

// The host decides by errors.Is alone: what a call's end was must be found that way, and nothing of gRPC.
func TestTheEndOfEveryCallIsToldApart(t *testing.T) {
	never := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	says := func(c codes.Code) func(context.Context) error {
		return func(context.Context) error { return status.Error(c, "its own words") }
	}
	why := errors.New("the host is closing")
	for _, c := range []struct {
		name string
		end  func(context.Context) error
		ctx  func(context.Context) (context.Context, context.CancelFunc)
		want []error
	}{
		{"out of time", never, func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 20*time.Millisecond)
		}, []error{context.DeadlineExceeded}},
		{"out of time by the plugin's clock", says(codes.DeadlineExceeded), nil, []error{context.DeadlineExceeded}},
		{"given up", never, func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			cancel(why)
			return ctx, func() {}
		}, []error{context.Canceled, why}},
		{"given up by the plugin", says(codes.Canceled), nil, []error{ErrGone}},
		{"without a connection", says(codes.Unavailable), nil, []error{ErrGone}},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := answering(t, c.end)
			for method, call := range calls(client) {
				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				if c.ctx != nil {
					ctx, cancel = c.ctx(ctx)
				}
				err := call(ctx)
				cancel()
				for _, kind := range []error{context.DeadlineExceeded, context.Canceled, why, ErrGone} {
					wanted := false
					for _, w := range c.want {
						wanted = wanted || kind == w
					}
					if errors.Is(err, kind) != wanted {
						t.Errorf("%s: %v; errors.Is(%v) is %v", method, err, kind, !wanted)
					}
				}
				var foreign interface{ GRPCStatus() *status.Status }
				if errors.As(err, &foreign) {
					t.Errorf("%s: a gRPC status got through: %v", method, err)
				}
			}
		})
	}
}

// What needs no model is bounded without the caller's doing.
func TestQuestionsWithoutAModelHaveATimeOfTheirOwn(t *testing.T) {
	client := answering(t, func(ctx context.Context) error {
		if _, ok := ctx.Deadline(); !ok {
			return status.Error(codes.Internal, "no deadline")
		}
		return status.Error(codes.Internal, "a deadline")
	})
	for _, method := range []string{"Describe", "Inspect"} {
		if err := calls(client)[method](t.Context()); err == nil || err.Error() != "a deadline" {
			t.Errorf("%s: the plugin saw %v", method, err)
		}
	}
	ctx, cancel := within(t.Context(), time.Nanosecond, "Describe")
	defer cancel()
	<-ctx.Done()
	if err := client.Unload(ctx); !errors.Is(err, context.DeadlineExceeded) || err.Error() != "the plugin did not answer Describe within 1ns: context deadline exceeded" {
		t.Errorf("out of time: %v", err)
	}
}

// An answer above what its kind may take is the plugin's mistake; a request above the limit is the caller's.
func TestMessagesThatAreTooLarge(t *testing.T) {
	long := strings.Repeat("a", events+1)
	c, _ := serve(t, &foreign{
		events:   []*pb.GenerateResponse{start(), {Event: &pb.GenerateResponse_Token{Token: &pb.Token{Text: long}}}},
		describe: &pb.DescribeResponse{Name: strings.Repeat("a", small)},
	})
	generate := func(req sdk.GenerateRequest) error {
		return c.Generate(t.Context(), req, func(sdk.Event) error { return nil })
	}
	if err := generate(sdk.GenerateRequest{HasText: true}); sdk.ReasonOf(err) != sdk.ReasonInternal || !strings.Contains(err.Error(), "sent more than it may") {
		t.Errorf("a long token: %v", err)
	}
	if err := generate(sdk.GenerateRequest{HasText: true, PromptLogprobs: true}); err == nil || !strings.Contains(err.Error(), "without a finish") {
		t.Errorf("a long message where one was asked for: %v", err)
	}
	if _, err := c.Describe(t.Context()); sdk.ReasonOf(err) != sdk.ReasonInternal || !strings.Contains(err.Error(), "sent more than it may") {
		t.Errorf("a long name: %v", err)
	}
	if err := generate(sdk.GenerateRequest{HasText: true, Text: strings.Repeat("a", sdk.MaxMessageBytes)}); sdk.ReasonOf(err) != sdk.ReasonInvalid {
		t.Errorf("a long prompt: %v", err)
	}
}

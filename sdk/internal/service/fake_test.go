package service

import (
	"context"
	"log/slog"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
	"github.com/inference-pio/inference-pio/sdk/internal/pipe"
	"github.com/inference-pio/inference-pio/sdk/internal/waiting"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a plugin whose Load and Generate are given by the test.
type fake struct {
	load     func(ctx context.Context, progress func(sdk.Progress)) error
	generate func(ctx context.Context, req sdk.GenerateRequest, send func(sdk.Event) error) error
}

func (*fake) Describe() sdk.Description {
	return sdk.Description{Name: "fake", Version: "1.2.3", Kernels: "none"}
}

func (*fake) Inspect(context.Context, sdk.InspectRequest) (sdk.Inspection, error) {
	return sdk.Inspection{Reason: "a fake fits nothing"}, nil
}

func (f *fake) Load(ctx context.Context, _ sdk.LoadRequest, progress func(sdk.Progress)) (sdk.LayerTable, error) {
	if f.load == nil {
		return sdk.LayerTable{Context: 10}, nil
	}
	return sdk.LayerTable{Context: 10}, f.load(ctx, progress)
}

func (f *fake) Generate(ctx context.Context, req sdk.GenerateRequest, send func(sdk.Event) error) error {
	return f.generate(ctx, req, send)
}

// say sends a whole answer of n tokens.
func say(n int, send func(sdk.Event) error) error {
	if err := send(sdk.Event{Start: &sdk.Start{Prompt: []int32{1}}}); err != nil {
		return err
	}
	for i := range n {
		if err := send(sdk.Event{Token: &sdk.Token{Index: i, ID: int32(i)}}); err != nil {
			return err
		}
	}
	return send(sdk.Event{Finish: &sdk.Finish{Reason: sdk.FinishStop, PromptTokens: 1, CompletionTokens: n}})
}

func inProcess(t *testing.T, p sdk.Plugin) *client.Client {
	t.Helper()
	waiting.Bound(t)
	server := grpc.NewServer(Options(slog.Default(), func() {})...)
	Register(server, p)
	conn, stop, err := pipe.Connect(server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return client.New(conn)
}

// loaded is a plugin in this process, with its model loaded.
func loaded(t *testing.T, p sdk.Plugin) *client.Client {
	t.Helper()
	c := inProcess(t, p)
	if err := load(t, c); err != nil {
		t.Fatal(err)
	}
	return c
}

func load(t *testing.T, c *client.Client) error {
	_, err := c.Load(t.Context(), sdk.LoadRequest{InspectRequest: sdk.InspectRequest{Path: "/m"}}, nil)
	return err
}

// ask generates with a prompt of one word and returns the ids of the answer.
func ask(ctx context.Context, c *client.Client) ([]int32, error) {
	var ids []int32
	err := c.Generate(ctx, sdk.GenerateRequest{Text: "word", HasText: true}, func(e sdk.Event) error {
		if e.Token != nil {
			ids = append(ids, e.Token.ID)
		}
		return nil
	})
	return ids, err
}

func wantReason(t *testing.T, what string, err error, want sdk.Reason) {
	t.Helper()
	if err == nil || sdk.ReasonOf(err) != want {
		t.Errorf("%s: got %v, want an error with %s", what, err, want)
	}
}

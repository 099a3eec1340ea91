// Package client is the host's side of the socket: a plugin in another process, with the methods of package sdk.
//
// Answers are checked before they are handed on, since a plugin may be written by anyone: an answer that breaks the
// contract is an [sdk.Error] with [sdk.ReasonInternal]. Errors of the plugin come back as the *sdk.Error it made. When the
// process or its connection is gone, every call fails with an error that [errors.Is] says is [ErrGone]; when the call's own
// context ended, with one that says context.Canceled or context.DeadlineExceeded, and its cause. No error is a gRPC status.
//
// All methods of a Client may be called concurrently.
package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/internal/pb"
	"github.com/inference-pio/inference-pio/sdk/internal/wire"
)

// Client speaks protocol major 1 over one connection.
type Client struct {
	model     pb.ModelClient
	scheduler pb.SchedulerClient
	health    grpc_health_v1.HealthClient
}

// New makes a Client of a connection. The connection stays the caller's to close.
func New(conn grpc.ClientConnInterface) *Client {
	b := border{conn}
	return &Client{model: pb.NewModelClient(b), scheduler: pb.NewSchedulerClient(b), health: grpc_health_v1.NewHealthClient(b)}
}

// What needs no model is answered in these times or not at all: Describe touches nothing, and Inspect reads headers, of the
// largest checkpoints some megabytes from a slow disk.
const (
	describeTime = 10 * time.Second
	inspectTime  = 30 * time.Second
)

// within bounds a call; its error says which one was not answered.
func within(ctx context.Context, limit time.Duration, call string) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, limit, fmt.Errorf("the plugin did not answer %s within %v: %w", call, limit, context.DeadlineExceeded))
}

// Health asks whether the process is there at all: a plugin that is frozen answers only by ctx's end. The answer comes from its
// gRPC server, whatever the model does.
func (c *Client) Health(ctx context.Context) error {
	m, err := c.health.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: healthService})
	if err != nil {
		return err
	}
	if m.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		return breach("its health is %s", m.GetStatus())
	}
	return nil
}

// healthService is the name that go-plugin gives a plugin in the health service.
const healthService = "plugin"

// Describe asks who the plugin is. It takes ten seconds at most.
func (c *Client) Describe(ctx context.Context) (sdk.Description, error) {
	ctx, cancel := within(ctx, describeTime, "Describe")
	defer cancel()
	m, err := c.model.Describe(ctx, &pb.DescribeRequest{})
	if err != nil {
		return sdk.Description{}, err
	}
	return wire.Description(m)
}

// Inspect asks whether the plugin can run a checkpoint and what it would take. It takes thirty seconds at most.
func (c *Client) Inspect(ctx context.Context, req sdk.InspectRequest) (sdk.Inspection, error) {
	ctx, cancel := within(ctx, inspectTime, "Inspect")
	defer cancel()
	m, err := c.model.Inspect(ctx, wire.InspectRequestToPB(req))
	if err != nil {
		return sdk.Inspection{}, err
	}
	return wire.Inspection(m)
}

// Load makes the model ready. progress, which may be nil, is called on this goroutine.
func (c *Client) Load(ctx context.Context, req sdk.LoadRequest, progress func(sdk.Progress)) (sdk.LayerTable, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.model.Load(ctx, wire.LoadRequestToPB(req))
	if err != nil {
		return sdk.LayerTable{}, err
	}
	var table *pb.LayerTable
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return wire.LayerTable(table) // says so if there was none
		}
		if err != nil {
			return sdk.LayerTable{}, err
		}
		if table != nil {
			return sdk.LayerTable{}, breach("after the layer table of Load it sent more")
		}
		if table = m.GetTable(); table == nil && progress != nil {
			progress(wire.Progress(m.GetProgress()))
		}
	}
}

// Unload frees what Load took and ends what still runs.
func (c *Client) Unload(ctx context.Context) error {
	_, err := c.model.Unload(ctx, &pb.UnloadRequest{})
	return err
}

// Drain returns when everything that runs has finished; nothing new is admitted from the call on.
func (c *Client) Drain(ctx context.Context) error {
	_, err := c.model.Drain(ctx, &pb.DrainRequest{})
	return err
}

// Embed turns texts, or ids, into vectors, one for each.
func (c *Client) Embed(ctx context.Context, req sdk.EmbedRequest) (sdk.EmbedResult, error) {
	for _, t := range req.Texts {
		if err := validText("texts", t); err != nil {
			return sdk.EmbedResult{}, err
		}
	}
	m, err := c.model.Embed(ctx, wire.EmbedRequestToPB(req))
	if err != nil {
		return sdk.EmbedResult{}, err
	}
	return wire.EmbedResult(m, req.Len())
}

// Tokenize turns a text into ids.
func (c *Client) Tokenize(ctx context.Context, text string) ([]int32, error) {
	if err := validText("text", text); err != nil {
		return nil, err
	}
	m, err := c.model.Tokenize(ctx, &pb.TokenizeRequest{Text: text})
	return m.GetIds(), err
}

// Detokenize turns ids into a text.
func (c *Client) Detokenize(ctx context.Context, ids []int32) (string, error) {
	m, err := c.model.Detokenize(ctx, &pb.DetokenizeRequest{Ids: ids})
	return m.GetText(), err
}

// Spell tells how the vocabulary writes tokens, one string per id.
func (c *Client) Spell(ctx context.Context, ids []int32) ([]string, error) {
	m, err := c.model.Spell(ctx, &pb.SpellRequest{Ids: ids})
	if err != nil {
		return nil, err
	}
	if len(m.GetTokens()) != len(ids) {
		return nil, breach("it spelled %d tokens, %d were asked for", len(m.GetTokens()), len(ids))
	}
	return m.GetTokens(), nil
}

// Render renders a chat through the checkpoint's template.
func (c *Client) Render(ctx context.Context, chat sdk.Chat) (string, error) {
	m, err := c.model.Render(ctx, &pb.RenderRequest{Chat: wire.ChatToPB(chat)})
	return m.GetText(), err
}

// validText refuses what protobuf would refuse with a sentence nobody understands.
func validText(field, s string) error {
	if utf8.ValidString(s) {
		return nil
	}
	err := sdk.Errorf(sdk.ReasonInvalid, "%s is not valid UTF-8", field)
	err.Field = field
	return err
}

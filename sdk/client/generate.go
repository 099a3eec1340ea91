package client

// generate.go follows an answer and holds the plugin to the order of its events.

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/internal/wire"
)

// Generate asks for one answer and calls send with each of its events, on this goroutine: a Start (none when resuming), one
// Token per id with indices that count up, one Finish. When send fails, the call is cancelled and that error returned.
// After nil the answer is complete.
func (c *Client) Generate(ctx context.Context, req sdk.GenerateRequest, send func(sdk.Event) error) error {
	if err := validRequest(req); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var opts []grpc.CallOption
	if req.PromptLogprobs {
		opts = append(opts, grpc.MaxCallRecvMsgSize(sdk.MaxMessageBytes))
	}
	stream, err := c.model.Generate(ctx, wire.GenerateRequestToPB(req), opts...)
	if err != nil {
		return err
	}
	order := newEventOrder(req.Resume)
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return order.end()
		}
		if err != nil {
			return err
		}
		event, err := wire.Event(m)
		if err == nil {
			err = order.next(event)
		}
		if err == nil {
			err = send(event)
		}
		if err != nil {
			return err
		}
	}
}

func validRequest(req sdk.GenerateRequest) error {
	if err := validText("text", req.Text); err != nil {
		return err
	}
	for _, s := range req.Stop {
		if err := validText("stop", s); err != nil {
			return err
		}
	}
	return nil
}

// eventOrder is the state of one answer: what may come next.
type eventOrder struct {
	started, finished bool
	index, offset     int // of the next token; the least offset it may have
}

func newEventOrder(r *sdk.Resume) *eventOrder {
	if r == nil {
		return &eventOrder{}
	}
	return &eventOrder{started: true, index: len(r.Generated)}
}

func (o *eventOrder) next(e sdk.Event) error {
	switch {
	case o.finished:
		return breach("it sent an event after the finish")
	case e.Start != nil && o.started:
		return breach("it sent a start where none was due")
	case e.Start != nil:
		o.started = true
	case !o.started:
		return breach("its first event was not a start")
	case e.Token != nil:
		return o.token(e.Token)
	default:
		o.finished = true
	}
	return nil
}

func (o *eventOrder) token(t *sdk.Token) error {
	if t.Index != o.index {
		return breach("it sent the token with index %d where %d was due", t.Index, o.index)
	}
	if t.Offset < o.offset {
		return breach("the offset of token %d is %d, before that of the token before it, %d", t.Index, t.Offset, o.offset)
	}
	o.index, o.offset = t.Index+1, t.Offset
	return nil
}

func (o *eventOrder) end() error {
	if !o.finished {
		return breach("its answer ended without a finish, after %d tokens", o.index)
	}
	return nil
}

func breach(format string, args ...any) error {
	return sdk.Errorf(sdk.ReasonInternal, "the plugin broke the protocol: "+format, args...)
}

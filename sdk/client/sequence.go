package client

// sequence.go: named sequences and their logits (capability "forward").

import (
	"context"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/internal/pb"
	"github.com/inference-pio/inference-pio/sdk/internal/wire"
)

// OpenSequence starts an empty sequence.
func (c *Client) OpenSequence(ctx context.Context, seq string) error {
	_, err := c.model.OpenSequence(ctx, &pb.OpenSequenceRequest{Sequence: seq})
	return err
}

// ForkSequence starts the sequence to with the contents of from.
func (c *Client) ForkSequence(ctx context.Context, from, to string) error {
	_, err := c.model.ForkSequence(ctx, &pb.ForkSequenceRequest{From: from, To: to})
	return err
}

// CloseSequence forgets a sequence.
func (c *Client) CloseSequence(ctx context.Context, seq string) error {
	_, err := c.model.CloseSequence(ctx, &pb.CloseSequenceRequest{Sequence: seq})
	return err
}

// Forward appends tokens to a sequence and returns one row of logits per row asked for.
func (c *Client) Forward(ctx context.Context, req sdk.ForwardRequest) (sdk.ForwardResult, error) {
	m, err := c.model.Forward(ctx, wire.ForwardRequestToPB(req))
	if err != nil {
		return sdk.ForwardResult{}, err
	}
	return wire.ForwardResult(m, max(len(req.Rows), 1))
}

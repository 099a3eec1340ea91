package client

// border.go is where calls leave this process: each gets its message limits here, and its error its meaning. Nothing of gRPC
// gets past it, so that errors.Is is right everywhere behind it.

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/internal/pb"
	"github.com/inference-pio/inference-pio/sdk/internal/wire"
)

// Answers that grow with what was asked may fill a message; of the others the contract knows how large they get.
const (
	small   = 1 << 20
	tables  = 16 << 20 // a layer table of 24,576 experts takes 3 MB
	reports = 8 << 20  // and a report about them 2 MB
	events  = 8 << 20  // the ids of a prompt of a million tokens take 3 MB
)

// answerLimit is the most bytes that one message of an answer may have.
func answerLimit(method string) int {
	switch method {
	case pb.Model_Inspect_FullMethodName, pb.Model_Load_FullMethodName:
		return tables
	case pb.Scheduler_Schedule_FullMethodName:
		return reports
	case pb.Model_Generate_FullMethodName:
		return events // unless the likelihood of a whole prompt was asked for
	case pb.Model_Forward_FullMethodName, pb.Model_Embed_FullMethodName, pb.Model_Tokenize_FullMethodName,
		pb.Model_Detokenize_FullMethodName, pb.Model_Spell_FullMethodName, pb.Model_Render_FullMethodName:
		return sdk.MaxMessageBytes
	}
	return small
}

// border is a connection whose errors are those that the package promises.
type border struct{ grpc.ClientConnInterface }

func callOptions(method string, given []grpc.CallOption) []grpc.CallOption {
	return append([]grpc.CallOption{
		grpc.MaxCallRecvMsgSize(answerLimit(method)), grpc.MaxCallSendMsgSize(sdk.MaxMessageBytes),
	}, given...)
}

func (b border) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	if err := sendable(args); err != nil {
		return err
	}
	return failure(ctx, b.ClientConnInterface.Invoke(ctx, method, args, reply, callOptions(method, opts)...))
}

func (b border) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s, err := b.ClientConnInterface.NewStream(ctx, desc, method, callOptions(method, opts)...)
	if err != nil {
		return nil, failure(ctx, err)
	}
	return stream{s, ctx}, nil
}

// stream is a call with several messages. io.EOF stays what it is: the end of a stream is no failure.
type stream struct {
	grpc.ClientStream
	ctx context.Context // the caller's: gRPC ends its own with the call
}

func (s stream) SendMsg(m any) error {
	if err := sendable(m); err != nil {
		return err
	}
	return s.failure(s.ClientStream.SendMsg(m))
}

func (s stream) RecvMsg(m any) error { return s.failure(s.ClientStream.RecvMsg(m)) }
func (s stream) CloseSend() error    { return s.failure(s.ClientStream.CloseSend()) }

func (s stream) failure(err error) error {
	if errors.Is(err, io.EOF) {
		return err
	}
	return failure(s.ctx, err)
}

// sendable refuses a message that every plugin would refuse, here, where it is known whose it is: of an answer that was too
// large gRPC says the same words.
func sendable(m any) error {
	if n := wire.Size(m); n > sdk.MaxMessageBytes {
		return sdk.Errorf(sdk.ReasonInvalid, "the request takes %d bytes; a plugin can be sent %d", n, sdk.MaxMessageBytes)
	}
	return nil
}

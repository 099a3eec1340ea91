package conformance

// beneath_test.go: twins with flaws that the sdk does not let an author have. They speak the protocol themselves, and pass on
// to the reference what they do not spoil.

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
	"github.com/inference-pio/inference-pio/sdk/internal/pb"
	"github.com/inference-pio/inference-pio/sdk/internal/wire"
	"github.com/inference-pio/inference-pio/sdk/serve/servetest"
)

type beneath struct {
	pb.UnimplementedModelServer
	pb.UnimplementedSchedulerServer
	flaw  string
	inner *client.Client
	table atomic.Pointer[pb.LayerTable] // of Load

	running sync.WaitGroup // answers
	answers atomic.Int64
	drained atomic.Bool
}

// passOn is err as the wire has it; a call that the reference was unloaded under is cancelled.
func passOn(err error) error {
	if errors.Is(err, client.ErrGone) {
		return status.Error(codes.Canceled, err.Error())
	}
	return wire.StatusError(err)
}

func (b *beneath) Describe(ctx context.Context, _ *pb.DescribeRequest) (*pb.DescribeResponse, error) {
	d, err := b.inner.Describe(ctx)
	m := wire.DescriptionToPB(d)
	m.Capabilities = nil // what the reference has beyond the core is not passed on
	if b.flaw == "speaks another major than it speaks" {
		m.Majors = []int64{2}
	}
	return m, passOn(err)
}

func (b *beneath) Inspect(ctx context.Context, m *pb.InspectRequest) (*pb.InspectResponse, error) {
	req, err := wire.InspectRequest(m)
	if err != nil {
		return nil, passOn(err)
	}
	i, err := b.inner.Inspect(ctx, req)
	return wire.InspectionToPB(i), passOn(err)
}

func (b *beneath) Load(m *pb.LoadRequest, s grpc.ServerStreamingServer[pb.LoadResponse]) error {
	req, err := wire.LoadRequest(m)
	if err != nil {
		return passOn(err)
	}
	table := b.table.Load()
	if table == nil || b.flaw != "is loaded as often as one likes" {
		t, err := b.inner.Load(s.Context(), req, nil)
		if err != nil {
			return passOn(err)
		}
		table = wire.TableToPB(t).GetTable()
	}
	b.table.Store(table)
	last := &pb.LoadResponse{Message: &pb.LoadResponse_Table{Table: table}}
	if b.flaw == "has two tables" {
		if err := s.Send(last); err != nil {
			return err
		}
	}
	return s.Send(last)
}

func (b *beneath) Generate(m *pb.GenerateRequest, s grpc.ServerStreamingServer[pb.GenerateResponse]) error {
	if b.flaw == "answers before it is loaded" && b.table.Load() == nil {
		return errors.Join(
			s.Send(&pb.GenerateResponse{Event: &pb.GenerateResponse_Start{Start: &pb.Start{}}}),
			s.Send(&pb.GenerateResponse{Event: &pb.GenerateResponse_Finish{Finish: &pb.Finish{Reason: pb.FinishReason_FINISH_REASON_STOP}}}))
	}
	req, err := wire.GenerateRequest(m)
	if err != nil {
		return passOn(err)
	}
	b.running.Add(1)
	b.answers.Add(1)
	defer b.running.Done()
	defer b.answers.Add(-1)
	err = b.inner.Generate(s.Context(), req, func(e sdk.Event) error {
		m, err := wire.EventToPB(e)
		if err != nil {
			return err
		}
		return s.Send(m)
	})
	if b.flaw == "takes its own end for a bug" && errors.Is(err, client.ErrGone) {
		err = sdk.Errorf(sdk.ReasonInternal, "the model has vanished")
	}
	return passOn(err)
}

func (b *beneath) Drain(ctx context.Context, _ *pb.DrainRequest) (*pb.DrainResponse, error) {
	switch b.flaw {
	case "admits more after Drain":
		b.running.Wait()
		return &pb.DrainResponse{}, nil
	case "drains when there is nothing to drain":
		if b.answers.Load() > 0 {
			return nil, passOn(sdk.Errorf(sdk.ReasonState, "busy"))
		}
	case "cannot be unloaded once it is drained":
		b.drained.Store(true)
	case "goes on after Drain":
		return &pb.DrainResponse{}, nil
	case "does not wait for its answers":
		go func() { _ = b.inner.Drain(context.WithoutCancel(ctx)) }()
		return &pb.DrainResponse{}, nil
	case "ends its answers at Drain":
		return &pb.DrainResponse{}, passOn(b.inner.Unload(ctx))
	}
	return &pb.DrainResponse{}, passOn(b.inner.Drain(ctx))
}

func (b *beneath) Unload(ctx context.Context, _ *pb.UnloadRequest) (*pb.UnloadResponse, error) {
	switch {
	case b.drained.Load():
		return nil, passOn(sdk.Errorf(sdk.ReasonState, "drained"))
	case b.flaw == "cannot be unloaded while it answers" && b.answers.Load() > 0:
		return nil, passOn(sdk.Errorf(sdk.ReasonState, "busy"))
	case b.flaw == "lets its answers run when it is unloaded":
		return &pb.UnloadResponse{}, nil
	case b.flaw == "unloads what was loaded and nothing else" && b.table.Load() == nil:
		return nil, passOn(sdk.Errorf(sdk.ReasonState, "nothing is loaded"))
	}
	return &pb.UnloadResponse{}, passOn(b.inner.Unload(ctx))
}

func (b *beneath) Tokenize(context.Context, *pb.TokenizeRequest) (*pb.TokenizeResponse, error) {
	switch {
	case b.flaw == "tokenizes before it is loaded":
		return &pb.TokenizeResponse{}, nil
	case b.flaw == "hides its tokenizer" && b.table.Load() == nil:
		return nil, passOn(sdk.Errorf(sdk.ReasonState, "nothing is loaded"))
	case b.flaw == "hides its tokenizer":
		return &pb.TokenizeResponse{}, nil
	}
	return nil, status.Error(codes.Unimplemented, "there is no tokenizer")
}

func (b *beneath) Schedule(s grpc.BidiStreamingServer[pb.ScheduleRequest, pb.ScheduleResponse]) error {
	for {
		order, err := s.Recv()
		if err != nil {
			return nil
		}
		done := &pb.OrderDone{Id: order.GetId()}
		if order.GetQuery() == nil {
			done.Error = "there is nothing to move"
		}
		if err := s.Send(&pb.ScheduleResponse{Done: done}); err != nil {
			return err
		}
	}
}

// startBeneath makes a Start of twins with the flaw.
func startBeneath(t *testing.T, flaw string) func(context.Context) (*client.Client, func(), error) {
	dir, err := os.MkdirTemp("", "pio") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	var count atomic.Int64
	return func(context.Context) (*client.Client, func(), error) {
		inner, stop, err := servetest.InProcess(&reference{})
		if err != nil {
			return nil, nil, err
		}
		server := grpc.NewServer()
		b := &beneath{flaw: flaw, inner: inner}
		pb.RegisterModelServer(server, b)
		pb.RegisterSchedulerServer(server, b)
		socket, served, err := serveOn(server, dir, count.Add(1))
		if err != nil {
			return nil, nil, err
		}
		conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return nil, nil, err
		}
		return client.New(conn), sync.OnceFunc(func() {
			_ = conn.Close()
			server.Stop()
			served.Wait()
			stop()
		}), nil
	}
}

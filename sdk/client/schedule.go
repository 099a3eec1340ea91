package client

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/internal/pb"
	"github.com/inference-pio/inference-pio/sdk/internal/wire"
)

// Scheduler is the host's end of the Scheduler stream. It ends with the context given to Schedule, or with the plugin.
type Scheduler struct {
	mu     sync.Mutex // gRPC allows one sender at a time
	stream grpc.BidiStreamingClient[pb.ScheduleRequest, pb.ScheduleResponse]
}

// Schedule opens the stream. A process has one: a second is refused, which Recv tells.
func (c *Client) Schedule(ctx context.Context) (*Scheduler, error) {
	stream, err := c.scheduler.Schedule(ctx)
	if err != nil {
		return nil, err
	}
	return &Scheduler{stream: stream}, nil
}

// Send gives an order. It may be called from several goroutines. If the stream has ended it fails with ErrGone, and Recv
// tells why.
func (s *Scheduler) Send(o sdk.Order) error {
	m, err := wire.OrderToPB(o)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.stream.Send(m)
	if errors.Is(err, io.EOF) {
		return ErrGone
	}
	return err
}

// Recv waits for the next report. It must be called from one goroutine. At the end of the stream it fails with ErrGone.
func (s *Scheduler) Recv() (sdk.Report, error) {
	m, err := s.stream.Recv()
	if errors.Is(err, io.EOF) {
		return sdk.Report{}, ErrGone
	}
	if err != nil {
		return sdk.Report{}, err
	}
	return wire.Report(m)
}

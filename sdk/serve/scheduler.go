package serve

// scheduler.go: the Scheduler stream. It is answered here for a plugin that holds nothing the host could move.

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/internal/pb"
	"github.com/inference-pio/inference-pio/sdk/internal/wire"
)

type scheduleStream = grpc.BidiStreamingServer[pb.ScheduleRequest, pb.ScheduleResponse]

type schedulerServer struct {
	pb.UnimplementedSchedulerServer
	plugin sdk.Plugin
	open   atomic.Bool
}

func (s *schedulerServer) Schedule(stream scheduleStream) error {
	if !s.open.CompareAndSwap(false, true) {
		return sdk.Errorf(sdk.ReasonState, "the scheduler stream is open already")
	}
	defer s.open.Store(false)
	scheduled, ok := s.plugin.(sdk.Scheduled)
	if !ok {
		scheduled = nothingToSchedule{}
	}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	var mu sync.Mutex // gRPC allows one sender at a time; reports and refusals both send
	report := func(r sdk.Report) error {
		mu.Lock()
		defer mu.Unlock()
		return stream.Send(wire.ReportToPB(r))
	}
	orders := make(chan sdk.Order)
	go func() {
		defer cancel() // the host has closed its end
		receive(ctx, stream, orders, report)
	}()
	err := scheduled.Schedule(ctx, orders, report)
	if ctx.Err() != nil {
		return nil // however the author reports the end, it is the one the host wanted
	}
	if err == nil {
		err = errors.New("the plugin's Schedule returned while the stream was open")
	}
	return err
}

// receive hands on orders until the stream ends. One of an unknown kind is refused here, so that authors see only those
// they can know.
func receive(ctx context.Context, stream scheduleStream, orders chan<- sdk.Order, report func(sdk.Report) error) {
	for {
		m, err := stream.Recv()
		if err != nil {
			return
		}
		order, err := wire.Order(m)
		if err != nil {
			if report(sdk.Report{Done: &sdk.OrderDone{ID: order.ID, Error: err.Error()}}) != nil {
				return
			}
			continue
		}
		select {
		case orders <- order:
		case <-ctx.Done():
			return
		}
	}
}

// nothingToSchedule is a plugin without modules.
type nothingToSchedule struct{}

func (nothingToSchedule) Schedule(ctx context.Context, orders <-chan sdk.Order, report func(sdk.Report) error) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case order := <-orders:
			done := &sdk.OrderDone{ID: order.ID}
			if order.Move != nil {
				done.Error = "this plugin has no modules that can be moved"
			}
			if err := report(sdk.Report{Done: done}); err != nil {
				return err
			}
		}
	}
}

package service

// scheduler.go: the Scheduler stream. It is answered here for a plugin that holds nothing the host could move.

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

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
		advancing, _ := s.plugin.(sdk.Advancing)
		scheduled = nothingToSchedule{advancing}
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
		s.receive(ctx, stream, orders, report)
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
// they can know; cores are told here too, since they are to come at once, whatever Schedule is about.
func (s *schedulerServer) receive(ctx context.Context, stream scheduleStream, orders chan<- sdk.Order, report func(sdk.Report) error) {
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
		if order.Cores != nil {
			if report(sdk.Report{Done: s.useCores(order)}) != nil {
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

// useCores tells the plugin on how many cores to compute.
func (s *schedulerServer) useCores(order sdk.Order) *sdk.OrderDone {
	sharer, ok := s.plugin.(sdk.CoreSharer)
	if !ok {
		return &sdk.OrderDone{ID: order.ID, Error: "this plugin does not choose on how many cores it computes"}
	}
	sharer.UseCores(order.Cores.Cores)
	return &sdk.OrderDone{ID: order.ID}
}

// reportEvery is how often the host hears of progress, if there is some.
const reportEvery = time.Second

// nothingToSchedule is a plugin without modules.
type nothingToSchedule struct {
	advancing sdk.Advancing // nil: it does not tell
}

func (n nothingToSchedule) Schedule(ctx context.Context, orders <-chan sdk.Order, report func(sdk.Report) error) error {
	var tick <-chan time.Time
	if n.advancing != nil {
		ticker := time.NewTicker(reportEvery)
		defer ticker.Stop()
		tick = ticker.C
	}
	said := uint64(0)
	for {
		var r sdk.Report
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick:
			if n.advancing.Progress() == said {
				continue
			}
		case order := <-orders:
			r.Done = &sdk.OrderDone{ID: order.ID}
			if order.Move != nil {
				r.Done.Error = "this plugin has no modules that can be moved"
			}
		}
		if n.advancing != nil {
			r.Progress = n.advancing.Progress()
			said = r.Progress
		}
		if err := report(r); err != nil {
			return err
		}
	}
}

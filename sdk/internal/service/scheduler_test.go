package service

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
	"github.com/inference-pio/inference-pio/sdk/internal/pb"
	"github.com/inference-pio/inference-pio/sdk/internal/waiting"
)

func schedule(t *testing.T, c *client.Client) *client.Scheduler {
	t.Helper()
	s, err := c.Schedule(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// give sends an order and returns the report that comes.
func give(t *testing.T, s *client.Scheduler, o sdk.Order) sdk.Report {
	t.Helper()
	if err := s.Send(o); err != nil {
		t.Fatal(err)
	}
	r, err := s.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if r.Done == nil || r.Done.ID != o.ID {
		t.Fatalf("order %d was answered by %+v", o.ID, r)
	}
	return r
}

func TestPluginWithoutModulesAnswersOrdersBeforeAndAfterLoad(t *testing.T) {
	c := inProcess(t, &fake{})
	s := schedule(t, c)
	if r := give(t, s, sdk.Order{ID: 1, Query: &sdk.QueryOrder{}}); r.Done.Error != "" || len(r.Modules) != 0 {
		t.Errorf("query: %+v", r)
	}
	if err := load(t, c); err != nil {
		t.Fatal(err)
	}
	if r := give(t, s, sdk.Order{ID: 2, Budget: &sdk.BudgetOrder{Device: "cpu"}}); r.Done.Error != "" {
		t.Errorf("a budget for one who holds nothing: %q", r.Done.Error)
	}
	if r := give(t, s, sdk.Order{ID: 3, Move: &sdk.MoveOrder{Module: "layers.0", Device: "far"}}); r.Done.Error == "" {
		t.Error("a module that does not exist was moved")
	}
}

func TestSchedulerStreamIsOpenedOnce(t *testing.T) {
	c := inProcess(t, &fake{})
	first := schedule(t, c)
	give(t, first, sdk.Order{ID: 1, Query: &sdk.QueryOrder{}}) // it is open now
	_, err := schedule(t, c).Recv()
	wantReason(t, "a second stream", err, sdk.ReasonState)
	give(t, first, sdk.Order{ID: 2, Query: &sdk.QueryOrder{}})
}

// scheduled answers moves, and reports on its own.
type scheduled struct {
	fake
	ended chan error
}

func (s *scheduled) Schedule(ctx context.Context, orders <-chan sdk.Order, report func(sdk.Report) error) error {
	if err := report(sdk.Report{Running: 3}); err != nil {
		return err
	}
	for {
		select {
		case o := <-orders:
			if o.Move == nil {
				return errors.New("only moves are known here")
			}
			if err := report(sdk.Report{Done: &sdk.OrderDone{ID: o.ID, Error: o.Move.Device}}); err != nil {
				return err
			}
		case <-ctx.Done():
			s.ended <- ctx.Err()
			return ctx.Err()
		}
	}
}

func TestScheduledPluginReportsAndGetsOrdersUntilTheHostEnds(t *testing.T) {
	p := &scheduled{ended: make(chan error, 1)}
	c := inProcess(t, p)
	ctx, cancel := context.WithCancel(t.Context())
	s, err := c.Schedule(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := s.Recv(); err != nil || r.Running != 3 {
		t.Errorf("its own report: %+v, %v", r, err)
	}
	if r := give(t, s, sdk.Order{ID: 4, Move: &sdk.MoveOrder{Module: "m", Device: "far"}}); r.Done.Error != "far" {
		t.Errorf("move: %+v", r.Done)
	}
	if err := s.Send(sdk.Order{ID: 5}); sdk.ReasonOf(err) != sdk.ReasonInvalid {
		t.Errorf("an order that says nothing: %v", err)
	}
	cancel()
	<-p.ended
	if _, err := s.Recv(); !errors.Is(err, context.Canceled) {
		t.Errorf("at the end Recv gives %v", err)
	}
	// After the host has gone and come back, the stream can be opened again.
	again := schedule(t, c)
	for _, err = again.Recv(); err != nil && sdk.ReasonOf(err) == sdk.ReasonState; _, err = again.Recv() { // the first one is still ending
		again = schedule(t, c)
	}
	if err != nil {
		t.Errorf("opened again: %v", err)
	}
	if err := again.Send(sdk.Order{ID: 6, Query: &sdk.QueryOrder{}}); err != nil {
		t.Fatal(err)
	}
	_, err = again.Recv()
	wantReason(t, "the author's failure", err, sdk.ReasonInternal)
}

// sharer is told of cores, whatever its Schedule is about.
type sharer struct {
	scheduled
	told atomic.Int64
}

func (s *sharer) UseCores(n int) { s.told.Store(int64(n)) }

// The order comes before Load, past a Schedule that would choke on it; a plugin that does not choose says so and is not disturbed.
func TestCoresAreToldWhateverScheduleIsAbout(t *testing.T) {
	p := &sharer{scheduled: scheduled{ended: make(chan error, 1)}}
	if list := sdk.Capabilities(p); !slices.Contains(list, sdk.CapabilityCores) {
		t.Errorf("its capabilities are %v", list)
	}
	s := schedule(t, inProcess(t, p))
	if r, err := s.Recv(); err != nil || r.Running != 3 {
		t.Fatalf("its own report: %+v, %v", r, err)
	}
	if r := give(t, s, sdk.Order{ID: 1, Cores: &sdk.CoresOrder{Cores: 3}}); r.Done.Error != "" || p.told.Load() != 3 {
		t.Errorf("answered %+v, told %d", r.Done, p.told.Load())
	}
	for _, n := range []int{0, -1, 1 << 20} {
		if r := give(t, s, sdk.Order{ID: 2, Cores: &sdk.CoresOrder{Cores: n}}); r.Done.Error == "" || p.told.Load() != 3 {
			t.Errorf("%d cores: answered %+v, told %d", n, r.Done, p.told.Load())
		}
	}
	other := schedule(t, inProcess(t, &fake{}))
	if r := give(t, other, sdk.Order{ID: 1, Cores: &sdk.CoresOrder{Cores: 3}}); r.Done.Error == "" {
		t.Error("a plugin that does not choose its cores took the order as carried out")
	}
}

// soleSender is a stream that complains of two senders at a time, which gRPC does not allow.
type soleSender struct {
	scheduleStream
	ctx     context.Context
	orders  chan *pb.ScheduleRequest
	sending atomic.Int64
	sent    atomic.Int64
	twice   atomic.Bool
}

func (s *soleSender) Context() context.Context { return s.ctx }

func (s *soleSender) Recv() (*pb.ScheduleRequest, error) {
	select {
	case m := <-s.orders:
		return m, nil
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
}

func (s *soleSender) Send(*pb.ScheduleResponse) error {
	if s.sending.Add(1) > 1 {
		s.twice.Store(true)
	}
	for range 50 { // let the others come
		runtime.Gosched()
	}
	s.sent.Add(1)
	s.sending.Add(-1)
	return nil
}

// reporters reports from several goroutines at once, as the contract lets an author do.
type reporters struct {
	fake
	each int
}

func (r *reporters) Schedule(ctx context.Context, _ <-chan sdk.Order, report func(sdk.Report) error) error {
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range r.each {
				if report(sdk.Report{Running: 1}) != nil {
					return
				}
			}
		})
	}
	all.Wait()
	<-ctx.Done()
	return ctx.Err()
}

// Reports of the author and refusals of orders that nobody knows go out at the same time, one after the other.
func TestReportsAndRefusalsDoNotMeetOnTheStream(t *testing.T) {
	waiting.Bound(t)
	ctx, cancel := context.WithCancel(t.Context())
	stream := &soleSender{ctx: ctx, orders: make(chan *pb.ScheduleRequest)}
	ended := make(chan error, 1)
	const each, unknown = 100, 100
	go func() { ended <- (&schedulerServer{plugin: &reporters{each: each}}).Schedule(stream) }()
	for i := range uint64(unknown) {
		stream.orders <- &pb.ScheduleRequest{Id: i + 1} // an order of a kind that this sdk does not know
	}
	for stream.sent.Load() < 4*each+unknown {
		runtime.Gosched()
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if stream.twice.Load() {
		t.Error("two messages were sent at the same time")
	}
}

// advancing is a plugin without Schedule that tells of progress.
type advancing struct {
	fake
	progress atomic.Uint64
}

func (a *advancing) Progress() uint64 { return a.progress.Load() }

// Progress comes by itself, and with every answer to an order.
func TestProgressIsReportedWithoutASchedule(t *testing.T) {
	waiting.Bound(t)
	p := &advancing{}
	p.progress.Store(3)
	s := schedule(t, inProcess(t, p))
	if r := give(t, s, sdk.Order{ID: 1, Query: &sdk.QueryOrder{}}); r.Progress != 3 {
		t.Errorf("the answer to an order: %+v", r)
	}
	p.progress.Store(4)
	for {
		r, err := s.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if r.Done == nil && r.Progress == 4 {
			return
		}
	}
}

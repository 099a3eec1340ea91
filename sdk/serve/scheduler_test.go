package serve

import (
	"context"
	"errors"
	"testing"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
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

// orders.go sends orders on a process's Scheduler stream and matches the reports that answer them.
package schedule

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
)

const (
	// orderTime is how long an order without a deadline of its own may take: some layers of a slow model, or the rest of a step.
	orderTime = 30 * time.Second
	// orderGrace is how much later than at its deadline the answer to an order may come.
	orderGrace = time.Second
	// maxOrders wait to be sent at most.
	maxOrders = 64
)

// within is how long an order may take, and how much later than that its answer may come.
func within(ctx context.Context, o sdk.Order) (limit, grace time.Duration) {
	limit = orderTime
	if o.Budget != nil && o.Budget.Deadline > 0 {
		limit, grace = o.Budget.Deadline, orderGrace
	}
	if at, ok := ctx.Deadline(); ok && time.Until(at) < limit+grace {
		return time.Until(at), 0
	}
	return limit, grace
}

// Unanswered is the error of an order that the plugin did not answer by its deadline. Nothing can be taken back.
type Unanswered struct{ After time.Duration }

func (e *Unanswered) Error() string {
	return fmt.Sprintf("the plugin has not answered the order within %v; it may still carry it out", e.After.Round(time.Millisecond))
}

func (e *Unanswered) Unwrap() error { return context.DeadlineExceeded }

// orders is one process's stream with the orders that are not answered yet.
type orders struct {
	stream Stream
	outbox chan sdk.Order // what is still to be sent: a plugin that reads nothing holds up its sender alone
	ended  chan struct{}  // closed when no report can come any more

	mu      sync.Mutex
	last    uint64 // the newest order's ID
	pending map[uint64]chan sdk.Report
}

func newOrders(s Stream) *orders {
	return &orders{stream: s, outbox: make(chan sdk.Order, maxOrders), ended: make(chan struct{}), pending: map[uint64]chan sdk.Report{}}
}

// receive reads reports until the stream ends, and returns why it did. seen gets every report first, and returns what is to be
// believed of it.
func (o *orders) receive(seen func(sdk.Report) sdk.Report) error {
	defer close(o.ended)
	go o.write()
	for {
		r, err := o.stream.Recv()
		if err != nil {
			return err
		}
		r = seen(r)
		if r.Done != nil {
			o.answer(r)
		}
	}
}

// write sends orders until the stream ends.
func (o *orders) write() {
	for {
		select {
		case order := <-o.outbox:
			if err := o.stream.Send(order); err != nil && !errors.Is(err, client.ErrGone) { // of that receive tells
				o.answer(sdk.Report{Done: &sdk.OrderDone{ID: order.ID, Error: err.Error()}})
			}
		case <-o.ended:
			return
		}
	}
}

func (o *orders) answer(r sdk.Report) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if c, ok := o.pending[r.Done.ID]; ok {
		c <- r // has room for the one answer
		delete(o.pending, r.Done.ID)
	}
}

// bare says that a report is an answer to an order, and nothing else.
func bare(r sdk.Report) bool {
	if r.Done == nil || len(r.Devices)+len(r.Modules) > 0 {
		return false
	}
	r.Done, r.Devices, r.Modules = nil, nil, nil
	return reflect.DeepEqual(r, sdk.Report{})
}

// do sends an order, whose ID is set here, and waits until the plugin has carried it out or refused it, or ctx ends.
func (o *orders) do(ctx context.Context, order sdk.Order) (sdk.Report, error) {
	answer := make(chan sdk.Report, 1)
	o.mu.Lock()
	o.last++
	order.ID = o.last
	o.pending[order.ID] = answer
	o.mu.Unlock()
	defer func() {
		o.mu.Lock()
		delete(o.pending, order.ID)
		o.mu.Unlock()
	}()
	select {
	case o.outbox <- order:
	default:
		return sdk.Report{}, sdk.Errorf(sdk.ReasonOverloaded, "%d orders wait for the plugin to read them; no more are taken", maxOrders)
	}
	select {
	case r := <-answer:
		if r.Done.Error != "" {
			return r, errors.New(r.Done.Error)
		}
		return r, nil
	case <-o.ended:
		return sdk.Report{}, fmt.Errorf("the order was not answered: %w", client.ErrGone)
	case <-ctx.Done():
		return sdk.Report{}, context.Cause(ctx)
	}
}

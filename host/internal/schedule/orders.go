// orders.go sends orders on a process's Scheduler stream and matches the reports that answer them.
package schedule

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
)

// orders is one process's stream with the orders that are not answered yet.
type orders struct {
	stream Stream
	ended  chan struct{} // closed when no report can come any more

	mu      sync.Mutex
	last    uint64 // the newest order's ID
	pending map[uint64]chan sdk.Report
}

func newOrders(s Stream) *orders {
	return &orders{stream: s, ended: make(chan struct{}), pending: map[uint64]chan sdk.Report{}}
}

// receive reads reports until the stream ends, and returns why it did. seen gets every report first, and returns what is to be
// believed of it.
func (o *orders) receive(seen func(sdk.Report) sdk.Report) error {
	defer close(o.ended)
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

func (o *orders) answer(r sdk.Report) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if c, ok := o.pending[r.Done.ID]; ok {
		c <- r // has room for the one answer
		delete(o.pending, r.Done.ID)
	}
}

// do sends an order, whose ID is set here, and waits until the plugin has carried it out or refused it.
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
	if err := o.stream.Send(order); err != nil {
		return sdk.Report{}, fmt.Errorf("the order could not be sent: %w", err)
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

package service

// generate.go keeps a slow reader from slowing down others. A plugin decodes several answers in one loop, and gRPC's flow
// control makes Send wait once a host has left some 64 KiB unread; so an author's send only queues the event, and a
// goroutine of the stream's own sends it.

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/internal/pb"
	"github.com/inference-pio/inference-pio/sdk/internal/wire"
)

const (
	// eventQueue events wait for a slow reader before send waits too. Together with the transport's window it holds
	// some 5,000 tokens: minutes of an answer, in less than a MiB.
	eventQueue = 4096

	// sendPatience is how long a full queue may hold up the author's loop before the answer is given up.
	sendPatience = 5 * time.Second
)

func (s *Model) Generate(m *pb.GenerateRequest, stream grpc.ServerStreamingServer[pb.GenerateResponse]) error {
	req, err := wire.GenerateRequest(m)
	if err != nil {
		return err
	}
	ctx, leave, err := s.life.enter(stream.Context())
	if err != nil {
		return err
	}
	defer leave()
	q := newEventSender(ctx, stream.Send, eventQueue, sendPatience)
	defer q.close() // before leave: a drained plugin has sent everything
	if err := s.plugin.Generate(ctx, req, observed(ctx, req, q.send)); err != nil {
		return err
	}
	return q.close()
}

// eventSender is the queue between one answer's author and its stream. send and close are called from one goroutine at a
// time.
type eventSender struct {
	ctx      context.Context // of the call; ended, too, when the answer is given up
	giveUp   context.CancelCauseFunc
	patience time.Duration
	queue    chan *pb.GenerateResponse
	done     chan struct{} // closed when the sending goroutine has ended
	err      error         // why it ended early; read after done
	closed   bool
}

func newEventSender(ctx context.Context, send func(*pb.GenerateResponse) error, length int, patience time.Duration) *eventSender {
	ctx, giveUp := context.WithCancelCause(ctx)
	q := &eventSender{ctx: ctx, giveUp: giveUp, patience: patience,
		queue: make(chan *pb.GenerateResponse, length), done: make(chan struct{})}
	go func() {
		defer close(q.done)
		for m := range q.queue {
			if q.err = send(m); q.err != nil {
				return
			}
		}
	}()
	return q
}

// send queues e. It fails when the call has ended or the host has read nothing for too long.
func (q *eventSender) send(e sdk.Event) error {
	m, err := wire.EventToPB(e)
	if err != nil {
		return err
	}
	if q.ctx.Err() != nil {
		return context.Cause(q.ctx)
	}
	select {
	case <-q.done:
		return q.err
	default:
	}
	select {
	case q.queue <- m:
		return nil
	default:
		return q.wait(m)
	}
}

func (q *eventSender) wait(m *pb.GenerateResponse) error {
	timer := time.NewTimer(q.patience)
	defer timer.Stop()
	select {
	case q.queue <- m:
		return nil
	case <-q.ctx.Done():
		return context.Cause(q.ctx)
	case <-q.done:
		return q.err
	case <-timer.C:
		q.giveUp(sdk.Errorf(sdk.ReasonOverloaded, "the answer was given up: %d events were left unread for %v", cap(q.queue), q.patience))
		return context.Cause(q.ctx)
	}
}

// close waits until everything queued is sent. If the call has ended or was given up it does not wait: the goroutine ends
// when the handler has returned and its stream with it.
func (q *eventSender) close() error {
	if !q.closed {
		q.closed = true
		close(q.queue)
	}
	select {
	case <-q.done:
		return q.err
	case <-q.ctx.Done():
		return context.Cause(q.ctx)
	}
}

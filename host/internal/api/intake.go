// intake.go bounds what all requests take of the host together: how many there are, the bytes of their bodies and pictures, and
// how many answers of one model wait for their first token. Whatever finds no room waits, or is told to come again; nothing that
// fits alone is refused for good.
package api

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/inference-pio/inference-pio/host/internal/config"
)

// smallBody is the size up to which a body, or what is sent to a plugin, is not weighed: as many as there are requests take
// little, and a prompt of a few pages need not wait for a slow client's pictures.
const smallBody = 64 << 10

// tryAgain is what a client is told to wait. Requests end every few seconds where many are under way.
const tryAgain = 2 * time.Second

// intake is what is left of the bounds. The rooms are apart because a request takes of one while it holds of another,
// always in this order: so somebody can always go on.
type intake struct {
	room     int64               // of each of the four
	bodies   *semaphore.Weighted // as they are read and while their requests run
	pictures *semaphore.Weighted // as they are fetched and while their requests run
	answers  *semaphore.Weighted // logits, vectors, and what a tokenizer says, from the plugin to the client
	sending  *semaphore.Weighted // copies on their way to a plugin
	wait     time.Duration       // for room

	mu       sync.Mutex
	requests int
	waiting  map[string]int // by model: answers without a token
	most     int            // requests
	longest  int            // of waiting
}

func newIntake(o Options) *intake {
	return &intake{
		room: o.MaxBodies, bodies: semaphore.NewWeighted(o.MaxBodies), pictures: semaphore.NewWeighted(o.MaxBodies),
		answers: semaphore.NewWeighted(o.MaxBodies), sending: semaphore.NewWeighted(o.MaxBodies), wait: o.Wait, most: o.MaxRequests, longest: o.MaxQueue, waiting: map[string]int{},
	}
}

// held is what one request holds.
type held struct {
	in                        *intake
	bodies, pictures, answers int64
}

// enter admits a request, which leaves when it has been answered.
func (in *intake) enter() (*held, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.requests >= in.most {
		return nil, overloaded("%d requests are under way, the most this host takes (server.max_requests)", in.requests)
	}
	in.requests++
	return &held{in: in}, nil
}

func (h *held) leave() {
	h.in.bodies.Release(h.bodies)
	h.in.pictures.Release(h.pictures)
	h.in.answers.Release(h.answers)
	h.in.mu.Lock()
	defer h.in.mu.Unlock()
	h.in.requests--
}

// takeBody makes room for a body of n bytes: twice, since it is there as bytes and as what is read of it.
func (h *held) takeBody(ctx context.Context, n int64) (err error) {
	h.bodies, err = h.in.take(ctx, h.in.bodies, 2*n)
	return err
}

// keepBody gives back what is not held any more, now that n bytes are left of the body.
func (h *held) keepBody(n int64) { keep(h.in.bodies, &h.bodies, n) }

func (h *held) takePictures(ctx context.Context, n int64) (err error) {
	h.pictures, err = h.in.take(ctx, h.in.pictures, n)
	return err
}

// takeAnswer makes room for an answer whose size is known, and is large.
func (h *held) takeAnswer(ctx context.Context, n int64) (err error) {
	h.answers, err = h.in.take(ctx, h.in.answers, n)
	return err
}

func (h *held) keepPictures(n int64) { keep(h.in.pictures, &h.pictures, n) }

func keep(room *semaphore.Weighted, held *int64, n int64) {
	if n <= smallBody {
		n = 0
	}
	if n < *held {
		room.Release(*held - n)
		*held = n
	}
}

// take waits for n bytes of a room and returns how many were taken: none for what is small, and no more than the whole room,
// which what is larger has for itself.
func (in *intake) take(ctx context.Context, room *semaphore.Weighted, n int64) (int64, error) {
	if n <= 2*smallBody {
		return 0, nil
	}
	n = min(n, in.room)
	if room.TryAcquire(n) {
		return n, nil
	}
	limited, cancel := context.WithTimeout(ctx, in.wait)
	defer cancel()
	if err := room.Acquire(limited, n); err == nil {
		return n, nil
	}
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	return 0, overloaded("there was no room for %d bytes of this request within %s, beside what is under way (server.max_bodies is %s)",
		n, in.wait, config.FormatSize(in.room))
}

// takeSending waits for room as long as its request does: whoever has room there needs no other to go on.
func (in *intake) takeSending(ctx context.Context, n int64) (int64, error) {
	if n <= 2*smallBody {
		return 0, nil
	}
	n = min(n, in.room)
	if err := in.sending.Acquire(ctx, n); err != nil {
		return 0, context.Cause(ctx)
	}
	return n, nil
}

// queue notes that n answers of a model wait for their first token. Each is to be begun once.
func (in *intake) queue(model string, n int) (*line, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if waiting := in.waiting[model]; waiting >= in.longest {
		e := newError(http.StatusTooManyRequests, "", "queue_full",
			fmt.Sprintf("%d answers of the model %q wait for their first token, the most this host lets wait (server.max_queue)", waiting, model))
		e.RetryAfter = tryAgain
		return nil, e
	}
	in.waiting[model] += n
	return &line{in: in, model: model, left: n}, nil
}

// line is the place of one request's answers in a model's queue.
type line struct {
	in    *intake
	model string
	left  int
}

// begun says that n of the answers wait no more.
func (l *line) begun(n int) {
	l.in.mu.Lock()
	defer l.in.mu.Unlock()
	n = min(n, l.left)
	l.left -= n
	if l.in.waiting[l.model] -= n; l.in.waiting[l.model] == 0 {
		delete(l.in.waiting, l.model)
	}
}

func overloaded(format string, args ...any) *Error {
	e := newError(http.StatusServiceUnavailable, "", "overloaded", fmt.Sprintf(format, args...))
	e.RetryAfter = tryAgain
	return e
}

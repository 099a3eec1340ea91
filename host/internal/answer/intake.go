// intake.go bounds what all requests take of the host together: how many there are, the bytes of their bodies and pictures, and
// how many answers of one model wait for their first token. Whatever finds no room waits, or is told to come again; nothing that
// fits alone is refused for good.
package answer

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/inference-pio/inference-pio/host/internal/body"
	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/host/internal/problem"
)

// tryAgain is what a client is told to wait. Requests end every few seconds where many are under way.
const tryAgain = 2 * time.Second

// Intake is what is left of the bounds. The rooms are apart because a request takes of one while it holds of another,
// always in this order: so somebody can always go on.
type Intake struct {
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

// Bounds are what all requests may take together, as config.Server has them.
type Bounds struct {
	Bodies          int64 // bytes
	Requests, Queue int
	Wait            time.Duration // for room
}

// NewIntake bounds what is under way at once.
func NewIntake(b Bounds) *Intake {
	room := func() *semaphore.Weighted { return semaphore.NewWeighted(b.Bodies) }
	return &Intake{
		room: b.Bodies, bodies: room(), pictures: room(), answers: room(), sending: room(),
		wait: b.Wait, most: b.Requests, longest: b.Queue, waiting: map[string]int{},
	}
}

// Held is what one request holds.
type Held struct {
	in                        *Intake
	bodies, pictures, answers int64
}

// Enter admits a request, which leaves when it has been answered.
func (in *Intake) Enter() (*Held, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.requests >= in.most {
		return nil, overloaded("%d requests are under way, the most this host takes (server.max_requests)", in.requests)
	}
	in.requests++
	return &Held{in: in}, nil
}

// Leave gives all back.
func (h *Held) Leave() {
	h.in.bodies.Release(h.bodies)
	h.in.pictures.Release(h.pictures)
	h.in.answers.Release(h.answers)
	h.in.mu.Lock()
	defer h.in.mu.Unlock()
	h.in.requests--
}

// takeBody makes room for a body of n bytes: twice, since it is there as bytes and as what is read of it.
func (h *Held) takeBody(ctx context.Context, n int64) (err error) {
	h.bodies, err = h.in.take(ctx, h.in.bodies, 2*n)
	return err
}

// collectFrom is how large a body is that is collected as soon as it is not needed any more. What is given back is promised to the next one, and
// a collector that happens to look a moment too early would leave both in memory, and half of a third.
const collectFrom = 8 << 20

// KeepBody gives back what is not held any more, now that n bytes are left of the body, to which nothing points.
func (h *Held) KeepBody(n int64) {
	if h.bodies-n >= collectFrom {
		runtime.GC() // there are few such bodies at a time, and to look through what has no pointers takes a moment
	}
	keep(h.in.bodies, &h.bodies, n)
}

func (h *Held) takePictures(ctx context.Context, n int64) (err error) {
	h.pictures, err = h.in.take(ctx, h.in.pictures, n)
	return err
}

// TakeAnswer makes room for an answer whose size is known, and is large.
func (h *Held) TakeAnswer(ctx context.Context, n int64) (err error) {
	h.answers, err = h.in.take(ctx, h.in.answers, n)
	return err
}

func (h *Held) keepPictures(n int64) { keep(h.in.pictures, &h.pictures, n) }

func keep(room *semaphore.Weighted, held *int64, n int64) {
	if n <= body.Small {
		n = 0
	}
	if n < *held {
		room.Release(*held - n)
		*held = n
	}
}

// take waits for n bytes of a room and returns how many were taken: none for what is small, and no more than the whole room,
// which what is larger has for itself.
func (in *Intake) take(ctx context.Context, room *semaphore.Weighted, n int64) (int64, error) {
	if n <= 2*body.Small {
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

// TakeSending waits for room for n bytes on their way to a plugin as long as its request does: whoever has room there needs no other to go
// on. arrived gives it back, once.
func (in *Intake) TakeSending(ctx context.Context, n int64) (arrived func(), err error) {
	if n <= 2*body.Small {
		return func() {}, nil
	}
	n = min(n, in.room)
	if err := in.sending.Acquire(ctx, n); err != nil {
		return nil, context.Cause(ctx)
	}
	return sync.OnceFunc(func() { in.sending.Release(n) }), nil
}

// queue notes that n answers of a model wait for their first token. Each is to be begun once.
func (in *Intake) queue(model string, n int) (*line, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if waiting := in.waiting[model]; waiting >= in.longest {
		e := problem.New(http.StatusTooManyRequests, "", "queue_full",
			fmt.Sprintf("%d answers of the model %q wait for their first token, the most this host lets wait (server.max_queue)", waiting, model))
		e.RetryAfter = tryAgain
		return nil, e
	}
	in.waiting[model] += n
	return &line{in: in, model: model, left: n}, nil
}

// line is the place of one request's answers in a model's queue.
type line struct {
	in    *Intake
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

func overloaded(format string, args ...any) *problem.Error {
	e := problem.New(http.StatusServiceUnavailable, "", "overloaded", fmt.Sprintf(format, args...))
	e.RetryAfter = tryAgain
	return e
}

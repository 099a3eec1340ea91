// pauses.go tells whoever sends an answer on that it stands still because its process has ended: a client that waits for the rest
// of a stream has no other way to know. A context carries it, as that of net/http/httptrace does, since an answer's events are
// the plugin's.
package schedule

import (
	"context"
	"time"
)

type pauseKey struct{}

// OnPause has told called at each pause of an answer that is generated with the context, before the answer goes on.
func OnPause(ctx context.Context, told func()) context.Context {
	return context.WithValue(ctx, pauseKey{}, told)
}

type waitKey struct{}

// waitEvery is how often a request that waits for its model hears how that stands.
const waitEvery = time.Second

// OnWait has told called, about every second, as long as a request that is made with the context waits for its model to be ready: while
// it is loaded, or while another makes room for it. told is called from the request's goroutine.
func OnWait(ctx context.Context, told func(Status)) context.Context {
	return context.WithValue(ctx, waitKey{}, told)
}

// waits ticks for those that want to hear.
func waits(ctx context.Context) (tick <-chan time.Time, done func()) {
	if ctx.Value(waitKey{}) == nil {
		return nil, func() {}
	}
	t := time.NewTicker(waitEvery)
	return t.C, t.Stop
}

// Waiting tells it.
func Waiting(ctx context.Context, s Status) {
	if f, ok := ctx.Value(waitKey{}).(func(Status)); ok && (s.State != StateReady || s.giving) { // else it has just come
		f(s)
	}
}

// Paused tells it.
func Paused(ctx context.Context) {
	if told, ok := ctx.Value(pauseKey{}).(func()); ok {
		told()
	}
}

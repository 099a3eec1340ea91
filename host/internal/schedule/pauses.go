// pauses.go tells whoever sends an answer on that it stands still because its process has ended: a client that waits for the rest
// of a stream has no other way to know. A context carries it, as that of net/http/httptrace does, since an answer's events are
// the plugin's.
package schedule

import "context"

type pauseKey struct{}

// OnPause has told called at each pause of an answer that is generated with the context, before the answer goes on.
func OnPause(ctx context.Context, told func()) context.Context {
	return context.WithValue(ctx, pauseKey{}, told)
}

// Paused tells it.
func Paused(ctx context.Context) {
	if told, ok := ctx.Value(pauseKey{}).(func()); ok {
		told()
	}
}

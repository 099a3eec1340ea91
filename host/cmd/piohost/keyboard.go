// keyboard.go reads input so that waiting for it can be ended, and sees Ctrl-C also while nobody reads.
package main

import (
	"bytes"
	"context"
	"io"
)

// maxAhead bounds what may be typed while an answer is being written.
const maxAhead = 64 << 10

// source is a reader whose Read also ends with its context. What is read stays in order.
type source struct {
	ctx    context.Context
	chunks <-chan []byte
	failed error // why chunks was closed; not to be read before
	ready  []byte
}

// newSource starts to read in. The goroutine that does lasts until in ends, for there is no other way to end a read.
func newSource(ctx context.Context, in io.Reader) *source {
	chunks := make(chan []byte)
	s := &source{ctx: ctx, chunks: chunks}
	go func() {
		defer close(chunks)
		for {
			buf := make([]byte, 4096)
			n, err := in.Read(buf)
			if n > 0 {
				select {
				case chunks <- buf[:n]:
				case <-ctx.Done():
					return
				}
			}
			if err != nil {
				s.failed = err
				return
			}
		}
	}()
	return s
}

func (s *source) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, io.ErrShortBuffer
	}
	for len(s.ready) == 0 {
		select {
		case chunk, ok := <-s.chunks:
			if !ok {
				return 0, s.failed
			}
			s.ready = chunk
		case <-s.ctx.Done():
			return 0, s.ctx.Err()
		}
	}
	n := copy(p, s.ready)
	s.ready = s.ready[n:]
	return n, nil
}

// keyboard is the source of a line editor.
type keyboard struct{ *source }

// watch returns a context that ends when Ctrl-C is typed, and what stops watching. Other keys are kept for the next line.
func (k *keyboard) watch(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	stop, stopped := make(chan struct{}), make(chan struct{})
	var ahead []byte
	take := func(chunk []byte) {
		if i := bytes.LastIndexByte(chunk, byte(keyInterrupt)); i >= 0 {
			ahead, chunk = nil, chunk[i+1:]
			cancel()
		}
		ahead = append(ahead, chunk[:min(len(chunk), maxAhead-len(ahead))]...)
	}
	take(k.ready) // typed in one go with the question
	go func() {
		defer close(stopped)
		for {
			select {
			case chunk, ok := <-k.chunks:
				if !ok { // the terminal is gone
					cancel()
					return
				}
				take(chunk)
			case <-stop:
				return
			}
		}
	}()
	return ctx, func() {
		close(stop)
		<-stopped
		cancel()
		k.ready = ahead
	}
}

// output.go is stdout and stderr. A full disk or a closed pipe behind stdout must not look like success, whichever command writes;
// and a terminal is not steered by what plugins, checkpoints and other hosts say.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// output keeps the first error of a writer, and ends the command then: nobody will read what it still has to say. What has its own
// use for a terminal takes the file behind it.
type output struct {
	w        io.Writer
	terminal bool
	end      context.CancelCauseFunc // nil: an error does not matter

	mu     sync.Mutex
	failed error
}

func (o *output) Write(p []byte) (int, error) {
	text := p
	if o.terminal {
		text = []byte(printable(string(p)))
	}
	_, err := o.w.Write(text)
	if err != nil && o.end != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.failed == nil {
			o.failed = outputError(err)
			o.end(o.failed)
		}
	}
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// err says what went wrong, if something did.
func (o *output) err() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.failed
}

func outputError(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return fmt.Errorf("the output could not be written: %w", err)
}

// fileOf is the file behind a reader or writer, nil if there is none.
func fileOf(v any) *os.File {
	switch v := v.(type) {
	case *os.File:
		return v
	case *output:
		return fileOf(v.w)
	}
	return nil
}

// behind is the file behind a writer, or the writer.
func behind(w io.Writer) io.Writer {
	if f := fileOf(w); f != nil {
		return f
	}
	return w
}

// isTerminal asks the kernel; anything but a file is none.
func isTerminal(v any) bool {
	f := fileOf(v)
	if f == nil {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// obeys says that v is a terminal that takes escape sequences: one that calls itself dumb does not.
func obeys(v any) bool { return isTerminal(v) && os.Getenv("TERM") != "dumb" }

// coloured says that v is a terminal whose user has nothing against colours and lines that change (no-color.org).
func coloured(v any) bool { return obeys(v) && os.Getenv("NO_COLOR") == "" }

// patient.go writes to clients as long as they read. A client that has stopped would hold a sequence's memory, a body and a
// goroutine for ever: the kernel takes some kilobytes for it, and then a write waits.
package api

import (
	"net/http"
	"time"
)

const (
	// patience bounds the writing of a piece: who takes so little in that time has left without saying so.
	patience   = 30 * time.Second
	mostAtOnce = 64 << 10 // bytes
)

// patient gives every piece of an answer its own time. A deadline stays with the connection, so that one of the answer before is
// to be replaced before anything is written, headers too.
type patient struct {
	http.ResponseWriter
	control *http.ResponseController
	limit   time.Duration
}

func newPatient(w http.ResponseWriter, limit time.Duration) *patient {
	p := &patient{w, http.NewResponseController(w), limit}
	p.renew()
	return p
}

func (p *patient) renew() { _ = p.control.SetWriteDeadline(time.Now().Add(p.limit)) } // not every transport has deadlines

func (p *patient) WriteHeader(status int) {
	p.renew()
	p.ResponseWriter.WriteHeader(status)
}

func (p *patient) Write(b []byte) (n int, err error) {
	for {
		p.renew()
		part := b[n:min(len(b), n+mostAtOnce)]
		written, err := p.ResponseWriter.Write(part)
		if n += written; err != nil || n >= len(b) {
			return n, err
		}
	}
}

// Unwrap lets http.ResponseController reach the connection.
func (p *patient) Unwrap() http.ResponseWriter { return p.ResponseWriter }

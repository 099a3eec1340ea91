package process

// stdout.go lets one line of a plugin's stdout through: the handshake. Libraries that print there ("found 1 CUDA device")
// disturb nobody, before it or after it.

import (
	"io"
	"regexp"
	"strings"
	"sync"
)

// handshake is core|major|network|address|protocol|certificate|... as go-plugin writes it.
var handshake = regexp.MustCompile(`^\s*(\d{1,9})\|(\d{1,9})\|(unix|tcp)\|`)

const (
	plainFields      = 5  // of the handshake, before the certificate
	leastCertificate = 50 // bytes in base64; go-plugin takes what is shorter for something else
)

// coreVersion is of go-plugin's own handshake and has never moved.
const coreVersion = "1"

// guard is the filtered stdout that go-plugin reads.
type guard struct {
	*io.PipeReader
	out *io.PipeWriter

	// certificate lets the certificate through. go-plugin falls over one that it has no TLS configuration for.
	certificate bool

	mu    sync.Mutex
	core  string // as the plugin told them, "" before the handshake
	major string
	proof bool // a certificate was in it
}

func newGuard() *guard {
	r, w := io.Pipe()
	return &guard{PipeReader: r, out: w}
}

// read passes the handshake on and hands the lines before it to stray; what follows is thrown away, however long its
// lines. It returns at the end of r.
func (g *guard) read(r io.Reader, stray func(line string)) {
	defer g.out.Close()
	lines := newLines(r)
	for {
		line, err := lines.next()
		if err != nil {
			return
		}
		if m := handshake.FindStringSubmatch(line); m != nil {
			fields := strings.Split(line, "|")
			g.mu.Lock()
			g.core, g.major = m[1], m[2]
			g.proof = len(fields) > plainFields && len(fields[plainFields]) > leastCertificate
			g.mu.Unlock()
			if !g.certificate && len(fields) > plainFields {
				fields = fields[:plainFields]
			}
			io.WriteString(g.out, strings.Join(fields, "|")+"\n")
			break
		}
		stray(line)
	}
	io.Copy(io.Discard, lines.rest())
}

// seen says whether the handshake came, and what is wrong with the versions in it.
func (g *guard) seen() (shook bool, core, major string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.core != "", g.core, g.major
}

// certified says whether the handshake had a certificate.
func (g *guard) certified() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.proof
}

package conformance

// execute.go: the plugin's file as an executable. It is started by hand, and as a host does, with and without mutual TLS;
// go-plugin is left out, so that each step can be seen.

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
)

const (
	handshakeTime = 10 * time.Second // the host's, which a plugin that loads nothing needs a hundredth of
	endTime       = 10 * time.Second // from the end of the lifeline, when nothing is finished any more
	answersTime   = 35 * time.Second // from SIGTERM: what P6 leaves for answers, and some more to exit
	maxLogLine    = 64 << 10
)

// executed is a process of the plugin's file after its handshake.
type executed struct {
	*client.Client
	cmd         *exec.Cmd
	conn        *grpc.ClientConn
	certificate *x509.Certificate // of the handshake; nil without
	socket      string
	handshake   chan string // gets the first line
	lifeline    *os.File    // the write end
	log         *logLines
	ended       chan struct{} // closed when cmd.ProcessState is set
	sockets     string        // folder
}

// outside is the environment without what a host adds to it.
func outside() []string {
	return slices.DeleteFunc(os.Environ(), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return name == sdk.CookieKey || name == sdk.EnvLifeline || strings.HasPrefix(name, "PLUGIN_")
	})
}

// execute starts the file and reads its handshake. identity is nil for a connection in the clear.
func execute(c Config, identity *client.Identity) (*executed, error) {
	e, err := begin(c, identity)
	if err != nil {
		return nil, fmt.Errorf("the plugin did not start: %w", err)
	}
	select {
	case line := <-e.handshake:
		err = e.connect(line, identity)
	case <-time.After(min(handshakeTime, c.Timeout)):
		err = fmt.Errorf("P4: it has not shaken hands within %v; nothing may be loaded before", min(handshakeTime, c.Timeout))
	}
	if err != nil {
		e.kill()
		return nil, fmt.Errorf("%w%s", err, string(e.log.last()))
	}
	return e, nil
}

// begin starts the process.
func begin(c Config, identity *client.Identity) (e *executed, err error) {
	e = &executed{ended: make(chan struct{}), handshake: make(chan string, 1), log: &logLines{}}
	if e.sockets, err = os.MkdirTemp("", "pio"); err != nil {
		return nil, fmt.Errorf("no folder for the socket: %w", err)
	}
	theirs, ours, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	e.lifeline = ours
	defer theirs.Close()
	file, err := filepath.Abs(c.Binary)
	if err != nil {
		return nil, err
	}
	e.cmd = exec.Command(file)
	e.cmd.ExtraFiles = []*os.File{theirs}
	e.cmd.Env = append(outside(), sdk.CookieKey+"="+sdk.CookieValue, sdk.EnvLifeline+"=3", sdk.EnvFile+"="+file,
		"PLUGIN_PROTOCOL_VERSIONS="+fmt.Sprint(sdk.ProtocolMajor), plugin.EnvUnixSocketDir+"="+e.sockets)
	if identity != nil {
		e.cmd.Env = append(e.cmd.Env, identity.Env())
	}
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	e.cmd.Stderr = e.log
	e.cmd.WaitDelay = time.Second // a child of the plugin may hold its streams
	stdout, err := e.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := e.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		r := bufio.NewReader(stdout)
		first, _ := r.ReadString('\n')
		e.handshake <- first
		_, _ = io.Copy(io.Discard, r)
		_ = e.cmd.Wait()
		close(e.ended)
	}()
	return e, nil
}

// connect reads the handshake line.
func (e *executed) connect(line string, identity *client.Identity) error {
	fields := strings.Split(strings.TrimSuffix(line, "\n"), "|")
	if line == "" {
		return errors.New("P3: it closed its standard output without a handshake")
	}
	if len(fields) < 5 || strings.Join([]string{fields[0], fields[1], fields[2], fields[4]}, "|") != fmt.Sprintf("1|%d|unix|grpc", sdk.ProtocolMajor) {
		return fmt.Errorf("P3: the first line on standard output is %.200q; expected 1|%d|unix|PATH|grpc|CERTIFICATE", line, sdk.ProtocolMajor)
	}
	if e.socket = fields[3]; filepath.Dir(e.socket) != e.sockets {
		return fmt.Errorf("P3: the socket is %s; expected it in %s, the folder of PLUGIN_UNIX_SOCKET_DIR", e.socket, e.sockets)
	}
	if len(fields) > 5 && fields[5] != "" {
		der, err := base64.RawStdEncoding.DecodeString(fields[5])
		if err == nil {
			e.certificate, err = x509.ParseCertificate(der)
		}
		if err != nil {
			return fmt.Errorf("P8: the certificate of the handshake cannot be read: %w", err)
		}
	}
	switch {
	case identity != nil && e.certificate == nil:
		return errors.New("P8: PLUGIN_CLIENT_CERT is set, and the handshake has no certificate")
	case identity == nil && e.certificate != nil:
		return errors.New("P8: PLUGIN_CLIENT_CERT is not set, and the handshake has a certificate")
	}
	var err error
	e.conn, err = e.dial(identity)
	if err == nil {
		e.Client = client.New(e.conn)
	}
	return err
}

// dial makes a connection that shows identity, or one in the clear.
func (e *executed) dial(identity *client.Identity) (*grpc.ClientConn, error) {
	secure := insecure.NewCredentials()
	if identity != nil {
		secure = e.secure(identity.TLS())
	}
	return grpc.NewClient("unix://"+e.socket, grpc.WithTransportCredentials(secure), grpc.WithAuthority("localhost"))
}

// secure trusts the certificate of the handshake.
func (e *executed) secure(config *tls.Config) credentials.TransportCredentials {
	config.RootCAs = x509.NewCertPool()
	config.RootCAs.AddCert(e.certificate)
	return credentials.NewTLS(config)
}

// exit waits for the end of the process and returns its exit code, -1 for a signal.
func (e *executed) exit(limit time.Duration) (code int, ended bool) {
	select {
	case <-e.ended:
		return e.cmd.ProcessState.ExitCode(), true
	case <-time.After(limit):
		return 0, false
	}
}

// kill ends what is left and waits for it.
func (e *executed) kill() {
	_ = syscall.Kill(-e.cmd.Process.Pid, syscall.SIGKILL)
	<-e.ended
	if e.conn != nil {
		_ = e.conn.Close()
	}
	_ = e.lifeline.Close()
	_ = os.RemoveAll(e.sockets)
}

// logLines is the standard error of a process: it keeps the last lines, or the first ones of a Go trace, and remembers the
// longest.
type logLines struct {
	mu      sync.Mutex
	kept    []byte
	trace   bool // kept begins with one
	line    int  // bytes of the line that is not complete yet
	longest int
}

var traceBegins = regexp.MustCompile(`(?m)^(panic|fatal error): `)

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range p {
		if b == '\n' {
			l.line = 0
			continue
		}
		l.line++
		l.longest = max(l.longest, l.line)
	}
	l.kept = append(l.kept, p...)
	if at := traceBegins.FindIndex(l.kept); at != nil && !l.trace {
		l.trace, l.kept = true, l.kept[at[0]:]
	}
	const most = 4 << 10
	if n := len(l.kept); n > most && l.trace {
		l.kept = l.kept[:most]
	} else if n > most {
		l.kept = slices.Clone(l.kept[n-most:])
	}
	return len(p), nil
}

// lastWords are what a process wrote last. In a line they are left out like an error that was told before.
type lastWords string

// last are the last words, to stand behind an error.
func (l *logLines) last() lastWords {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := bytes.TrimSpace(l.kept)
	if len(text) == 0 {
		return ""
	}
	return lastWords("; its last words:\n    " + strings.ReplaceAll(strings.ToValidUTF8(string(text), "?"), "\n", "\n    "))
}

func (l *logLines) longestLine() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.longest
}

// byHand starts the file as a person would.
func byHand(ctx context.Context, c Config, args ...string) (stdout, stderr string, code int, err error) {
	cmd := exec.CommandContext(ctx, c.Binary, args...)
	cmd.Env, cmd.WaitDelay = outside(), time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil {
		err = nil
	}
	if err != nil {
		return "", "", 0, err
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode(), nil
}

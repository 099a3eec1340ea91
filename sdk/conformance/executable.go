package conformance

// executable.go: the case process, what the plugin's file does when it is started.

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"syscall"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
)

func caseProcess(t T, c Config) {
	if c.Binary == "" {
		t.Skipf("the plugin's file is not known; Config.Binary names it")
	}
	if !strings.Contains(c.Binary, "/") {
		c.Binary = "./" + c.Binary // not one of PATH
	}
	start(t, c).end() // what keeps it from starting at all is told as in the other cases
	identity, err := client.NewIdentity()
	if err != nil {
		t.Fatalf("no certificate to test with: %v", err)
	}
	encrypted, err := execute(c, identity)
	if err != nil {
		t.Fatalf("%v", err)
	}
	defer encrypted.kill()
	d := describes(t, c, encrypted, "with mutual TLS")
	admitsOnlyItsHost(t, c, encrypted)
	byHandItSaysWhatItIs(t, c, d)
	endsWithSIGTERM(t, c, encrypted)

	plain, err := execute(c, nil)
	if err != nil {
		t.Fatalf("%v", err)
	}
	defer plain.kill()
	describes(t, c, plain, "in the clear")
	endsWithTheHost(t, c, plain)

	for _, e := range []*executed{encrypted, plain} {
		if n := e.log.longestLine(); n > maxLogLine {
			t.Errorf("P7: a line of its log has %d bytes; at most %d are read", n, maxLogLine)
		}
	}
}

func describes(t T, c Config, e *executed, how string) sdk.Description {
	ctx, cancel := context.WithTimeout(context.Background(), c.Timeout)
	defer cancel()
	d, err := e.Describe(ctx)
	if err != nil {
		t.Fatalf("P8: %s, Describe failed: %v%s", how, err, e.log.last())
	}
	health, err := grpc_health_v1.NewHealthClient(e.conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: plugin.GRPCServiceName})
	if err != nil {
		t.Errorf("P9: the health of the service %q is not told: %v", plugin.GRPCServiceName, err)
	} else if health.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("P9: the health of the service %q is %s", plugin.GRPCServiceName, health.GetStatus())
	}
	return d
}

// admitsOnlyItsHost tries connections of others, whom the folder of the socket keeps out, too; but not on every machine.
func admitsOnlyItsHost(t T, c Config, e *executed) {
	ctx, cancel := context.WithTimeout(context.Background(), c.Timeout)
	defer cancel()
	other, err := client.NewIdentity()
	if err != nil {
		t.Fatalf("no certificate to test with: %v", err)
	}
	for who, identity := range map[string]*client.Identity{"in the clear": nil, "with another certificate than the host's": other} {
		conn, err := e.dial(identity)
		if err != nil {
			t.Errorf("P8: %v", err)
			continue
		}
		if _, err := client.New(conn).Describe(ctx); err == nil {
			t.Errorf("P8: PLUGIN_CLIENT_CERT is set, and a connection %s is served", who)
		}
		_ = conn.Close()
	}
}

func byHandItSaysWhatItIs(t T, c Config, served sdk.Description) {
	ctx, cancel := context.WithTimeout(context.Background(), c.Timeout)
	defer cancel()
	stdout, stderr, code, err := byHand(ctx, c, "describe")
	var printed sdk.Description
	switch {
	case err != nil:
		t.Errorf("P1: started with the argument describe: %v", err)
	case code != 0:
		t.Errorf("P1: started with the argument describe, it exits with %d: %.1000s", code, stderr)
	case json.Unmarshal([]byte(stdout), &printed) != nil:
		t.Errorf("P1: started with the argument describe, it does not print a JSON object with the fields of DescribeResponse: %.1000q", stdout)
	case printed.Name != served.Name || printed.Version != served.Version || !reflect.DeepEqual(printed.Majors, served.Majors):
		t.Errorf("P1: it describes itself as %s %s with majors %v; served it is %s %s with majors %v",
			printed.Name, printed.Version, printed.Majors, served.Name, served.Version, served.Majors)
	}
	_, stderr, code, err = byHand(ctx, c)
	switch {
	case err != nil:
		t.Errorf("P2: started by hand: %v", err)
	case code != 1 || strings.TrimSpace(stderr) == "":
		t.Errorf("P2: started by hand, it exits with %d and says %.1000q; expected 1 and a sentence", code, stderr)
	}
}

// endsWithSIGTERM has it end in the middle of an answer, after a SIGINT that was not meant for it.
func endsWithSIGTERM(t T, c Config, e *executed) {
	c.LastWords = nil // knows those alone that Start made
	p := &process{Client: e.Client, t: t, config: c, stop: func() {}}
	defer p.end()
	_ = e.cmd.Process.Signal(syscall.SIGINT) // it fails only for a process that has ended, which Load will tell
	switch _, err := p.Load(p.ctx(), p.loadRequest(), nil); {
	case errors.Is(err, client.ErrGone) && e.interrupted():
		t.Errorf("P6: SIGINT is to be ignored; it ended the process%s", e.log.last())
		return
	case errors.Is(err, client.ErrGone):
		t.Errorf("L2: the process ended in Load%s", e.log.last())
		return
	case err != nil:
		t.Errorf("L2: Load failed: %v", err)
		return
	}
	err := p.Generate(p.ctx(), text(8), func(event sdk.Event) error {
		if event.Start != nil {
			return e.cmd.Process.Signal(syscall.SIGTERM)
		}
		return nil
	})
	limit := min(answersTime, c.Timeout)
	switch code, ended := e.exit(limit); {
	case !ended:
		t.Errorf("P6: %v after SIGTERM the process still runs (its answer: %v)", limit, err)
	case code != 0:
		t.Errorf("P6: after SIGTERM the process ended with %s; expected the exit code 0%s", e.cmd.ProcessState, e.log.last())
	}
}

// interrupted says whether SIGINT ended the process, or it says so itself. The connection breaks before the exit is known.
func (e *executed) interrupted() bool {
	const asShellsSay = 130
	code, ended := e.exit(endTime)
	if !ended {
		return false
	}
	status, ok := e.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return code == asShellsSay || ok && status.Signaled() && status.Signal() == syscall.SIGINT
}

func endsWithTheHost(t T, c Config, e *executed) {
	_ = e.lifeline.Close() // as the kernel does when the host dies
	if _, ended := e.exit(min(endTime, c.Timeout)); !ended {
		t.Errorf("P5: %v after the end of the lifeline the process still runs", min(endTime, c.Timeout))
	}
}

package process

import (
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestLibrariesMayPrintOnStdoutBeforeTheHandshake(t *testing.T) {
	ownTemp(t)
	journal := newJournal()
	s := spec(t, "chatty stdout")
	s.Log = journal.logger()
	if got := ask(t, start(t, s), "anything"); got != "done" {
		t.Errorf("got %q", got)
	}
	log := journal.waitFor(t, "1|2|3")
	if !strings.Contains(log, `level=INFO msg="found 1 CUDA devices" plugin=obedient stream=stdout`) || !strings.Contains(log, "bytes more)") {
		t.Errorf("log:\n%s", log)
	}
}

// Lines of any length and number on the pipe of the handshake are thrown away; they neither block nor confuse.
func TestLibrariesMayPrintOnStdoutAfterTheHandshake(t *testing.T) {
	ownTemp(t)
	if got := ask(t, start(t, spec(t, "good")), "stdout: 1000000"); got != "done" {
		t.Errorf("got %q", got)
	}
}

// What go-plugin would make of a line is not asked: it gets none (see [child.Stderr]).
func TestGoPluginSeesNoLogLines(t *testing.T) {
	if got, err := io.ReadAll((&child{}).Stderr()); err != nil || len(got) > 0 {
		t.Errorf("%q, %v", got, err)
	}
}

func TestHostileLogLinesDoNoHarm(t *testing.T) {
	ownTemp(t)
	journal := newJournal()
	s := spec(t, "good")
	s.Log = journal.logger()
	p := start(t, s)
	for _, line := range []string{
		`{"msg":1,"level":"info"}`, `{"level":{},"msg":"m"}`, `{"time":[]}`, `{`, `{"msg":"` + strings.Repeat("long ", 20_000) + `"}`, "\x1b[2Jcleared\x00\xff",
	} {
		ask(t, p, "stderr: "+strconv.Quote(line))
	}
	log := journal.waitFor(t, "cleared")
	if strings.ContainsAny(log, "\x1b\x00") {
		t.Errorf("control characters reached the log:\n%q", log)
	}
	if err := p.Health(t.Context()); err != nil {
		t.Error(err)
	}
}

// Whatever way a plugin's author prints, the host's log has it.
func TestEverythingPrintedReachesTheLog(t *testing.T) {
	ownTemp(t)
	journal := newJournal()
	s := spec(t, "good")
	s.Log = journal.logger()
	ask(t, start(t, s), "print")
	log := journal.waitFor(t, "by slog")
	for _, line := range []string{`msg="by fmt"`, `msg="by os.Stderr"`, "by log", `level=WARN msg="by slog" plugin=obedient key=value`} {
		if !strings.Contains(log, line) {
			t.Errorf("%q is not in the log:\n%s", line, log)
		}
	}
}

func TestFloodOfLogLinesIsForwardedInPart(t *testing.T) {
	ownTemp(t)
	journal := newJournal()
	s := spec(t, "good")
	s.Log = journal.logger()
	p := start(t, s)
	ask(t, p, "flood: 100000")
	call(p, "exit: 1")
	exit := waitDone(t, p)
	log := journal.waitFor(t, "some lines were left out")
	// In the time the flood takes the bucket refills a little, or on a slow machine more; but the flood is 100 times the bucket.
	if forwarded := strings.Count(log, "msg=\"flood"); forwarded < logBurst/2 || forwarded > 90_000 {
		t.Errorf("%d lines were forwarded", forwarded)
	}
	if last := exit.LastLines; len(last) != tailLines || !slices.Contains(last, "flood 99999") {
		t.Errorf("last lines %q", last)
	}
}

func TestLinesReachTheLogWithLevelAndFields(t *testing.T) {
	journal := newJournal()
	s := newStderr(journal.logger())
	s.read(strings.NewReader(strings.Join([]string{
		`{"@level":"warn","@message":"slow disk","@module":"weights","@timestamp":"2026-01-02T03:04:05.000000Z","seconds":3}`,
		`{"level":"ERROR","msg":"as slog writes it","time":"2026-01-02T03:04:05Z"}`,
		`{"@level":"trace","@message":"deep"}`,
		`{"other":"json"}`,
		`[WARN] old style`,
		`plain`,
		``,
		"panic: now",
		"goroutine 1 [running]:",
		`{"@level":"info","@message":"recovered after all"}`,
		"plain again",
	}, "\n")))
	want := `level=WARN msg="slow disk" module=weights seconds=3
level=ERROR msg="as slog writes it"
level=DEBUG msg=deep
level=INFO msg="{\"other\":\"json\"}"
level=WARN msg="[WARN] old style"
level=INFO msg=plain
level=ERROR msg="panic: now"
level=ERROR msg="goroutine 1 [running]:"
level=INFO msg="recovered after all"
level=INFO msg="plain again"
`
	if got := journal.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestLimiterDropsAndCounts(t *testing.T) {
	now := time.Unix(1000, 0)
	l := limiter{now: func() time.Time { return now }, tokens: logBurst}
	passed := 0
	for range logBurst + 50 {
		if pass, _ := l.allow(); pass {
			passed++
		}
	}
	if passed != logBurst || l.dropped != 50 {
		t.Errorf("%d passed, %d dropped", passed, l.dropped)
	}
	now = now.Add(time.Second / 2)
	if pass, _ := l.allow(); pass {
		t.Error("half a second after a flood a line has passed, and what was left out would be told for each one")
	}
	now = now.Add(time.Second / 2)
	if pass, dropped := l.allow(); !pass || dropped != 51 {
		t.Errorf("after a second: %v, %d", pass, dropped)
	}
	passed = 1
	for range logRate {
		if pass, _ := l.allow(); pass {
			passed++
		}
	}
	if passed != logRate {
		t.Errorf("a second let %d lines through", passed)
	}
	now = now.Add(time.Hour)
	l.allow()
	if l.tokens != logBurst-1 {
		t.Errorf("the bucket holds %v", l.tokens)
	}
}

func TestTailKeepsTheLastLinesOrTheFirstOfATrace(t *testing.T) {
	var quiet, dying tail
	for i := range 50 {
		quiet.add(fmt.Sprint("line ", i), false)
		dying.add(fmt.Sprint("line ", i), i == 10 || i == 12)
	}
	if got := quiet.lines(); len(got) != tailLines || got[0] != "line 30" || got[19] != "line 49" {
		t.Errorf("quiet: %q", got)
	}
	if got := dying.lines(); len(got) != tailLines || got[0] != "line 10" || got[19] != "line 29" {
		t.Errorf("dying: %q", got)
	}
	dying.recover()
	dying.add("later", false)
	if got := dying.lines(); len(got) != tailLines || got[19] != "later" {
		t.Errorf("recovered: %q", got)
	}
	quiet.add(strings.Repeat("é", 5000), false)
	if got := quiet.lines()[19]; got != strings.Repeat("é", tailBytes/2)+" …" {
		t.Errorf("long line: %q", got)
	}
}

// slogSafe is what may stand in a log: no control character but the tab.
var slogSafe = regexp.MustCompile(`^[^\x00-\x08\x0a-\x1f\x7f]*$`)

// Whatever a plugin writes on stderr, reading ends, the tail is bounded and every line is printable.
func FuzzStderr(f *testing.F) {
	f.Add([]byte("{\"msg\":1,\"level\":[]}\npanic: x\n\n{\"@level\":\"info\",\"@message\":\"m\",\"a\":{\"b\":[1]}}"))
	f.Add([]byte("\xff\x00\x1b[31m\r\n" + strings.Repeat("a", 3*maxLine)))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := newStderr(slog.New(slog.NewJSONHandler(io.Discard, nil)))
		s.read(strings.NewReader(string(data)))
		last := s.tail.lines()
		if len(last) > tailLines {
			t.Errorf("%d lines", len(last))
		}
		for _, line := range last {
			if len(line) > tailBytes+20 || !slogSafe.MatchString(line) {
				t.Errorf("line %q", line)
			}
		}
	})
}

// Whatever a plugin writes on stdout, go-plugin sees one handshake line or nothing.
func FuzzStdout(f *testing.F) {
	f.Add([]byte("noise\n1|1|unix|/tmp/s|grpc|\nmore\n"))
	f.Add([]byte("1|1|unix|/tmp/s|grpc|\n1|1|unix|/tmp/s|grpc|\n"))
	f.Add([]byte("1|1|tcp|"))
	f.Add([]byte("1|1|unix|/tmp/s|grpc|" + strings.Repeat("TUlJ", 50) + "|true\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		g := newGuard()
		var strays []string
		go g.read(strings.NewReader(string(data)), func(line string) { strays = append(strays, line) })
		out, err := io.ReadAll(g)
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(strays, handshake.MatchString) {
			t.Errorf("a handshake went astray: %q", strays)
		}
		shook, _, _ := g.seen()
		if lines := strings.Count(string(out), "\n"); shook != (lines == 1) || lines > 1 || shook != handshake.Match(out) {
			t.Errorf("let through: %q", out)
		}
		if strings.Count(string(out), "|") >= plainFields {
			t.Errorf("a certificate that nobody asked for: %q", out)
		}
	})
}

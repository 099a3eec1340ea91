package process

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestPluginStartsAnswersAndStops(t *testing.T) {
	for name, mtls := range map[string]bool{"plain": false, "mtls": true} {
		t.Run(name, func(t *testing.T) {
			ownTemp(t)
			s := spec(t, "good")
			s.MTLS = mtls
			p := start(t, s)
			if d, err := p.Client().Describe(context.Background()); err != nil || d.Name != "obedient" {
				t.Fatalf("%+v, %v", d, err)
			}
			if err := p.Health(context.Background()); err != nil {
				t.Error(err)
			}
			if p.PID() == os.Getpid() || !alive(p.PID()) {
				t.Errorf("pid %d", p.PID())
			}
			if err := p.Stop(context.Background()); err != nil {
				t.Fatal(err)
			}
			if exit := waitDone(t, p); exit.Killed || exit.Signal != 0 || exit.Code != 0 {
				t.Errorf("a plugin that was asked to stop %s", exit)
			}
			if alive(p.PID()) {
				t.Error("it lives on")
			}
		})
	}
}

// Each kind of plugin that does not start is told apart, and nothing is left of it.
func TestPluginsThatDoNotStart(t *testing.T) {
	const brief = 300 * time.Millisecond
	for _, test := range []struct {
		mode    string
		mtls    bool
		timeout time.Duration
		want    string
		last    string // line of the log
	}{
		{mode: "exit", want: "exited with status 3 before the handshake; is it a plugin of Inference-PIO?", last: "cannot find libsomething.so"},
		{mode: "hang", timeout: brief, want: "no handshake on its stdout within 300ms"},
		{mode: "closed stdout", want: "it closed its stdout without a handshake; is it a plugin of Inference-PIO?"},
		{mode: "killed by somebody", want: "was ended by SIGKILL, which is also what the kernel does when memory runs out; it was still starting"},
		{mode: "major 9", want: "it speaks protocol 9, this host speaks protocol 1; build it with an sdk of protocol 1, or use a host that speaks 9"},
		{mode: "core 2", want: "its handshake has version 2, this host knows 1; build it with a current sdk"},
		{mode: "tcp", want: `it listens on tcp "127.0.0.1:1"; expected a unix socket in the folder of $PLUGIN_UNIX_SOCKET_DIR`},
		{mode: "elsewhere", want: `it listens on unix "`},
		{mode: "no certificate", mtls: true, want: "its handshake line has no certificate, though $PLUGIN_CLIENT_CERT asks for mutual TLS; the plugin must serve it, or "},
		{mode: "strange certificate", mtls: true, want: "error parsing server cert: "},
		{mode: "strange certificate", want: "the plugin is gone: connection error: "}, // it is not looked at
		{mode: "dead after the handshake", want: "exited with status 4 right after the handshake", last: "out of luck"},
	} {
		t.Run(test.mode, func(t *testing.T) {
			ownTemp(t)
			s := spec(t, test.mode)
			s.MTLS = test.mtls
			if test.timeout != 0 {
				s.StartTimeout = test.timeout
			}
			failure := startFails(t, s)
			if !strings.HasPrefix(failure.Text, test.want) {
				t.Errorf("got  %s\nwant %s", failure.Text, test.want)
			}
			if test.last != "" && !strings.Contains(strings.Join(failure.LastLines, "\n"), test.last) {
				t.Errorf("last lines %q lack %q", failure.LastLines, test.last)
			}
			if whole := failure.Error(); !strings.Contains(whole, "plugin obedient ("+s.Path+"): "+failure.Text) || !strings.Contains(whole, test.last) {
				t.Errorf("the sentence is %q", whole)
			}
		})
	}
}

// The timeout covers the first answer too. A slow machine may need a longer one to come to the handshake at all.
func TestPluginThatFreezesAfterTheHandshakeDoesNotStart(t *testing.T) {
	ownTemp(t)
	s := spec(t, "frozen after the handshake")
	for s.StartTimeout = 300 * time.Millisecond; ; s.StartTimeout *= 2 {
		failure := startFails(t, s)
		if failure.Text == "no handshake on its stdout within "+s.StartTimeout.String() && s.StartTimeout < patience {
			continue
		}
		if want := "no answer to a health check within " + s.StartTimeout.String(); failure.Text != want {
			t.Errorf("got  %s\nwant %s", failure.Text, want)
		}
		return
	}
}

func TestStartIsGivenUpWithItsContext(t *testing.T) {
	ownTemp(t)
	journal := newJournal()
	s := spec(t, "hang")
	s.Env = append(s.Env, "GODEBUG=inittrace=1") // the runtime's own lines tell that the process runs
	s.Log = journal.logger()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		journal.waitFor(t, "init runtime")
		cancel()
	}()
	if _, err := Start(ctx, s); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Start(cancelled, s); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
}

func TestChildGetsTheAllowedEnvironmentOnly(t *testing.T) {
	ownTemp(t)
	for name, value := range map[string]string{
		"AWS_SECRET_ACCESS_KEY": "s3cret", "OPENAI_API_KEY": "s3cret", "PIO_API_KEY": "s3cret", "LD_PRELOAD": "", "SSH_AUTH_SOCK": "s3cret",
		"LANG": "C.UTF-8", "LC_ALL": "C", "CUDA_VISIBLE_DEVICES": "1", "LD_LIBRARY_PATH": "/opt/lib", "PIO_CPU": "portable",
	} {
		t.Setenv(name, value)
	}
	s := spec(t, "good")
	s.Env = append(s.Env, "PIO_CPU=avx2", "MINE=yes")
	got := map[string]string{}
	for _, pair := range strings.Split(ask(t, start(t, s), "environment"), "\n") {
		name, value, _ := strings.Cut(pair, "=")
		if _, twice := got[name]; twice {
			t.Errorf("%s is there twice", name)
		}
		got[name] = value
		if strings.Contains(value, "s3cret") {
			t.Errorf("%s leaked", name)
		}
	}
	for name, want := range map[string]string{
		"LANG": "C.UTF-8", "LC_ALL": "C", "CUDA_VISIBLE_DEVICES": "1", "LD_LIBRARY_PATH": "/opt/lib", "PATH": os.Getenv("PATH"), "HOME": os.Getenv("HOME"),
		"PIO_CPU": "avx2", "MINE": "yes",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if _, there := got["LD_PRELOAD"]; there {
		t.Error("LD_PRELOAD was passed on")
	}
}

func TestWhichVariablesArePassedOn(t *testing.T) {
	for pair, want := range map[string]bool{
		"PATH=/bin": true, "HOME=": true, "LC_TIME=C": true, "CUDA_VISIBLE_DEVICES=1": true, "NVIDIA_DRIVER_CAPABILITIES=all": true, "PIO_CPU=portable": true,
		"path=/bin": false, "LC=C": false, "XPIO_CPU=x": false, "HTTP_PROXY=http://me:pw@proxy": false, "SSH_AUTH_SOCK=/s": false, "LD_PRELOAD=x": false,
		"PIO_API_KEY=x": false, "PIO_api_key=x": false, "PIO_Hf_Token=x": false, "CUDA_token=x": false, "NVIDIA_secret=x": false, "LC_passwd=x": false,
		"PIO_Password=x": false, "PIO_my_credentials=x": false, "no pair": false, "=x": false, "": false,
	} {
		if got := len(allowed([]string{pair})) == 1; got != want {
			t.Errorf("%q is passed on: %v", pair, got)
		}
	}
	env := []string{"A=1", "PATH=/bin"}
	if got := allowed(env); !slices.Equal(got, []string{"PATH=/bin"}) || env[0] != "A=1" {
		t.Errorf("got %q of %q", got, env)
	}
	if got := lastValues([]string{"A=1", "B=2", "A=3", "C=", "B=x=y"}); !slices.Equal(got, []string{"A=3", "C=", "B=x=y"}) {
		t.Errorf("last values: %q", got)
	}
}

// A dump would hold the prompts of people and fill the disk with a checkpoint. The limit is there before the plugin is, and
// the plugin cannot raise it.
func TestPluginsLeaveNoCoreDumps(t *testing.T) {
	ownTemp(t)
	limits := func(pid string) string {
		t.Helper()
		text, err := os.ReadFile("/proc/" + pid + "/limits")
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(string(text), "\n") {
			if rest, ok := strings.CutPrefix(line, "Max core file size"); ok {
				return strings.Join(strings.Fields(rest), " ")
			}
		}
		t.Fatalf("no limit in %s", text)
		return ""
	}
	if before := limits("self"); strings.HasSuffix(before, " 0 bytes") {
		t.Skipf("capability: this process itself may leave no core dumps (%s)", before)
	}
	if got := limits(strconv.Itoa(start(t, spec(t, "good")).PID())); got != "0 0 bytes" {
		t.Errorf("got %s", got)
	}
}

// The child has its three streams, the lifeline, and what it opened itself; no terminal, nothing of the host.
func TestChildInheritsNoDescriptors(t *testing.T) {
	ownTemp(t)
	secret, err := os.Open("/etc/hostname")
	if err != nil {
		secret, err = os.Open("/proc/version")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer secret.Close()
	first, second := start(t, spec(t, "good")), start(t, spec(t, "good"))
	for _, p := range []*Process{first, second} {
		list := ask(t, p, "descriptors")
		if !strings.Contains(list, "\n0 /dev/null") {
			t.Errorf("stdin is not empty:%s", list)
		}
		if strings.Contains(list, secret.Name()) || strings.Contains(list, "memfd") {
			t.Errorf("the child inherited more than it should:%s", list)
		}
	}
}

func TestSocketFolderIsPrivateShortAndRemoved(t *testing.T) {
	dir := ownTemp(t)
	p := start(t, spec(t, "good"))
	sockets, err := filepath.Glob(dir + "/pio-*/" + socketFolder + "*/*")
	if err != nil || len(sockets) != 1 {
		t.Fatalf("sockets %q, %v", sockets, err)
	}
	if info, err := os.Stat(filepath.Dir(sockets[0])); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := p.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	if left := socketDirs(t); left != 0 {
		t.Errorf("%d left behind", left)
	}
}

// A unix socket's path has 107 bytes at most; a long TMPDIR must not break the start.
func TestLongTemporaryFolder(t *testing.T) {
	dir := filepath.Join(ownTemp(t), strings.Repeat("long", 20))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
	start(t, spec(t, "good"))
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("the long folder was used: %v", left)
	}
}

// Entries of one host share nothing, and a Spec may be used again: that is what a restart does.
func TestManyProcessesOfOneSpec(t *testing.T) {
	ownTemp(t)
	s := spec(t, "good")
	a, b := start(t, s), start(t, s)
	a.Kill()
	waitDone(t, a)
	again := start(t, s)
	for _, p := range []*Process{b, again} {
		if got := ask(t, p, "anything"); got != "done" {
			t.Errorf("got %q", got)
		}
	}
	if env := spec(t, "good").Env; !slices.Equal(s.Env, env) {
		t.Errorf("the spec was written to: %q, was %q", s.Env, env)
	}
}

// gRPC's own limit is 4 MiB.
func TestLargeMessagesPass(t *testing.T) {
	ownTemp(t)
	for name, mtls := range map[string]bool{"plain": false, "mtls": true} {
		s := spec(t, "good")
		s.MTLS = mtls
		if _, err := askFor(start(t, s), strings.Repeat("long", 5<<18)); err != nil {
			t.Errorf("5 MiB, %s: %v", name, err)
		}
	}
}

func TestPluginStartedByHandSaysWhatItIs(t *testing.T) {
	s := spec(t, "good")
	cmd := exec.Command(s.Path)
	cmd.Env = append(os.Environ(), s.Env...)
	out, err := cmd.CombinedOutput()
	var status *exec.ExitError
	if !errors.As(err, &status) || status.ExitCode() != 1 || !strings.Contains(string(out), "this is obedient, a plugin") {
		t.Errorf("%v:\n%s", err, out)
	}
}

func TestUntidyTemporaryFolder(t *testing.T) {
	t.Setenv("TMPDIR", ownTemp(t)+"//./")
	start(t, spec(t, "good"))
}

func TestGroupIsThePluginsOwn(t *testing.T) {
	ownTemp(t)
	p := start(t, spec(t, "good"))
	if group, err := unix.Getpgid(p.PID()); err != nil || group != p.PID() {
		t.Errorf("process %d is in group %d, %v", p.PID(), group, err)
	}
}

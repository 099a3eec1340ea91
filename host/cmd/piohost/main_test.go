package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/inference-pio/inference-pio/host/internal/process"
	"github.com/inference-pio/inference-pio/internal/weightcache"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/serve"
)

// binaries is the folder of the real piohost and the echo plugin, built once for all scripts; echoSum is the plugin's hash.
var binaries, echoSum string

func TestMain(m *testing.M) {
	process.Keep()
	if os.Getenv(envUnlucky) != "" { // with or without a host
		serve.Main(unlucky{})
	}
	if os.Getenv(sdk.CookieKey) != "" { // a host of these tests has started it
		serve.Main(witness{})
	}
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	for _, name := range []string{"PIO_HOST", "NO_COLOR", "TERM"} { // a test that needs one sets it
		os.Unsetenv(name)
	}
	flag.Parse()
	if worker := flag.Lookup("test.fuzzworker"); worker != nil && worker.Value.String() == "true" {
		return m.Run() // whose time would be over before the programs are built, of which fuzzing has no use
	}
	dir, err := os.MkdirTemp("", "piohost-test")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binaries = dir
	for name, pkg := range map[string]string{"piohost": ".", "echo": "github.com/inference-pio/inference-pio/sdk/examples/echo"} {
		build := exec.Command("go", "build", "-o", filepath.Join(dir, name), pkg)
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	echo, err := os.ReadFile(filepath.Join(dir, "echo"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	echoSum = fmt.Sprintf("%x", sha256.Sum256(echo))
	return m.Run()
}

// Each script in testdata has the binaries on its PATH, $ECHO for the plugin and $ECHO_SHA256 for its hash, $MODEL for its checkpoint, $GGUF for a GGUF
// file, and $ADDRESS for a free one, with $PORT in it.
func TestScripts(t *testing.T) {
	model, err := filepath.Abs("../../../sdk/examples/echo/testdata/model")
	if err != nil {
		t.Fatal(err)
	}
	file, err := filepath.Abs("../../../internal/gguf/testdata/kinds.gguf")
	if err != nil {
		t.Fatal(err)
	}
	hub := newTestHub(t, model)
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("HUB", hub.URL)
			e.Setenv("HF_ENDPOINT", hub.URL)
			e.Setenv("HF_HOME", filepath.Join(e.WorkDir, "hf"))
			e.Setenv("XDG_CACHE_HOME", filepath.Join(e.WorkDir, "cache"))
			e.Setenv("NO_PROXY", "127.0.0.1")
			e.Setenv("PATH", binaries+string(os.PathListSeparator)+e.Getenv("PATH"))
			e.Setenv("ECHO", filepath.Join(binaries, "echo"))
			e.Setenv("ECHO_SHA256", echoSum)
			e.Setenv("MODEL", model)
			e.Setenv("GGUF", file)
			address, err := freeAddress()
			e.Setenv("ADDRESS", address)
			_, port, _ := net.SplitHostPort(address)
			e.Setenv("PORT", port)
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"fill":     fill,
			"install":  install,
			"appended": appended,
			"copy":     copyFolder,
			"keep":     keepWeights,
			"hangup":   hangup,
			"ready":    ready,
			"http":     request,
			"occupy":   occupy,
			"code":     code,
		},
	})
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// fill FILE replaces $NAME in a file by the script's variables.
func fill(ts *testscript.TestScript, _ bool, args []string) {
	file := ts.MkAbs(args[0])
	ts.Check(os.WriteFile(file, []byte(os.Expand(ts.ReadFile(file), ts.Getenv)), 0o600))
}

// install FROM TO copies an executable.
func install(ts *testscript.TestScript, _ bool, args []string) {
	data, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Check(os.MkdirAll(filepath.Dir(ts.MkAbs(args[1])), 0o755))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), data, 0o755))
}

// copy FROM TO copies a folder.
func copyFolder(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.MkdirAll(filepath.Dir(ts.MkAbs(args[1])), 0o755))
	ts.Check(os.CopyFS(ts.MkAbs(args[1]), os.DirFS(ts.MkAbs(args[0]))))
}

// keep FOLDER MODEL QUANTIZE BYTES keeps weights, as a plugin does; with a fifth word it is killed before it is done.
func keepWeights(ts *testscript.TestScript, _ bool, args []string) {
	bytes, err := strconv.ParseInt(args[3], 10, 64)
	ts.Check(err)
	w := weightcache.Wish{Key: sha256.Sum256([]byte(strings.Join(args, " "))), Modules: []int64{bytes},
		About: weightcache.About{Model: ts.MkAbs(args[1]), Quantize: args[2], Plugin: "echo 1.0.0"}}
	x, err := weightcache.Folder{Path: ts.MkAbs(args[0])}.Open(context.Background(), w, func(int64) {})
	ts.Check(err)
	if len(args) == 4 {
		ts.Check(x.Note(0, make([]byte, x.Size)))
		ts.Check(x.Seal())
	}
	ts.Check(x.Close())
}

// appended FILE replaces an executable by one with more bytes behind it, as a build would: another file in its place.
func appended(ts *testscript.TestScript, _ bool, args []string) {
	file := ts.MkAbs(args[0])
	data, err := os.ReadFile(file)
	ts.Check(err)
	ts.Check(os.WriteFile(file+".new", append(data, "built anew"...), 0o755))
	ts.Check(os.Rename(file+".new", file))
}

// hangup sends SIGHUP to what runs in the background; the scripts' own kill knows no such signal.
func hangup(ts *testscript.TestScript, _ bool, _ []string) {
	for _, cmd := range ts.BackgroundCmds() {
		ts.Check(cmd.Process.Signal(syscall.SIGHUP))
	}
}

// ready [PART] waits until what the host at $ADDRESS says of its readiness has that part; by default that all is well.
func ready(ts *testscript.TestScript, _ bool, args []string) {
	part := `"ready":true`
	if len(args) > 0 {
		part = args[0]
	}
	limit := time.Now().Add(30 * time.Second)
	for time.Now().Before(limit) {
		if resp, err := http.Get("http://" + ts.Getenv("ADDRESS") + "/readyz"); err == nil {
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if strings.Contains(string(body), part) {
				return
			}
		}
		time.Sleep(20 * time.Millisecond) // another process, which has no event to wait for
	}
	ts.Fatalf("the host's readiness does not have %s after 30 s", part)
}

// http STATUS PATH [BODY] asks the host at $ADDRESS, checks the status and prints the answer.
func request(ts *testscript.TestScript, _ bool, args []string) {
	url := "http://" + ts.Getenv("ADDRESS") + args[1]
	var resp *http.Response
	var err error
	if len(args) == 3 {
		resp, err = http.Post(url, "application/json", strings.NewReader(args[2]))
	} else {
		resp, err = http.Get(url)
	}
	ts.Check(err)
	defer resp.Body.Close()
	var body bytes.Buffer
	_, err = body.ReadFrom(resp.Body)
	ts.Check(err)
	fmt.Fprint(ts.Stdout(), body.String())
	if got := fmt.Sprint(resp.StatusCode); got != args[0] {
		ts.Fatalf("status %s, want %s: %s", got, args[0], body.String())
	}
}

// occupy listens on $ADDRESS until the script ends.
func occupy(ts *testscript.TestScript, _ bool, _ []string) {
	l, err := net.Listen("tcp", ts.Getenv("ADDRESS"))
	ts.Check(err)
	ts.Defer(func() { l.Close() })
}

// code N ARG... runs piohost and expects that exit code.
func code(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec("piohost", args[1:]...)
	got := 0
	if exit, ok := err.(*exec.ExitError); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if fmt.Sprint(got) != args[0] {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
}

func TestInterruptedIsExitCode130(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "models.toml")
	model, err := filepath.Abs("../../../sdk/examples/echo/testdata/model")
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("[server]\nlisten = \"127.0.0.1:1\"\n[plugins]\ndirs = [%q]\nallow_unlocked = true\n[[model]]\nid = \"echo\"\npath = %q\n", dir, model)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out, errs bytes.Buffer
	if got := command(ctx, []string{"run", "echo", "Hi", "--config", config}, stdio{strings.NewReader(""), &out, &errs}); got != exitInterrupted {
		t.Errorf("exit code %d: %s", got, errs.String())
	}
}

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// operate gives an order and fails the test if it is not carried out.
func (s *server) operate(path string) object {
	s.t.Helper()
	resp, err := http.Post(s.url+path, "", nil)
	if err != nil {
		s.t.Fatalf("%s: %v\n%s", path, err, s.log)
	}
	defer resp.Body.Close()
	return decode(s.t, resp)
}

// A restart by the operator changes no answer, and drops no stream: at whatever token it comes.
func TestARestartChangesNoAnswer(t *testing.T) {
	s := start(t, tinyModel())
	body := ask("What is the capital of Japan?", object{"temperature": 1, "top_p": 1, "top_k": 0, "seed": 7, "max_tokens": 900, "ignore_eos": true, "stream": true})
	want, err := s.complete("/v1/chat/completions", body, nil)
	if err != nil {
		t.Fatal(err)
	}
	var orders sync.WaitGroup
	got, err := s.complete("/v1/chat/completions", body, func(n int) {
		if n%200 == 20 {
			orders.Go(func() { s.operate("/admin/restart/tiny") })
		}
	})
	orders.Wait()
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n got %+v\nwant %+v\n%s", err, got, want, s.log)
	}
	if log := s.log.String(); !strings.Contains(log, "a request goes on in the next process") || strings.Contains(log, "the plugin died") {
		t.Errorf("the log tells otherwise:\n%s", log)
	}
}

// An upgrade: the binary is replaced and locked anew under a host that answers, and a restart takes it.
func TestARestartTakesTheBinaryThatIsLockedNow(t *testing.T) {
	dir := t.TempDir()
	plugins := filepath.Join(dir, "plugins")
	if err := os.Mkdir(plugins, 0o755); err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile(filepath.Join(bin, "plugins/qwen3_0_6b"))
	if err != nil {
		t.Fatal(err)
	}
	install := func(data []byte) {
		t.Helper()
		path := filepath.Join(plugins, "qwen3_0_6b")
		if err := os.WriteFile(path+".new", data, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	lock := func() {
		t.Helper()
		piohost(t, "plugin", "lock", plugins)
	}
	install(binary)
	lock()
	body := ask("What is the capital of Japan?", object{"temperature": 0, "stream": true})
	s := start(t, tinyModel(hold(3)), plugins)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.held(3)
		install(append(bytes.Clone(binary), "built anew"...))
		lock()
		s.operate("/admin/restart/tiny")
	}()
	got, err := s.complete("/v1/chat/completions", body, nil)
	<-ended
	if err != nil || len(got.IDs) < 8 {
		t.Errorf("%+v, %v\n%s", got, err, s.log)
	}
}

// SIGHUP: an entry comes while another one answers; the answer and its process are not touched.
func TestAReloadKeepsTheStreamsOfTheRest(t *testing.T) {
	body := ask("What is the capital of Japan?", object{"temperature": 0, "stream": true})
	s := start(t, tinyModel(hold(3)))
	before := s.plugins()
	began, ended := make(chan struct{}), make(chan struct{})
	var got answer
	var err error
	go func() {
		defer close(ended)
		got, err = s.complete("/v1/chat/completions", body, func(int) {
			select {
			case <-began:
			default:
				close(began)
			}
		})
	}()
	<-began
	file := filepath.Join(s.dir, "models.toml")
	text, err2 := os.ReadFile(file)
	if err2 != nil {
		t.Fatal(err2)
	}
	write := func(text []byte) {
		t.Helper()
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.held(3)
	write(fmt.Appendf(text, "[[model]]\nid = \"echo\"\npath = %q\n", filepath.Join(root, "sdk/examples/echo/testdata/model")))
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := s.log.wait(ctx, "models.toml was read again"); err != nil {
		t.Fatal(err)
	}
	s.await()
	if pids := s.plugins(); len(pids) != 2 || !slices.Contains(pids, before[0]) {
		t.Errorf("plugins %v, before %v", pids, before)
	}
	write(text)
	if done := s.operate("/admin/reload"); !reflect.DeepEqual(done["removed"], []any{"echo"}) {
		t.Errorf("the second reload: %v", done)
	}
	if pids := s.plugins(); !slices.Equal(pids, before) {
		t.Errorf("plugins %v, before %v", pids, before)
	}
	s.kill() // what the gate holds goes on in the next process
	<-ended
	if err != nil || got.Finish == "" {
		t.Errorf("%+v, %v\n%s", got, err, s.log)
	}
}

// A model that is stopped holds no process; the others go on.
func TestAStoppedModelHasNoProcess(t *testing.T) {
	s := start(t, tinyModel())
	s.operate("/admin/stop/tiny")
	if pids := s.plugins(); len(pids) != 0 {
		t.Errorf("plugins %v are left", pids)
	}
	if status, out := s.post("/v1/chat/completions", ask("Hi", nil)); status != http.StatusServiceUnavailable {
		t.Errorf("status %d: %v", status, out)
	}
	s.operate("/admin/start/tiny")
	if _, err := s.complete("/v1/chat/completions", ask("Hi", object{"max_tokens": 2}), nil); err != nil {
		t.Error(err)
	}
}

// Five kills while loading, as the kernel does when memory runs out, are quarantine, which is not the end: requests are told when
// the next attempt comes, and an order brings it at once.
func TestAModelThatIsKilledWhileItLoadsComesBack(t *testing.T) {
	const load = "inspection, err := p.Inspect(ctx, req.InspectRequest)"
	plugins, table := buildStranger(t, "hungry", load,
		"if _, err := os.Stat(os.Getenv(\"FULL\")); err == nil {\nself, _ := os.FindProcess(os.Getpid())\nself.Kill()\nselect {}\n}\n"+load)
	full := filepath.Join(t.TempDir(), "full")
	write(t, full, "")
	s := launch(t, table+fmt.Sprintf("env = { FULL = %q }\n", full), plugins)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := s.log.wait(ctx, "the model is in quarantine"); err != nil {
		t.Fatal(err)
	}
	if log := s.log.String(); strings.Count(log, "was ended by SIGKILL, which is also what the kernel does when memory runs out") < 5 {
		t.Errorf("the log does not tell of the kills:\n%s", log)
	}
	question := object{"model": "hungry", "prompt": "good morning"}
	resp := s.open("/v1/completions", question)
	resp.Body.Close()
	if after, _ := strconv.Atoi(resp.Header.Get("Retry-After")); resp.StatusCode != http.StatusServiceUnavailable || after < 1 || after > 15 {
		t.Errorf("in quarantine: status %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	s.operate("/admin/start/hungry")
	if got, err := s.complete("/v1/completions", question, nil); err != nil || got.Text != "good morning" {
		t.Errorf("%+v, %v", got, err)
	}
}

// piohost runs a command of it.
func piohost(t *testing.T, args ...string) {
	t.Helper()
	if text, err := exec.Command(filepath.Join(bin, "piohost"), args...).CombinedOutput(); err != nil {
		t.Fatalf("piohost %q: %v\n%s", args, err, text)
	}
}

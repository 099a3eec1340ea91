package e2e

// harness_test.go builds the programs once and starts hosts. A host is the real binary with a models.toml of the test's
// making, on a free port; its plugins are found as its child processes.

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var (
	root     string   // of the repository
	bin      string   // what was built: piohost, plugins/*, pio.lock
	families []string // the plugins that ship, by the names of their folders
)

func TestMain(m *testing.M) {
	code, err := func() (int, error) {
		var err error
		if root, err = filepath.Abs("../.."); err != nil {
			return 1, err
		}
		dirs, err := filepath.Glob(filepath.Join(root, "plugins/*/main.go"))
		if err != nil {
			return 1, err
		}
		for _, main := range dirs {
			families = append(families, filepath.Base(filepath.Dir(main)))
		}
		if given := os.Getenv("PIO_BIN"); given != "" { // what `make build` has built, without the gate of cuda/serve
			bin = given
			return m.Run(), nil
		}
		if bin, err = os.MkdirTemp("", "pio-e2e"); err != nil {
			return 1, err
		}
		defer os.RemoveAll(bin)
		programs := map[string]string{"piohost": "./host/cmd/piohost", "plugins/echo": "./sdk/examples/echo"}
		for _, family := range families {
			programs["plugins/"+family] = "./plugins/" + family
		}
		for out, pkg := range programs {
			cmd := exec.Command("go", "build", "-tags", buildTags, "-o", filepath.Join(bin, out), pkg) // with the gate of cuda/serve
			cmd.Dir = root
			if text, err := cmd.CombinedOutput(); err != nil {
				return 1, fmt.Errorf("go build %s: %w\n%s", pkg, err, text)
			}
		}
		if text, err := exec.Command(filepath.Join(bin, "piohost"), "plugin", "lock", filepath.Join(bin, "plugins")).CombinedOutput(); err != nil {
			return 1, fmt.Errorf("piohost plugin lock: %w\n%s", err, text)
		}
		return m.Run(), nil
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// server is a running piohost.
type server struct {
	t   testing.TB
	url string
	cmd *exec.Cmd
	dir string
	log *tail

	exited chan struct{}
}

// tail keeps what a process wrote and lets a test wait for a piece of it.
type tail struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func (l *tail) line(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	const most = 2000 // of a stack trace, enough to know it by
	l.text.WriteString(s[:min(len(s), most)] + "\n")
	close(l.more)
	l.more = make(chan struct{})
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// wait returns the line that holds piece.
func (l *tail) wait(ctx context.Context, piece string) (string, error) {
	for {
		l.mu.Lock()
		text, more := l.text.String(), l.more
		l.mu.Unlock()
		for _, line := range strings.Split(text, "\n") {
			if strings.Contains(line, piece) {
				return line, nil
			}
		}
		select {
		case <-more:
		case <-ctx.Done():
			return "", fmt.Errorf("no line with %q in:\n%s", piece, text)
		}
	}
}

// start runs piohost with the given [[model]] and [[device]] tables and further folders of plugins, and waits until every
// model is ready.
func start(t testing.TB, tables string, pluginDirs ...string) *server {
	t.Helper()
	return launch(t, tables, pluginDirs...).await()
}

// await waits until every model is ready.
func (s *server) await() *server {
	t := s.t
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		resp, err := http.Get(s.url + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return s
			}
		}
		select {
		case <-ctx.Done():
			t.Fatalf("not ready after a minute:\n%s", s.log)
		case <-s.exited:
			t.Fatalf("piohost ended:\n%s", s.log)
		case <-s.gaveUp():
			t.Fatalf("the model does not start:\n%s", s.log)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// launch runs piohost and waits until it listens.
func launch(t testing.TB, tables string, pluginDirs ...string) *server {
	t.Helper()
	dir := t.TempDir()
	dirs, err := json.Marshal(append(pluginDirs, filepath.Join(bin, "plugins")))
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("[server]\nlisten = \"127.0.0.1:0\"\nadmin = true\n[plugins]\ndirs = %s\n%s\n", dirs, tables)
	if !strings.Contains(tables, "[weights]") { // the user's own cache is nothing for tests
		config += "[weights]\ncache = \"kept\"\n"
	}
	file := filepath.Join(dir, "models.toml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return launchFile(t, dir, file)
}

// launchFile is launch with a models.toml that is there already.
func launchFile(t testing.TB, dir, file string) *server {
	t.Helper()
	s := &server{t: t, dir: dir, log: &tail{more: make(chan struct{})}, exited: make(chan struct{})}
	s.cmd = exec.Command(filepath.Join(bin, "piohost"), "--config", file)
	pipe, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		lines := bufio.NewScanner(pipe)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			s.log.line(lines.Text())
		}
		io.Copy(io.Discard, pipe)
		s.cmd.Wait()
		close(s.exited)
	}()
	t.Cleanup(s.stop)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	const mark = "http://"
	line, err := s.log.wait(ctx, mark)
	if err != nil {
		t.Fatal(err)
	}
	s.url = mark + strings.TrimRight(strings.Fields(line[strings.Index(line, mark)+len(mark):])[0], "\"/")
	return s
}

func (s *server) stop() {
	s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(20 * time.Second):
		s.cmd.Process.Kill()
		<-s.exited
		s.t.Errorf("piohost did not stop on SIGTERM:\n%s", s.log)
	}
}

// plugins are the pids of the children of the host's children: between the host and each plugin is a keeper.
func (s *server) plugins() []int {
	return children(children([]int{s.cmd.Process.Pid}))
}

// children are the living processes that have one of these for their parent.
func children(parents []int) []int {
	var pids []int
	entries, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, e := range entries {
		text, err := os.ReadFile(e)
		if err != nil {
			continue // it has ended meanwhile
		}
		f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(f) < 2 || f[0] == "Z" {
			continue
		}
		parent, _ := strconv.Atoi(f[1])
		if slices.Contains(parents, parent) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(e)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// kill sends SIGKILL to the only plugin.
func (s *server) kill() {
	s.t.Helper()
	pids := s.plugins()
	if len(pids) != 1 {
		s.t.Fatalf("expected one plugin, found %v\n%s", pids, s.log)
	}
	if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
		s.t.Fatal(err)
	}
}

type object = map[string]any

// post sends JSON and decodes the answer.
func (s *server) post(path string, body object) (int, object) {
	s.t.Helper()
	resp := s.open(path, body)
	defer resp.Body.Close()
	var out object
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		s.t.Fatalf("%s: %v\n%s", path, err, s.log)
	}
	return resp.StatusCode, out
}

func (s *server) open(path string, body object) *http.Response {
	s.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := http.Post(s.url+path, "application/json", bytes.NewReader(text))
	if err != nil {
		s.t.Fatalf("%v\n%s", err, s.log)
	}
	return resp
}

// answer is what a completion said, streamed or not.
type answer struct {
	Text, Reasoning, Finish string
	IDs                     []int
	Calls                   []call
}

// call is a tool call, whole or a piece of one.
type call struct {
	Index    int    `json:"index"`
	ID       string `json:"id"`
	Type     string `json:"type"`
	Function struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	} `json:"function"`
}

// complete asks and returns the whole answer; each is called for every event of a stream.
func (s *server) complete(path string, body object, each func(n int)) (answer, error) {
	s.t.Helper()
	resp := s.open(path, body)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		return answer{}, fmt.Errorf("status %d: %s", resp.StatusCode, text)
	}
	var a answer
	if body["stream"] != true {
		var out chunk
		if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
			return a, err
		}
		return a, a.add(out)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	n := 0
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok || data == "" {
			continue
		}
		if data == "[DONE]" {
			return a, nil
		}
		var c chunk
		if err := json.Unmarshal([]byte(data), &c); err != nil {
			return a, fmt.Errorf("%q: %w", data, err)
		}
		if err := a.add(c); err != nil {
			return a, err
		}
		if n++; each != nil {
			each(n)
		}
	}
	return a, fmt.Errorf("the stream ended without [DONE]: %v", lines.Err())
}

// chunk is a chat or text completion, or a piece of one.
type chunk struct {
	Error   *struct{ Message string }
	Choices []struct {
		Text           string
		Message, Delta struct {
			Content   *string
			Reasoning *string `json:"reasoning_content"`
			Calls     []call  `json:"tool_calls"`
		}
		Finish   *string `json:"finish_reason"`
		TokenIDs []int   `json:"token_ids"`
	}
}

func (a *answer) add(c chunk) error {
	if c.Error != nil {
		return fmt.Errorf("error in the stream: %s", c.Error.Message)
	}
	for _, choice := range c.Choices {
		a.Text += choice.Text
		for _, part := range []*string{choice.Message.Content, choice.Delta.Content} {
			if part != nil {
				a.Text += *part
			}
		}
		for _, part := range []*string{choice.Message.Reasoning, choice.Delta.Reasoning} {
			if part != nil {
				a.Reasoning += *part
			}
		}
		a.Calls = append(a.Calls, choice.Message.Calls...)
		for _, c := range choice.Delta.Calls {
			a.piece(c)
		}
		a.IDs = append(a.IDs, choice.TokenIDs...)
		if choice.Finish != nil {
			a.Finish = *choice.Finish
		}
	}
	return nil
}

// piece joins a streamed piece of a call to what came before.
func (a *answer) piece(c call) {
	if c.Index >= len(a.Calls) {
		a.Calls = append(a.Calls, c)
		return
	}
	a.Calls[c.Index].Function.Arguments += c.Function.Arguments
}

// ask is a chat request for the tiny model.
func ask(question string, extra object) object {
	body := object{"model": "tiny", "messages": []object{{"role": "user", "content": question}}, "return_token_ids": true}
	for k, v := range extra {
		body[k] = v
	}
	return body
}

// tinyModel is a [[model]] table of the tiny Qwen3-0.6B; more keys may follow.
func tinyModel(keys ...string) string { return tinyOf("qwen3_0_6b", "tiny", keys...) }

// tinyOf is a [[model]] table of a family's tiny checkpoint.
func tinyOf(family, id string, keys ...string) string {
	return fmt.Sprintf("[[model]]\nid = %q\npath = %q\nplugin = %q\n%s\n", id, tinyDir(family), family, strings.Join(keys, "\n"))
}

func tinyDir(family string) string { return filepath.Join(root, "plugins", family, "testdata/tiny") }

// gaveUp is a closed channel if a model failed to start.
func (s *server) gaveUp() <-chan struct{} {
	c := make(chan struct{})
	if strings.Contains(s.log.String(), "did not start") {
		close(c)
	}
	return c
}

func decode(t testing.TB, resp *http.Response) object {
	t.Helper()
	var out object
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d: %v", resp.StatusCode, out)
	}
	return out
}

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"
)

// freeze stops the only plugin: it is there, holds its sockets, and does nothing.
func (s *server) freeze() {
	s.t.Helper()
	pids := s.plugins()
	if len(pids) != 1 {
		s.t.Fatalf("expected one plugin, found %v\n%s", pids, s.log)
	}
	if err := syscall.Kill(pids[0], syscall.SIGSTOP); err != nil {
		s.t.Fatal(err)
	}
}

// readiness is what /readyz says of the only model.
func (s *server) readiness() (ready bool, reason string) {
	s.t.Helper()
	resp, err := http.Get(s.url + "/readyz")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	var said struct {
		Ready  bool
		Models map[string]struct{ Reason string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&said); err != nil {
		s.t.Fatal(err)
	}
	for _, m := range said.Models {
		reason = m.Reason
	}
	return said.Ready, reason
}

// The kernel tells nobody of a process that was stopped. The host notices by itself: the model is not ready, the process is killed,
// and the answer goes on as if nothing had been.
func TestAFrozenPluginIsKilledAndItsStreamsGoOn(t *testing.T) {
	body := ask("What is the capital of Japan?", object{"temperature": 1, "top_p": 1, "top_k": 0, "seed": 7, "max_tokens": 24, "ignore_eos": true, "stream": true})
	want, err := start(t, tinyModel()).complete("/v1/chat/completions", body, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, "health = \"2s\"\n"+tinyModel(hold(9)))
	missed := make(chan string, 1)
	go func() {
		s.held(9)
		s.freeze()
		deadline := time.Now().Add(time.Minute)
		for time.Now().Before(deadline) {
			if ready, reason := s.readiness(); !ready {
				missed <- reason
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		missed <- "it was ready for a minute"
	}()
	got, err := s.complete("/v1/chat/completions", body, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, s.log)
	}
	if reason := <-missed; !strings.Contains(reason, "health check") { // before the kill, or after it
		t.Errorf("/readyz said %q", reason)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
	if log := s.log.String(); !strings.Contains(log, "the plugin does not answer a health check") || !strings.Contains(log, "left a health check unanswered for 2s and was killed by the host") {
		t.Errorf("the log does not tell:\n%s", log)
	}
}

// A plugin whose health answers while its work stands still: the gate holds the answer, so that no layer is entered any more.
func TestAPluginWhoseWorkStandsStillIsKilled(t *testing.T) {
	body := ask("What is the capital of Japan?", object{"temperature": 1, "top_p": 1, "top_k": 0, "seed": 7, "max_tokens": 24, "ignore_eos": true, "stream": true})
	want, err := start(t, tinyModel()).complete("/v1/chat/completions", body, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, tinyModel(hold(9), `stall = "3s"`))
	got, err := s.complete("/v1/chat/completions", body, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, s.log)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
	if log := s.log.String(); !strings.Contains(log, "made no progress for") {
		t.Errorf("the log does not tell:\n%s", log)
	}
}

// The same of a stranger's plugin, which tells of progress by itself, and answers no order.
func TestAStrangersPluginThatHangsIsKilled(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "hung")
	const schedule = `
func (*plugin) Schedule(ctx context.Context, orders <-chan sdk.Order, report func(sdk.Report) error) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-orders:
		case <-time.After(100 * time.Millisecond):
			if err := report(sdk.Report{Progress: 7}); err != nil {
				return err
			}
		}
	}
}
`
	plugins, table := buildStranger(t, "sleeper",
		"offset += len(token.Text)", fmt.Sprintf("offset += len(token.Text)\n\t\tif _, err := os.Stat(%q); err != nil && token.Text == \"\\u2620\" {\n\t\t\tos.WriteFile(%q, nil, 0o600)\n\t\t\tselect {}\n\t\t}", mark, mark),
		"type plugin struct{ context int }", "type plugin struct{ context int }\n"+schedule,
		"\t\"path/filepath\"\n", "\t\"path/filepath\"\n\t\"time\"\n")
	s := start(t, table+"stall = \"2s\"\n", plugins)
	code, out := s.post("/admin/move/sleeper", object{"module": "layers.0", "device": "cpu", "deadline_ms": 200})
	if said := fmt.Sprint(out["error"]); code != http.StatusGatewayTimeout || !strings.Contains(said, "has not answered the order within 200ms") {
		t.Errorf("an order: %d %s", code, said)
	}
	got, err := s.complete("/v1/completions", object{"model": "sleeper", "prompt": "good \u2620 morning"}, nil)
	if err != nil || got.Text != "good \u2620 morning" {
		t.Errorf("%q, %v\n%s", got.Text, err, s.log)
	}
	if log := s.log.String(); !strings.Contains(log, "made no progress for 2") {
		t.Errorf("the log does not tell:\n%s", log)
	}
}

// A plugin that goes on and on, by length or by number, costs the request that asked it and neither the host nor those beside.
func TestAPluginThatSendsTooMuchEndsItsAnswerAlone(t *testing.T) {
	plugins, table := buildStranger(t, "flood",
		"token.Text = string(rune(token.ID))", "token.Text = strings.Repeat(string(rune(token.ID)), size(prompt))",
		"if req.MaxTokens > 0 {", "if req.MaxTokens > 0 && size(prompt) == 1 && prompt[0] != 'm' {",
		"func main() {", "// size is how often a token is said.\nfunc size(prompt []int32) int {\n\tswitch prompt[0] {\n\tcase 'l':\n\t\treturn 9 << 20\n\tcase 'b':\n\t\treturn 1 << 20\n\t}\n\treturn 1\n}\n\nfunc main() {",
		"\t\"path/filepath\"\n", "\t\"path/filepath\"\n\t\"strings\"\n")
	s := start(t, table, plugins)
	for prompt, want := range map[string]string{
		"many": "more than the 2 tokens it was asked for", "big": "4096 bytes for each token", "long": "sent more than it may",
	} {
		code, out := s.post("/v1/completions", object{"model": "flood", "prompt": prompt, "max_tokens": 2, "ignore_eos": true})
		if said := fmt.Sprint(out["error"]); code != http.StatusInternalServerError || !strings.Contains(said, want) {
			t.Errorf("%s: %d %s", prompt, code, said)
		}
	}
	got, err := s.complete("/v1/completions", object{"model": "flood", "prompt": "good morning"}, nil)
	if err != nil || got.Text != "good morning" {
		t.Errorf("afterwards: %q, %v", got.Text, err)
	}
	if log := s.log.String(); strings.Contains(log, "the plugin died") || !strings.Contains(log, "its plugin broke its contract") {
		t.Errorf("the log:\n%s", log)
	}
}

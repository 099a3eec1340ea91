package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/schedule"
	"github.com/inference-pio/inference-pio/sdk"
)

const (
	thought = `data: {"choices":[{"delta":{"reasoning_content":"Hm."}}]}` + "\n\n"
	tokyo   = `data: {"choices":[{"delta":{"content":"Tok"}}]}` + "\n\n" + ": waiting\n\n" + `data: {"choices":[{"delta":{"content":"yo."}}]}` + "\n\n"
	done    = "data: [DONE]\n\n"
)

// asked prints the answer of a host that says body, through a real private socket.
func asked(t *testing.T, status int, body string) (out, errs string, err error) {
	t.Helper()
	r, closeServer, err := private(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer closeServer()
	var o, e bytes.Buffer
	g := &global{std: stdio{strings.NewReader(""), &o, &e}}
	_, err = ask(context.Background(), r, map[string]any{"model": "tiny"}, g.printer())
	return o.String(), e.String(), err
}

// In a pipe the answer stands alone: no thoughts, no colours, one line end.
func TestAnswerInAPipe(t *testing.T) {
	out, errs, err := asked(t, 200, thought+tokyo+done)
	if out != "Tokyo.\n" || errs != "" || err != nil {
		t.Errorf("stdout %q, stderr %q, %v", out, errs, err)
	}
}

func TestAnswersThatFail(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		body   string
		out    string
		want   string
		code   int
	}{
		{"refused", 400, `{"error":{"message":"the prompt is too long","code":"context_length_exceeded"}}`, "", "the prompt is too long", exitFailure},
		{"given up", 503, `{"error":{"message":"the model is quarantined","code":"model_quarantined"}}`, "", "the model is quarantined", exitLoad},
		{"another server", 200, "<html>", "", "the answer ended before it was complete", exitFailure},
		{"another status", 502, "<html>", "", "the host answers 502", exitFailure},
		{"cut", 200, tokyo, "Tokyo.\n", "the answer ended before it was complete", exitFailure},
		{"fails later", 200, tokyo + `data: {"error":{"message":"the plugin died 3 times"}}` + "\n\n", "Tokyo.\n", "the plugin died 3 times", exitFailure},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, _, err := asked(t, c.status, c.body)
			if err == nil || !strings.Contains(err.Error(), c.want) || out != c.out {
				t.Errorf("stdout %q, error %v", out, err)
			}
			code := exitFailure
			var coded *codeError
			if errors.As(err, &coded) {
				code = coded.code
			}
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
		})
	}
}

// A server of another kind at the configured address is not taken for a host of ours.
func TestOnlyAHostIsAsked(t *testing.T) {
	for body, want := range map[string]bool{
		`{"data":[{"id":"tiny","owned_by":"inference-pio"}]}`:                     true,
		`{"data":[{"id":"other","aliases":["tiny"],"owned_by":"inference-pio"}]}`: true,
		`{"data":[{"id":"tiny","owned_by":"vllm"}]}`:                              false,
		`{"data":[{"id":"other","owned_by":"inference-pio"}]}`:                    false,
		`<html>`: false,
	} {
		r, closeServer, err := private(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }))
		if err != nil {
			t.Fatal(err)
		}
		if got := r.has(context.Background(), "tiny"); got != want {
			t.Errorf("%s: %v", body, got)
		}
		closeServer()
	}
}

func TestLogLinesPushTheProgressLineDown(t *testing.T) {
	var b bytes.Buffer
	c := &console{w: &b, terminal: true}
	c.show("tiny: map 10%")
	c.show("tiny: map 10%")
	_, _ = c.Write([]byte("a log line\n"))
	c.show("")
	if got, want := b.String(), clearLine+"tiny: map 10%"+clearLine+"a log line\ntiny: map 10%"+clearLine; got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
	b.Reset()
	c.terminal = false
	c.show("tiny: map 10%")
	if b.Len() != 0 {
		t.Errorf("progress in a pipe: %q", b.String())
	}
}

func TestProgressLines(t *testing.T) {
	for want, s := range map[string]schedule.Status{
		"m: starting":          {ID: "m", State: schedule.StateStarting},
		"m: map 25% of 8.0 MB": {ID: "m", State: schedule.StateLoading, Progress: sdk.Progress{Stage: "map", Done: 2e6, Total: 8e6}},
		"m: quantize 25% of 8.0 MB, 1.5 MB/s, 4s left": {ID: "m", State: schedule.StateLoading, Progress: sdk.Progress{Stage: "quantize", Done: 2e6, Total: 8e6}, LoadRate: 1.5e6},
		"m: loading plan":                  {ID: "m", State: schedule.StateLoading, Progress: sdk.Progress{Stage: "plan"}},
		"m: restarting; its plugin exited": {ID: "m", State: schedule.StateRestarting, Reason: "its plugin exited\n    last line"},
		"":                                 {ID: "m", State: schedule.StateReady},
	} {
		if got := progressLine(s); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

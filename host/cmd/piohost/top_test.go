package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

const (
	topModels = `{"devices":[
{"name":"cpu","used":3145728,"budget":4194304,"free":0,"total":0},
{"name":"gpu.0","used":2147483648,"budget":3221225472,"free":1073741824,"total":8589934592}],
"models":[
{"id":"big","state":"ready","tokens_per_second":%d,"running":1,"waiting":2,"pinned":true},
{"id":"new","state":"loading"},
{"id":"gone","state":"unloaded"}]}`
	topPlaced = `{"modules":[{"id":"embed_tokens","device":"cpu","resident":["cpu"]},{"id":"layers.0","device":"cpu","resident":["cpu"]},
{"id":"layers.1","device":"gpu.0","resident":["cpu","gpu.0"]},{"id":"layers.2","device":"gpu.0","resident":["cpu"]},
{"id":"layers.2.mlp.experts.0","device":"gpu.0","resident":["cpu","gpu.0"]},{"id":"layers.2.mlp.experts.1","device":"cpu","resident":["cpu"]}],
"moves":4,"evictions":7,"expert_hits":3,"expert_misses":1,"fetched":4194304,"registered":1048576}`
)

// newTopHost is a host whose model is one token a second faster each time it is asked.
func newTopHost(t *testing.T, operators bool) (address string) {
	t.Helper()
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !operators:
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"error":{"message":"no such path","code":"not_found"}}`)
		case r.URL.Path == "/admin/ps":
			fmt.Fprintf(w, topModels, 10+asked.Add(1))
		case r.URL.Path == "/admin/placement/big":
			fmt.Fprint(w, topPlaced)
		default:
			t.Errorf("asked for %s", r.URL.Path)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestTopWithoutATerminal(t *testing.T) {
	const want = `DEVICE  USED     BUDGETS  OTHERS   FREE     TOTAL
cpu     3.0 MiB  4.0 MiB  -        -        -
gpu.0   2.0 GiB  3.0 GiB  5.0 GiB  1.0 GiB  8.0 GiB

MODEL  STATE    TOKENS/S  REQUESTS      LAYERS          EXPERTS  HITS  REGISTERED  MOVED           UNTIL
big    ready    11.0      1, 2 waiting  gpu.0 2, cpu 1  1 of 2   75%   25%         4, 7 given up   in use
new    loading  -         0             -               -        -     -           -               -
`
	for _, args := range [][]string{{"top"}, {"top", "--once"}} {
		var out, errs bytes.Buffer
		code := command(context.Background(), append(args, "--host", newTopHost(t, true)), stdio{strings.NewReader(""), &out, &errs})
		got, wanted := out.String(), strings.ReplaceAll(want, "in use", "pinned")
		if squeeze(got) != squeeze(wanted) || code != 0 {
			t.Errorf("%v: %d %s\n got\n%s\nwant\n%s", args, code, errs.String(), got, wanted)
		}
	}
	var out, errs bytes.Buffer
	code := command(context.Background(), []string{"top", "--host", newTopHost(t, false)}, stdio{strings.NewReader(""), &out, &errs})
	if code == 0 || !strings.Contains(errs.String(), "server.admin = true") {
		t.Errorf("a host that answers no operators: %d %s", code, errs.String())
	}
	errs.Reset()
	code = command(context.Background(), []string{"top", "--host", "http://127.0.0.1:1"}, stdio{strings.NewReader(""), &out, &errs})
	if code == 0 || !strings.Contains(errs.String(), "nobody listens there") || strings.Contains(errs.String(), "admin") {
		t.Errorf("where there is no host: %d %s", code, errs.String())
	}
}

// squeeze leaves one space between words.
func squeeze(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = strings.Join(strings.Fields(l), " ")
	}
	return strings.Join(lines, "\n")
}

// On a terminal it is there at once and anew each second, and the terminal is as it was when the person has left.
func TestTopOnATerminal(t *testing.T) {
	for _, key := range []string{"q", "\x03"} {
		t.Setenv("TERM", "xterm-256color")
		p := sitDown(t, "top", "--host", newTopHost(t, true))
		p.sees("gpu.0 2, cpu 1")
		p.sees("q leaves")
		p.sees("2") // 12.0: what has changed is written anew
		p.types(key)
		p.leaves(0)
		if p.mode() != p.before {
			t.Error("the terminal is left in another mode")
		}
	}
}

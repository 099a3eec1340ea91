package e2e

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The gate of the sdk's step loop holds after token i of an answer that was not resumed there: the plugin is killed
// while it is certain that the host has had i+1 tokens and no more.
func TestStreamSurvivesAKillAtEveryToken(t *testing.T) {
	plain := start(t, tinyModel())
	for _, c := range []struct {
		name string
		body object
	}{
		{"greedy", object{"temperature": 0}},
		{"sampled", object{"temperature": 1, "top_p": 1, "top_k": 0, "seed": 7, "max_tokens": 16, "ignore_eos": true}},
	} {
		for _, stream := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/stream=%v", c.name, stream), func(t *testing.T) {
				body := ask("What is the capital of Japan?", c.body)
				body["stream"] = stream
				want, err := plain.complete("/v1/chat/completions", body, nil)
				if err != nil {
					t.Fatal(err)
				}
				if len(want.IDs) < 8 {
					t.Fatalf("the uninterrupted answer is too short to kill: %+v", want)
				}
				if got := killedAtEach(t, body, tinyModel); !reflect.DeepEqual(got, want) {
					t.Errorf("two hosts answer\n%+v and\n%+v", got, want)
				}
			})
		}
	}
}

// hold is the key that has a plugin wait after token i.
func hold(i int) string { return fmt.Sprintf("env = { PIO_TEST_HOLD = \"%d\" }", i) }

// killedAnswer asks, and kills the plugin while it waits after token i.
func killedAnswer(t *testing.T, s *server, i int, body object) answer {
	t.Helper()
	killed := make(chan struct{})
	go func() {
		defer close(killed)
		s.held(i)
		s.kill()
	}()
	got, err := s.complete("/v1/chat/completions", body, nil)
	<-killed
	if err != nil {
		t.Fatalf("killed after token %d: %v\n%s", i, err, s.log)
	}
	return got
}

func killedAt(t *testing.T, i int, body object, want answer, model string) {
	t.Helper()
	s := start(t, model)
	defer s.stop()
	got := killedAnswer(t, s, i, body)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("killed after token %d:\n got %+v\nwant %+v", i, got, want)
	}
	if !strings.Contains(s.log.String(), "SIGKILL") {
		t.Errorf("the log does not tell of the kill:\n%s", s.log)
	}
}

// killedAtEach asks once without a kill and then again for each token of that answer, with the plugin killed after it; each process but the
// first is the one that went on with the answer before.
func killedAtEach(t *testing.T, body object, model func(keys ...string) string) answer {
	t.Helper()
	at := filepath.Join(t.TempDir(), "at")
	s := start(t, model(fmt.Sprintf("env = { PIO_TEST_HOLD = %q }", at)))
	want, err := s.complete("/v1/chat/completions", body, nil)
	if err != nil {
		t.Fatal(err)
	}
	named(&want)
	for i := range want.IDs {
		if err := os.WriteFile(at, []byte(strconv.Itoa(i)), 0o600); err != nil {
			t.Fatal(err)
		}
		got := killedAnswer(t, s, i, body)
		if named(&got); !reflect.DeepEqual(got, want) {
			t.Errorf("killed after token %d:\n got %+v\nwant %+v", i, got, want)
		}
	}
	s.stop()
	if n := strings.Count(s.log.String(), "was ended by SIGKILL"); n != len(want.IDs) {
		t.Errorf("the log tells of %d of %d kills:\n%s", n, len(want.IDs), s.log)
	}
	return want
}

// named gives calls names that do not differ from request to request.
func named(a *answer) {
	for i := range a.Calls {
		a.Calls[i].ID = strconv.Itoa(i)
	}
}

// A kill in the middle of a long prompt, or soon after, is told to whoever waits for the answer, and in the log.
func TestAPauseIsTold(t *testing.T) {
	s := start(t, tinyModel("step_tokens = 128"))
	resp := s.open("/v1/completions", object{"model": "tiny", "prompt": words(1000, 3), "stream": true, "max_tokens": 800, "ignore_eos": true,
		"temperature": 0, "return_token_ids": true}) // the prompt's ids are the first chunk
	defer resp.Body.Close()
	lines, told, ended := bufio.NewScanner(resp.Body), 0, false
	lines.Buffer(nil, 1<<20)
	for first := true; lines.Scan(); first = false {
		if first {
			s.kill()
		}
		told += strings.Count(lines.Text(), ": waiting: the model's process has ended, the answer goes on in the next one")
		ended = lines.Text() == "data: [DONE]" || ended
	}
	if told == 0 || !ended {
		t.Errorf("told %d times, ended %v:\n%s", told, ended, s.log)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // the log comes through a pipe of its own
	defer cancel()
	if _, err := s.log.wait(ctx, "an answer goes on after a pause"); err != nil {
		t.Error(err)
	}
}

// held waits until the plugin says that it holds after token i.
func (s *server) held(i int) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := s.log.wait(ctx, fmt.Sprintf("holding after token %d", i)); err != nil {
		s.t.Error(err)
	}
}

// Every family has its own state to lose: keys and values, latents, recurrent states, experts. Sampled answers, so that also
// the generator's place counts.
func TestEveryFamilySurvivesAKill(t *testing.T) {
	for _, family := range families {
		t.Run(family, func(t *testing.T) {
			model := func(keys ...string) string { return tinyOf(family, "tiny", append(keys, small)...) }
			body := ask("What is the capital of Peru?", object{"temperature": 1, "top_p": 1, "top_k": 0, "seed": 11, "max_tokens": 70, "ignore_eos": true, "stream": true})
			want, err := start(t, model()).complete("/v1/chat/completions", body, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range []int{0, 33, 66} { // the prompt's end, a chunk's middle, beyond a chunk's end
				killedAt(t, i, body, want, model(hold(i)))
			}
		})
	}
}

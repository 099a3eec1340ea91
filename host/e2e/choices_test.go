package e2e

// choices_test.go: the answers of n share one request and nothing else; each goes on by itself when the plugin dies.

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

func TestEveryChoiceSurvivesAKill(t *testing.T) {
	body := ask("What is the capital of Japan?", object{"n": 2, "temperature": 2, "top_p": 1, "top_k": 0, "seed": 7, "max_tokens": 12,
		"ignore_eos": true, "stream": true, "logprobs": true})
	want := start(t, tinyModel()).choices(body)
	if len(want) != 2 || reflect.DeepEqual(want[0], want[1]) {
		t.Fatalf("the choices are to differ: %+v", want)
	}
	for _, i := range []int{0, 5, 10} {
		s := start(t, tinyModel(fmt.Sprintf("env = { PIO_TEST_HOLD = \"%d\" }", i)))
		killed := make(chan struct{})
		go func() {
			defer close(killed)
			s.held(i)
			s.kill()
		}()
		got := s.choices(body)
		<-killed
		if !reflect.DeepEqual(got, want) {
			t.Errorf("killed after token %d:\n got %+v\nwant %+v", i, got, want)
		}
	}
}

// choice is what one of the answers said.
type choice struct {
	Text, Finish string
	IDs          []int
	Logprobs     []float64
}

// choices streams an answer and takes it apart by index.
func (s *server) choices(body object) map[int]choice {
	s.t.Helper()
	resp := s.open("/v1/chat/completions", body)
	defer resp.Body.Close()
	list := map[int]choice{}
	for _, data := range decodeStream(s, resp) {
		var c struct {
			Choices []struct {
				Index    int
				Delta    struct{ Content string }
				Logprobs struct{ Content []struct{ Logprob float64 } }
				Finish   string `json:"finish_reason"`
				IDs      []int  `json:"token_ids"`
			}
		}
		if err := json.Unmarshal([]byte(data), &c); err != nil || len(c.Choices) != 1 {
			s.t.Fatalf("%s: %v", data, err)
		}
		one := c.Choices[0]
		sum := list[one.Index]
		sum.Text += one.Delta.Content
		sum.Finish += one.Finish
		sum.IDs = append(sum.IDs, one.IDs...)
		for _, l := range one.Logprobs.Content {
			sum.Logprobs = append(sum.Logprobs, l.Logprob)
		}
		list[one.Index] = sum
	}
	return list
}

// decodeStream returns the events of a whole stream, without [DONE].
func decodeStream(s *server, resp *http.Response) []string {
	s.t.Helper()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		s.t.Fatalf("status %d, %v: %s", resp.StatusCode, err, text)
	}
	events, complete := strings.CutSuffix(strings.TrimSpace(string(text)), "data: [DONE]")
	if !complete {
		s.t.Fatalf("the stream ended without [DONE]: %s", text)
	}
	var list []string
	for _, line := range strings.Split(events, "\n") {
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			list = append(list, data)
		}
	}
	return list
}

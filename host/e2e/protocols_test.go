package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// protocols_test.go asks one model the same in every protocol.

// spoken is a protocol: how the question is asked, and where the words of its answer are, whole and in the pieces of a stream.
type spoken struct {
	path  string
	body  object
	whole func(object) any
	piece func(object) any // nil for what has no words
}

// at follows keys and indices into a decoded value; nil where there is nothing.
func at(v any, path ...any) any {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			m, _ := v.(object)
			v = m[step]
		case int:
			list, _ := v.([]any)
			if step < 0 {
				step += len(list)
			}
			if step < 0 || step >= len(list) {
				return nil
			}
			v = list[step]
		}
	}
	return v
}

const asked = "What is the capital of Japan?"

func everyProtocol() map[string]spoken {
	turns := []object{{"role": "user", "content": asked}}
	plain := object{"enable_thinking": false}
	return map[string]spoken{
		"chat": {"/v1/chat/completions", object{"messages": turns, "temperature": 0, "chat_template_kwargs": plain},
			func(o object) any { return at(o, "choices", 0, "message", "content") }, func(o object) any { return at(o, "choices", 0, "delta", "content") }},
		"responses": {"/v1/responses", object{"input": asked, "temperature": 0, "chat_template_kwargs": plain},
			func(o object) any { return at(o, "output", -1, "content", 0, "text") },
			func(o object) any {
				if o["type"] != "response.output_text.delta" {
					return nil
				}
				return o["delta"]
			}},
		"messages": {"/v1/messages", object{"messages": turns, "max_tokens": 100, "temperature": 0, "thinking": object{"type": "disabled"}},
			func(o object) any { return at(o, "content", -1, "text") }, func(o object) any { return at(o, "delta", "text") }},
		"ollama chat": {"/api/chat", object{"messages": turns, "think": false, "options": object{"temperature": 0}},
			func(o object) any { return at(o, "message", "content") }, func(o object) any { return at(o, "message", "content") }},
		"ollama text": {"/api/generate", object{"prompt": asked, "think": false, "options": object{"temperature": 0}},
			func(o object) any { return o["response"] }, func(o object) any { return o["response"] }},
	}
}

// streamed are the words of a stream, and its last line.
func (p spoken) streamed(t *testing.T, s *server) (words, last string) {
	t.Helper()
	p.body["stream"] = true
	resp := s.open(p.path, p.body)
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		text := strings.TrimPrefix(lines.Text(), "data: ")
		var o object
		if json.Unmarshal([]byte(text), &o) != nil {
			continue // an event's name, a comment, the end
		}
		last = text
		if word, ok := p.piece(o).(string); ok {
			words += word
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatalf("%v\n%s", err, s.log)
	}
	return words, last
}

// The answer is the same in every protocol, whole and streamed.
func TestEveryProtocolSaysTheSame(t *testing.T) {
	const want = "The capital of Japan is Tokyo."
	s := start(t, tinyModel())
	for name, p := range everyProtocol() {
		p.body["model"], p.body["stream"] = "tiny", false
		if status, o := s.post(p.path, p.body); status != 200 || p.whole(o) != want {
			t.Errorf("%s: %d %v", name, status, o)
		}
		if words, last := p.streamed(t, s); words != want {
			t.Errorf("%s, streamed: %q, then %s", name, words, last)
		}
	}
}

// A stream of every protocol goes on over the death of its plugin, without a word lost or said twice.
func TestEveryProtocolSurvivesAKill(t *testing.T) {
	const want = "The capital of Japan is Tokyo."
	for name, p := range everyProtocol() {
		s := start(t, tinyModel(hold(3)))
		p.body["model"] = "tiny"
		killed := make(chan struct{})
		go func() {
			defer close(killed)
			s.held(3)
			s.kill()
		}()
		words, last := p.streamed(t, s)
		<-killed
		if words != want || !strings.Contains(fmt.Sprint(s.log), "SIGKILL") {
			t.Errorf("%s: %q, then %s\n%s", name, words, last, s.log)
		}
		s.stop()
	}
}

// Who asks for stop strings is told which of them ended the answer.
func TestTheStopStringIsNamed(t *testing.T) {
	s := start(t, tinyModel())
	body := everyProtocol()["messages"].body
	body["model"], body["stop_sequences"] = "tiny", []string{"nowhere", " of Jap", "Tokyo"}
	status, o := s.post("/v1/messages", body)
	if status != 200 || at(o, "content", -1, "text") != "The capital" || o["stop_reason"] != "stop_sequence" || o["stop_sequence"] != " of Jap" {
		t.Errorf("%d %v", status, o)
	}
}

package e2e

// chat_test.go talks with the tiny model as a person does, in a terminal, and as a program does, through a pipe.

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
)

// chatConfig is a models.toml for a chat that finds no host and starts its own.
func chatConfig(t *testing.T, tables string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "models.toml")
	dirs, err := json.Marshal([]string{filepath.Join(bin, "plugins")})
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, fmt.Sprintf("[server]\nlisten = \"127.0.0.1:0\"\n[plugins]\ndirs = %s\n%s", dirs, tables))
	return file
}

func chatCommand(t *testing.T, config string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "piohost"), append([]string{"chat", "tiny", "--config", config, "--temperature", "0"}, args...)...)
	cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+t.TempDir())
	return cmd
}

// goldenTexts are the reference's answers to a question, without its end token: with reasoning first, and without.
func goldenTexts(t *testing.T, name string) (thinking, plain string) {
	t.Helper()
	var golden struct {
		Cases []struct {
			Name     string
			Thinking bool   `json:"enable_thinking"`
			Text     string `json:"greedy_text"`
		}
	}
	if err := json.Unmarshal([]byte(read(t, filepath.Join(tinyDir("qwen3_0_6b"), "golden.json"))), &golden); err != nil {
		t.Fatal(err)
	}
	for _, c := range golden.Cases {
		text := strings.TrimSuffix(c.Text, "<|im_end|>")
		switch {
		case c.Name == name && c.Thinking:
			thinking = text
		case c.Name == name:
			plain = text
		}
	}
	if thinking == "" || plain == "" {
		t.Fatalf("the reference has no case %q", name)
	}
	return thinking, plain
}

func TestChatThroughAPipe(t *testing.T) {
	_, capital := goldenTexts(t, "capital")
	_, add := goldenTexts(t, "add")
	cmd := chatCommand(t, chatConfig(t, tinyModel()), "--no-think")
	cmd.Stdin = strings.NewReader("What is the capital of Japan?\n/reset\nWhat is 27 + 38?\n")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || string(out) != capital+"\n"+add+"\n" {
		t.Errorf("the answers are %q, %v; want %q and %q\n%s", out, err, capital, add, stderr.String())
	}
}

// The same question about two pictures, first by `run` with a host of its own, then in a chat.
func TestPicturesOfTheCommandLine(t *testing.T) {
	picture := func(n int) string { return filepath.Join(tinyDir(vision), fmt.Sprintf("picture%d.png", n)) }
	answers := map[int]string{}
	for _, c := range illustratedCases(t) {
		for n := range 5 {
			if c.Name == fmt.Sprintf("picture%d", n) {
				answers[n] = strings.TrimSuffix(c.Answer, "<|im_end|>")
			}
		}
	}
	const question = "What is in the picture?"
	config := chatConfig(t, tinyOf(vision, "tiny", small))
	var stderr bytes.Buffer
	run := exec.Command(filepath.Join(bin, "piohost"), "run", "tiny", question, "--image", picture(1), "--temperature", "0", "--config", config)
	run.Stderr = &stderr
	if out, err := run.Output(); err != nil || string(out) != answers[1]+"\n" {
		t.Errorf("run answers %q, %v; want %q\n%s", out, err, answers[1], stderr.String())
	}
	chat := chatCommand(t, config)
	chat.Stdin = strings.NewReader("/image " + picture(0) + "\n" + question + "\n/reset\n/image " + picture(3) + "\n" + question + "\n")
	chat.Stderr = &stderr
	if out, err := chat.Output(); err != nil || string(out) != answers[0]+"\n"+answers[3]+"\n" {
		t.Errorf("chat answers %q, %v; want %q and %q\n%s", out, err, answers[0], answers[3], stderr.String())
	}
}

// screen is what has come to a terminal.
type screen struct {
	t    *testing.T
	file *os.File

	mu   sync.Mutex
	text string // not yet looked for
	more chan struct{}
}

func (s *screen) read() {
	buf := make([]byte, 4096)
	for {
		n, err := s.file.Read(buf)
		s.mu.Lock()
		s.text += string(buf[:n])
		close(s.more)
		s.more = make(chan struct{})
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// sees waits for a piece after the last one, and returns what came with it.
func (s *screen) sees(piece string) string {
	s.t.Helper()
	limit := time.After(time.Minute)
	for {
		s.mu.Lock()
		before, after, ok := strings.Cut(s.text, piece)
		text, more := s.text, s.more
		if ok {
			s.text = after
		}
		s.mu.Unlock()
		if ok {
			return before + piece
		}
		select {
		case <-more:
		case <-limit:
			s.t.Fatalf("%q does not appear; the rest is %q", piece, text)
		}
	}
}

func (s *screen) types(keys string) {
	s.t.Helper()
	if _, err := s.file.WriteString(keys); err != nil {
		s.t.Fatal(err)
	}
}

// A person asks, interrupts an answer, and goes on. The gate of the step loop holds the answer at a known token, so that it
// is certain what was said before the interrupt. What the model answers then is what another host answers when it is given
// that conversation.
func TestChatInATerminal(t *testing.T) {
	const held = 20 // an answer stops after its token of this index, if it has one
	other := start(t, tinyModel())
	_, capital := goldenTexts(t, "capital")
	_, count := goldenTexts(t, "count")

	cmd := chatCommand(t, chatConfig(t, tinyModel(fmt.Sprintf("env = { PIO_TEST_HOLD = \"%d\" }", held))))
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 80})
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	s := &screen{t: t, file: terminal, more: make(chan struct{})}
	go s.read()

	const prompt = ">>> "
	s.sees(prompt)
	s.types("What is the capital of Japan?\r")
	if got := s.sees(capital + "\r\n"); !strings.Contains(got, "I know this.") {
		t.Errorf("the reasoning is not shown: %q", got)
	}
	s.types("/reset\r/think off\rCount from 3 to 14.\r")
	s.sees("Count from 3 to 14.\r\n")
	said := s.sees("10 11 1") // ends with the token that is held after
	s.types("\x03")
	s.sees("interrupted")
	if !strings.HasPrefix(count, said) {
		t.Errorf("before the interrupt %q was said, the whole answer is %q", said, count)
	}

	_, want := other.post("/v1/chat/completions", object{
		"model": "tiny", "temperature": 0, "chat_template_kwargs": object{"enable_thinking": false},
		"messages": []object{
			{"role": "user", "content": "Count from 3 to 14."}, {"role": "assistant", "content": said}, {"role": "user", "content": "What is 8 + 9?"},
		},
	})
	answer := want["choices"].([]any)[0].(object)["message"].(object)["content"].(string)
	s.types("What is 8 + 9?\r")
	s.sees("What is 8 + 9?\r\n")
	if got := s.sees("\r\n"); got != answer+"\r\n" {
		t.Errorf("after the interrupt the answer is %q, want %q", got, answer)
	}
	s.types("\x04")
	if err := cmd.Wait(); err != nil {
		t.Errorf("the chat ended with %v", err)
	}
}

package e2e

// flood_test.go sends more than fits, and looks at what that takes of memory.

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// peak is the most memory that a process ever had, in bytes.
func peak(t testing.TB, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindStringSubmatch(string(text))
	if m == nil {
		t.Fatalf("no VmHWM in\n%s", text)
	}
	kb, _ := strconv.ParseInt(m[1], 10, 64)
	return kb << 10
}

// flood sends body n times at once and returns how often each status and error code came.
func flood(t testing.TB, s *server, path string, n int, body string) map[string]int {
	t.Helper()
	got := map[string]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			resp, err := http.Post(s.url+path, "application/json", strings.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			text, _ := io.ReadAll(resp.Body)
			code := regexp.MustCompile(`"code":("[a-z_]*"|null)`).FindString(string(text))
			mu.Lock()
			defer mu.Unlock()
			got[fmt.Sprint(resp.StatusCode, " ", code)]++
		})
	}
	wg.Wait()
	return got
}

// 24 prompts of 31 MB at once, for a model of 2,048 positions, and small ones that fit between them: the large ones are refused
// for what they are, the others answered, and neither the host nor the plugin grows by what they weigh together.
func TestPromptsThatDoNotFitTakeNoMemory(t *testing.T) {
	const most = 300 << 20
	for path, around := range map[string][2]string{
		"/v1/completions":      {`{"model":"tiny","prompt":"`, `"}`},
		"/v1/chat/completions": {`{"model":"tiny","messages":[{"role":"user","content":"`, `"}]}`},
	} {
		n := 24
		if path == "/v1/chat/completions" { // takes longer, for the template, and not more
			n = 6
		}
		s := start(t, tinyModel())
		host, plugin := peak(t, s.cmd.Process.Pid), peak(t, s.plugins()[0])
		done := make(chan map[string]int)
		go func() { done <- flood(t, s, path, n, around[0]+strings.Repeat("word ", 31_000_000/5)+around[1]) }()
		small := flood(t, s, path, n, around[0]+"Hello"+around[1][:len(around[1])-1]+`,"max_tokens":2}`)
		large := <-done
		if large[`400 "code":"context_length_exceeded"`] != n {
			t.Errorf("%s: the prompts that do not fit: %v", path, large)
		}
		if small["200 "] != n {
			t.Errorf("%s: the prompts that fit: %v", path, small)
		}
		host, plugin = peak(t, s.cmd.Process.Pid)-host, peak(t, s.plugins()[0])-plugin
		t.Logf("%s: the host grew by %d MiB, the plugin by %d", path, host>>20, plugin>>20)
		if host+plugin > most {
			t.Errorf("%s: the host grew by %d MiB and the plugin by %d; expected at most %d together", path, host>>20, plugin>>20, most>>20)
		}
	}
}

// A prompt is tokenized once however many answers are wanted, and not at all if it cannot fit.
func TestAnswersToAPromptThatCannotFitTakeNoMemory(t *testing.T) {
	s := start(t, tinyModel())
	before := peak(t, s.plugins()[0])
	got := flood(t, s, "/v1/completions", 1, `{"model":"tiny","n":64,"prompt":"`+strings.Repeat("word ", 8<<20/5)+`"}`)
	if got[`400 "code":"context_length_exceeded"`] != 1 {
		t.Errorf("%v", got)
	}
	if grew := peak(t, s.plugins()[0]) - before; grew > 100<<20 {
		t.Errorf("the plugin grew by %d MiB over 8 MiB of text", grew>>20)
	}
}

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// BenchmarkResume kills the plugin in the middle of a stream and reports the pause the client sees: the longest time
// between two events. It holds the death, the new process, Load, the replay and the next token.
func BenchmarkResume(b *testing.B) {
	s := start(b, tinyModel())
	pauses(b, s, s.kill)
}

// BenchmarkResumeAfterAKillWhileLoading kills the next process too, as soon as it is there: the pause is that of two deaths, and
// the second start is not at once.
func BenchmarkResumeAfterAKillWhileLoading(b *testing.B) {
	s := start(b, tinyModel())
	pauses(b, s, func() {
		first := s.pluginOf("qwen3_0_6b")
		s.kill()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if second := s.nextPlugin(ctx, "qwen3_0_6b", first); second == 0 || syscall.Kill(second, syscall.SIGKILL) != nil {
			b.Fatalf("no second process to kill\n%s", s.log)
		}
	})
}

// pauses streams, and harms the plugin once in each stream.
func pauses(b *testing.B, s *server, harm func()) {
	body := long()
	body["max_tokens"] = 1500 // the plugin is ahead of the client, and must not have ended when it is killed
	var sum, most time.Duration
	for b.Loop() {
		var longest time.Duration
		last := time.Now()
		_, err := s.complete("/v1/chat/completions", body, func(n int) {
			if now := time.Now(); n > 1 {
				longest, last = max(longest, now.Sub(last)), now
			} else {
				last = now
			}
			if n == 60 {
				harm()
			}
		})
		if err != nil {
			b.Fatal(err)
		}
		sum, most = sum+longest, max(most, longest)
	}
	b.ReportMetric(float64(sum.Milliseconds())/float64(b.N), "ms/pause")
	b.ReportMetric(float64(most.Milliseconds()), "ms/longest")
}

// BenchmarkFrozen stops a plugin with SIGSTOP in the middle of a stream, at the defaults, and reports how long it takes until the model is
// not ready any more, until the host has killed the process, and until the next token.
func BenchmarkFrozen(b *testing.B) {
	s := start(b, tinyModel())
	body := long()
	body["max_tokens"] = 1500
	var unready, killed, next time.Duration
	for b.Loop() {
		var watching sync.WaitGroup
		var began time.Time
		_, err := s.complete("/v1/chat/completions", body, func(n int) {
			if n == 60 {
				pid := s.pluginOf("qwen3_0_6b")
				s.freeze()
				began = time.Now()
				watching.Go(func() { unready = max(unready, s.until(func() bool { return !s.isReady("tiny") })) })
				watching.Go(func() { killed = max(killed, s.until(func() bool { return !alive(pid) })) })
			} else if n > 60 {
				next = max(next, time.Since(began)) // of every token: what was under way when it froze comes at once
				began = time.Now()
			}
		})
		watching.Wait()
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(unready.Seconds(), "s/unready")
	b.ReportMetric(killed.Seconds(), "s/killed")
	b.ReportMetric(next.Seconds(), "s/token")
}

// until is how long it takes until so; a minute at most.
func (s *server) until(so func() bool) time.Duration {
	began := time.Now()
	for !so() {
		if time.Since(began) > time.Minute {
			s.t.Errorf("nothing happened within a minute\n%s", s.log.end())
			break
		}
		time.Sleep(time.Millisecond)
	}
	return time.Since(began)
}

// alive says whether a process has not ended.
func alive(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, ok := strings.Cut(string(text), ") ")
	return err == nil && ok && !strings.HasPrefix(rest, "Z")
}

// BenchmarkTinyOverHTTP streams from the tiny model; BenchmarkTinyInProcess of its plugin is the same generation without
// host, socket and HTTP. The difference is what the house costs per token.
func BenchmarkTinyOverHTTP(b *testing.B) {
	s := start(b, tinyModel())
	const tokens = 500
	body := ask("What is 27 + 38?", object{"temperature": 0, "max_tokens": tokens, "ignore_eos": true, "stream": true})
	for b.Loop() {
		if a, err := s.complete("/v1/chat/completions", body, nil); err != nil || len(a.IDs) != tokens {
			b.Fatalf("%d ids, %v", len(a.IDs), err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/tokens, "us/token")
}

// published is the folder of Qwen3-0.6B's config, without weights.
func published() string { return filepath.Join(root, "host/e2e/testdata/qwen3-0.6b") }

// publishedModel is a [[model]] table of that shape with invented weights; more keys may follow.
func publishedModel(id string, keys ...string) string {
	return fmt.Sprintf("[[model]]\nid = %q\npath = %q\nplugin = \"qwen3_0_6b\"\nweights = \"dummy\"\ncontext = 4096\n%s\n", id, published(), strings.Join(keys, "\n"))
}

// BenchmarkMemoryAtThePublishedShape reports what a plugin holds at most beyond weights (which are invented here, and lie as those of
// a checkpoint do outside its heap) and cache: a prompt of 512 ids and 32 more. Of that are its code and libraries, as far as they are in
// memory, and the largest its Go heap was when it was collected; the rest is activations, stacks and what the runtimes take. Of quantised
// weights that is the most while they are made, too.
func BenchmarkMemoryAtThePublishedShape(b *testing.B) {
	for _, form := range []string{"bf16", "q8", "q4"} {
		b.Run(form, func(b *testing.B) { memoryAtThePublishedShape(b, form) })
	}
}

func memoryAtThePublishedShape(b *testing.B, form string) {
	keys, cache := []string{`env = { GODEBUG = "gctrace=1" }`}, int64(512+32)*28*2*8*128*4
	if form != "bf16" {
		keys, cache = append(keys, fmt.Sprintf("quantize = %q", form)), cache/2 // which is in bf16 then
	}
	_, told := checked(b, publishedModel("real", keys...))
	weights := int64(told["models"].([]any)[0].(object)["memory"].(object)["weights"].(float64))
	s := start(b, publishedModel("real", keys...))
	prompt := make([]int, 512)
	for i := range prompt {
		prompt[i] = i * 251 % 150000
	}
	for b.Loop() {
		if code, out := s.post("/v1/completions", object{"model": "real", "prompt": prompt, "max_tokens": 32, "ignore_eos": true}); code != http.StatusOK {
			b.Fatalf("%d %v", code, out)
		}
	}
	held := memoryOf(b, s.plugins()[0])
	beyond, code := held["VmHWM"]-weights-cache, held["RssFile"]+held["RssShmem"]
	heap := mostCollected(s.log.String())
	for what, bytes := range map[string]int64{"weights": weights, "cache": cache, "beyond": beyond, "code": code, "heap": heap, "rest": beyond - code - heap} {
		b.ReportMetric(float64(bytes)/1e6, "MB/"+what)
	}
}

// memoryOf is the sizes that the system tells of a process, in bytes.
func memoryOf(t testing.TB, pid int) map[string]int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	sizes := map[string]int64{}
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(line, ":")
		var kib int64
		if n, _ := fmt.Sscanf(rest, "%d kB", &kib); n == 1 {
			sizes[name] = kib << 10
		}
	}
	return sizes
}

// mostCollected is the largest heap that a collector's trace tells of.
func mostCollected(log string) (most int64) {
	for _, m := range regexp.MustCompile(`, \d+->(\d+)->\d+ MB`).FindAllStringSubmatch(log, -1) {
		mib, _ := strconv.ParseInt(m[1], 10, 64)
		most = max(most, mib<<20)
	}
	return most
}

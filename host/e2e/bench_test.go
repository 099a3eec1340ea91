package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// BenchmarkResume kills the plugin in the middle of a stream and reports the pause the client sees: the longest time
// between two events. It holds the death, the new process, Load, the replay and the next token.
func BenchmarkResume(b *testing.B) {
	s := start(b, tinyModel())
	body := long()
	body["max_tokens"] = 600 // the plugin is ahead of the client, and must not have ended when it is killed
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
				s.kill()
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

// published is the config of Qwen3-0.6B.
const published = `{"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "vocab_size": 151936, "hidden_size": 1024, "intermediate_size": 3072,
"num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 40960,
"rms_norm_eps": 1e-6, "rope_theta": 1000000, "tie_word_embeddings": true, "hidden_act": "silu", "eos_token_id": 151645}`

// BenchmarkMemoryAtThePublishedShape reports what a plugin holds at most beyond the weights themselves (which are invented
// here and lie on its heap, where those of a checkpoint are the mapped file): a prompt of 512 ids and 32 more.
func BenchmarkMemoryAtThePublishedShape(b *testing.B) {
	const weights = 2 * 596049920
	dir := b.TempDir()
	write(b, filepath.Join(dir, "config.json"), published)
	s := start(b, fmt.Sprintf("[[model]]\nid = \"real\"\npath = %q\nplugin = \"qwen3_0_6b\"\nweights = \"dummy\"\ncontext = 4096\n", dir))
	prompt := make([]int, 512)
	for i := range prompt {
		prompt[i] = i * 251 % 150000
	}
	for b.Loop() {
		if code, out := s.post("/v1/completions", object{"model": "real", "prompt": prompt, "max_tokens": 32, "ignore_eos": true}); code != http.StatusOK {
			b.Fatalf("%d %v", code, out)
		}
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.plugins()[0]))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			b.ReportMetric(float64(kib<<10-weights)/1e6, "MB/beyond")
		}
	}
}

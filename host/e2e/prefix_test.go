package e2e

// prefix_test.go has conversations grow turn by turn, as agents' do: every position of a prompt is computed once.

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// longTiny is a [[model]] table of a family's tiny checkpoint that claims so many positions.
func longTiny(t testing.TB, family string, positions int) string {
	t.Helper()
	dir := t.TempDir()
	files, err := os.ReadDir(tinyDir(family))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		from := filepath.Join(tinyDir(family), f.Name())
		if f.Name() != "config.json" {
			if err := os.Symlink(from, filepath.Join(dir, f.Name())); err != nil {
				t.Fatal(err)
			}
			continue
		}
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, f.Name()), strings.Replace(string(text), `"max_position_embeddings": 2048`, fmt.Sprintf(`"max_position_embeddings": %d`, positions), 1))
	}
	return fmt.Sprintf("[[model]]\nid = \"tiny\"\npath = %q\nplugin = %q\nmax_sequences = 2\n", dir, family)
}

// prompted is what an answer's usage says of its prompt.
func prompted(t testing.TB, out object) (tokens, cached int) {
	t.Helper()
	usage, ok := out["usage"].(object)
	if !ok {
		t.Fatalf("no usage in %v", out)
	}
	details, _ := usage["prompt_tokens_details"].(object)
	n, _ := details["cached_tokens"].(float64)
	all, _ := usage["prompt_tokens"].(float64)
	return int(all), int(n)
}

// words is a text of that many words that no other call gives.
func words(n int, seed uint64) string {
	r := rand.New(rand.NewPCG(seed, 7))
	var b strings.Builder
	for range n {
		fmt.Fprintf(&b, "%d ", r.IntN(10))
	}
	return b.String()
}

// converse has a conversation of that many turns whose prompt grows to a length, and says how many positions were computed of
// it, and how long the prompt was in the end.
func converse(t testing.TB, s *server, turns, length int) (computed, last int) {
	t.Helper()
	messages := []object{{"role": "system", "content": words(100, 1)}}
	for turn := range turns {
		messages = append(messages, object{"role": "user", "content": words(max(1, (length-last)/(turns-turn)/2-25), uint64(turn+2))})
		code, out := s.post("/v1/chat/completions", object{"model": "tiny", "messages": messages, "max_tokens": 20, "temperature": 0,
			"chat_template_kwargs": object{"enable_thinking": false}})
		if code != http.StatusOK {
			t.Fatalf("turn %d: %d %v", turn, code, out)
		}
		var cached int
		last, cached = prompted(t, out)
		computed += last - cached
		said, _ := out["choices"].([]any)[0].(object)["message"].(object)["content"].(string)
		messages = append(messages, object{"role": "assistant", "content": said})
	}
	return computed, last
}

// Each position of a conversation's prompt is computed once, up to the ends of turns that fill no block and what of an answer is
// written in another way when it comes back.
func TestAConversationIsComputedOnce(t *testing.T) {
	for _, family := range families {
		t.Run(family, func(t *testing.T) {
			s := start(t, longTiny(t, family, 8192))
			computed, last := converse(t, s, 6, 3000)
			if last < 2500 || computed > last*115/100 {
				t.Errorf("%d positions were computed of a prompt that grew to %d", computed, last)
			}
		})
	}
}

// Several answers to one prompt compute it once.
func TestSeveralAnswersComputeTheirPromptOnce(t *testing.T) {
	s := start(t, longTiny(t, "qwen3_0_6b", 2048))
	body := object{"model": "tiny", "prompt": words(300, 9), "n": 8, "max_tokens": 3, "temperature": 1, "seed": 4}
	code, out := s.post("/v1/completions", body)
	if code != http.StatusOK || len(out["choices"].([]any)) != 8 {
		t.Fatalf("%d %v", code, out)
	}
	all, _ := prompted(t, out)
	queried := 0
	for deadline := time.Now().Add(20 * time.Second); queried < 8*all && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		queried = s.metric("vllm:prefix_cache_queries_total") // comes with the plugin's next report
	}
	found := s.metric("vllm:prefix_cache_hits_total")
	if queried < 8*all || queried-found > all+8*64 { // whoever comes late finds whole blocks alone
		t.Errorf("a prompt of %d: %d positions were looked for, %d found", all, queried, found)
	}
}

// metric reads the tiny model's value of a metric.
func (s *server) metric(name string) (value int) {
	s.t.Helper()
	resp, err := http.Get(s.url + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		if rest, ok := strings.CutPrefix(line, name+`{model_name="tiny"} `); ok {
			var x float64
			if _, err := fmt.Sscan(rest, &x); err != nil {
				s.t.Fatalf("%s: %v", line, err)
			}
			return int(x)
		}
	}
	s.t.Fatalf("there is no metric %s of the model", name)
	return 0
}

// BenchmarkConversation grows a conversation to 12,000 positions over 20 turns.
func BenchmarkConversation(b *testing.B) {
	for _, family := range families {
		b.Run(family, func(b *testing.B) {
			s := start(b, longTiny(b, family, 16384))
			for b.Loop() {
				computed, last := converse(b, s, 20, 12000)
				b.ReportMetric(float64(computed), "computed")
				b.ReportMetric(float64(last), "positions")
				b.ReportMetric(float64(computed)/float64(last), "x/ideal")
			}
		})
	}
}

// BenchmarkPrefixAtThePublishedShape times what a client of Qwen3-0.6B's shape waits for: a prompt of 609 tokens for the first time
// and again, its next turn, and eight answers to it.
func BenchmarkPrefixAtThePublishedShape(b *testing.B) {
	s := start(b, fmt.Sprintf("[[model]]\nid = \"real\"\npath = %q\nplugin = \"qwen3_0_6b\"\nweights = \"dummy\"\ncontext = 4096\n", published()))
	seed := 0
	prompt := func(n int) []int {
		seed++
		list := make([]int, n)
		for i := range list {
			list[i] = (i*251 + seed*7919) % 150000
		}
		return list
	}
	ask := func(ids []int, n int) time.Duration {
		began := time.Now()
		if code, out := s.post("/v1/completions", object{"model": "real", "prompt": ids, "max_tokens": 1, "n": n, "ignore_eos": true}); code != http.StatusOK {
			b.Fatalf("%d %v", code, out)
		}
		return time.Since(began)
	}
	sums := map[string]time.Duration{}
	for b.Loop() {
		first := prompt(609)
		sums["first"] += ask(first, 1)
		sums["again"] += ask(first, 1)
		sums["next-turn"] += ask(append(first[:600:600], prompt(40)...), 1)
		sums["n=8-after"] += ask(first, 8)
		sums["n=8-fresh"] += ask(prompt(609), 8)
	}
	for name, sum := range sums {
		b.ReportMetric(float64(sum.Milliseconds())/float64(b.N), "ms/"+name)
	}
}

// BenchmarkStreamBesideAPrompt reports the longest gap of a stream of Qwen3-0.6B's shape while a prompt of 3,000 tokens is computed
// beside it, how long a short prompt waits for its first token meanwhile, and what eight streams come to.
func BenchmarkStreamBesideAPrompt(b *testing.B) {
	s := start(b, fmt.Sprintf("[[model]]\nid = \"real\"\npath = %q\nplugin = \"qwen3_0_6b\"\nweights = \"dummy\"\ncontext = 8192\n", published()))
	seed := 0
	body := func(n, tokens int, stream bool) object {
		seed++
		list := make([]int, n)
		for i := range list {
			list[i] = (i*251 + seed*7919) % 150000
		}
		return object{"model": "real", "prompt": list, "max_tokens": tokens, "ignore_eos": true, "stream": stream, "return_token_ids": true}
	}
	for b.Loop() {
		var work sync.WaitGroup
		began := make(chan struct{})
		var longest time.Duration
		work.Go(func() {
			last := time.Now()
			if _, err := s.complete("/v1/completions", body(16, 200, true), func(n int) {
				now := time.Now()
				if n > 2 {
					longest = max(longest, now.Sub(last))
				}
				if last = now; n == 5 {
					close(began)
				}
			}); err != nil {
				b.Error(err)
			}
		})
		<-began
		work.Go(func() { s.post("/v1/completions", body(3000, 1, false)) })
		time.Sleep(time.Second) // the long prompt is under way
		short := time.Now()
		s.post("/v1/completions", body(16, 1, false))
		b.ReportMetric(float64(time.Since(short).Milliseconds()), "ms/short-prompt")
		work.Wait()
		b.ReportMetric(float64(longest.Milliseconds()), "ms/longest-gap")
		at := time.Now()
		for range 8 {
			work.Go(func() { s.post("/v1/completions", body(16, 64, false)) })
		}
		work.Wait()
		b.ReportMetric(8*64/time.Since(at).Seconds(), "tok/s-of-8")
	}
}

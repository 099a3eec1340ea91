package e2e

import (
	"net/http"
	"sync"
	"testing"
	"time"
)

// BenchmarkTwoModelsAtOnce compares what two models of Qwen3-0.6B's shape do together with what one does alone, in turns: tokens of answers, and
// of prompts. Decoding is counted while both have begun and none has ended; prompts from when both are sent until both are answered.
func BenchmarkTwoModelsAtOnce(b *testing.B) {
	s := start(b, publishedModel("one")+publishedModel("two"))
	for _, model := range []string{"one", "two"} { // weights are invented as they are first read
		s.times(b, 9, model)
	}
	var alone, together, prompt, prompts float64
	round := 0
	for b.Loop() {
		model := []string{"one", "two"}[round%2]
		alone += rate(s.times(b, 48, model))
		together += rate(s.times(b, 48, "one", "two"))
		prompt += s.prompts(b, 2*round, model)
		prompts += s.prompts(b, 2*round+1, "one", "two")
		round++
		b.Logf("in all so far: %.1f and %.1f tok/s of answers, %.0f and %.0f of prompts", alone, together, prompt, prompts)
	}
	n := float64(b.N)
	b.ReportMetric(alone/n, "tok/s/decode-alone")
	b.ReportMetric(together/n, "tok/s/decode-together")
	b.ReportMetric(100*together/alone, "%/decode")
	b.ReportMetric(prompt/n, "tok/s/prefill-alone")
	b.ReportMetric(prompts/n, "tok/s/prefill-together")
	b.ReportMetric(100*prompts/prompt, "%/prefill")
}

// times are those of the tokens of answers that models give at the same time.
func (s *server) times(b *testing.B, tokens int, models ...string) [][]time.Time {
	lists := make([][]time.Time, len(models))
	var all sync.WaitGroup
	for i, model := range models {
		all.Go(func() {
			body := object{"model": model, "prompt": []int{1, 2, 3, 4, 5, 6, 7, 8}, "max_tokens": tokens, "ignore_eos": true, "stream": true, "return_token_ids": true}
			if _, err := s.complete("/v1/completions", body, func(int) { lists[i] = append(lists[i], time.Now()) }); err != nil {
				b.Error(err)
			}
		})
	}
	all.Wait()
	for _, list := range lists {
		if len(list) < tokens {
			b.Fatalf("%d events of %d tokens", len(list), tokens)
		}
	}
	return lists
}

// rate is how many events a second there were in all lists while none was before its first or behind its last.
func rate(lists [][]time.Time) float64 {
	from, to := lists[0][0], lists[0][len(lists[0])-1]
	for _, list := range lists {
		if list[0].After(from) {
			from = list[0]
		}
		if last := list[len(list)-1]; last.Before(to) {
			to = last
		}
	}
	n := 0
	for _, list := range lists {
		for _, at := range list {
			if at.After(from) && !at.After(to) {
				n++
			}
		}
	}
	return float64(n) / to.Sub(from).Seconds()
}

// prompts is how many tokens a second of prompts, no two alike, models compute that are asked at the same time.
func (s *server) prompts(b *testing.B, seed int, models ...string) float64 {
	const length = 512
	prompt := make([]int, length)
	for i := range prompt {
		prompt[i] = (i*251 + seed*7919) % 150000
	}
	began := time.Now()
	var all sync.WaitGroup
	for _, model := range models {
		all.Go(func() {
			if code, out := s.post("/v1/completions", object{"model": model, "prompt": prompt, "max_tokens": 1}); code != http.StatusOK {
				b.Errorf("%d %v", code, out)
			}
		})
	}
	all.Wait()
	return float64(length*len(models)) / time.Since(began).Seconds()
}

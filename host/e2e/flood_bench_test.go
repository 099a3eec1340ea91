package e2e

// flood_bench_test.go measures what the floods of flood_test.go take, of the host and of all processes together.

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// crowd watches what the host and everything below it have in memory together. Pages that they share are counted for each.
type crowd struct {
	stop chan struct{}
	most chan int64
}

func watchMemory(s *server) *crowd {
	c := &crowd{make(chan struct{}), make(chan int64)}
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		var most int64
		for {
			most = max(most, inMemoryTogether(s))
			select {
			case <-tick.C:
			case <-c.stop:
				c.most <- most
				return
			}
		}
	}()
	return c
}

func inMemoryTogether(s *server) (sum int64) {
	host := []int{s.cmd.Process.Pid}
	keepers := children(host)
	for _, list := range [][]int{host, keepers, children(keepers)} {
		for _, pid := range list {
			sum += inMemory(pid)
		}
	}
	return sum
}

func (c *crowd) end() int64 {
	close(c.stop)
	return <-c.most
}

// BenchmarkFloodOfLongPrompts sends 24 prompts of 31 MB at once to a model of 2,048 positions, and as many that fit, one after the other, until
// all the long ones are refused.
func BenchmarkFloodOfLongPrompts(b *testing.B) {
	const before, after = `{"model":"tiny","prompt":"`, `"}`
	long := before + strings.Repeat("word ", 31_000_000/5) + after
	var rest, together, host int64
	var fitted, slowest float64
	statuses := map[string]int{}
	for b.Loop() {
		s := start(b, tinyModel("context = 2048"))
		rest = inMemoryTogether(s)
		memory := watchMemory(s)
		ended := make(chan struct{})
		var small sync.WaitGroup
		small.Go(func() {
			for {
				began := time.Now()
				if got := flood(b, s, "/v1/completions", 1, before+`Hello","max_tokens":2}`); got["200 "] != 1 {
					b.Errorf("one that fits: %v", got)
				}
				fitted++
				slowest = max(slowest, time.Since(began).Seconds())
				select {
				case <-ended:
					return
				default:
				}
			}
		})
		for status, n := range flood(b, s, "/v1/completions", 24, long) {
			statuses[status] += n
		}
		close(ended)
		small.Wait()
		together, host = max(together, memory.end()), max(host, peak(b, s.cmd.Process.Pid))
		s.stop()
	}
	b.Log(statuses)
	b.ReportMetric(float64(host)/1e6, "MB/host")
	b.ReportMetric(float64(rest)/1e6, "MB/before")
	b.ReportMetric(float64(together)/1e6, "MB/together")
	b.ReportMetric(fitted/float64(b.N), "answered")
	b.ReportMetric(slowest, "s/slowest")
}

// BenchmarkManyAnswersToALongText asks for 64 answers to 8 MiB of text that do not fit.
func BenchmarkManyAnswersToALongText(b *testing.B) {
	body := `{"model":"tiny","n":64,"prompt":"` + strings.Repeat("word ", 8<<20/5) + `"}`
	s := start(b, tinyModel("context = 2048"))
	memory := watchMemory(s)
	for b.Loop() {
		if got := flood(b, s, "/v1/completions", 1, body); got[`400 "code":"context_length_exceeded"`] != 1 {
			b.Fatal(fmt.Sprint(got))
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/refusal")
	b.ReportMetric(float64(memory.end())/1e6, "MB/together")
	b.ReportMetric(float64(peak(b, s.plugins()[0]))/1e6, "MB/plugin")
}

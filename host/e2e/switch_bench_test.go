package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// BenchmarkSwitch has two models of some 400 MB share a device that has room for one, and asks them in turns: what whoever asks the one that has been idle waits for until the
// first token, beside what whoever asks it again does; and what the same is where the memory of the host has room for one, too, so that the
// other is unloaded and it is loaded. All in ms, the middle of the rounds.
func BenchmarkSwitch(b *testing.B) {
	const layers, hidden, inner, vocab = 16, 1024, 3072, 1024
	path := invented(b, layers, hidden, inner, vocab, bf16, bf16).Write(b, "invented.gguf")
	size := fileSize(b, path)
	for _, c := range []struct {
		name   string
		memory int64
		keys   string
	}{{"share", 0, ""}, {"unload-and-load", size * 3 / 2, "load = \"demand\"\n"}} {
		b.Run(c.name, func(b *testing.B) {
			tables := fmt.Sprintf("[[device]]\nname = \"far\"\nmemory = \"%dB\"\ncopy = \"4GB/s\"\nread = \"100GB/s\"\n", size+size/8)
			if c.memory > 0 {
				tables += fmt.Sprintf("[[device]]\nname = \"cpu\"\nmemory = \"%dB\"\n", c.memory)
			}
			for _, id := range []string{"one", "two"} {
				tables += fmt.Sprintf("[[model]]\nid = %q\npath = %q\nplugin = \"qwen3_0_6b\"\ncontext = 512\nmax_sequences = 1\n%s", id, path, c.keys)
			}
			s := start(b, tables)
			first := func(id string) float64 {
				began := time.Now()
				if _, err := s.complete("/v1/completions", object{"model": id, "prompt": []int{1, 2, 3, 4, 5, 6, 7, 8}, "max_tokens": 1, "ignore_eos": true}, nil); err != nil {
					b.Fatal(err)
				}
				return time.Since(began).Seconds() * 1e3
			}
			first("one")
			first("two")
			var switched, again []float64
			for n := 0; b.Loop(); n++ {
				id := []string{"one", "two"}[n%2]
				switched = append(switched, first(id))
				again = append(again, first(id))
			}
			b.ReportMetric(slices.Sorted(slices.Values(switched))[len(switched)/2], "ms/switched")
			b.ReportMetric(slices.Sorted(slices.Values(again))[len(again)/2], "ms/again")
			b.ReportMetric(0, "ns/op")
		})
	}
}

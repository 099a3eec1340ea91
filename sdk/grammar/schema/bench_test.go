// bench_test.go measures what a token costs and what a schema costs, over the published vocabulary.

package schema

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/sdk/grammar"
	"github.com/inference-pio/inference-pio/sdk/grammar/grammartest"
	"github.com/inference-pio/inference-pio/sdk/tokenizer"
)

// agent is parameters of tools as coding agents describe them, and what a model would write for some of them. peers.py reads it too.
var agent = sync.OnceValue(func() (a struct {
	Tools   []json.RawMessage
	Answers []struct {
		Tool int
		Text string
	}
}) {
	text, err := os.ReadFile("testdata/agent.json")
	if err == nil {
		err = json.Unmarshal(text, &a)
	}
	if err != nil {
		panic(err)
	}
	return a
})

func BenchmarkCompile25Tools(b *testing.B) {
	for b.Loop() {
		for i := range 25 {
			tools := agent().Tools
			s, err := Compile(fmt.Appendf(nil, `{"title":"tool%d",%s`, i, tools[i%len(tools)][1:]), false)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := s.Expr.Compile(); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// report says how times are spread.
func report(b *testing.B, times []time.Duration, name string) {
	slices.Sort(times)
	at := func(share float64) float64 {
		return float64(times[int(share*float64(len(times)-1))].Nanoseconds()) / 1e3
	}
	b.ReportMetric(at(0.5), name+"-p50-us")
	b.ReportMetric(at(0.99), name+"-p99-us")
	b.ReportMetric(at(1), name+"-max-us")
	b.ReportMetric(0, "ns/op")
}

// clocks are the times of what was measured.
type clocks struct{ masks, steps []time.Duration }

// follow writes a text under a schema, of which nothing is known yet.
func (c *clocks) follow(b *testing.B, tok *tokenizer.Tokenizer, v *grammar.Vocabulary, raw []byte, text string) {
	s, err := Compile(raw, true)
	if err != nil {
		b.Fatal(err)
	}
	g, err := s.Expr.Compile()
	if err != nil {
		b.Fatal(err)
	}
	ids, err := tok.Encode(context.Background(), text)
	if err != nil {
		b.Fatal(err)
	}
	m := g.Over(v, nil).Start()
	for _, id := range ids {
		began := time.Now()
		m.Mask()
		masked := time.Now()
		if err := m.Advance(id); err != nil {
			b.Fatalf("%s: %v", tok.Bytes(id), err)
		}
		c.masks, c.steps = append(c.masks, masked.Sub(began)), append(c.steps, time.Since(masked))
	}
	if !m.Complete() {
		b.Fatalf("%s is not complete", text)
	}
}

func (c *clocks) report(b *testing.B) {
	report(b, c.masks, "mask")
	report(b, c.steps, "advance")
}

func BenchmarkMaskOfAnswers(b *testing.B) {
	tok := grammartest.Qwen3(b)
	v, err := grammar.NewVocabulary(tok.Words(), grammartest.Rows)
	if err != nil {
		b.Fatal(err)
	}
	var c clocks
	for b.Loop() {
		for _, a := range agent().Answers {
			c.follow(b, tok, v, agent().Tools[a.Tool], a.Text)
		}
	}
	c.report(b)
}

// Of different items all that were written are looked at for each token.
func BenchmarkMaskOfDifferentItems(b *testing.B) {
	tok := grammartest.Qwen3(b)
	v, err := grammar.NewVocabulary(tok.Words(), grammartest.Rows)
	if err != nil {
		b.Fatal(err)
	}
	var words, objects []string
	for i := range 200 {
		words = append(words, fmt.Sprintf(`"item number %d of some"`, i*i))
		objects = append(objects, fmt.Sprintf(`{"name":"item number %d","price":%d.5}`, i%50, i))
	}
	for kind, of := range map[string]struct {
		schema string
		items  []string
	}{"strings": {`{"type":"string"}`, words}, "objects": {`{"type":"object","properties":{"name":{"type":"string"},"price":{"type":"number"}},"required":["name","price"],"additionalProperties":false}`, objects}} {
		b.Run(kind, func(b *testing.B) {
			var c clocks
			for b.Loop() {
				c.follow(b, tok, v, []byte(`{"type":"array","items":`+of.schema+`,"uniqueItems":true}`), "["+strings.Join(of.items, ",")+"]")
			}
			c.report(b)
		})
	}
}

// Random walks visit what no model would write, under schemas that no client would send.
func BenchmarkMaskOfRandomWalks(b *testing.B) {
	words := grammartest.Qwen3(b).Words()
	v, err := grammar.NewVocabulary(words, grammartest.Rows)
	if err != nil {
		b.Fatal(err)
	}
	var times []time.Duration
	for b.Loop() {
		for seed := range uint64(100) {
			r := rand.New(rand.NewPCG(seed, 42))
			s, err := Compile(inventor{r}.document(), true)
			if err != nil {
				continue
			}
			g, err := s.Expr.Compile()
			if err != nil {
				b.Fatal(err)
			}
			m := g.Over(v, nil).Start()
			for range 100 {
				began := time.Now()
				mask := m.Mask()
				times = append(times, time.Since(began))
				id := choose(r, mask)
				if id < 0 {
					break
				}
				if err := m.Advance(id); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	report(b, times, "mask")
}

// choose is a random id of a mask, -1 if it is empty.
func choose(r *rand.Rand, mask []uint32) int32 {
	from := r.IntN(len(mask))
	for i := range mask {
		at := (from + i) % len(mask)
		if w := mask[at]; w != 0 {
			for skip := r.IntN(32); ; skip++ {
				if w>>(skip%32)&1 == 1 {
					return int32(at*32 + skip%32)
				}
			}
		}
	}
	return -1
}

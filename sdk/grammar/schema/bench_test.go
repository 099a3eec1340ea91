// bench_test.go measures what a token costs and what a schema costs, over the published vocabulary.

package schema

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/sdk/grammar"
	"github.com/inference-pio/inference-pio/sdk/grammar/grammartest"
)

// tools are parameters as coding agents describe them.
var tools = []string{
	`{"type":"object","properties":{"file_path":{"type":"string","description":"The absolute path"},"offset":{"type":"number"},"limit":{"type":"number"}},"required":["file_path"],"additionalProperties":false}`,
	`{"type":"object","properties":{"file_path":{"type":"string"},"old_string":{"type":"string"},"new_string":{"type":"string"},"replace_all":{"type":"boolean","default":false}},"required":["file_path","old_string","new_string"],"additionalProperties":false}`,
	`{"type":"object","properties":{"command":{"type":"string"},"timeout":{"type":"integer","minimum":0,"maximum":600000},"description":{"type":"string","maxLength":200},"is_background":{"type":"boolean"}},"required":["command"]}`,
	`{"type":"object","properties":{"pattern":{"type":"string"},"path":{"type":"string"},"glob":{"type":"string"},"output_mode":{"enum":["content","files_with_matches","count"]},"-A":{"type":"number"},"-i":{"type":"boolean"},"head_limit":{"type":"integer","minimum":1}},"required":["pattern"]}`,
	`{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","properties":{"todos":{"type":"array","items":{"type":"object","properties":{"id":{"type":"string"},"content":{"type":"string","minLength":1},"status":{"type":"string","enum":["pending","in_progress","completed"]}},"required":["content","status","id"],"additionalProperties":false}}},"required":["todos"],"additionalProperties":false}`,
	`{"type":"object","properties":{"url":{"type":"string","format":"uri"},"prompt":{"type":"string"}},"required":["url","prompt"]}`,
	`{"type":"object","properties":{"description":{"type":"string"},"prompt":{"type":"string"},"subagent_type":{"type":"string"},"model":{"anyOf":[{"enum":["small","large"]},{"type":"null"}]}},"required":["description","prompt","subagent_type"]}`,
	`{"type":"object","properties":{"edits":{"type":"array","minItems":1,"maxItems":50,"items":{"$ref":"#/$defs/edit"}}},"required":["edits"],"$defs":{"edit":{"type":"object","properties":{"range":{"type":"array","prefixItems":[{"type":"integer"},{"type":"integer"}],"items":false},"text":{"type":"string"}},"required":["range","text"]}}}`,
	`{"type":"object","properties":{"query":{"type":"string","minLength":2},"allowed_domains":{"type":"array","items":{"type":"string"}},"blocked_domains":{"type":"array","items":{"type":"string"}},"since":{"type":"string","format":"date"}},"required":["query"]}`,
	`{"type":"object","properties":{"questions":{"type":"array","minItems":1,"maxItems":4,"items":{"type":"object","properties":{"question":{"type":"string"},"header":{"type":"string","maxLength":12},"options":{"type":"array","minItems":2,"maxItems":4,"items":{"type":"object","properties":{"label":{"type":"string"},"description":{"type":"string"}},"required":["label","description"]}},"multi":{"type":"boolean"}},"required":["question","header","options"]}}},"required":["questions"]}`,
}

func BenchmarkCompile25Tools(b *testing.B) {
	for b.Loop() {
		for i := range 25 {
			raw := fmt.Sprintf(`{"title":"tool%d",%s`, i, tools[i%len(tools)][1:])
			s, err := Compile([]byte(raw), false)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := s.Expr.Compile(); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// answers are what a model would write, one for each of some schemas.
var answers = []struct{ schema, text string }{
	{tools[1], `{"file_path": "/srv/app/internal/store/cache.go", "old_string": "func (c *Cache) Get(key string) ([]byte, bool) {\n\tc.mu.Lock()\n\tdefer c.mu.Unlock()\n", "new_string": "func (c *Cache) Get(key string) ([]byte, bool) {\n\tc.mu.RLock()\n\tdefer c.mu.RUnlock()\n", "replace_all": false}`},
	{tools[4], `{"todos": [{"id": "1", "content": "Read the schema and write down what is missing", "status": "completed"}, {"id": "2", "content": "Add the migration", "status": "in_progress"}, {"id": "3", "content": "Übersetzung prüfen", "status": "pending"}]}`},
	{tools[9], `{"questions": [{"question": "Which database should the service use?", "header": "Database", "options": [{"label": "Postgres", "description": "What the rest of the system has"}, {"label": "SQLite", "description": "No server to run"}], "multi": false}]}`},
	{tools[2], `{"command": "go test ./... -run TestCache -count=1 2>&1 | tail -20", "timeout": 120000, "description": "Run the tests of the cache", "is_background": false}`},
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

func BenchmarkMaskOfAnswers(b *testing.B) {
	tok := grammartest.Qwen3(b)
	v, err := grammar.NewVocabulary(tok.Words(), grammartest.Rows)
	if err != nil {
		b.Fatal(err)
	}
	var times, steps []time.Duration
	for b.Loop() {
		for _, a := range answers {
			s, err := Compile([]byte(a.schema), true)
			if err != nil {
				b.Fatal(err)
			}
			g, err := s.Expr.Compile()
			if err != nil {
				b.Fatal(err)
			}
			ids, err := tok.Encode(context.Background(), a.text)
			if err != nil {
				b.Fatal(err)
			}
			m := g.Over(v, nil).Start() // nothing of another sequence is known
			for _, id := range ids {
				began := time.Now()
				m.Mask()
				masked := time.Now()
				if err := m.Advance(id); err != nil {
					b.Fatalf("%s: %v", tok.Bytes(id), err)
				}
				times, steps = append(times, masked.Sub(began)), append(steps, time.Since(masked))
			}
			if !m.Complete() {
				b.Fatalf("%s is not complete", a.text)
			}
		}
	}
	report(b, times, "mask")
	report(b, steps, "advance")
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

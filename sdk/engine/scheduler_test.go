package engine

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var rewrite = flag.Bool("rewrite", false, "write the results into testdata")

// Each testdata/*.txt is a story: commands, and what the scheduler did. Lines before the first blank one set the limits.
//
//	new blocks=4 sequences=2 rows=65 prefix keep=3 oneform snapshots=2 chunks=16 host=2
//	add NAME prompt=N answered=N from=N    a request; prompts with equal "from" begin alike
//	add NAME after=OTHER prompt=N          the next turn of a conversation: the other's tokens, and N more
//	step                                   one step; every sequence with logits gets a token, which its caller takes
//	step slow=NAME                         ... but that caller does not take it
//	step times=N                           several, of which the last is told
//	takes NAME                             now it does
//	wait                                   long enough for a caller to count as stalled
//	end NAME
func TestScheduler(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := tell(t, string(text))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(text) {
				t.Errorf("the story went differently; go test -rewrite shows how. Now:\n%s", got)
			}
		})
	}
}

type story struct {
	t     *testing.T
	s     *scheduler
	names map[string]*sequence
	now   time.Time
	out   bytes.Buffer
}

func tell(t *testing.T, text string) string {
	st := &story{t: t, now: time.Unix(0, 0)}
	for _, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		if strings.HasPrefix(line, "  ") {
			continue // what happened last time
		}
		fmt.Fprintln(&st.out, line)
		if words := strings.Fields(line); len(words) > 0 && words[0] != "#" {
			st.do(words)
		}
	}
	return st.out.String()
}

func (st *story) do(words []string) {
	v := map[string]int{"sequences": 4, "rows": 128, "times": 1}
	name, told, after := "", st.out.Len(), ""
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		n := 1
		if key == "after" {
			after = value
		} else if _, err := fmt.Sscan(value, &n); err != nil {
			name += strings.TrimPrefix(w, "slow=")
		}
		v[key] = n
	}
	switch words[0] {
	case "new":
		c := &Config{Blocks: v["blocks"], MaxSequences: v["sequences"], StepTokens: v["rows"], Context: 1 << 12, Vocab: fakeVocab, PrefixCache: v["prefix"] == 1, Keep: v["blocks"],
			OneForm: v["oneform"] == 1, Stateful: v["snapshots"] > 0, Snapshots: v["snapshots"], ChunkMultiple: v["chunks"]}
		if v["keep"] > 0 {
			c.Keep = v["keep"]
		}
		if err := c.validate(); err != nil {
			st.t.Fatal(err)
		}
		st.s, st.names = newScheduler(c), map[string]*sequence{}
		if v["host"] > 0 {
			st.s.spillTo(newSpillingModel(*c, v["host"], always))
		}
	case "add":
		prompt := ids(v["prompt"], uint64(v["from"]))
		if after != "" {
			prompt = slices.Concat(st.names[after].tokens, prompt)
		}
		q, err := st.s.config.newSequence(Request{Prompt: prompt, Generated: ids(v["answered"], 99)}, new(workspace))
		if err != nil {
			st.t.Fatal(err)
		}
		q.arrival = uint64(len(st.names))
		st.names[name] = q
		st.s.enqueue(q)
	case "step":
		for range v["times"] - 1 {
			st.step(name)
		}
		st.out.Truncate(told)
		st.step(name)
	case "takes":
		st.names[name].awaiting, st.names[name].late = false, time.Time{}
	case "wait":
		st.now = st.now.Add(stallAfter)
	case "end":
		st.s.remove(st.names[name])
	default:
		st.t.Fatalf("unknown command %q", words[0])
	}
}

func (st *story) step(slow string) {
	preempts := st.s.counts.preempts
	st.s.next(st.now)
	for _, c := range st.s.batch.Copies {
		what := "block"
		if c.State {
			what = "state"
		}
		fmt.Fprintf(&st.out, "  copy %s %d to %d%s\n", what, c.From, c.To, map[Host]string{ToHost: " of the host", FromHost: ", from the host"}[c.Host])
	}
	for _, p := range st.s.parts {
		form := st.s.batch.Rows[0].Form
		for _, r := range st.s.batch.Rows {
			if r.Seq == p.q.slot {
				form = r.Form
			}
		}
		fmt.Fprintf(&st.out, "  %s: %s %d to %d", st.name(p.q), form, p.q.fed, p.q.fed+p.rows-1)
		if p.output {
			fmt.Fprint(&st.out, ", a token")
		}
		fmt.Fprintln(&st.out)
	}
	st.s.fed()
	for _, p := range st.s.parts {
		if p.output {
			for _, q := range st.s.followers(p.q) {
				st.s.follow(q, p.q)
				q.tokens = append(q.tokens, 1)
				fmt.Fprintf(&st.out, "  %s: follows %s, a token\n", st.name(q), st.name(p.q))
			}
			p.q.tokens = append(p.q.tokens, 1)
			if st.name(p.q) == slow {
				p.q.awaiting, p.q.late = true, st.now
			}
		}
	}
	if n := st.s.counts.preempts - preempts; n > 0 {
		fmt.Fprintf(&st.out, "  preempted: %d\n", n)
	}
	var queue []string
	for _, q := range st.s.waiting {
		queue = append(queue, st.name(q))
	}
	if len(queue) > 0 {
		fmt.Fprintf(&st.out, "  waiting: %s\n", strings.Join(queue, " "))
	}
	fmt.Fprintf(&st.out, "  %d of %d blocks\n", st.s.blocks.used(), len(st.s.blocks.refs))
}

func (st *story) name(q *sequence) string {
	for name, other := range st.names {
		if q == other {
			return name
		}
	}
	return "?"
}

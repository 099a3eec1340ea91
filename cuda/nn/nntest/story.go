package nntest

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/nn"
)

// story.go runs sequences whose tokens are all known, alone or side by side and cut in any way, and compares their logits.

// Story is a sequence: a prompt, and tokens after it that are given instead of chosen.
type Story struct {
	Prompt, After []int32
	Sight         Sight // of a model that sees; nil where there is nothing to see
}

func (y Story) len() int { return len(y.Prompt) + len(y.After) }

// beginning is a story whose prompt is the first n tokens, and which goes on with some of the next ones.
func (y Story) beginning(n, after int) Story {
	return Story{y.Prompt[:n], y.Prompt[n:min(n+after, len(y.Prompt))], y.Sight}
}

// next is the part from position at on that a step may take: some of the prompt, or some of the tokens after it.
func (y Story) next(seq, at, prompt, after int) Chunk {
	c := Chunk{Seq: seq, All: true}
	if n := len(y.Prompt); at < n {
		c.Tokens = y.Prompt[at:min(at+prompt, n)]
	} else {
		c.Tokens, c.Form = y.After[at-n:min(at-n+after, len(y.After))], nn.Decode
	}
	if y.Sight != nil && len(c.Tokens) > 0 {
		y.Sight(&c, at)
	}
	return c
}

// Pace says how many tokens a sequence may take in a step: of its prompt, or of those after it. 0 sits the step out.
type Pace func(seq, step int) (prompt, after int)

// Steady is the same pace for all.
func Steady(prompt, after int) Pace { return func(int, int) (int, int) { return prompt, after } }

// Tell runs stories side by side, the first as sequence 0, and returns the logits of all their rows.
func (r *Runner) Tell(stories []Story, pace Pace) ([][][]float32, error) {
	rows, at := make([][][]float32, len(stories)), make([]int, len(stories))
	for seq := range stories {
		r.Reset(seq)
	}
	for step := 0; ; step++ {
		var batch []Chunk
		left := false
		for seq, y := range stories {
			left = left || at[seq] < y.len()
			prompt, after := pace(seq, step)
			if c := y.next(seq, at[seq], prompt, after); len(c.Tokens) > 0 {
				batch, at[seq] = append(batch, c), at[seq]+len(c.Tokens)
			}
		}
		if !left {
			return rows, nil
		}
		if len(batch) == 0 {
			continue
		}
		logits, err := r.Run(batch...)
		if err != nil {
			return nil, err
		}
		for _, c := range batch {
			for _, row := range logits[:len(c.Tokens)] {
				rows[c.Seq] = append(rows[c.Seq], slices.Clone(row))
			}
			logits = logits[len(c.Tokens):]
		}
	}
}

// Rows runs one story in a sequence, at a steady pace.
func (r *Runner) Rows(t testing.TB, seq int, y Story, prompt, after int) [][]float32 {
	t.Helper()
	stories := make([]Story, seq+1)
	stories[seq] = y
	rows, err := r.Tell(stories, Steady(prompt, after))
	if err != nil {
		t.Fatal(err)
	}
	return rows[seq]
}

// All runs a prompt in chunks of so many tokens and returns the logits of every row.
func All(t testing.TB, r *Runner, seq int, prompt []int32, chunk int) [][]float32 {
	t.Helper()
	return r.Rows(t, seq, Story{Prompt: prompt}, chunk, 1)
}

// SameBits ends the test unless rows of logits are equal to the bit.
func SameBits(t testing.TB, what string, got, want [][]float32) {
	t.Helper()
	if err := sameBits(got, want); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func sameBits(got, want [][]float32) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d rows, not %d", len(got), len(want))
	}
	for i := range want {
		if len(got[i]) != len(want[i]) {
			return fmt.Errorf("row %d has %d elements, not %d", i, len(got[i]), len(want[i]))
		}
		for j := range want[i] {
			if math.Float32bits(got[i][j]) != math.Float32bits(want[i][j]) {
				return fmt.Errorf("row %d element %d is %v, not %v", i, j, got[i][j], want[i][j])
			}
		}
	}
	return nil
}

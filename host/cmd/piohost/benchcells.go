// benchcells.go says which figures a measurement has, and what the samples of one come to.
package main

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/inference-pio/inference-pio/host/internal/limits"
)

// cell is one figure: so many tokens of a prompt, or of an answer in each of so many streams, behind so many of context.
type cell struct {
	prefill bool
	tokens  int
	depth   int
	streams int
	samples []float64      // tokens per second, of all streams together
	beside  []limits.Rates // what the machine did before and behind each, on the whole
}

func (c *cell) kind() string {
	if c.prefill {
		return "prefill"
	}
	return "decode"
}

func (c *cell) String() string {
	s := c.kind() + " " + strconv.Itoa(c.tokens)
	if c.depth > 0 {
		s += " at " + strconv.Itoa(c.depth)
	}
	if c.streams > 1 {
		s += fmt.Sprintf(", %d streams", c.streams)
	}
	return s
}

// positions are those that a sequence has in the end.
func (c *cell) positions() int {
	if c.prefill {
		return c.depth + c.tokens + 1
	}
	return c.depth + shortPrompt + c.tokens
}

// planCells lists what the flags ask for, or says which of it the context does not hold; 0 is no limit.
func planCells(f benchFlags, context int) ([]*cell, error) {
	var cells []*cell
	for _, depth := range f.depth {
		for _, tokens := range f.prompt {
			cells = append(cells, &cell{prefill: true, tokens: tokens, depth: depth, streams: 1})
		}
		for _, tokens := range f.generate {
			for _, streams := range f.streams {
				cells = append(cells, &cell{tokens: tokens, depth: depth, streams: streams})
			}
		}
	}
	for _, c := range cells {
		if context > 0 && c.positions() > context {
			return nil, fmt.Errorf("%s takes %d positions, and the model has %d; give less of --depth, --prompt or --generate, or it more context in models.toml",
				c, c.positions(), context)
		}
	}
	return cells, nil
}

// middle is the median, 0 of nothing.
func middle(samples []float64) float64 {
	if len(samples) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(samples))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// benchask.go asks a host for the answers that are timed.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// shortPrompt is what a decode begins with: enough to be a prompt, and little against any answer.
	shortPrompt = 8

	// keptBlock is more than what may be missing at the end of a prompt that is kept: the prefix cache has whole blocks.
	keptBlock = 256
)

// benchClient asks for answers to prompts of random ids.
type benchClient struct {
	remote *remote
	model  string
	vocab  int
	random *rand.Rand
	before [][]int32 // by depth: the context that every prompt of that depth begins with
}

// newRandom gives the same prompts in every run.
func newRandom() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// ids are n random ones from the middle of the vocabulary: what stands for roles and pictures is at its ends.
func (c *benchClient) ids(n int) []int32 {
	low, high := c.vocab/4, max(c.vocab*3/4, c.vocab/4+1)
	list := make([]int32, n)
	for i := range list {
		list[i] = int32(low + c.random.IntN(high-low))
	}
	return list
}

// context is the beginning of so many ids, always the same.
func (c *benchClient) context(depth int) []int32 {
	for _, ids := range c.before {
		if len(ids) == depth {
			return ids
		}
	}
	c.before = append(c.before, c.ids(depth))
	return c.before[len(c.before)-1]
}

// prompt is n new ids behind that many of context.
func (c *benchClient) prompt(depth, n int) []int32 {
	return append(append([]int32{}, c.context(depth)...), c.ids(n)...)
}

// warm has every weight read once.
func (c *benchClient) warm(ctx context.Context) error {
	_, err := c.ask(ctx, c.ids(shortPrompt), 2)
	return err
}

// measure takes one sample of a cell, in tokens per second.
func (c *benchClient) measure(ctx context.Context, cell *cell) (float64, error) {
	if cell.depth > 0 { // computed once, or again where it was not kept
		if _, err := c.ask(ctx, c.context(cell.depth), 1); err != nil {
			return 0, err
		}
	}
	if cell.prefill {
		return c.prefill(ctx, cell)
	}
	return c.decode(ctx, cell)
}

// prefill is the tokens that were computed by the time to the first of the answer.
func (c *benchClient) prefill(ctx context.Context, cell *cell) (float64, error) {
	a, err := c.ask(ctx, c.prompt(cell.depth, cell.tokens), 1)
	if err != nil {
		return 0, err
	}
	if kept := a.usage.Details.Cached; kept > cell.depth || kept < cell.depth-keptBlock {
		return 0, fmt.Errorf("%d positions of the prompt were kept from before, where %d were to be; give the model more memory, or more of it to prefix_cache",
			kept, cell.depth)
	}
	return float64(a.usage.In-a.usage.Details.Cached) / a.times[0].Sub(a.begin).Seconds(), nil
}

// decode asks for all streams at once, and counts while all of them run.
func (c *benchClient) decode(ctx context.Context, cell *cell) (float64, error) {
	answers := make([]timedAnswer, cell.streams)
	group, ctx := errgroup.WithContext(ctx)
	for i := range answers {
		prompt := c.prompt(cell.depth, shortPrompt)
		group.Go(func() (err error) {
			answers[i], err = c.ask(ctx, prompt, cell.tokens)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	return togetherRate(answers)
}

// togetherRate is the tokens per second of all answers, from when the last of them has begun until the first ends; of answers so quick
// that they hardly met, from the first token of any to the last.
func togetherRate(answers []timedAnswer) (float64, error) {
	var first, last []time.Time
	for _, a := range answers {
		first, last = append(first, a.times[0]), append(last, a.times[len(a.times)-1])
	}
	start, end := slices.MaxFunc(first, time.Time.Compare), slices.MinFunc(last, time.Time.Compare)
	if !end.After(start) {
		start, end = slices.MinFunc(first, time.Time.Compare), slices.MaxFunc(last, time.Time.Compare)
	}
	n := 0
	for _, a := range answers {
		for _, at := range a.times {
			if at.After(start) && !at.After(end) {
				n++
			}
		}
	}
	if n == 0 {
		return 0, errors.New("all tokens came at once; give more to --generate")
	}
	return float64(n) / end.Sub(start).Seconds(), nil
}

// timedAnswer is when each token of an answer came.
type timedAnswer struct {
	begin time.Time
	times []time.Time
	usage tokenCount
}

// benchChunk is what is read of one event of a completion.
type benchChunk struct {
	Error   *apiError
	Usage   *tokenCount
	Choices []struct {
		IDs []int32 `json:"token_ids"`
	}
}

// ask streams a completion of exactly so many tokens.
func (c *benchClient) ask(ctx context.Context, prompt []int32, tokens int) (timedAnswer, error) {
	a := timedAnswer{begin: time.Now()}
	body, err := c.remote.post(ctx, "/v1/completions", map[string]any{
		"model": c.model, "prompt": prompt, "max_tokens": tokens, "ignore_eos": true, "temperature": 0,
		"stream": true, "stream_options": map[string]any{"include_usage": true}, "return_token_ids": true,
	})
	if err != nil {
		return a, err
	}
	defer body.Close()
	err = events(body, a.add)
	switch {
	case err != nil:
		return a, err
	case len(a.times) != tokens || a.usage.Out != tokens || a.usage.In != len(prompt):
		return a, fmt.Errorf("the model answered %d tokens to %d; %d to %d were asked for", len(a.times), a.usage.In, tokens, len(prompt))
	}
	return a, nil
}

// add takes the time of an event's tokens.
func (a *timedAnswer) add(data []byte) error {
	now := time.Now()
	var c benchChunk
	if err := json.Unmarshal(data, &c); err != nil {
		return fmt.Errorf("the host sent what is not JSON: %w", err)
	}
	if c.Error != nil {
		return c.Error
	}
	for _, choice := range c.Choices {
		for range choice.IDs {
			a.times = append(a.times, now)
		}
	}
	if c.Usage != nil {
		a.usage = *c.Usage
	}
	return nil
}

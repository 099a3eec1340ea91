package main

import (
	"testing"
	"time"
)

const counted = `data: {"choices":[{"delta":{},"finish_reason":"stop"}]}` + "\n\n" +
	`data: {"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":8}}}` + "\n\ndata: [DONE]\n\n"

func TestFigures(t *testing.T) {
	tokens := &tokenCount{In: 12, Out: 41}
	tokens.Details.Cached = 8
	for want, f := range map[string]figures{
		"12 tokens in, 8 of them cached; 41 out; the first after 0.25 s; 20.0 tokens/s": {tokens, 250 * time.Millisecond, 2 * time.Second},
		"1 tokens in, 0 of them cached; 1 out; the first after 0.25 s":                  {&tokenCount{In: 1, Out: 1}, 250 * time.Millisecond, time.Second},
		"1 tokens in, 0 of them cached; 0 out":                                          {&tokenCount{In: 1}, 0, 0},
		"":                                                                              {nil, time.Second, time.Second},
	} {
		if got := f.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	begin := time.Unix(100, 0)
	w := stopwatch{begin: begin}
	w.said(begin.Add(time.Second))
	w.said(begin.Add(2 * time.Second))
	if f := w.figures(tokens, begin.Add(5*time.Second)); f.first != time.Second || f.rest != 4*time.Second {
		t.Errorf("%+v", f)
	}
}

func TestFiguresInAChat(t *testing.T) {
	h, p := chatting(t)
	h.answers("Yes.", "", counted)
	p.types("Well?\r")
	h.question(t, "user: Well?")
	p.sees("Yes.\r\n" + dim + "12 tokens in, 8 of them cached; 3 out")
	p.sees(promptFirst)
	p.types("\x04")
	p.leaves(0)
}

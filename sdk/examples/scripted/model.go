package main

import (
	"context"
	"slices"
	"strings"

	"github.com/inference-pio/inference-pio/sdk/engine"
	"github.com/inference-pio/inference-pio/sdk/text"
)

// certain is the logit of the id that comes next, where all others have 0: beside it a thousand million of those weigh nothing.
const certain = 100

// model is a function of the ids that it was fed, as any other: what it says does not depend on its company or on a restart.
type model struct {
	words  *text.Model
	script script
	logits [][]float32 // by slot
	read   []history   // by slot
}

// history is one sequence: of a real model it would lie in the cache.
type history struct {
	prompt, answer []int32
	text           string  // what the script has for the prompt
	ids            []int32 // of text
}

func newModel(words *text.Model, s script, vocab, sequences int) *model {
	m := &model{words: words, script: s, read: make([]history, sequences)}
	for range sequences {
		m.logits = append(m.logits, make([]float32, vocab))
	}
	return m
}

// Step returns one row of logits for each output.
func (m *model) Step(b *engine.Batch) (logits [][]float32, err error) {
	for _, r := range b.Rows {
		h := &m.read[r.Seq]
		if r.Pos == 0 {
			*h = history{}
		}
		if r.Form == engine.Prefill {
			h.prompt = append(h.prompt, r.Token)
		} else {
			h.answer = append(h.answer, r.Token)
		}
		if !r.Output {
			continue
		}
		next, err := m.next(h)
		if err != nil {
			return nil, err
		}
		row := m.logits[r.Seq]
		clear(row)
		row[next] = certain
		logits = append(logits, row)
	}
	return logits, nil
}

// next is the id that follows: of the script, or the end where the answer has left it. What was forced upon the answer may be the script's text in
// other ids.
func (m *model) next(h *history) (int32, error) {
	if h.ids == nil {
		prompt, err := m.words.Detokenize(h.prompt)
		if err != nil {
			return 0, err
		}
		h.text = m.script.to(prompt)
		if h.ids, err = m.encode(h.text); err != nil {
			return 0, err
		}
	}
	if n := len(h.answer); n < len(h.ids) && slices.Equal(h.answer, h.ids[:n]) {
		return h.ids[n], nil
	}
	said, err := m.words.Detokenize(h.answer)
	if err != nil {
		return 0, err
	}
	rest, found := strings.CutPrefix(h.text, said)
	if !found {
		rest = ""
	}
	ids, err := m.encode(rest)
	if err != nil {
		return 0, err
	}
	return ids[0], nil
}

// encode returns the ids of a text and of its end.
func (m *model) encode(text string) ([]int32, error) {
	ids, err := m.words.Tokenize(context.Background(), text)
	return append(ids, m.words.EOS()[0]), err
}

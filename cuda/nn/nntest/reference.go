// Comparisons with the files a reference implementation wrote beside a checkpoint: golden.safetensors, golden.json and
// perplexity.json.

package nntest

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/golden"
)

// Layers runs the case of golden.safetensors as one prompt and compares embeddings, every layer, the final hidden state and the
// logits of every row. The error names the first tensor that is further away than the bound; the text lists how far each is.
func (r *Runner) Layers(dir string, bound float64) (string, error) {
	return r.SeeingLayers(dir, bound, func(prompt []int32) Chunk { return Chunk{Tokens: prompt} })
}

// SeeingLayers is Layers of a model that sees: chunk says what there is to see in the prompt. What each layer is given is
// compared as well, because something may be added between layers.
func (r *Runner) SeeingLayers(dir string, bound float64, chunk func(prompt []int32) Chunk) (string, error) {
	f, err := golden.Open(filepath.Join(dir, "golden.safetensors"))
	if err != nil {
		return "", err
	}
	defer f.Close()
	ids, err := f.I64("input_ids")
	if err != nil {
		return "", err
	}
	trace, names := golden.NewTrace(f, bound), []string{"embeddings"}
	for i := range r.caches {
		names = append(names, fmt.Sprintf("layer.%d", i))
		if r.limits.Features > 0 {
			names = append(names, fmt.Sprintf("input.%d", i))
		}
	}
	r.Step.SetObserver(func(name string, i int, x cuda.Tensor) {
		if name == "layer" || name == "input" {
			name = fmt.Sprintf("%s.%d", name, i)
		}
		trace.Show(name, x.F32())
	})
	defer r.Step.SetObserver(nil)
	prompt := make([]int32, len(ids))
	for i, id := range ids {
		prompt[i] = int32(id)
	}
	r.Reset(0)
	c := chunk(prompt)
	c.All = true
	logits, err := r.Run(c)
	if err != nil {
		return "", err
	}
	trace.Show("logits", slices.Concat(logits...))
	return trace.String(), trace.Err(append(names, "final", "logits")...)
}

// Case is one generation of golden.json.
type Case struct {
	Name   string  `json:"name"`
	Think  bool    `json:"enable_thinking"`
	Prompt []int32 `json:"ids"`
	Greedy []int32 `json:"greedy_ids"`
	Margin float64 `json:"smallest_margin"` // between the best two logits on the way

	Images []string // files of the pictures in the prompt, of a model that sees
}

// Cases reads golden.json.
func Cases(dir string) ([]Case, error) {
	var file struct{ Cases []Case }
	err := readJSON(filepath.Join(dir, "golden.json"), &file)
	if err == nil && len(file.Cases) == 0 {
		err = fmt.Errorf("%s: golden.json has no cases", dir)
	}
	return file.Cases, err
}

// Generate continues a prompt greedily by n tokens, one step each, after the prompt went in chunks of that many tokens.
func (r *Runner) Generate(seq int, prompt []int32, chunk, n int) ([]int32, error) {
	return r.Continue(seq, Story{Prompt: prompt}, chunk, n)
}

// Continue is Generate behind the prompt of a story.
func (r *Runner) Continue(seq int, y Story, chunk, n int) ([]int32, error) {
	r.Reset(seq)
	y.After = nil
	for at := 0; len(y.After) < n; {
		c := y.next(seq, at, chunk, 1)
		c.All = false
		logits, err := r.Run(c)
		if err != nil {
			return nil, err
		}
		if at += len(c.Tokens); at == y.len() {
			y.After = append(y.After, Argmax(logits[0]))
		}
	}
	return y.After, nil
}

// Perplexity is the documents of perplexity.json with what the reference says of them.
type Perplexity struct {
	NLL       float64   `json:"nll"`    // sum over all predicted tokens, natural logarithm
	Tokens    int       `json:"tokens"` // predicted: all but the first of each document
	Documents [][]int32 `json:"documents"`
}

// ReadPerplexity reads perplexity.json.
func ReadPerplexity(dir string) (p Perplexity, err error) {
	err = readJSON(filepath.Join(dir, "perplexity.json"), &p)
	return p, err
}

// NLL sums the negative log-likelihood of each document's tokens after the first, and counts them.
func (r *Runner) NLL(documents [][]int32) (sum float64, tokens int, err error) {
	for _, doc := range documents {
		r.Reset(0)
		logits, err := r.Run(Chunk{Tokens: doc, All: true})
		if err != nil {
			return 0, 0, err
		}
		for i, next := range doc[1:] {
			sum += -logProb(logits[i], next)
			tokens++
		}
	}
	return sum, tokens, nil
}

func logProb(logits []float32, id int32) float64 {
	top, sum := float64(slices.Max(logits)), 0.0
	for _, x := range logits {
		sum += math.Exp(float64(x) - top)
	}
	return float64(logits[id]) - top - math.Log(sum)
}

func readJSON(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

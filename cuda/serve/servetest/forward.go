package servetest

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/golden"
	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
)

// forward.go asks a plugin for logits and vectors and compares them with the reference's tensors and with what Generate draws from.

// Forward opens, forks, appends to and closes sequences, and embeds.
func (p Plugin) Forward(t *testing.T) {
	p.Each(t, func(t *testing.T, dir string) {
		c := p.Loaded(t, sdk.LoadRequest{InspectRequest: sdk.InspectRequest{Path: dir, MaxSequences: 2}})
		t.Run("reference", func(t *testing.T) { reference(t, c, dir) })
		t.Run("generate", func(t *testing.T) { likeGenerate(t, c, p.prompt(t, dir, 130)) })
		t.Run("embed", func(t *testing.T) { embeds(t, c, p.prompt(t, dir, 100)) })
	})
}

// reference compares all rows of the reference's prompt, and its last final state.
func reference(t *testing.T, c *client.Client, dir string) {
	f, err := golden.Open(filepath.Join(dir, "golden.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	wide, err := f.I64("input_ids")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.F32("pixel_values"); err == nil {
		t.Log("the prompt has a picture, which a sequence cannot be given; Generate is compared with alone")
		return
	}
	var prompt []int32
	var rows []int
	for i, id := range wide {
		prompt, rows = append(prompt, int32(id)), append(rows, i)
	}
	forward(t, c, "whole", nil, nil)
	got := forward(t, c, "whole", prompt, rows)
	want, err := f.F32("logits")
	if err != nil {
		t.Fatal(err)
	}
	near(t, "logits", got.Logits, want)
	final, err := f.F32("final")
	if err != nil {
		t.Fatal(err)
	}
	final = final[len(final)-len(final)/len(prompt):]
	r, err := c.Embed(t.Context(), sdk.EmbedRequest{Tokens: [][]int32{prompt}})
	if err != nil {
		t.Fatal(err)
	}
	length := 0.0
	for _, x := range final {
		length += float64(x) * float64(x)
	}
	vector := make([]float32, len(final))
	for i, x := range final {
		vector[i] = float32(float64(x) / math.Sqrt(length))
	}
	near(t, "vector", r.Vectors[0], vector)
}

func near(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if d := golden.Compare(got, want); !(d.Rel <= nntest.Bound) {
		t.Errorf("%s: %.1e from the reference at %d", what, d.Rel, d.At)
	}
}

// forward appends to a sequence; without tokens it opens it.
func forward(t *testing.T, c *client.Client, name string, tokens []int32, rows []int) sdk.ForwardResult {
	t.Helper()
	if tokens == nil {
		if err := c.OpenSequence(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		return sdk.ForwardResult{}
	}
	r, err := c.Forward(t.Context(), sdk.ForwardRequest{Sequence: name, Tokens: tokens, Rows: rows})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// likeGenerate takes the likeliest token of each row as Generate does, in company, through a fork, and with the rows in one call.
func likeGenerate(t *testing.T, c *client.Client, prompt []int32) {
	const n = 20
	req := Greedy(n)
	req.Tokens, req.IgnoreEOS = prompt, true
	want := Ask(t, c, req).IDs
	for _, name := range []string{"a", "b", "c"} { // more than there are places
		forward(t, c, name, nil, nil)
	}
	next := map[string]int32{}
	step := func(name string, tokens ...int32) sdk.ForwardResult {
		r := forward(t, c, name, tokens, nil)
		next[name] = likeliest(r.Logits)
		return r
	}
	for _, name := range []string{"a", "b", "c"} {
		step(name, prompt...)
	}
	for i := range n - 1 {
		for _, name := range []string{"a", "b", "c"} {
			if next[name] != want[i] {
				t.Fatalf("token %d of sequence %s is %d; Generate draws %d", i, name, next[name], want[i])
			}
			if r := step(name, next[name]); r.Length != len(prompt)+i+1 {
				t.Fatalf("the sequence has %d tokens behind token %d", r.Length, i)
			}
		}
	}
	if err := c.ForkSequence(t.Context(), "a", "fork"); err != nil {
		t.Fatal(err)
	}
	one, two := forward(t, c, "fork", want[:1], nil), forward(t, c, "a", want[n-1:], nil)
	three := forward(t, c, "b", want[n-1:], nil)
	if !slices.Equal(two.Logits, three.Logits) || one.Length != two.Length {
		t.Error("what was appended to a fork changed the sequence that it was made of")
	}
	forward(t, c, "once", nil, nil)
	forward(t, c, "once", prompt, nil)
	rows := make([]int, n)
	for i := range rows {
		rows[i] = n - 1 - i
	}
	all := forward(t, c, "once", want, rows)
	for i, r := range rows[1:] {
		if got := likeliest(all.Logits[(i+1)*all.Vocab:][:all.Vocab]); got != want[r+1] {
			t.Errorf("in one call the token behind %d is %d, one by one %d", r, got, want[r+1])
		}
	}
	if !slices.Equal(all.Logits[:all.Vocab], two.Logits) {
		t.Error("the logits behind all tokens in one call are not those of one by one")
	}
	for _, name := range []string{"a", "b", "c", "fork", "once"} {
		if err := c.CloseSequence(t.Context(), name); err != nil {
			t.Error(err)
		}
	}
	if _, err := c.Forward(t.Context(), sdk.ForwardRequest{Sequence: "a", Tokens: prompt}); sdk.ReasonOf(err) != sdk.ReasonNotFound {
		t.Errorf("a sequence that is closed: %v", err)
	}
}

func likeliest(logits []float32) int32 {
	best := 0
	for i, x := range logits {
		if x > logits[best] {
			best = i
		}
	}
	return int32(best)
}

// embeds asks for vectors of texts and of their ids, alone and together.
func embeds(t *testing.T, c *client.Client, prompt []int32) {
	text, err := c.Detokenize(t.Context(), prompt[:40])
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{text, text + " and more", "a"}
	together, err := c.Embed(t.Context(), sdk.EmbedRequest{Texts: texts})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for i, text := range texts {
		ids, err := c.Tokenize(t.Context(), text)
		if err != nil {
			t.Fatal(err)
		}
		alone, err := c.Embed(t.Context(), sdk.EmbedRequest{Tokens: [][]int32{ids}})
		if err != nil || !slices.Equal(alone.Vectors[0], together.Vectors[i]) || together.Tokens[i] != len(ids) {
			t.Errorf("text %d: alone another vector than together, or %d tokens and not %d; %v", i, together.Tokens[i], len(ids), err)
		}
		sum := 0.0
		for _, x := range together.Vectors[i] {
			sum += float64(x) * float64(x)
		}
		if math.Abs(sum-1) > 1e-5 {
			t.Errorf("text %d: a vector of length %g", i, math.Sqrt(sum))
		}
		seen[fmt.Sprint(together.Vectors[i])] = true
	}
	if len(seen) != len(texts) {
		t.Error("different texts have one vector")
	}
	long := strings.Repeat("a ", 4<<20) // refused by the bound on its tokens, before they are counted
	if _, err := c.Embed(t.Context(), sdk.EmbedRequest{Texts: []string{"a", long}}); sdk.ReasonOf(err) != sdk.ReasonContext || !strings.Contains(err.Error(), "the text has at least") {
		t.Errorf("a text of 8 MiB: %v", err)
	}
}

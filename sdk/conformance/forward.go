package conformance

// forward.go: the logits of a sequence are those that answers are drawn from, whatever else is open; a vector belongs to its text.

import (
	"fmt"
	"math"
	"slices"

	"github.com/inference-pio/inference-pio/sdk"
)

// has says whether a capability is listed.
func (p *process) has(c sdk.Capability) bool {
	d, err := p.Describe(p.ctx())
	if err != nil {
		p.t.Fatalf("D1: Describe failed: %v", err)
	}
	if !slices.Contains(d.Capabilities, c) {
		p.t.Logf("the capability %q is not listed", c)
		return false
	}
	return true
}

func caseForward(t T, c Config) {
	p := start(t, c)
	defer p.end()
	table := p.load()
	if !p.has(sdk.CapabilityForward) {
		return
	}
	one, none := 1.0, 0.0
	req := text(6)
	req.IgnoreEOS = true
	req.Sampling.RepetitionPenalty, req.Sampling.PresencePenalty, req.Sampling.FrequencyPenalty = &one, &none, &none
	a := p.mustGenerate("G1", req)
	if len(a.tokens) == 0 || len(a.start.Prompt) == 0 {
		t.Fatalf("F2: there is nothing to compare with: %d ids of a prompt, %d tokens", len(a.start.Prompt), len(a.tokens))
	}
	f := &forwarding{p: p, vocab: table.VocabSize, prompt: a.start.Prompt, ids: a.ids()}
	rows := f.likeGenerate()
	f.names()
	f.fork(rows)
	f.rows(rows)
	f.refused(rows, table.Context)
}

// forwarding compares with a greedy answer.
type forwarding struct {
	p           *process
	vocab       int
	prompt, ids []int32
	opened      int
}

// open starts a sequence under a name that is new.
func (f *forwarding) open() string {
	f.p.t.Helper()
	f.opened++
	name := fmt.Sprint("conformance-", f.opened)
	if err := f.p.OpenSequence(f.p.ctx(), name); err != nil {
		f.p.t.Fatalf("F1: OpenSequence of %q failed: %v", name, err)
	}
	return name
}

func (f *forwarding) close(must, name string) {
	if err := f.p.CloseSequence(f.p.ctx(), name); err != nil {
		f.p.t.Errorf("%s: CloseSequence failed: %v", must, err)
	}
}

// step appends tokens to a sequence that then has length of them, and returns the last one's logits.
func (f *forwarding) step(must, name string, length int, tokens ...int32) []float32 {
	f.p.t.Helper()
	r, err := f.p.Forward(f.p.ctx(), sdk.ForwardRequest{Sequence: name, Tokens: tokens})
	if err != nil {
		f.p.t.Fatalf("%s: Forward failed: %v", must, err)
	}
	if r.Length != length || r.Vocab != f.vocab {
		f.p.t.Errorf("F4: Forward says the sequence has %d positions and the vocabulary %d; it has %d, and Load's table says %d", r.Length, r.Vocab, length, f.vocab)
	}
	return r.Logits
}

// likeGenerate appends the answer call by call, and returns the logits behind the prompt and each token.
func (f *forwarding) likeGenerate() (rows [][]float32) {
	name := f.open()
	rows = append(rows, f.step("F2", name, len(f.prompt), f.prompt...))
	for i, id := range f.ids {
		if best := likeliest(rows[i]); best != id {
			f.p.t.Fatalf("F2: the likeliest id behind the prompt and %d tokens is %d; Generate has drawn %d, greedily", i, best, id)
		}
		rows = append(rows, f.step("F2", name, len(f.prompt)+i+1, id))
	}
	f.close("F1", name)
	return rows
}

func likeliest(row []float32) int32 {
	best := 0
	for id, x := range row {
		if x > row[best] {
			best = id
		}
	}
	return int32(best)
}

// names looks for sequences that are not there, and for one twice.
func (f *forwarding) names() {
	t, p := f.p.t, f.p
	unknown := func(what, name string) {
		_, err := p.Forward(p.ctx(), sdk.ForwardRequest{Sequence: name, Tokens: f.prompt})
		refuses(t, "F1", "Forward of a sequence that "+what, err, sdk.ReasonNotFound)
		refuses(t, "F1", "ForkSequence of one that "+what, p.ForkSequence(p.ctx(), name, name+"-fork"), sdk.ReasonNotFound)
		refuses(t, "F1", "CloseSequence of one that "+what, p.CloseSequence(p.ctx(), name), sdk.ReasonNotFound)
	}
	unknown("was never opened", "conformance")
	name := f.open()
	refuses(t, "F1", "OpenSequence of one that is open", p.OpenSequence(p.ctx(), name), sdk.ReasonInvalid)
	refuses(t, "F1", "ForkSequence to one that is open", p.ForkSequence(p.ctx(), name, name), sdk.ReasonInvalid)
	f.close("F1", name)
	unknown("was closed", name)
}

// fork goes another way with a fork than with its origin, and looks at the bits of both.
func (f *forwarding) fork(rows [][]float32) {
	t, n := f.p.t, len(f.prompt)
	name := f.open()
	f.step("F3", name, n, f.prompt...)
	fork := name + "-fork"
	if err := f.p.ForkSequence(f.p.ctx(), name, fork); err != nil {
		t.Fatalf("F3: ForkSequence failed: %v", err)
	}
	other := f.prompt[0]
	first := f.step("F3", fork, n+1, other)
	if !sameRow(f.step("F3", name, n+1, f.ids[0]), rows[1]) {
		t.Errorf("F3: a sequence has other logits once something was appended to a fork of it")
	}
	f.close("F3", name)
	second := f.step("F3", fork, n+2, other)
	f.close("F3", fork)

	alone := f.open()
	f.step("F3", alone, n, f.prompt...)
	if !sameRow(first, f.step("F3", alone, n+1, other)) || !sameRow(second, f.step("F3", alone, n+2, other)) {
		t.Errorf("F3: a fork has other logits than a sequence that was given the same tokens")
	}
	f.close("F3", alone)
}

// rows asks for some in one call, in another order than theirs. A plugin may give one at a time.
func (f *forwarding) rows(rows [][]float32) {
	t, last := f.p.t, len(f.prompt)-1
	name := f.open()
	defer f.close("F4", name)
	r, err := f.p.Forward(f.p.ctx(), sdk.ForwardRequest{Sequence: name, Tokens: f.prompt, Rows: []int{0}})
	if err != nil {
		t.Errorf("F4: Forward with the logits of row 0 failed: %v", err)
		return
	}
	first := r.Logits
	several := f.open()
	defer f.close("F4", several)
	r, err = f.p.Forward(f.p.ctx(), sdk.ForwardRequest{Sequence: several, Tokens: f.prompt, Rows: []int{last, 0, last}})
	if err != nil {
		refuses(t, "F4", "Forward with three rows", err, sdk.ReasonInvalid)
		return
	}
	for i, want := range [][]float32{rows[0], first, rows[0]} {
		if !sameRow(r.Logits[i*r.Vocab:(i+1)*r.Vocab], want) {
			t.Errorf("F4: the logits at place %d of the rows %d, 0, %d are not those of its row", i, last, last)
		}
	}
}

// refused makes calls that are to fail, and goes on as if nothing had been asked.
func (f *forwarding) refused(rows [][]float32, context int) {
	t, p := f.p.t, f.p
	name := f.open()
	defer f.close("F5", name)
	f.step("F5", name, len(f.prompt), f.prompt...)
	_, err := p.Forward(p.ctx(), sdk.ForwardRequest{Sequence: name, Tokens: []int32{f.prompt[0], int32(f.vocab)}})
	refuses(t, "F5", "Forward with a token id beyond the vocabulary", err, sdk.ReasonInvalid)
	_, err = p.Forward(p.ctx(), sdk.ForwardRequest{Sequence: name, Tokens: slices.Repeat(f.prompt[:1], context-len(f.prompt)+1)})
	refuses(t, "F5", "Forward beyond the context", err, sdk.ReasonContext)
	r, err := p.Forward(p.ctx(), sdk.ForwardRequest{Sequence: name, Tokens: f.ids[:1]})
	switch {
	case err != nil:
		t.Errorf("F5: Forward after calls that were refused failed: %v", err)
	case r.Length != len(f.prompt)+1 || !sameRow(r.Logits, rows[1]):
		t.Errorf("F5: after calls that were refused the sequence has %d positions, not %d, or other logits", r.Length, len(f.prompt)+1)
	}
}

func sameRow(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

func caseEmbed(t T, c Config) {
	p := start(t, c)
	defer p.end()
	table := p.load()
	if !p.has(sdk.CapabilityEmbed) {
		return
	}
	embed := func(must string, req sdk.EmbedRequest) sdk.EmbedResult {
		t.Helper()
		r, err := p.Embed(p.ctx(), req) // the client counts
		if err != nil {
			t.Fatalf("%s: Embed failed: %v", must, err)
		}
		return r
	}
	said := text(1)
	texts := []string{said.Text, said.Text + " jumps over the lazy dog", said.Text}
	r := embed("B1", sdk.EmbedRequest{Texts: texts})
	for i, v := range r.Vectors {
		if len(v) == 0 || len(v) != len(r.Vectors[0]) {
			t.Errorf("B1: the vector of text %d has %d elements, that of text 0 has %d", i, len(v), len(r.Vectors[0]))
		}
		if slices.ContainsFunc(v, func(x float32) bool { return math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) }) {
			t.Errorf("B1: the vector of text %d has elements that are no numbers", i)
		}
	}
	prompt := p.mustGenerate("G1", said).start.Prompt
	alone := embed("B2", sdk.EmbedRequest{Texts: texts[:1]}).Vectors[0]
	if !sameRow(alone, r.Vectors[0]) || !sameRow(alone, r.Vectors[2]) {
		t.Errorf("B2: a text has another vector beside others than alone")
	}
	if !sameRow(alone, embed("B2", sdk.EmbedRequest{Tokens: [][]int32{prompt}}).Vectors[0]) {
		t.Errorf("B2: a text has another vector than the ids that a prompt of it has")
	}
	for i, n := range r.Tokens {
		if i != 1 && n != len(prompt) {
			t.Errorf("B2: text %d is said to have %d tokens; a prompt of it has %d", i, n, len(prompt))
		}
	}
	_, err := p.Embed(p.ctx(), sdk.EmbedRequest{Tokens: [][]int32{{prompt[0], int32(table.VocabSize)}}})
	refuses(t, "B3", "Embed of a token id beyond the vocabulary", err, sdk.ReasonInvalid)
	_, err = p.Embed(p.ctx(), sdk.EmbedRequest{Tokens: [][]int32{slices.Repeat(prompt[:1], table.Context+1)}})
	refuses(t, "B3", "Embed of more tokens than the context has", err, sdk.ReasonContext)
}

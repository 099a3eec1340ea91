package conformance

// generate.go: an answer is what was asked for, or an error that says why not.

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/inference-pio/inference-pio/sdk"
)

func caseGenerate(t T, c Config) {
	p := start(t, c)
	defer p.end()
	table := p.load()
	const limit = 8
	req := text(limit)
	req.IgnoreEOS = true
	a := p.mustGenerate("G1", req)
	if a.start.ContextLength != table.Context {
		t.Errorf("G2: start says the context has %d positions, Load's table %d", a.start.ContextLength, table.Context)
	}
	if len(a.tokens) != limit || a.finish.Reason != sdk.FinishLength {
		t.Errorf("G3: with ignore_eos and %d tokens allowed there were %d and the reason %q", limit, len(a.tokens), a.finish.Reason)
	}
	checkUsage(t, a)

	short := p.mustGenerate("G1", text(2)) // may end earlier
	if len(short.tokens) > 2 {
		t.Errorf("G3: 2 tokens were allowed, %d came", len(short.tokens))
	}
	checkUsage(t, short)
	inProportion(t, a)
	inProportion(t, short)

	req.Text, req.HasText, req.Tokens = "", false, a.start.Prompt
	byIDs := p.mustGenerate("G1", req)
	if !slices.Equal(byIDs.start.Prompt, a.start.Prompt) {
		t.Errorf("G2: the prompt was the ids %v, start says %v", a.start.Prompt, byIDs.start.Prompt)
	}
	inProportion(t, byIDs)
	promptLogprobs(t, p)
	obeysOrRefuses(t, p, short)
	generateRefusals(t, p, table)
}

// obeysOrRefuses asks for what not every model can do. It may be refused by the name of its field, but not be ignored. free
// is the answer to text(2).
func obeysOrRefuses(t T, p *process, free *answer) {
	ask := func(field string, change func(*sdk.GenerateRequest)) *answer {
		req := text(2)
		change(&req)
		a, err := p.generate(req)
		var told *sdk.Error
		switch {
		case err == nil:
			return a
		case !errors.As(err, &told) || told.Reason != sdk.ReasonInvalid:
			t.Errorf("G7: Generate with %s failed with %v; it must be obeyed, or refused with %s", field, err, sdk.ReasonInvalid)
		case told.Field != field:
			t.Errorf("G7: Generate with %s is refused for the field %q", field, told.Field)
		}
		return nil
	}
	if a := ask("logprobs", func(r *sdk.GenerateRequest) { r.Sampling.Logprobs = true }); a != nil {
		for _, token := range a.tokens {
			if token.Logprob == nil {
				t.Errorf("G7: logprobs were asked for, token %d has none", token.Index)
			}
		}
	}
	obeysConstraint(t, ask("constraint", func(r *sdk.GenerateRequest) {
		r.MaxTokens, r.Constraint = 8, &sdk.Constraint{Regex: "(no){40}"}
	}))
	if a := ask("min_tokens", func(r *sdk.GenerateRequest) { r.MinTokens = r.MaxTokens }); a != nil && len(a.tokens) < 2 {
		t.Errorf("G7: min_tokens and max_tokens were 2, and %d tokens came", len(a.tokens))
	}
	said := free.text()
	if len(free.tokens) == 0 || said == "" {
		return // nothing to stop at or to forbid
	}
	if a := ask("stop", func(r *sdk.GenerateRequest) { r.Stop = []string{said} }); a != nil && strings.Contains(a.text(), said) {
		t.Errorf("G7: the answer %q has the stop string %q", a.text(), said)
	} else if a != nil && a.finish.Stop != "" && a.finish.Stop != said {
		t.Errorf("G11: the stop string was %q, finish names %q", said, a.finish.Stop)
	}
	first := free.tokens[0].ID
	const forbidden = -100 // the least that the API knows
	if a := ask("logit_bias", func(r *sdk.GenerateRequest) { r.Sampling.LogitBias = map[int32]float64{first: forbidden} }); a != nil &&
		len(a.tokens) > 0 && a.tokens[0].ID == first {
		t.Errorf("G7: the answer begins with the id %d, whose logit_bias was %d", first, forbidden)
	}
}

// obeysConstraint looks at an answer that was to say "no" again and again; nil is one that was refused.
func obeysConstraint(t T, a *answer) {
	t.Helper()
	if a == nil {
		return
	}
	if said := a.text(); !a.start.Constrained || !strings.HasPrefix(strings.Repeat("no", 40), said) || a.finish.Reason == sdk.FinishStop && len(said) < 80 {
		t.Errorf("G10: held to (no){40} the answer is %q and ends with %q; start.constrained is %v", said, a.finish.Reason, a.start.Constrained)
	}
}

// inProportion looks at an answer for which no likelihoods were asked.
func inProportion(t T, a *answer) {
	t.Helper()
	const perToken, ahead = 4 << 10, 64 << 10
	size := len(a.finish.Text) + len(a.finish.Reasoning)
	for _, token := range a.tokens {
		size += len(token.Text) + len(token.Reasoning)
		if token.Logprob != nil {
			t.Errorf("G9: token %d has a logprob that nobody asked for", token.Index)
		}
	}
	for _, d := range a.calls() {
		size += len(d.ID) + len(d.Name) + len(d.Arguments)
	}
	if limit := perToken*len(a.tokens) + ahead; size > limit {
		t.Errorf("G9: %d tokens have %d bytes of text, reasoning and calls; the host takes %d", len(a.tokens), size, limit)
	}
	if len(a.start.PromptLogprobs) > 0 {
		t.Errorf("G9: start has %d logprobs of the prompt that nobody asked for", len(a.start.PromptLogprobs))
	}
	if n := len(a.start.Prompt) + len(a.tokens); n > a.start.ContextLength {
		t.Errorf("G9: prompt and answer have %d positions in a context of %d", n, a.start.ContextLength)
	}
}

// promptLogprobs may be refused, but not be ignored.
func promptLogprobs(t T, p *process) {
	req := text(1)
	req.PromptLogprobs = true
	a, err := p.generate(req)
	if err != nil {
		refuses(t, "G8", "Generate with prompt_logprobs", err, sdk.ReasonInvalid)
		return
	}
	if len(a.start.PromptLogprobs) != len(a.start.Prompt) {
		t.Errorf("G8: the prompt has %d ids and %d logprobs", len(a.start.Prompt), len(a.start.PromptLogprobs))
	}
	for i, l := range a.start.PromptLogprobs {
		if !(l.Logprob <= 0) {
			t.Errorf("G8: id %d of the prompt has the logprob %v", i, l.Logprob)
		}
	}
}

func checkUsage(t T, a *answer) {
	t.Helper()
	if a.finish.PromptTokens != len(a.start.Prompt) || a.finish.CompletionTokens != len(a.tokens) {
		t.Errorf("G4: there were %d prompt tokens and %d tokens, finish says %d and %d",
			len(a.start.Prompt), len(a.tokens), a.finish.PromptTokens, a.finish.CompletionTokens)
	}
	if a.finish.Stop != "" {
		t.Errorf("G11: no stop string was asked for, finish names %q", a.finish.Stop)
	}
}

func generateRefusals(t T, p *process, table sdk.LayerTable) {
	for _, bad := range []struct {
		must, what string
		req        sdk.GenerateRequest
		reason     sdk.Reason
	}{
		{"G5", "a prompt as long as the context", sdk.GenerateRequest{Tokens: make([]int32, table.Context)}, sdk.ReasonContext},
		{"G6", "a request without a prompt", sdk.GenerateRequest{}, sdk.ReasonInvalid},
		{"G6", "a token id below 0", sdk.GenerateRequest{Tokens: []int32{-1}}, sdk.ReasonInvalid},
		{"G6", "a token id beyond the vocabulary", sdk.GenerateRequest{Tokens: []int32{int32(table.VocabSize)}}, sdk.ReasonInvalid},
		{"G6", "chat messages that are no array", sdk.GenerateRequest{Chat: &sdk.Chat{Messages: []byte(`{"role":`)}}, sdk.ReasonInvalid},
	} {
		bad.req.MaxTokens = 1
		_, err := p.generate(bad.req)
		refuses(t, bad.must, "Generate with "+bad.what, err, bad.reason)
	}
}

// caseCancel cancels an answer that would go on, and then looks for traces of it.
func caseCancel(t T, c Config) {
	p := start(t, c)
	defer p.end()
	p.load()
	before := p.mustGenerate("C2", text(4))

	endless := text(0)
	endless.IgnoreEOS = true
	for _, after := range []int{0, 2} {
		ctx, cancel := context.WithCancel(p.ctx())
		err := p.Generate(ctx, endless, func(e sdk.Event) error {
			if e.Start != nil && after == 0 || e.Token != nil && e.Token.Index+1 == after {
				cancel()
			}
			return nil
		})
		cancel()
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("C1: a cancelled answer failed with %v", err)
		}
	}

	again := p.mustGenerate("C2", text(4))
	if !slices.Equal(before.ids(), again.ids()) {
		t.Errorf("C2: after a cancelled answer the ids are %v, before they were %v", again.ids(), before.ids())
	}
	if err := p.Drain(p.ctx()); err != nil { // it waits for what runs
		t.Errorf("C1: cancelled answers still run: Drain failed with %v", err)
	}
}

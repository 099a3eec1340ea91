// hold.go holds a plugin to what it was asked, since it may be written by anyone: one that goes on for ever, or whose answers grow
// without bound, costs its request and nothing else. The process is not ended for it: its other answers may be as they should be.
package schedule

import (
	"slices"

	"github.com/inference-pio/inference-pio/sdk"
)

// An answer's text is bounded by its tokens: no vocabulary has a token of more bytes, with room for what JSON writes for them,
// and for what a template leaves open. Text may come late (a tool call's argument when it is whole), but never early.
const (
	textPerToken = 4 << 10
	textAhead    = 64 << 10
	callOverhead = 64 // of a piece of a tool call, so that empty ones count too
)

// hold is the error of an event that the plugin must not send.
func (f *flight) hold(e sdk.Event) error {
	switch {
	case e.Start != nil:
		return f.holdStart(e.Start)
	case e.Token != nil:
		return f.holdToken(e.Token)
	case e.Finish != nil:
		if n := len(f.ids); e.Finish.Reason == sdk.FinishStop && n < f.req.MinTokens {
			return sdk.Errorf(sdk.ReasonInternal, "the plugin ended the answer after %d tokens, and min_tokens is %d", n, f.req.MinTokens)
		}
		return f.holdText(e.Finish.Text, e.Finish.Reasoning, e.Finish.ToolCalls)
	}
	return sdk.Errorf(sdk.ReasonInternal, "the plugin sent an event of no kind")
}

func (f *flight) holdStart(s *sdk.Start) error {
	switch {
	case f.start != nil:
		return sdk.Errorf(sdk.ReasonInternal, "the plugin began a resumed answer anew")
	case f.context > 0 && len(s.Prompt) > f.context:
		return sdk.Errorf(sdk.ReasonInternal, "the plugin read a prompt of %d tokens into a context of %d", len(s.Prompt), f.context)
	case f.req.Tokens != nil && !slices.Equal(s.Prompt, f.req.Tokens):
		return sdk.Errorf(sdk.ReasonInternal, "the plugin read another prompt than the %d ids it was given", len(f.req.Tokens))
	}
	if !f.req.PromptLogprobs {
		s.PromptLogprobs = nil // nobody asked
	}
	for i := range s.PromptLogprobs {
		if err := f.holdLogprob(&s.PromptLogprobs[i]); err != nil {
			return err
		}
	}
	return nil
}

func (f *flight) holdToken(t *sdk.Token) error {
	n := len(f.ids)
	switch {
	case t.Index != n:
		return sdk.Errorf(sdk.ReasonInternal, "the plugin sent token %d where token %d was due", t.Index, n)
	case f.req.MaxTokens > 0 && n >= f.req.MaxTokens:
		return sdk.Errorf(sdk.ReasonInternal, "the plugin sent more than the %d tokens it was asked for", f.req.MaxTokens)
	case f.context > 0 && f.start != nil && len(f.start.Prompt)+n >= f.context:
		return sdk.Errorf(sdk.ReasonInternal, "the plugin went on beyond the context of %d positions: %d of the prompt, and %d tokens before this one",
			f.context, len(f.start.Prompt), n)
	}
	if !f.req.Sampling.Logprobs {
		t.Logprob = nil // nobody asked
	}
	f.text -= textPerToken
	if t.Logprob != nil {
		if err := f.holdLogprob(t.Logprob); err != nil {
			return err
		}
	}
	return f.holdText(t.Text, t.Reasoning, t.ToolCalls)
}

func (f *flight) holdLogprob(p *sdk.TokenLogprob) error {
	if most := f.req.Sampling.TopLogprobs; len(p.Top) > most {
		return sdk.Errorf(sdk.ReasonInternal, "the plugin gave %d likely tokens for one, %d were asked for", len(p.Top), most)
	}
	most := len(p.Bytes)
	for _, t := range p.Top {
		most = max(most, len(t.Bytes))
	}
	if most > textPerToken {
		return sdk.Errorf(sdk.ReasonInternal, "the plugin spelled one token with %d bytes; it may take %d", most, textPerToken)
	}
	return nil
}

// holdText counts what an event adds to the answer.
func (f *flight) holdText(text, reasoning string, calls []sdk.ToolCallDelta) error {
	n := len(text) + len(reasoning)
	for _, c := range calls {
		n += callOverhead + len(c.ID) + len(c.Name) + len(c.Arguments)
	}
	if f.text += n; f.text > textAhead {
		return sdk.Errorf(sdk.ReasonInternal, "the plugin sent %d bytes of text with token %d; an answer may have %d bytes for each token, and %d more",
			n, len(f.ids), textPerToken, textAhead)
	}
	return nil
}

// believe leaves of a report what this model can have: its entry's devices, and the modules of its table. A name that a plugin
// invents is told once for each process, and would otherwise be a series of metrics for ever.
func (m *model) believe(l *life, r sdk.Report) sdk.Report {
	seen := map[string]bool{}
	r.Devices = keep(r.Devices, func(d sdk.DeviceReport) bool {
		ours := (d.Name == "cpu" || slices.Contains(m.entry.Devices, d.Name)) && !seen[d.Name]
		if !ours && !l.stranger {
			l.stranger = true
			m.log.Warn("the plugin reports about a device that its entry does not have, or twice about one; that is left out", "device", clip(d.Name))
		}
		seen[d.Name] = true
		return ours
	})
	if len(r.Modules) == 0 {
		return r
	}
	m.mu.Lock()
	known := make(map[string]bool, len(m.status.Table.Modules))
	for _, module := range m.status.Table.Modules {
		known[module.ID] = true
	}
	m.mu.Unlock()
	r.Modules = keep(r.Modules, func(module sdk.ModuleReport) bool {
		ours := known[module.ID] // once
		delete(known, module.ID)
		return ours && len(module.Resident) <= len(m.entry.Devices)+1
	})
	return r
}

// keep is a new list of the elements that pass.
func keep[T any](list []T, passes func(T) bool) (kept []T) {
	for _, e := range list {
		if passes(e) {
			kept = append(kept, e)
		}
	}
	return kept
}

// clip keeps a plugin's words readable in a log.
func clip(s string) string {
	const most = 64
	return s[:min(len(s), most)]
}

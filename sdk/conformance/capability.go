package conformance

// capability.go: what is listed is there, and what is not listed says so.

import (
	"context"
	"slices"

	"github.com/inference-pio/inference-pio/sdk"
)

// checkCapabilities calls every optional method with the model loaded. It may well fail, but with UNIMPLEMENTED if and only
// if its capability is not listed.
func checkCapabilities(t T, p *process) {
	d, err := p.Describe(p.ctx())
	if err != nil {
		t.Errorf("D1: Describe failed: %v", err)
		return
	}
	for _, m := range optionalMethods(p) {
		err := m.call(p.ctx())
		unimplemented := err != nil && sdk.ReasonOf(err) == sdk.ReasonUnimplemented
		switch listed := slices.Contains(d.Capabilities, m.capability); {
		case listed && unimplemented:
			t.Errorf("D3: the capability %q is listed, but %s fails: %v", m.capability, m.name, err)
		case !listed && !unimplemented:
			t.Errorf("D3: the capability %q is not listed, but %s gives %v, not UNIMPLEMENTED", m.capability, m.name, err)
		}
	}
}

// optionalBeforeLoad calls them without a model. Those that are not there say that, before or after.
func optionalBeforeLoad(t T, p *process) {
	for _, m := range optionalMethods(p) {
		refuses(t, "L1", m.name+" before Load", m.call(p.ctx()), sdk.ReasonState, sdk.ReasonUnimplemented)
	}
}

type optionalMethod struct {
	capability sdk.Capability
	name       string
	call       func(context.Context) error
}

func optionalMethods(p *process) []optionalMethod {
	return []optionalMethod{
		{sdk.CapabilityForward, "OpenSequence", func(ctx context.Context) error { return p.OpenSequence(ctx, "a") }},
		{sdk.CapabilityForward, "Forward", func(ctx context.Context) error {
			_, err := p.Forward(ctx, sdk.ForwardRequest{Sequence: "a", Tokens: []int32{0}})
			return err
		}},
		{sdk.CapabilityForward, "ForkSequence", func(ctx context.Context) error { return p.ForkSequence(ctx, "a", "b") }},
		{sdk.CapabilityForward, "CloseSequence", func(ctx context.Context) error { return p.CloseSequence(ctx, "a") }},
		{sdk.CapabilityEmbed, "Embed", func(ctx context.Context) error {
			_, err := p.Embed(ctx, sdk.EmbedRequest{Texts: []string{"a"}})
			return err
		}},
		{sdk.CapabilityTokenize, "Tokenize", func(ctx context.Context) error { _, err := p.Tokenize(ctx, "a"); return err }},
		{sdk.CapabilityTokenize, "Detokenize", func(ctx context.Context) error { _, err := p.Detokenize(ctx, []int32{0}); return err }},
		{sdk.CapabilitySpell, "Spell", func(ctx context.Context) error { _, err := p.Spell(ctx, []int32{0}); return err }},
		{sdk.CapabilityRender, "Render", func(ctx context.Context) error {
			_, err := p.Render(ctx, sdk.Chat{Messages: []byte(`[{"role":"user","content":"a"}]`)})
			return err
		}},
	}
}

package conformance

// determinism.go: prompt, seed and parameters decide the answer, whatever else goes on; so it can be resumed.

import (
	"reflect"
	"sync"

	"github.com/inference-pio/inference-pio/sdk"
)

// samples are requests that use the random numbers to different degrees.
func samples() []sdk.GenerateRequest {
	var out []sdk.GenerateRequest
	for seed, temperature := range []float64{0, 0.7, 1} {
		req := text(12)
		req.IgnoreEOS = true
		req.Sampling.Seed = uint64(seed + 41)
		req.Sampling.Temperature = &temperature
		out = append(out, req)
	}
	return out
}

func caseDeterminism(t T, c Config) {
	p := start(t, c)
	defer p.end()
	p.load()
	requests := samples()
	alone := make([]*answer, len(requests))
	for i, req := range requests {
		alone[i] = p.mustGenerate("R1", req)
		same(t, "R1: asked again in the same process", p.mustGenerate("R1", req), alone[i])
	}
	together(t, p, requests, alone)
	for i, req := range requests {
		resumes(t, "R3", p, req, alone[i])
	}
	elsewhere(t, c, requests, alone)
}

// same compares tokens and finish. CachedTokens and Queued tell how the answer was made, not what it is.
func same(t T, what string, got, want *answer) {
	t.Helper()
	g, w := got.finish, want.finish
	g.CachedTokens, w.CachedTokens = 0, 0
	g.Queued, w.Queued = 0, 0
	for i := range min(len(got.tokens), len(want.tokens)) {
		if !reflect.DeepEqual(got.tokens[i], want.tokens[i]) {
			t.Errorf("%s, token %d is %+v; it was %+v", what, want.tokens[i].Index, got.tokens[i], want.tokens[i])
			return
		}
	}
	if len(got.tokens) != len(want.tokens) || !reflect.DeepEqual(g, w) {
		t.Errorf("%s, there are %d tokens and %+v; there were %d and %+v", what, len(got.tokens), g, len(want.tokens), w)
	}
}

// together asks for everything twice at once.
func together(t T, p *process, requests []sdk.GenerateRequest, alone []*answer) {
	n := 2 * len(requests)
	answers, errs := make([]*answer, n), make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		ctx := p.ctx()
		wg.Go(func() {
			a := &answer{}
			errs[i] = p.Generate(ctx, requests[i%len(requests)], func(e sdk.Event) error {
				a.add(e)
				return nil
			})
			answers[i] = a
		})
	}
	wg.Wait()
	for i := range n {
		if errs[i] != nil {
			t.Errorf("R2: asked %d times at once, Generate failed: %v", n, errs[i])
			continue
		}
		same(t, "R2: asked together with others", answers[i], alone[i%len(requests)])
	}
}

// resumes cuts an answer everywhere, even after its last token.
func resumes(t T, must string, p *process, req sdk.GenerateRequest, whole *answer) {
	for cut := range len(whole.tokens) + 1 {
		req.Resume = &sdk.Resume{Prompt: whole.start.Prompt, Generated: whole.ids()[:cut], InReasoning: whole.start.InReasoning}
		got, err := p.generate(req)
		if err != nil {
			t.Errorf("%s: resumed after %d tokens, Generate failed: %v", must, cut, err)
			return
		}
		same(t, must+": resumed", got, &answer{tokens: whole.tokens[cut:], finish: whole.finish})
	}
}

func elsewhere(t T, c Config, requests []sdk.GenerateRequest, alone []*answer) {
	p := start(t, c)
	defer p.end()
	p.load()
	for i, req := range requests {
		same(t, "R1: asked in another process", p.mustGenerate("R1", req), alone[i])
	}
}

package servetest

import (
	"testing"

	"github.com/inference-pio/inference-pio/sdk"
)

// Cores has another number of cores compute from token to token: more than there are threads, one, some. No token and no likelihood changes.
func (p Plugin) Cores(t *testing.T) {
	p.Each(t, func(t *testing.T, dir string) {
		const threads = 4
		load := sdk.LoadRequest{InspectRequest: sdk.InspectRequest{Path: dir}, Threads: threads}
		req := Sampled(t, dir)
		req.Sampling.Logprobs = true
		want := Tokens(t, p.With(t, dir), req, nil)
		c := p.Loaded(t, load)
		orders := NewOrders(t, c)
		got := Tokens(t, c, req, func(n int) {
			if r := orders.Give(sdk.Order{Cores: &sdk.CoresOrder{Cores: 1 + n*3%(threads+1)}}); r.Done.Error != "" {
				t.Fatal(r.Done.Error)
			}
		})
		SameIDs(t, "with other cores for each token the ids", IDs(got), IDs(want))
		for i := range want {
			if got[i].Logprob == nil || want[i].Logprob == nil || got[i].Logprob.Logprob != want[i].Logprob.Logprob {
				t.Fatalf("token %d: the likelihoods are %v and %v", i, got[i].Logprob, want[i].Logprob)
			}
		}
	})
}

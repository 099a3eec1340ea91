// benchlimits.go says what memory and cores allow a model at best: what a token must read and multiply, by its layer table.
package main

import (
	"math"
	"slices"

	"github.com/inference-pio/inference-pio/host/internal/limits"
	"github.com/inference-pio/inference-pio/sdk"
)

// workload is a model's layer table, empty where the plugin has none.
type workload struct{ sdk.LayerTable }

// cost is what so many tokens of a cell take at least. Weights are read once for all of them and caches of every stream; each
// row is multiplied by every weight it uses.
type cost struct{ tokens, bytes, flops float64 }

func (w workload) cost(c *cell) cost {
	if c.prefill {
		n := float64(c.tokens)
		layers, ends := w.flops()
		return cost{n, w.weights(n) + w.state(c.depth), layers*n + ends} // of the last row alone a token is chosen
	}
	n := float64(c.streams)
	layers, ends := w.flops()
	return cost{n, w.weights(n) + n*w.state(c.depth+shortPrompt+c.tokens/2), (layers + ends) * n}
}

// weights are the bytes of them that n rows use. Of experts that are drawn evenly, those that none of the rows draws are not read.
func (w workload) weights(n float64) (bytes float64) {
	for _, m := range w.Modules {
		if m.WeightBytes > 0 {
			share := min(1, float64(m.ActiveBytesToken)/float64(m.WeightBytes))
			bytes += float64(m.WeightBytes) * (1 - math.Pow(1-share, n))
		}
	}
	return bytes
}

// state is what a sequence of so many positions keeps.
func (w workload) state(positions int) (bytes float64) {
	for _, m := range w.Modules {
		bytes += float64(m.StateBytesToken)*float64(positions) + float64(m.StateBytesSeq)
	}
	return bytes
}

// flops of a row: in the layers, and in the modules around them, which only rows need of which a token is chosen.
func (w workload) flops() (layers, ends float64) {
	for _, m := range w.Modules {
		if m.ID == "embed_tokens" || m.ID == "lm_head" {
			ends += m.FLOPsToken
		} else {
			layers += m.FLOPsToken
		}
	}
	return layers, ends
}

// mean is what a machine did on the whole; of nothing, nothing.
func mean(rates ...limits.Rates) (m limits.Rates) {
	for _, r := range rates {
		m.Read += r.Read / float64(len(rates))
		m.FLOPS += r.FLOPS / float64(len(rates))
	}
	return m
}

// bound is the tokens per second that the machine allows, and by what: "read" or "f32". 0: nothing is known of the model.
func (c cost) bound(l limits.Rates) (rate float64, by string) {
	reading, computing := 0.0, 0.0
	if l.Read > 0 {
		reading = c.bytes / l.Read
	}
	if l.FLOPS > 0 {
		computing = c.flops / l.FLOPS
	}
	switch {
	case reading == 0 && computing == 0:
		return 0, ""
	case reading >= computing:
		return c.tokens / reading, "read"
	}
	return c.tokens / computing, "f32"
}

// line is a cell as it is told.
func (w workload) line(c *cell, peers []*peer) benchCell {
	cost := w.cost(c)
	b := benchCell{
		Kind: c.kind(), Tokens: c.tokens, Depth: c.depth, Streams: c.streams,
		Rate: middle(c.samples), Low: slices.Min(c.samples), High: slices.Max(c.samples), Samples: c.samples,
		BytesToken: cost.bytes / cost.tokens, FLOPsToken: cost.flops / cost.tokens, Peers: []benchPeerCell{},
	}
	var shares []float64
	for i, r := range c.beside {
		limit, _ := cost.bound(r)
		b.Limits = append(b.Limits, limit)
		if limit > 0 {
			shares = append(shares, c.samples[i]/limit)
		}
	}
	b.Limit, b.Share = middle(b.Limits), middle(shares)
	_, b.Bound = cost.bound(mean(c.beside...))
	for _, p := range peers {
		samples := p.samples[c]
		if len(samples) == 0 {
			continue
		}
		other := benchPeerCell{Name: p.name, Rate: middle(samples), Samples: samples}
		other.Ratio = b.Rate / other.Rate
		b.Peers = append(b.Peers, other)
		if b.Ratio == 0 || other.Ratio < b.Ratio {
			b.Ratio, b.Against = other.Ratio, p.name
		}
	}
	return b
}

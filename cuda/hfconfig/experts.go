// Which layers are mixtures of experts by Qwen's keys, and of what size.

package hfconfig

import "slices"

// Experts is the keys of feed-forward layers of which some are mixtures of experts and the others dense. Values set before
// decoding stand for absent keys.
type Experts struct {
	IntermediateSize    int   `json:"intermediate_size"` // of dense layers
	NumExperts          int   `json:"num_experts"`
	NumExpertsPerTok    int   `json:"num_experts_per_tok"`
	MoEIntermediateSize int   `json:"moe_intermediate_size"`
	NormTopKProb        bool  `json:"norm_topk_prob"`
	DecoderSparseStep   int   `json:"decoder_sparse_step"`
	MLPOnlyLayers       []int `json:"mlp_only_layers"`
}

// Sparse says whether a layer has experts; any other is dense.
func (e Experts) Sparse(layer int) bool {
	return e.NumExperts > 0 && (layer+1)%max(e.DecoderSparseStep, 1) == 0 && !slices.Contains(e.MLPOnlyLayers, layer)
}

// Kinds says which kinds of layer are among the first ones.
func (e Experts) Kinds(layers int) (sparse, dense bool) {
	for i := range min(layers, 1<<12) {
		sparse, dense = sparse || e.Sparse(i), dense || !e.Sparse(i)
	}
	return sparse, dense
}

// CheckExperts refuses what is impossible, and what is missing of the kinds of layer that there are.
func (e Experts) CheckExperts(p *Problems, layers int) {
	p.Refuse(e.NumExperts < 0 || e.NumExperts > 1<<14, "num_experts is %d; a number from 0 to %d is needed", e.NumExperts, 1<<14)
	p.Size("decoder_sparse_step", e.DecoderSparseStep, 1<<12)
	sparse, dense := e.Kinds(layers)
	if sparse {
		p.Size("num_experts_per_tok", e.NumExpertsPerTok, 1<<14)
		p.Refuse(e.NumExpertsPerTok > e.NumExperts, "num_experts_per_tok is %d of %d experts", e.NumExpertsPerTok, e.NumExperts)
		p.Size("moe_intermediate_size", e.MoEIntermediateSize, 1<<20)
	}
	if dense {
		p.Size("intermediate_size", e.IntermediateSize, 1<<20)
	}
}

// Package nn holds the formulas of language models that have a name in the literature: linear maps, RMS norm, rotary
// embeddings, attention over a paged cache. Each is data and one Forward, needs numbers and no config, and calls ops of a
// [cuda.Step]. What decides (the order of norms, which layer is what, names in a checkpoint) is a plugin's.
//
// A model is a struct of these parts with `weight` tags; [Bind] fills it from a checkpoint:
//
//	type Model struct {
//		Embed  nn.Embedding `weight:"embed_tokens"`
//		Layers []Layer      `weight:"layers"`
//		Norm   nn.RMSNorm   `weight:"norm"`
//		Head   nn.Linear    `weight:"lm_head,root"`
//	}
package nn

package cuda

// ops_attention.go is attention over latents and over whole sequences.

// AttentionOps is the part of Ops that these are.
type AttentionOps interface{}

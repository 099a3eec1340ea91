package cuda

// ops_experts.go is the ops of mixtures of experts.

// ExpertOps is the part of Ops that these are.
type ExpertOps interface{}

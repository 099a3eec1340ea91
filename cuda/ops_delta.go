package cuda

// ops_delta.go is the ops of the gated delta rule.

// DeltaOps is the part of Ops that these are.
type DeltaOps interface{}

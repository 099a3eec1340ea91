//go:build cuda && cgo

package gpu

// Built says whether this binary has the back end.
const Built = true

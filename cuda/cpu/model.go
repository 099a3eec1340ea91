//go:build pio_model

package cpu

// #cgo CFLAGS: -DPIO_MODEL
import "C"

// model.go: with this build tag the kernel tables for AVX-512 and AMX are compiled against a model of their instructions in C (model.h) and
// run on any x86-64 machine with AVX2. It is for tests: make emulate.

// Package cpu is the CPU as a device: memory of this process, kernels in C and the threads they run on.
//
// An op arrives at a [Queue] as data and runs at once, by one call into C (pio_run). template.h has the kernels, written once in terms of
// a few vector primitives, an op in one place; the file of an instruction set (portable.c, avx2.c, avx512.c, neon.c) defines those and makes tables
// of kernels: an exact one, and for fast numerics those that round activations before they multiply (codes.h, pairdots.h, pairs.h, amx*.h). A table has
// a row for each layout of weights (layouts.h). dispatch.c picks the best table that the machine has and widens
// activations in bf16 for ops that have no kernel for them; pool.c runs tasks on threads that look out for the next op for some
// microseconds and then sleep. Package cuda/spec says what every op computes, and the tests hold the kernels to it.
//
// Few machines have AVX-512, fewer AMX. With the build tag pio_model their instructions are C (model.h), and tests go through their tables on
// any machine with AVX2.
//
// It builds with gcc and no flags: every file says which instructions it may use, and none are used that the machine lacks.
package cpu

//go:generate go run ./oplist ops.h

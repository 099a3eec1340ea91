// Package cpu is the arithmetic of the CPU: kernels in C, the threads they run on, and their specification in Go.
//
// ref.go says what every op computes. template.h has the kernels, written once in terms of a few vector primitives; the
// file of an instruction set (portable.c, avx2.c) defines those and makes a table of kernels. dispatch.c picks the best
// table the machine has and cuts an op into tasks; pool.c runs them on threads that look out for the next op for some
// microseconds and then sleep. Go makes one call into C for each op.
//
// It builds with gcc and no flags: every file says which instructions it may use, and none are used that the machine lacks.
// The environment variable PIO_CPU names a table to use instead of the best, "portable" for one; it is for tests.
package cpu

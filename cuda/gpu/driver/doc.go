// Package driver is NVIDIA's driver as package gpu needs it: contexts, memory, modules, streams, events, and lists of commands that are
// handed over in one call, or captured as a graph and launched again.
//
// It is built with the tag cuda (`make build` says how); without it Probe gives a sentence and there is nothing else. The driver's library
// is looked for when it is first called, never at start: a binary runs alike on machines without it. What gorgonia.org/cu has and does
// soundly is used from there, by its free functions; the rest (lists of commands, graphs, pinned memory, pools, what an error means) is
// here, in C. Its Ctx, BatchedContext and Graph are not used.
//
// Any goroutine may call any function, several at once: each makes the context current on the thread that it happens to have.
package driver

// EnvLibrary names another library than the system's libcuda.so.1: cuda/kernels/sim is one.
const EnvLibrary = "PIO_CUDA_DRIVER"

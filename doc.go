// Package pio is the root of Inference-PIO: a host that runs language models as separately compiled plugins, and what it
// takes to write one. There is no code here; start with README.md, then ARCHITECTURE.md, then
//
//   - host: the piohost program,
//   - sdk: what a plugin author imports, and the contract,
//   - plugins: one directory per model,
//   - cuda: the tensor library they share.
package pio

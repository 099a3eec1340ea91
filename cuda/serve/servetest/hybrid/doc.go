// Package hybrid has a plugin answer on machines that are imagined (cuda/kernels/sim/imagined), with less and less of their GPU: the engine,
// placement, streaming, queues and the driver's calls are those of any run, weights have the published model's sizes, and nothing is computed.
// What a token takes there stands beside what the plan said and beside what no code could do better.
package hybrid

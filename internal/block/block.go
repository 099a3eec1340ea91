// Package block holds the one number that the engine, the caches and the kernels share: how many positions of a sequence go together.
package block

// Size is the positions of a block of the cache, and of what is computed together so that bits do not depend on where a prompt is cut:
// a tile of attention, a chunk of the delta rule. Engine, cuda/nn and the kernels' PIO_BLOCK are this.
const Size = 64

// op.h is what a kernel is given: one op with its operands, as cuda/op.go has it, and what its launch adds. It is plain C, since the code
// that launches (cuda/gpu) fills it in. Which operands an op has stands at its code in cuda/op.go.
#ifndef PIO_GPU_OP_H
#define PIO_GPU_OP_H

#include <stdint.h>

// Types of elements; the values are cuda.DType's.
enum { PIO_F32 = 0, PIO_BF16 = 1, PIO_F16 = 2, PIO_F8 = 3, PIO_I32 = 4, PIO_U8 = 5, PIO_Q8ROW = 6 };

// Positions of a cache's block, of a tile of attention, of a chunk of the delta rule.
enum { PIO_BLOCK = 64 };

// A tensor is contiguous and row-major. Dimensions that it does not have are 1; at is 0 where there is no tensor.
typedef struct {
  uint64_t at;
  int32_t type, nd;
  int32_t dim[4];
} pio_tensor;

// A matrix of weights: rows of outs, along which ins lie; a vector has one row. plane[0] is 0 where there is none.
typedef struct {
  uint64_t plane[3];
  int32_t layout, rows, cols;
  int32_t block_rows, block_cols; // of the second plane
  uint32_t row_magic, chunk_magic; // rows are divided by block_rows, chunks by block_cols / 128: quotient in weights.cuh
  int32_t unused;
} pio_matrix;

// The layouts; the names are cuda.Layout's, the order that of kernels.Layouts.
enum { PIO_L_F32, PIO_L_BF16, PIO_L_F16, PIO_L_F8_F32, PIO_L_F8_BF16, PIO_L_Q8, PIO_L_Q4, PIO_LAYOUTS };

enum { PIO_OUT = 11, PIO_IN = 8, PIO_WEIGHTS = 6, PIO_FLOATS = 2, PIO_INTS = 5, PIO_PLAN = 6 };

// Numbers in front of an op's scratch memory that are 0 between launches: blocks of a launch count themselves there (last.cuh).
enum { PIO_COUNTERS = 1024 };

// What p[5] says to kernels whose blocks share the parts of rows: the last block adds them up.
enum { PIO_LAST_JOINS = 2 };

// What n[1] says of out[4] of products: that in[1] is added, or the first gates the second; that it is the sigmoid of the last; that in[1] has a number for each
// row, by which it is multiplied. Or that queries, keys and values go on as heads.
enum { PIO_LAST_ADDED, PIO_LAST_SIGMOID, PIO_LAST_SCALED, PIO_LAST_HEADS };

// What n[1] says of products of which the first are a router's logits, and above which bit it has how many experts a row takes.
enum { PIO_ROUTES = 4, PIO_ROUTES_SIGMOID = 8, PIO_ROUTES_NORMALIZE = 16, PIO_ROUTES_K = 8 };

// What p[3] has beside a number of slices where the last block of those that have a row's experts adds these up.
enum { PIO_LAST_SUMS = 64 };

typedef struct {
  pio_tensor out[PIO_OUT], in[PIO_IN];
  pio_matrix w[PIO_WEIGHTS];
  uint64_t experts; // const pio_matrix[experts_n][3] on the device: gate, up, down of each; those that are not here have no planes
  uint64_t scratch; // memory that only the launches of this op use, as much as its plan asked for, and counters in front of it
  int32_t experts_n;
  int32_t outs, ins; // how many
  float f[PIO_FLOATS];
  int32_t n[PIO_INTS];
  int32_t p[PIO_PLAN]; // what the launch's plan tells its kernel
} pio_op;

#endif

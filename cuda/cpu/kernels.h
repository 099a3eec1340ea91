// kernels.h: what Go calls and what a kernel table is.
//
// An op is data (pio_op). Each op has one place (matmul.h, norms.h, ..): its kernel, and the function of its name that cuts it into tasks
// for the pool. They are written once in terms of a few vector primitives; each instruction set has a file (portable.c, avx2.c, neon.c) that
// defines these and includes template.h, and so has a table of its own. A new op is a line of cuda/op.go and its function here; a new
// layout of weights a row of PIO_LAYOUTS in layouts.h; a new instruction set a new file and a line in dispatch.c.
#ifndef PIO_KERNELS_H
#define PIO_KERNELS_H

#include <stddef.h>
#include <stdint.h>

// The ops: those that Go has, whose operands are told in cuda/op.go, and what a queue does by itself.
#include "ops.h"
#define PIO_OPS(X) PIO_GO_OPS(X) X(pack)

#define PIO_NAME(name) PIO_OP_##name,
enum { PIO_OPS(PIO_NAME) PIO_OP_COUNT };
#undef PIO_NAME

// The positions that are computed together: of a cache's block, a tile of attention, a chunk of the delta rule. Go's is the same.
enum { PIO_BLOCK = 64 };

// Types of elements. The values are cuda.DType's.
enum { PIO_F32 = 0, PIO_BF16 = 1, PIO_F16 = 2, PIO_F8 = 3, PIO_I32 = 4, PIO_U8 = 5, PIO_Q8ROW = 6 };

// A tensor is contiguous and row-major. Dimensions that it does not have are 1. Addresses are numbers, so that Go may keep these in
// its own memory.
typedef struct {
  uintptr_t at; // 0: none
  int32_t type, nd;
  int32_t dim[4];
} pio_tensor;

enum { PIO_PLANES = 3 };

// A matrix of weights: rows of outs, along which ins lie; a vector has one row. layout is an index of the table's layouts.
typedef struct {
  uintptr_t plane[PIO_PLANES]; // plane[0] is 0 where there is no matrix
  int32_t layout, rows, cols;
  int32_t block_rows, block_cols; // of the second plane
} pio_matrix;

enum { PIO_OUT = 3, PIO_IN = 8, PIO_WEIGHTS = 2, PIO_FLOATS = 2, PIO_INTS = 5 };

// Room that stays: malloc's, for so many bytes; NULL: none.
typedef struct {
  void *at;
  size_t bytes;
} pio_room;

// What a queue keeps for its products: the rows of the last one in the form that a layout's kernels take, which the products after it may be by,
// too, and room for sums that wait.
typedef struct {
  pio_room room, sums;
  uintptr_t x, form; // of which rows, by which of pio_layout's; 0: nothing is there
  size_t rows, cols;
} pio_formed;

typedef struct {
  int32_t code;
  int32_t outs, ins; // how many
  pio_tensor out[PIO_OUT], in[PIO_IN];
  pio_matrix w[PIO_WEIGHTS];
  uintptr_t experts; // const pio_matrix[experts_n][3]: gate, up, down of each; those that are not here have no planes
  int32_t experts_n;
  float f[PIO_FLOATS];
  int32_t n[PIO_INTS];
  const struct pio_kernels *table; // that runs it
  uintptr_t formed;                // pio_formed, of a product
} pio_op;

// ---- the pool

typedef void pio_task(const void *args, size_t task); // one of tasks 0..tasks-1, which run in any order on any thread
typedef struct pio_pool pio_pool;

pio_pool *pio_pool_new(int threads);
void pio_pool_free(pio_pool *p);
// pio_pool_use has so many threads take part in jobs from the next on, from 1 to all there are. It may be called while a job runs.
void pio_pool_use(pio_pool *p, int threads);
int pio_pool_threads(const pio_pool *p); // that take part
void pio_pool_run(pio_pool *p, pio_task *task, const void *args, size_t tasks);
// pio_pool_run_with gives each task room of so many bytes that no other task has at the same time: pio_pool_room(p). It is made
// once, for the most that was asked for. 0 means that there is no memory for it, and that nothing was run.
int pio_pool_run_with(pio_pool *p, pio_task *task, const void *args, size_t tasks, size_t room);
void *pio_pool_room(const pio_pool *p);

// ---- kernel tables

typedef struct pio_kernels pio_kernels;

// What runs an op; NULL, or a sentence that says why it could not.
typedef const char *pio_run_op(pio_pool *p, const pio_op *op);

// What a table can do with matrices of one layout. It is known by its name; see cuda/layout.go.
typedef struct {
  const char *name;
  // widen writes elements col..col+n-1 of a row as f32.
  void (*widen)(const pio_matrix *m, size_t row, size_t col, size_t n, float *to);
  pio_task *few, *many; // matmul with few rows, or NULL, and with many
  size_t few_rows;      // that few takes at most; 0: as many as most do
  size_t many_rows, many_outs; // that a task of many takes; 0: as many as most do
  size_t panel;         // bytes of rows in their form that a task of many takes at most, so that they stay in a cache; 0: any
  size_t columns;       // if many can stop behind a multiple of so many, and go on there; 0: it takes all
  int unasked;          // processors that have the table fetch one long stretch ahead by themselves, faster than kernels can ask for it
  pio_task *latent_query, *latent_value;
  // form makes rows of activations what few and many take, of so many bytes each: as many rows as go together, or fewer. NULL: they take
  // them in f32.
  size_t (*form_bytes)(size_t cols);
  void (*form)(void *to, const float *x, size_t rows, size_t cols);
  size_t together; // 16, or 0: one
  // pack writes rows row..row+rows-1 of a matrix in another layout into one of this; NULL if only a copy does that.
  void (*pack)(const pio_matrix *to, const pio_matrix *from, size_t row, size_t rows);
} pio_layout;

struct pio_kernels {
  const char *name;     // of the instruction set
  const char *numerics; // "exact" or "fast"
  pio_run_op *run[PIO_OP_COUNT];
  const pio_layout *layouts;
  int layout_count;
  void (*exp)(float *y, const float *x, size_t n); // for the test of its bound
  double (*flops)(double seconds);                 // f32 operations/s of one thread in registers
  void (*read)(const void *data, size_t bytes);    // loads whole KiB, and no more
  void (*attend)(void);      // a part_of_keys of attention.h for keys and values in bf16; NULL: the one that is there for all
  void (*attend_tile)(void); // the same for a tile_of_keys of tiles.h
};

// The tables this machine can run, best first; NULL after the last.
const pio_kernels *pio_kernels_at(int i);
const char *pio_op_name(int code);

// pio_run runs an op by its table. Where an op has no kernel for activations in bf16 they are widened before and rounded after. NULL, or a
// sentence that says why it could not.
const char *pio_run(pio_pool *p, const pio_op *op);

// Measurements, with all threads of the pool.
void pio_read(pio_pool *p, const pio_kernels *t, const void *data, size_t bytes); // reads whole pieces of 256 KiB
double pio_peak_flops(pio_pool *p, const pio_kernels *t);   // f32 operations/s

#endif

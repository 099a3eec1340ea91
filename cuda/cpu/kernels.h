// kernels.h: what Go calls and what a kernel table is.
//
// A table holds one function for each op that is worth C. Each instruction set has a file (portable.c, avx2.c) that
// defines a handful of vector primitives and then includes template.h, where the ops are written once in terms of them.
// A new instruction set is a new such file, a line in dispatch.c and a line in the tests.
#ifndef PIO_KERNELS_H
#define PIO_KERNELS_H

#include <stddef.h>
#include <stdint.h>

enum { PIO_F32 = 0, PIO_BF16 = 1, PIO_F16 = 2, PIO_F8 = 3 };

// The factors of a matrix of PIO_F8: one for each block of outs by ins, row-major, in PIO_F32 or PIO_BF16.
typedef struct {
  const void *factors;
  int type;
  size_t outs, ins;
} pio_scale;

// A job runs tasks 0..tasks-1, in any order, on any of the pool's threads.
typedef void pio_task(const void *args, size_t task);
typedef struct pio_pool pio_pool;

pio_pool *pio_pool_new(int threads);
void pio_pool_free(pio_pool *p);
int pio_pool_threads(const pio_pool *p);
void pio_pool_run(pio_pool *p, pio_task *task, const void *args, size_t tasks);
// pio_pool_run_with gives each task room of so many bytes that no other task has at the same time: pio_pool_room(p). It is made
// once, for the most that was asked for. 0 means that there is no memory for it, and that nothing was run.
int pio_pool_run_with(pio_pool *p, pio_task *task, const void *args, size_t tasks, size_t room);
void *pio_pool_room(const pio_pool *p);

typedef struct {
  float *y;
  const float *x;
  const void *w;
  int type; // of w
  pio_scale scale;
  size_t rows, in, out;
  size_t outs_per_task, rows_per_task, out_tasks;
} pio_matmul_args;

typedef struct {
  float *y;
  const float *x;
  const void *w;
  int type;
  size_t rows, n, rows_per_task;
  float eps, plus;
} pio_norm_args;

typedef struct {
  float *y;
  const float *a, *b;
  size_t n, per_task;
} pio_pair_args;

typedef struct {
  float *y;
  const float *x, *angles;
  size_t rows, heads, dim, pairs, first, rows_per_task;
  int interleaved;
} pio_rotate_args;

typedef struct {
  float *y;
  const int32_t *tokens;
  const void *table;
  int type;
  pio_scale scale;
  size_t rows, n, rows_per_task;
} pio_embed_args;

// What attention reads of a position: a key of dim elements and a value of vdim, and how far on the next ones are.
typedef struct {
  size_t dim, vdim, key_step, value_step;
  float scale; // of scores
} pio_keys;

typedef struct {
  float *y;
  const float *q, *k, *v;
  const int32_t *positions, *seqs, *tables;
  size_t width; // of a row of tables
  size_t rows, heads, kv_heads, block;
  pio_keys keys;
  size_t rows_per_task, heads_per_task; // of those that share a kv head
} pio_attention_args;

typedef struct {
  float *acc; // of each row and head: vdim sums, the largest score, the sum of weights
  const float *q, *k, *v;
  const int32_t *limits;
  size_t rows, heads, kv_heads, n, first;
  pio_keys keys;
  size_t rows_per_task;
} pio_tile_args;

typedef struct {
  float *y;
  const float *x;
  const void *w; // (heads * group, rank)
  int type;
  pio_scale scale;
  size_t rows, heads, group, rank;
  size_t dim; // of a head of x, in latent_query
  size_t own; // rows of w that count: the first of a head for latent_query, the last for latent_value
  size_t per_task, tasks_per_head;
} pio_latent_args;

typedef struct {
  float *y;
  const float *x;
  const void *w, *b;
  int type, b_type;
  size_t rows, n, rows_per_task;
  float eps;
} pio_layernorm_args;

// At most so many experts can be chosen from.
enum { PIO_EXPERTS_MOST = 4096 };

typedef struct {
  int32_t *index;
  float *weights;
  const float *logits;
  const void *bias; // none: NULL
  int bias_type;
  size_t rows, experts, k, groups, top_groups, rows_per_task;
  int sigmoid, by_logits, normalize; // by_logits: choose by these, which are ordered as the scores are
  float epsilon, scale;
} pio_route_args;

typedef struct {
  float *y;
  const float *x;
  const int32_t *entries; // row of y times k, plus where in the row's weights
  const float *weights;
  size_t count, n, k, columns_per_task;
} pio_scatter_args;

// One product of a grouped one. Addresses are numbers, so that Go may keep an array of these in its own memory.
typedef struct {
  uintptr_t w, factors;
  int type, factor_type;
  size_t block_outs, block_ins, rows;
  size_t first_row, first_task; // for pio_matmul_grouped to set
} pio_group;

typedef struct {
  float *y;
  const float *x, *factors; // mul_rows: one for each row
  size_t rows, n, rows_per_task;
  float eps; // l2norm
} pio_rows_args;

// causal_conv: the most positions it looks at, and the weights of a task's channels.
enum { PIO_CONV_MOST = 64, PIO_CONV_WEIGHTS = 4096 };

typedef struct {
  float *y;
  const float *x;
  const void *w; // (channels, n)
  int type;
  float *state; // (slots, n - 1, channels)
  const int32_t *positions, *slots;
  size_t rows, channels, n, channels_per_task;
} pio_conv_args;

// delta_rule: rows of a prompt that are computed together, columns of a matrix that a task does, and the most of a key head.
enum { PIO_DELTA_CHUNK = 64, PIO_DELTA_COLUMNS = 128, PIO_DELTA_KEYS = 1024 };

typedef struct {
  const pio_pool *pool; // has the room for a chunk
  float *y, *state;                   // (rows, heads, value_dim), (slots, heads, key_dim, value_dim)
  const float *q, *k, *v, *g, *beta;  // (rows, key_heads, key_dim) twice, (rows, heads, value_dim), (rows, heads) twice
  const int32_t *positions, *slots, *forms;
  size_t rows, key_heads, heads, key_dim, value_dim;
  float scale;
} pio_delta_args;

typedef struct {
  const char *name;
  pio_task *matmul_few;  // up to PIO_FEW rows: weights widened in registers
  pio_task *matmul_many; // weights widened once for a block of rows
  pio_task *rmsnorm, *add, *swiglu, *rotate, *embed, *attention, *attend_tile, *latent_query, *latent_value, *add_row, *layernorm, *gelu_erf, *gelu_tanh, *route, *scatter_add;
  pio_task *sigmoid, *mul, *mul_rows, *l2norm, *causal_conv, *delta_rule;
  size_t (*delta_room)(size_t key_dim);            // bytes that a task of delta_rule works in
  void (*exp)(float *y, const float *x, size_t n); // for the test of its bound
  double (*flops)(double seconds);                 // f32 operations/s of one thread in registers
} pio_kernels;

enum {
  PIO_LATENT_COLUMNS = 256, // of a matrix that latent_query reads at once
  PIO_RANK_F8 = 4096,       // elements of a latent whose matrix is in 8 bits, at most
};

enum {
  PIO_FEW = 16,       // rows that matmul_few takes
  PIO_ROWS_MANY = 96, // rows that matmul_many works on at once
  PIO_OUTS_MANY = 32, // and outs
};

// The tables this machine can run, best first; NULL after the last.
const pio_kernels *pio_kernels_at(int i);

void pio_matmul(pio_pool *p, const pio_kernels *t, float *y, const float *x, const void *w, int type,
                const void *factors, int factor_type, size_t block_outs, size_t block_ins, size_t rows, size_t in, size_t out);
void pio_rmsnorm(pio_pool *p, const pio_kernels *t, float *y, const float *x, const void *w, int type, size_t rows,
                 size_t n, float eps, float plus);
void pio_add(pio_pool *p, const pio_kernels *t, float *y, const float *a, const float *b, size_t n);
void pio_swiglu(pio_pool *p, const pio_kernels *t, float *y, const float *a, const float *b, size_t n);
void pio_rotate(pio_pool *p, const pio_kernels *t, float *y, const float *x, const float *angles, size_t rows,
                size_t heads, size_t dim, size_t pairs, size_t first, int interleaved);
void pio_embed(pio_pool *p, const pio_kernels *t, float *y, const int32_t *tokens, const void *table, int type,
               const void *factors, int factor_type, size_t block_outs, size_t block_ins, size_t rows, size_t n);
void pio_attention(pio_pool *p, const pio_kernels *t, float *y, const float *q, const float *k, const float *v,
                   const int32_t *positions, const int32_t *seqs, const int32_t *tables, size_t width, size_t rows,
                   size_t heads, size_t kv_heads, size_t block, size_t dim, size_t vdim, float scale);
void pio_latent_attention(pio_pool *p, const pio_kernels *t, float *y, const float *q, const float *cache,
                          const int32_t *positions, const int32_t *seqs, const int32_t *tables, size_t width, size_t rows,
                          size_t heads, size_t block, size_t dim, size_t vdim, float scale);
void pio_attend_tile(pio_pool *p, const pio_kernels *t, float *acc, const float *q, const float *k, const float *v,
                     const int32_t *limits, size_t rows, size_t heads, size_t kv_heads, size_t n, size_t first, size_t dim,
                     size_t vdim, float scale);
void pio_latent_query(pio_pool *p, const pio_kernels *t, float *y, const float *q, const void *w, int type,
                      const void *factors, int factor_type, size_t block_outs, size_t block_ins, size_t rows, size_t heads,
                      size_t group, size_t rank, size_t dim, size_t nope);
void pio_latent_value(pio_pool *p, const pio_kernels *t, float *y, const float *x, const void *w, int type,
                      const void *factors, int factor_type, size_t block_outs, size_t block_ins, size_t rows, size_t heads,
                      size_t group, size_t rank, size_t vdim);
void pio_add_row(pio_pool *p, const pio_kernels *t, float *y, const float *x, const void *w, int type, size_t rows, size_t n);
void pio_layernorm(pio_pool *p, const pio_kernels *t, float *y, const float *x, const void *w, int type, const void *b,
                   int b_type, size_t rows, size_t n, float eps);
void pio_gelu(pio_pool *p, const pio_kernels *t, float *y, const float *x, size_t n, int tanh);
void pio_columns(pio_pool *p, float *y, size_t y_row, const float *x, size_t x_row, size_t width, size_t rows);
void pio_sigmoid(pio_pool *p, const pio_kernels *t, float *y, const float *x, size_t n);
void pio_mul(pio_pool *p, const pio_kernels *t, float *y, const float *x, const float *factors, size_t n);
void pio_mul_rows(pio_pool *p, const pio_kernels *t, float *y, const float *x, const float *factors, size_t rows, size_t n);
void pio_l2norm(pio_pool *p, const pio_kernels *t, float *y, const float *x, size_t rows, size_t n, float eps);
void pio_causal_conv(pio_pool *p, const pio_kernels *t, float *y, const float *x, const void *w, int type, float *state,
                     const int32_t *positions, const int32_t *slots, size_t rows, size_t channels, size_t n);
// 0 if there is no memory to work in.
int pio_delta_rule(pio_pool *p, const pio_kernels *t, float *y, float *state, const float *q, const float *k, const float *v,
                    const float *g, const float *beta, const int32_t *positions, const int32_t *slots, const int32_t *forms,
                    size_t rows, size_t key_heads, size_t heads, size_t key_dim, size_t value_dim, float scale);
void pio_exp(const pio_kernels *t, float *y, const float *x, size_t n);

// pio_matmul_cut cuts a product into tasks of a kernel that it names; rows are not zero.
size_t pio_matmul_cut(const pio_kernels *t, pio_matmul_args *a, pio_task **task);
void pio_matmul_grouped(pio_pool *p, const pio_kernels *t, float *y, const float *x, pio_group *groups, size_t n, size_t in, size_t out);
void pio_copy_rows(pio_pool *p, float *y, const float *x, const int32_t *entries, size_t count, size_t n, size_t k);
void pio_scatter_add(pio_pool *p, const pio_kernels *t, float *y, const float *x, const int32_t *entries, const float *weights,
                     size_t count, size_t n, size_t k);
// pio_route takes how to choose from a route_args, and the operands apart.
void pio_route(pio_pool *p, const pio_kernels *t, int32_t *index, float *weights, const float *logits, const void *bias,
               const pio_route_args *how);

// Measurements, with all threads of the pool.
void pio_read(pio_pool *p, const void *data, size_t bytes); // reads whole pieces of 256 KiB
double pio_peak_flops(pio_pool *p, const pio_kernels *t);   // f32 operations/s

#endif

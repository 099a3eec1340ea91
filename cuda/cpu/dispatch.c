// dispatch.c: which kernel tables this machine has, and how an op is cut into tasks for the pool.
#define _GNU_SOURCE
#include "kernels.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

extern const pio_kernels pio_portable;
#if defined(__x86_64__)
extern const pio_kernels pio_avx2;

static int has_avx2(void) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}
#endif

const pio_kernels *pio_kernels_at(int i) {
#if defined(__x86_64__)
  if (has_avx2() && i-- == 0)
    return &pio_avx2;
#endif
  return i == 0 ? &pio_portable : NULL;
}

// SMALL is how many elements an elementwise op must have to be worth waking threads for; TASK_BYTES how much of a weight a
// task reads: large enough that taking a task costs nothing, small enough that threads end together.
enum { SMALL = 16384, TASK_BYTES = 64 * 1024 };

static size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

static size_t at_least(size_t least, size_t n) { return n < least ? least : n; }

size_t pio_matmul_cut(const pio_kernels *t, pio_matmul_args *a, pio_task **task) {
  if (a->rows <= PIO_FEW) {
    size_t row_bytes = a->in * (a->type == PIO_F32 ? 4 : a->type == PIO_F8 ? 1 : 2);
    a->outs_per_task = at_least(24, TASK_BYTES / at_least(1, row_bytes) / 24 * 24); // eights and threes come out even
    *task = t->matmul_few;
    return ceil_div(a->out, a->outs_per_task);
  }
  a->out_tasks = ceil_div(a->out, PIO_OUTS_MANY);
  *task = t->matmul_many;
  return a->out_tasks * ceil_div(a->rows, PIO_ROWS_MANY);
}

void pio_matmul(pio_pool *p, const pio_kernels *t, float *y, const float *x, const void *w, int type,
                const void *factors, int factor_type, size_t block_outs, size_t block_ins, size_t rows, size_t in, size_t out) {
  pio_matmul_args a = {.y = y, .x = x, .w = w, .type = type, .rows = rows, .in = in, .out = out,
                       .scale = {factors, factor_type, block_outs, block_ins}};
  pio_task *task;
  size_t tasks = pio_matmul_cut(t, &a, &task);
  pio_pool_run(p, task, &a, tasks);
}

void pio_rmsnorm(pio_pool *p, const pio_kernels *t, float *y, const float *x, const void *w, int type, size_t rows,
                 size_t n, float eps, float plus) {
  pio_norm_args a = {.y = y, .x = x, .w = w, .type = type, .rows = rows, .n = n, .eps = eps, .plus = plus};
  a.rows_per_task = at_least(1, SMALL / at_least(1, n));
  pio_pool_run(p, t->rmsnorm, &a, ceil_div(rows, a.rows_per_task));
}

static void pair(pio_pool *p, pio_task *task, float *y, const float *u, const float *v, size_t n) {
  pio_pair_args a = {.y = y, .a = u, .b = v, .n = n, .per_task = SMALL};
  pio_pool_run(p, task, &a, ceil_div(n, SMALL));
}

void pio_add(pio_pool *p, const pio_kernels *t, float *y, const float *a, const float *b, size_t n) {
  pair(p, t->add, y, a, b, n);
}

void pio_swiglu(pio_pool *p, const pio_kernels *t, float *y, const float *a, const float *b, size_t n) {
  pair(p, t->swiglu, y, a, b, n);
}

void pio_rotate(pio_pool *p, const pio_kernels *t, float *y, const float *x, const float *angles, size_t rows,
                size_t heads, size_t dim, size_t pairs, size_t first, int interleaved) {
  pio_rotate_args a = {.y = y, .x = x, .angles = angles, .rows = rows, .heads = heads, .dim = dim, .pairs = pairs,
                       .first = first, .interleaved = interleaved};
  a.rows_per_task = at_least(1, SMALL / at_least(1, heads * dim));
  pio_pool_run(p, t->rotate, &a, ceil_div(rows, a.rows_per_task));
}

void pio_embed(pio_pool *p, const pio_kernels *t, float *y, const int32_t *tokens, const void *table, int type,
               const void *factors, int factor_type, size_t block_outs, size_t block_ins, size_t rows, size_t n) {
  pio_embed_args a = {.y = y, .tokens = tokens, .table = table, .type = type, .rows = rows, .n = n,
                      .scale = {factors, factor_type, block_outs, block_ins}};
  a.rows_per_task = at_least(1, SMALL / at_least(1, n));
  pio_pool_run(p, t->embed, &a, ceil_div(rows, a.rows_per_task));
}

void pio_add_row(pio_pool *p, const pio_kernels *t, float *y, const float *x, const void *w, int type, size_t rows, size_t n) {
  pio_norm_args a = {.y = y, .x = x, .w = w, .type = type, .rows = rows, .n = n};
  a.rows_per_task = at_least(1, SMALL / at_least(1, n));
  pio_pool_run(p, t->add_row, &a, ceil_div(rows, a.rows_per_task));
}

void pio_layernorm(pio_pool *p, const pio_kernels *t, float *y, const float *x, const void *w, int type, const void *b,
                   int b_type, size_t rows, size_t n, float eps) {
  pio_layernorm_args a = {.y = y, .x = x, .w = w, .b = b, .type = type, .b_type = b_type, .rows = rows, .n = n, .eps = eps};
  a.rows_per_task = at_least(1, SMALL / at_least(1, n));
  pio_pool_run(p, t->layernorm, &a, ceil_div(rows, a.rows_per_task));
}

void pio_gelu(pio_pool *p, const pio_kernels *t, float *y, const float *x, size_t n, int tanh) {
  pair(p, tanh ? t->gelu_tanh : t->gelu_erf, y, x, x, n);
}

void pio_exp(const pio_kernels *t, float *y, const float *x, size_t n) { t->exp(y, x, n); }

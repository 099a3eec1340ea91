// attention.c: how attention is cut into tasks for the pool.
#define _GNU_SOURCE
#include "kernels.h"

static size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

static size_t at_least(size_t least, size_t n) { return n < least ? least : n; }

// Rows and heads that share a pass over the keys save memory traffic; with few of them it is more important that all threads
// work. 24 is what a pass takes, 3 what its arithmetic takes at once.
static void run_attention(pio_pool *p, const pio_kernels *t, pio_attention_args *a) {
  size_t group = a->heads / a->kv_heads, threads = (size_t)pio_pool_threads(p);
  a->heads_per_task = group < 24 ? group : 24;
  a->rows_per_task = 24 / a->heads_per_task;
  while (a->rows_per_task > 1 && ceil_div(a->rows, a->rows_per_task) * a->kv_heads < 4 * threads)
    a->rows_per_task = (a->rows_per_task + 1) / 2;
  while (a->heads_per_task > 3 && ceil_div(a->rows, a->rows_per_task) * a->kv_heads * ceil_div(group, a->heads_per_task) < threads)
    a->heads_per_task = at_least(3, ceil_div(a->heads_per_task, 2));
  pio_pool_run(p, t->attention, a, ceil_div(a->rows, a->rows_per_task) * a->kv_heads * ceil_div(group, a->heads_per_task));
}

void pio_attention(pio_pool *p, const pio_kernels *t, float *y, const float *q, const float *k, const float *v,
                   const int32_t *positions, const int32_t *seqs, const int32_t *tables, size_t width, size_t rows,
                   size_t heads, size_t kv_heads, size_t block, size_t dim, size_t vdim, float scale) {
  pio_attention_args a = {.y = y, .q = q, .k = k, .v = v, .positions = positions, .seqs = seqs, .tables = tables,
                          .width = width, .rows = rows, .heads = heads, .kv_heads = kv_heads, .block = block,
                          .keys = {dim, vdim, dim, vdim, scale}};
  run_attention(p, t, &a);
}

void pio_latent_attention(pio_pool *p, const pio_kernels *t, float *y, const float *q, const float *cache,
                          const int32_t *positions, const int32_t *seqs, const int32_t *tables, size_t width, size_t rows,
                          size_t heads, size_t block, size_t dim, size_t vdim, float scale) {
  pio_attention_args a = {.y = y, .q = q, .k = cache, .v = cache, .positions = positions, .seqs = seqs, .tables = tables,
                          .width = width, .rows = rows, .heads = heads, .kv_heads = 1, .block = block,
                          .keys = {dim, vdim, dim, dim, scale}};
  run_attention(p, t, &a);
}

void pio_attend_tile(pio_pool *p, const pio_kernels *t, float *acc, const float *q, const float *k, const float *v,
                     const int32_t *limits, size_t rows, size_t heads, size_t kv_heads, size_t n, size_t first, size_t dim,
                     size_t vdim, float scale) {
  pio_tile_args a = {.acc = acc, .q = q, .k = k, .v = v, .limits = limits, .rows = rows, .heads = heads, .kv_heads = kv_heads,
                     .n = n, .first = first, .keys = {dim, vdim, dim, vdim, scale}};
  a.rows_per_task = at_least(1, 24 / (heads / kv_heads));
  pio_pool_run(p, t->attend_tile, &a, ceil_div(rows, a.rows_per_task) * kv_heads);
}

void pio_latent_query(pio_pool *p, const pio_kernels *t, float *y, const float *q, const void *w, int type,
                      const void *factors, int factor_type, size_t block_outs, size_t block_ins, size_t rows, size_t heads,
                      size_t group, size_t rank, size_t dim, size_t nope) {
  pio_latent_args a = {.y = y, .x = q, .w = w, .type = type, .scale = {factors, factor_type, block_outs, block_ins},
                       .rows = rows, .heads = heads, .group = group, .rank = rank, .dim = dim, .own = nope};
  a.tasks_per_head = at_least(1, ceil_div(rank, PIO_LATENT_COLUMNS));
  pio_pool_run(p, t->latent_query, &a, heads * a.tasks_per_head);
}

void pio_latent_value(pio_pool *p, const pio_kernels *t, float *y, const float *x, const void *w, int type,
                      const void *factors, int factor_type, size_t block_outs, size_t block_ins, size_t rows, size_t heads,
                      size_t group, size_t rank, size_t vdim) {
  pio_latent_args a = {.y = y, .x = x, .w = w, .type = type, .scale = {factors, factor_type, block_outs, block_ins},
                       .rows = rows, .heads = heads, .group = group, .rank = rank, .own = vdim};
  a.per_task = 48;
  a.tasks_per_head = ceil_div(vdim, a.per_task);
  pio_pool_run(p, t->latent_value, &a, heads * a.tasks_per_head);
}

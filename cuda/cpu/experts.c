// experts.c: how the ops of mixtures of experts are cut into tasks for the pool.
#define _GNU_SOURCE
#include "kernels.h"

#include <string.h>

static size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

// ---- grouped matmul: each group is a product as pio_matmul does it; all their tasks are one job

typedef struct {
  const pio_kernels *table;
  float *y;
  const float *x;
  size_t in, out, n;
  const pio_group *groups;
} grouped_args;

static pio_matmul_args product(const grouped_args *a, const pio_group *g) {
  return (pio_matmul_args){.y = a->y + g->first_row * a->out, .x = a->x + g->first_row * a->in, .w = (const void *)g->w, .type = g->type,
                           .scale = {(const void *)g->factors, g->factor_type, g->block_outs, g->block_ins},
                           .rows = g->rows, .in = a->in, .out = a->out};
}

// grouped finds the group of a task: the last that begins at or before it and has any.
static void grouped(const void *args, size_t task) {
  const grouped_args *a = args;
  size_t low = 0, high = a->n;
  while (high - low > 1) {
    size_t middle = (low + high) / 2;
    if (a->groups[middle].first_task <= task)
      low = middle;
    else
      high = middle;
  }
  pio_matmul_args m = product(a, &a->groups[low]);
  pio_task *run;
  pio_matmul_cut(a->table, &m, &run);
  run(&m, task - a->groups[low].first_task);
}

void pio_matmul_grouped(pio_pool *p, const pio_kernels *t, float *y, const float *x, pio_group *groups, size_t n, size_t in, size_t out) {
  grouped_args a = {.table = t, .y = y, .x = x, .in = in, .out = out, .n = n, .groups = groups};
  size_t tasks = 0, rows = 0;
  for (size_t i = 0; i < n; i++) {
    groups[i].first_row = rows, groups[i].first_task = tasks;
    rows += groups[i].rows;
    if (groups[i].rows > 0) {
      pio_matmul_args m = product(&a, &groups[i]);
      pio_task *run;
      tasks += pio_matmul_cut(t, &m, &run);
    }
  }
  pio_pool_run(p, grouped, &a, tasks);
}

// ---- rows

enum { ROWS_TASK = 64 * 1024, ELEMENTS_TASK = 16384 }; // bytes a task copies, elements it computes

typedef struct {
  float *y;
  const float *x;
  const int32_t *entries;
  size_t count, n, k, rows_per_task;
} copy_args;

static void copy_rows(const void *args, size_t task) {
  const copy_args *a = args;
  size_t i = task * a->rows_per_task, to = a->count - i < a->rows_per_task ? a->count : i + a->rows_per_task;
  for (; i < to; i++)
    memcpy(a->y + i * a->n, a->x + (size_t)a->entries[i] / a->k * a->n, a->n * sizeof(float));
}

void pio_copy_rows(pio_pool *p, float *y, const float *x, const int32_t *entries, size_t count, size_t n, size_t k) {
  copy_args a = {.y = y, .x = x, .entries = entries, .count = count, .n = n, .k = k};
  a.rows_per_task = ceil_div(ROWS_TASK, n * sizeof(float));
  pio_pool_run(p, copy_rows, &a, ceil_div(count, a.rows_per_task));
}

void pio_scatter_add(pio_pool *p, const pio_kernels *t, float *y, const float *x, const int32_t *entries, const float *weights,
                     size_t count, size_t n, size_t k) {
  pio_scatter_args a = {.y = y, .x = x, .entries = entries, .weights = weights, .count = count, .n = n, .k = k};
  a.columns_per_task = ceil_div(ceil_div(ELEMENTS_TASK, count), 64) * 64; // whole cache lines
  pio_pool_run(p, t->scatter_add, &a, ceil_div(n, a.columns_per_task));
}

void pio_route(pio_pool *p, const pio_kernels *t, int32_t *index, float *weights, const float *logits, const void *bias,
               const pio_route_args *how) {
  pio_route_args a = *how;
  a.index = index, a.weights = weights, a.logits = logits, a.bias = bias;
  a.rows_per_task = ceil_div(ELEMENTS_TASK, a.experts * (a.k + 8)); // each expert is looked at k times, and its score computed
  pio_pool_run(p, t->route, &a, ceil_div(a.rows, a.rows_per_task));
}

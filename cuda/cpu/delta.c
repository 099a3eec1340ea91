// delta.c: how the ops of delta.h and rows.h are cut into tasks for the pool.
#define _GNU_SOURCE
#include "kernels.h"

#include <string.h>

enum { ELEMENTS_TASK = 16384, CHANNELS_TASK = 512 }; // that a task of an elementwise op computes, that one of a convolution has

static size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

static void elements(pio_pool *p, pio_task *task, float *y, const float *a, const float *b, size_t n) {
  pio_pair_args args = {.y = y, .a = a, .b = b, .n = n, .per_task = ELEMENTS_TASK};
  pio_pool_run(p, task, &args, ceil_div(n, ELEMENTS_TASK));
}

static void by_row(pio_pool *p, pio_task *task, pio_rows_args *a) {
  a->rows_per_task = ELEMENTS_TASK / (a->n > 0 ? a->n : 1);
  if (a->rows_per_task == 0)
    a->rows_per_task = 1;
  pio_pool_run(p, task, a, ceil_div(a->rows, a->rows_per_task));
}

// ---- rows of one matrix to those of another

enum { BYTES_TASK = 64 * 1024 }; // that a task copies

typedef struct {
  float *y;
  const float *x;
  size_t y_row, x_row, width, rows, rows_per_task;
} copy_args;

static void copy_columns(const void *args, size_t task) {
  const copy_args *a = args;
  size_t r = task * a->rows_per_task, to = a->rows - r < a->rows_per_task ? a->rows : r + a->rows_per_task;
  for (; r < to; r++)
    memcpy(a->y + r * a->y_row, a->x + r * a->x_row, a->width * sizeof(float));
}

void pio_columns(pio_pool *p, float *y, size_t y_row, const float *x, size_t x_row, size_t width, size_t rows) {
  copy_args a = {y, x, y_row, x_row, width, rows, ceil_div(BYTES_TASK, width * sizeof(float))};
  pio_pool_run(p, copy_columns, &a, ceil_div(rows, a.rows_per_task));
}

// ---- the ops

void pio_sigmoid(pio_pool *p, const pio_kernels *t, float *y, const float *x, size_t n) { elements(p, t->sigmoid, y, x, NULL, n); }

void pio_mul(pio_pool *p, const pio_kernels *t, float *y, const float *x, const float *factors, size_t n) {
  elements(p, t->mul, y, x, factors, n);
}

void pio_mul_rows(pio_pool *p, const pio_kernels *t, float *y, const float *x, const float *factors, size_t rows, size_t n) {
  by_row(p, t->mul_rows, &(pio_rows_args){.y = y, .x = x, .factors = factors, .rows = rows, .n = n});
}

void pio_l2norm(pio_pool *p, const pio_kernels *t, float *y, const float *x, size_t rows, size_t n, float eps) {
  by_row(p, t->l2norm, &(pio_rows_args){.y = y, .x = x, .rows = rows, .n = n, .eps = eps});
}

void pio_causal_conv(pio_pool *p, const pio_kernels *t, float *y, const float *x, const void *w, int type, float *state,
                     const int32_t *positions, const int32_t *slots, size_t rows, size_t channels, size_t n) {
  pio_conv_args a = {.y = y, .x = x, .w = w, .type = type, .state = state, .positions = positions, .slots = slots,
                     .rows = rows, .channels = channels, .n = n, .channels_per_task = CHANNELS_TASK};
  if (a.channels_per_task > PIO_CONV_WEIGHTS / n)
    a.channels_per_task = PIO_CONV_WEIGHTS / n;
  pio_pool_run(p, t->causal_conv, &a, ceil_div(channels, a.channels_per_task));
}

void pio_delta_rule(pio_pool *p, const pio_kernels *t, float *y, float *state, const float *q, const float *k, const float *v,
                    const float *g, const float *beta, const int32_t *positions, const int32_t *slots, const int32_t *forms,
                    size_t rows, size_t key_heads, size_t heads, size_t key_dim, size_t value_dim, float scale) {
  pio_delta_args a = {.y = y, .state = state, .q = q, .k = k, .v = v, .g = g, .beta = beta, .positions = positions,
                      .slots = slots, .forms = forms, .rows = rows, .key_heads = key_heads, .heads = heads,
                      .key_dim = key_dim, .value_dim = value_dim, .scale = scale};
  pio_pool_run(p, t->delta_rule, &a, heads * ceil_div(value_dim, PIO_DELTA_COLUMNS));
}

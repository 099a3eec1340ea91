// rows.c: how the ops of rows.h, and the copying of columns, are cut into tasks for the pool.
#define _GNU_SOURCE
#include "kernels.h"

#include <string.h>

enum { ELEMENTS_TASK = 16384, BYTES_TASK = 64 * 1024 }; // that a task of an elementwise op computes, that one of a copy moves

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

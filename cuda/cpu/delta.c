// delta.c: how the ops of delta.h are cut into tasks for the pool.
#define _GNU_SOURCE
#include "kernels.h"

enum { CHANNELS_TASK = 512 }; // that a task of a convolution has

static size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

void pio_causal_conv(pio_pool *p, const pio_kernels *t, float *y, const float *x, const void *w, int type, float *state,
                     const int32_t *positions, const int32_t *slots, size_t rows, size_t channels, size_t n) {
  pio_conv_args a = {.y = y, .x = x, .w = w, .type = type, .state = state, .positions = positions, .slots = slots,
                     .rows = rows, .channels = channels, .n = n, .channels_per_task = CHANNELS_TASK};
  if (a.channels_per_task > PIO_CONV_WEIGHTS / n)
    a.channels_per_task = PIO_CONV_WEIGHTS / n;
  pio_pool_run(p, t->causal_conv, &a, ceil_div(channels, a.channels_per_task));
}

int pio_delta_rule(pio_pool *p, const pio_kernels *t, float *y, float *state, const float *q, const float *k, const float *v,
                    const float *g, const float *beta, const int32_t *positions, const int32_t *slots, const int32_t *forms,
                    size_t rows, size_t key_heads, size_t heads, size_t key_dim, size_t value_dim, float scale) {
  pio_delta_args a = {.pool = p, .y = y, .state = state, .q = q, .k = k, .v = v, .g = g, .beta = beta, .positions = positions,
                      .slots = slots, .forms = forms, .rows = rows, .key_heads = key_heads, .heads = heads,
                      .key_dim = key_dim, .value_dim = value_dim, .scale = scale};
  return pio_pool_run_with(p, t->delta_rule, &a, heads * ceil_div(value_dim, PIO_DELTA_COLUMNS), t->delta_room(key_dim));
}

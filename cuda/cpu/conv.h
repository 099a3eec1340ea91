// conv.h: a causal convolution over the positions of each channel, and silu after it; included by template.h.

enum {
  CONV_MOST = 64,      // positions it looks at
  CONV_CHANNELS = 512, // that a task has
  CONV_WEIGHTS = 4096, // and their weights, at most
};

typedef struct {
  float *y;
  const float *x;
  pio_matrix w; // (channels, n) in one row
  float *state; // (slots, n - 1, channels)
  const int32_t *positions, *slots;
  size_t rows, channels, n, channels_per_task;
} conv_args;

INLINE V take(const float *p, size_t n) {
  if (n == W)
    return v_load(p);
  return v_load_n(p, n);
}

INLINE void put(float *p, V v, size_t n) {
  if (n == W)
    v_store(p, v);
  else
    v_store_n(p, v, n);
}

// turned gives the weights of some channels with the channels side by side: w[j][c] for position j.
static void turned(float *w, const conv_args *a, size_t c0, size_t channels) {
  float plain[CONV_WEIGHTS];
  size_t n = a->n;
  layouts[a->w.layout].widen(&a->w, 0, c0 * n, channels * n, plain);
  for (size_t j = 0; j < n; j++)
    for (size_t c = 0; c < channels; c++)
      w[j * channels + c] = plain[c * n + j];
}

// A task is some channels for all rows; the last inputs of a sequence stay in its state, the oldest first.
static void causal_conv(const void *args, size_t task) {
  const conv_args *a = args;
  float w[CONV_WEIGHTS];
  size_t c0 = task * a->channels_per_task, n = a->n;
  size_t channels = at_most(a->channels_per_task, a->channels - c0);
  turned(w, a, c0, channels);
  for (size_t r = 0; r < a->rows; r++) {
    const float *x = a->x + r * a->channels + c0;
    float *y = a->y + r * a->channels + c0, *past = a->state + (size_t)a->slots[r] * (n - 1) * a->channels + c0;
    for (size_t c = 0; c < channels; c += W) {
      size_t m = at_most(W, channels - c);
      V input = take(x + c, m), sum = v_zero();
      for (size_t j = 0; j + 1 < n; j++) {
        float *at = past + j * a->channels + c;
        V before = a->positions[r] == 0 ? v_zero() : take(at, m);
        sum = v_fma(take(w + j * channels + c, m), before, sum);
        if (j > 0)
          put(at - a->channels, before, m);
      }
      if (n > 1)
        put(past + (n - 2) * a->channels + c, input, m);
      sum = v_fma(take(w + (n - 1) * channels + c, m), input, sum);
      put(y + c, sum * sigmoid_of(sum), m);
    }
  }
}

static const char *run_causal_conv(pio_pool *p, const pio_op *op) {
  const pio_matrix *w = &op->w[0];
  if (w->cols < 1 || w->cols > CONV_MOST)
    return "a convolution over no position, or over more than 64";
  if (!is_plain(w->layout))
    return "a convolution whose weights are not in f32, bf16 or f16";
  conv_args a = {.y = f32(&op->out[0]), .x = f32(&op->in[0]), .w = *w, .state = f32(&op->out[1]), .positions = i32(&op->in[1]),
                 .slots = i32(&op->in[2]), .rows = dim(&op->in[0], 0), .channels = (size_t)w->rows, .n = (size_t)w->cols};
  a.w.rows = 1, a.w.cols = w->rows * w->cols;
  a.channels_per_task = at_most(CONV_CHANNELS, CONV_WEIGHTS / a.n);
  pio_pool_run(p, causal_conv, &a, ceil_div(a.channels, a.channels_per_task));
  return NULL;
}

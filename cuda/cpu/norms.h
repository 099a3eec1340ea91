// norms.h: what is computed from whole rows, and what is added to each; included by template.h.

INLINE float squares(const float *x, size_t n) {
  V sum = v_zero();
  size_t i = 0;
  for (; i + W <= n; i += W)
    sum = v_fma(v_load(x + i), v_load(x + i), sum);
  if (i < n)
    sum = v_fma(v_load_n(x + i, n - i), v_load_n(x + i, n - i), sum);
  return v_sum(sum);
}

static void rmsnorm(const void *args, size_t task) {
  const row_args *a = args;
  span rows = part_of(task, a->rows_per_task, a->rows);
  size_t n = a->n;
  V plus = v_set1(a->op->f[1]);
  vector weights;
  vector_of(&weights, &a->op->w[0]);
  for (size_t r = rows.from; r < rows.to; r++) {
    const float *x = a->x + r * n;
    float *y = a->y + r * n;
    V inv = v_set1(1.0f / __builtin_sqrtf(squares(x, n) / (float)n + a->op->f[0]));
    for (size_t c = 0, m; c < n; c += m, x += m, y += m) {
      const float *w = piece(&weights, c, n - c);
      size_t i = 0;
      m = at_most(PIECE, n - c);
      for (; i + W <= m; i += W)
        v_store(y + i, v_load(x + i) * inv * (plus + v_load(w + i)));
      if (i < m)
        v_store_n(y + i, v_load_n(x + i, m - i) * inv * (plus + v_load_n(w + i, m - i)), m - i);
    }
  }
}

static const char *run_rmsnorm(pio_pool *p, const pio_op *op) { return by_row(p, op, rmsnorm); }

static void l2norm(const void *args, size_t task) {
  const row_args *a = args;
  span rows = part_of(task, a->rows_per_task, a->rows);
  for (size_t r = rows.from; r < rows.to; r++)
    scale_row(a->y + r * a->n, a->x + r * a->n, a->n, 1.0f / __builtin_sqrtf(squares(a->x + r * a->n, a->n) + a->op->f[0]));
}

static const char *run_l2norm(pio_pool *p, const pio_op *op) { return by_row(p, op, l2norm); }

// ---- add_row

static void add_row(const void *args, size_t task) {
  const row_args *a = args;
  span rows = part_of(task, a->rows_per_task, a->rows);
  size_t n = a->n;
  vector weights;
  vector_of(&weights, &a->op->w[0]);
  for (size_t r = rows.from; r < rows.to; r++) {
    const float *x = a->x + r * n;
    float *y = a->y + r * n;
    for (size_t c = 0, m; c < n; c += m, x += m, y += m) {
      const float *w = piece(&weights, c, n - c);
      size_t i = 0;
      m = at_most(PIECE, n - c);
      for (; i + W <= m; i += W)
        v_store(y + i, v_load(x + i) + v_load(w + i));
      if (i < m)
        v_store_n(y + i, v_load_n(x + i, m - i) + v_load_n(w + i, m - i), m - i);
    }
  }
}

static const char *run_add_row(pio_pool *p, const pio_op *op) { return by_row(p, op, add_row); }

// ---- layernorm

// first_lanes is 1 in the first n lanes, 0 in the others.
INLINE V first_lanes(size_t n) {
  float ones[W] = {0};
  for (size_t i = 0; i < n; i++)
    ones[i] = 1;
  return v_load(ones);
}

INLINE float mean_of(const float *x, size_t n) {
  V sum = v_zero();
  size_t i = 0;
  for (; i + W <= n; i += W)
    sum = sum + v_load(x + i);
  if (i < n)
    sum = sum + v_load_n(x + i, n - i);
  return v_sum(sum) / (float)n;
}

INLINE float variance_of(const float *x, size_t n, V mean) {
  V sum = v_zero();
  size_t i = 0;
  for (; i + W <= n; i += W) {
    V d = v_load(x + i) - mean;
    sum = v_fma(d, d, sum);
  }
  if (i < n) {
    V d = (v_load_n(x + i, n - i) - mean) * first_lanes(n - i);
    sum = v_fma(d, d, sum);
  }
  return v_sum(sum) / (float)n;
}

static void layernorm(const void *args, size_t task) {
  const row_args *a = args;
  span rows = part_of(task, a->rows_per_task, a->rows);
  size_t n = a->n;
  vector weights, biases;
  vector_of(&weights, &a->op->w[0]), vector_of(&biases, &a->op->w[1]);
  for (size_t r = rows.from; r < rows.to; r++) {
    const float *x = a->x + r * n;
    float *y = a->y + r * n;
    V mean = v_set1(mean_of(x, n)), inv = v_set1(1.0f / __builtin_sqrtf(variance_of(x, n, mean) + a->op->f[0]));
    for (size_t c = 0, m; c < n; c += m, x += m, y += m) {
      const float *w = piece(&weights, c, n - c), *b = piece(&biases, c, n - c);
      size_t i = 0;
      m = at_most(PIECE, n - c);
      for (; i + W <= m; i += W)
        v_store(y + i, v_fma((v_load(x + i) - mean) * inv, v_load(w + i), v_load(b + i)));
      if (i < m)
        v_store_n(y + i, v_fma((v_load_n(x + i, m - i) - mean) * inv, v_load_n(w + i, m - i), v_load_n(b + i, m - i)), m - i);
    }
  }
}

static const char *run_layernorm(pio_pool *p, const pio_op *op) { return by_row(p, op, layernorm); }

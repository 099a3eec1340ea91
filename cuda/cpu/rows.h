// rows.h: the ops on the elements of rows that are neither a linear map nor a norm with a weight; included by template.h.

INLINE V sigmoid_of(V x) { return v_set1(1) / (v_set1(1) + v_exp(v_zero() - x)); }

static void sigmoid(const void *args, size_t task) {
  const pio_pair_args *a = args;
  size_t i = task * a->per_task, to = a->n - i < a->per_task ? a->n : i + a->per_task;
  for (; i + W <= to; i += W)
    v_store(a->y + i, sigmoid_of(v_load(a->a + i)));
  if (i < to)
    v_store_n(a->y + i, sigmoid_of(v_load_n(a->a + i, to - i)), to - i);
}

static void mul(const void *args, size_t task) {
  const pio_pair_args *a = args;
  size_t i = task * a->per_task, to = a->n - i < a->per_task ? a->n : i + a->per_task;
  for (; i + W <= to; i += W)
    v_store(a->y + i, v_load(a->a + i) * v_load(a->b + i));
  if (i < to)
    v_store_n(a->y + i, v_load_n(a->a + i, to - i) * v_load_n(a->b + i, to - i), to - i);
}

INLINE void scale_row(float *y, const float *x, size_t n, float factor) {
  size_t i = 0;
  V f = v_set1(factor);
  for (; i + W <= n; i += W)
    v_store(y + i, v_load(x + i) * f);
  if (i < n)
    v_store_n(y + i, v_load_n(x + i, n - i) * f, n - i);
}

static void mul_rows(const void *args, size_t task) {
  const pio_rows_args *a = args;
  size_t r = task * a->rows_per_task, to = a->rows - r < a->rows_per_task ? a->rows : r + a->rows_per_task;
  for (; r < to; r++)
    scale_row(a->y + r * a->n, a->x + r * a->n, a->n, a->factors[r]);
}

static void l2norm(const void *args, size_t task) {
  const pio_rows_args *a = args;
  size_t r = task * a->rows_per_task, to = a->rows - r < a->rows_per_task ? a->rows : r + a->rows_per_task;
  for (; r < to; r++) {
    const float *x = a->x + r * a->n;
    size_t i = 0;
    V sum = v_zero();
    for (; i + W <= a->n; i += W)
      sum = v_fma(v_load(x + i), v_load(x + i), sum);
    if (i < a->n)
      sum = v_fma(v_load_n(x + i, a->n - i), v_load_n(x + i, a->n - i), sum);
    scale_row(a->y + r * a->n, x, a->n, 1.0f / __builtin_sqrtf(v_sum(sum) + a->eps));
  }
}

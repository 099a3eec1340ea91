// biased.h: what layers with biases are made of; included by template.h.

static void add_row(const void *args, size_t task) {
  const pio_norm_args *a = args;
  size_t r = task * a->rows_per_task, to = a->rows - r < a->rows_per_task ? a->rows : r + a->rows_per_task;
  size_t n = a->n, size = width_of(a->type);
  const char *w = a->w;
  for (; r < to; r++) {
    const float *x = a->x + r * n;
    float *y = a->y + r * n;
    size_t i = 0;
    for (; i + W <= n; i += W)
      v_store(y + i, v_load(x + i) + widen(a->type, w + i * size));
    if (i < n)
      v_store_n(y + i, v_load_n(x + i, n - i) + widen_n(a->type, w + i * size, n - i), n - i);
  }
}

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
  const pio_layernorm_args *a = args;
  size_t r = task * a->rows_per_task, to = a->rows - r < a->rows_per_task ? a->rows : r + a->rows_per_task;
  size_t n = a->n, size = width_of(a->type), b_size = width_of(a->b_type);
  const char *w = a->w, *b = a->b;
  for (; r < to; r++) {
    const float *x = a->x + r * n;
    float *y = a->y + r * n;
    V mean = v_set1(mean_of(x, n)), inv = v_set1(1.0f / __builtin_sqrtf(variance_of(x, n, mean) + a->eps));
    size_t i = 0;
    for (; i + W <= n; i += W)
      v_store(y + i, v_fma((v_load(x + i) - mean) * inv, widen(a->type, w + i * size), widen(a->b_type, b + i * b_size)));
    if (i < n)
      v_store_n(y + i, v_fma((v_load_n(x + i, n - i) - mean) * inv, widen_n(a->type, w + i * size, n - i),
                             widen_n(a->b_type, b + i * b_size, n - i)), n - i);
  }
}

// ---- gelu

// gelu_tanh_of is x (1 + tanh u) / 2 = x / (1 + e^-2u), u = sqrt(2/pi) (x + 0.044715 x^3).
INLINE V gelu_tanh_of(V x) {
  V u = v_fma(x * x * x, v_set1(0.044715f), x) * v_set1(-1.5957691216f); // -2 sqrt(2/pi)
  return x / (v_set1(1) + v_exp(u));
}

// gelu_erf_of is x P(x), P the share of a normal distribution below x. Below -z it is s e^(-z^2/2) p(s) with s = 1 / (1 + 0.3 z / sqrt 2)
// and p the polynomial that meets erfc(z / sqrt 2) e^(z^2/2) / s / 2 at the Chebyshev nodes of s for z up to 13: 3e-8 apart, which
// leaves the rounding.
INLINE V gelu_erf_of(V x) {
  V z = v_max(x, v_zero() - x), s = v_set1(1) / v_fma(z, v_set1(0.3f * 0.70710678f), v_set1(1));
  V p = v_set1(-0.130380124f / 2);
  p = v_fma(p, s, v_set1(0.490008891f / 2));
  p = v_fma(p, s, v_set1(-0.522117138f / 2));
  p = v_fma(p, s, v_set1(0.559830725f / 2));
  p = v_fma(p, s, v_set1(-0.103697971f / 2));
  p = v_fma(p, s, v_set1(0.219117031f / 2));
  p = v_fma(p, s, v_set1(0.147166014f / 2));
  p = v_fma(p, s, v_set1(0.170896351f / 2));
  p = v_fma(p, s, v_set1(0.169176206f / 2));
  V below = p * s * v_exp(z * z * v_set1(-0.5f));
  return v_max(v_zero(), x) - z * below;
}

#define PIO_GELU(NAME, OF)                                                                                             \
  static void NAME(const void *args, size_t task) {                                                                    \
    const pio_pair_args *a = args;                                                                                     \
    size_t i = task * a->per_task, to = a->n - i < a->per_task ? a->n : i + a->per_task;                               \
    for (; i + W <= to; i += W)                                                                                        \
      v_store(a->y + i, OF(v_load(a->a + i)));                                                                         \
    if (i < to)                                                                                                        \
      v_store_n(a->y + i, OF(v_load_n(a->a + i, to - i)), to - i);                                                     \
  }

PIO_GELU(gelu_erf, gelu_erf_of)
PIO_GELU(gelu_tanh, gelu_tanh_of)
#undef PIO_GELU

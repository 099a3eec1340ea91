// elements.h: ops on elements by themselves; included by template.h.

INLINE V silu(V x) { return x / (v_set1(1) + v_exp(v_zero() - x)); }
INLINE V sigmoid_of(V x) { return v_set1(1) / (v_set1(1) + v_exp(v_zero() - x)); }

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

PIO_ELEMENTS(add, a + b)
static const char *run_add(pio_pool *p, const pio_op *op) { return by_element(p, op, add); }

PIO_ELEMENTS(swiglu, silu(a) * b)
static const char *run_swiglu(pio_pool *p, const pio_op *op) { return by_element(p, op, swiglu); }

PIO_ELEMENTS(sigmoid, sigmoid_of(a))
static const char *run_sigmoid(pio_pool *p, const pio_op *op) { return by_element(p, op, sigmoid); }

PIO_ELEMENTS(gelu_erf, gelu_erf_of(a))
PIO_ELEMENTS(gelu_tanh, gelu_tanh_of(a))
static const char *run_gelu(pio_pool *p, const pio_op *op) { return by_element(p, op, op->n[0] ? gelu_tanh : gelu_erf); }

// ---- mul: the second operand has a factor for each element, or for so many of them that follow each other

PIO_ELEMENTS(mul, a * b)

INLINE void scale_row(float *y, const float *x, size_t n, float factor) {
  size_t i = 0;
  V f = v_set1(factor);
  for (; i + W <= n; i += W)
    v_store(y + i, v_load(x + i) * f);
  if (i < n)
    v_store_n(y + i, v_load_n(x + i, n - i) * f, n - i);
}

static void mul_rows(const void *args, size_t task) {
  const row_args *a = args;
  span rows = part_of(task, a->rows_per_task, a->rows);
  for (size_t r = rows.from; r < rows.to; r++)
    scale_row(a->y + r * a->n, a->x + r * a->n, a->n, f32(&a->op->in[1])[r]);
}

static const char *run_mul(pio_pool *p, const pio_op *op) {
  size_t n = count(&op->in[0]), factors = at_least(1, count(&op->in[1]));
  if (n == factors)
    return by_element(p, op, mul);
  run_rows(p, mul_rows, op, factors, n / factors);
  return NULL;
}

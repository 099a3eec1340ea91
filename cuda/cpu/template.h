// template.h: the ops, once, in terms of the vector primitives of the file that includes it.
//
// What makes rows independent of their company, in every op:
//   - a sum over k or over a head runs through one vector of W lanes from the first element to the last, and its lanes
//     are added in one order at the end, whatever the number of rows and columns computed side by side;
//   - what does not fill a vector is loaded with zeros behind it and takes the same path;
//   - attention goes through the cache block by block from position 0, for every row alike.
// So blocking, chunks and threads change which sums are computed when, never how.

#define UNROLL _Pragma("GCC unroll 16")

// widen gives W elements of a weight as f32, widen_n the first n of them and zeros. What PIO_F8 elements are multiplied by is
// in fp8.h.
INLINE V widen(int type, const char *p) {
  switch (type) {
  case PIO_BF16:
    return v_bf16(p);
  case PIO_F16:
    return v_f16(p);
  case PIO_F8:
    return v_f8(p);
  default:
    return v_load((const float *)p);
  }
}

INLINE size_t width_of(int type) { return type == PIO_F32 ? 4 : type == PIO_F8 ? 1 : 2; }

INLINE V widen_n(int type, const char *p, size_t n) {
  char full[W * 4] = {0};
  memcpy(full, p, n * width_of(type));
  return widen(type, full);
}

#include "fp8.h"
#include "matmul.h"

// ---- exp

// v_exp is e^x within 2 units of the last place for x in [-87, 88]; below it gives no more than e^-87, above no more than
// e^88, and what is not a number stays so. x = n ln 2 + r, e^x = 2^n e^r, with e^r by its series to r^7 on |r| <= ln2/2.
INLINE V v_exp(V x) {
  x = v_min(v_set1(88.0f), v_max(v_set1(-87.0f), x));
  V n = v_fma(x, v_set1(1.44269504f), v_set1(12582912.0f)) - v_set1(12582912.0f); // 1.5 * 2^23 rounds to whole
  V r = v_fma(n, v_set1(-0.693359375f), x);                                      // ln 2 in two parts: n times the
  r = v_fma(n, v_set1(2.12194440e-4f), r);                                       // first is exact
  V p = v_set1(1.0f / 5040);
  p = v_fma(p, r, v_set1(1.0f / 720));
  p = v_fma(p, r, v_set1(1.0f / 120));
  p = v_fma(p, r, v_set1(1.0f / 24));
  p = v_fma(p, r, v_set1(1.0f / 6));
  p = v_fma(p, r, v_set1(0.5f));
  p = v_fma(p, r, v_set1(1.0f));
  p = v_fma(p, r, v_set1(1.0f));
  return p * v_pow2(n);
}

static void exp_all(float *y, const float *x, size_t n) {
  size_t i = 0;
  for (; i + W <= n; i += W)
    v_store(y + i, v_exp(v_load(x + i)));
  if (i < n)
    v_store_n(y + i, v_exp(v_load_n(x + i, n - i)), n - i);
}

// ---- elementwise

INLINE V swiglu_of(V gate, V up) { return gate / (v_set1(1) + v_exp(v_zero() - gate)) * up; }

static void add(const void *args, size_t task) {
  const pio_pair_args *a = args;
  size_t i = task * a->per_task, to = a->n - i < a->per_task ? a->n : i + a->per_task;
  for (; i + W <= to; i += W)
    v_store(a->y + i, v_load(a->a + i) + v_load(a->b + i));
  if (i < to)
    v_store_n(a->y + i, v_load_n(a->a + i, to - i) + v_load_n(a->b + i, to - i), to - i);
}

static void swiglu(const void *args, size_t task) {
  const pio_pair_args *a = args;
  size_t i = task * a->per_task, to = a->n - i < a->per_task ? a->n : i + a->per_task;
  for (; i + W <= to; i += W)
    v_store(a->y + i, swiglu_of(v_load(a->a + i), v_load(a->b + i)));
  if (i < to)
    v_store_n(a->y + i, swiglu_of(v_load_n(a->a + i, to - i), v_load_n(a->b + i, to - i)), to - i);
}

// ---- rmsnorm

static void norm_row(const pio_norm_args *a, const float *x, float *y) {
  size_t n = a->n, i = 0, size = width_of(a->type);
  const char *w = a->w;
  V sum = v_zero();
  for (; i + W <= n; i += W)
    sum = v_fma(v_load(x + i), v_load(x + i), sum);
  if (i < n)
    sum = v_fma(v_load_n(x + i, n - i), v_load_n(x + i, n - i), sum);
  V inv = v_set1(1.0f / __builtin_sqrtf(v_sum(sum) / (float)n + a->eps)), plus = v_set1(a->plus);
  for (i = 0; i + W <= n; i += W)
    v_store(y + i, v_load(x + i) * inv * (plus + widen(a->type, w + i * size)));
  if (i < n)
    v_store_n(y + i, v_load_n(x + i, n - i) * inv * (plus + widen_n(a->type, w + i * size, n - i)), n - i);
}

static void rmsnorm(const void *args, size_t task) {
  const pio_norm_args *a = args;
  size_t r = task * a->rows_per_task, to = a->rows - r < a->rows_per_task ? a->rows : r + a->rows_per_task;
  for (; r < to; r++)
    norm_row(a, a->x + r * a->n, a->y + r * a->n);
}

// ---- rotate

static void rotate(const void *args, size_t task) {
  const pio_rotate_args *a = args;
  size_t r = task * a->rows_per_task, to = a->rows - r < a->rows_per_task ? a->rows : r + a->rows_per_task;
  size_t second = a->interleaved ? 1 : a->pairs, step = a->interleaved ? 2 : 1;
  for (; r < to; r++) {
    const float *angle = a->angles + r * a->pairs * 2;
    for (size_t h = 0; h < a->heads; h++) {
      size_t head = (r * a->heads + h) * a->dim, rest = a->first + 2 * a->pairs;
      memcpy(a->y + head, a->x + head, a->first * sizeof(float));
      memcpy(a->y + head + rest, a->x + head + rest, (a->dim - rest) * sizeof(float));
      const float *x = a->x + head + a->first;
      float *y = a->y + head + a->first;
      for (size_t i = 0; i < a->pairs; i++) {
        float cos = angle[2 * i], sin = angle[2 * i + 1], first = x[i * step], other = x[i * step + second];
        y[i * step] = first * cos - other * sin;
        y[i * step + second] = other * cos + first * sin;
      }
    }
  }
}

// ---- embed

static void embed(const void *args, size_t task) {
  const pio_embed_args *a = args;
  size_t r = task * a->rows_per_task, to = a->rows - r < a->rows_per_task ? a->rows : r + a->rows_per_task;
  size_t size = width_of(a->type);
  for (; r < to; r++) {
    const char *from = (const char *)a->table + (size_t)a->tokens[r] * a->n * size;
    size_t i = 0;
    if (a->type == PIO_F8) {
      fp8_widen(a->y + r * a->n, from, factors_of(&a->scale, (size_t)a->tokens[r], a->n), 0, a->n);
      continue;
    }
    for (; i + W <= a->n; i += W)
      v_store(a->y + r * a->n + i, widen(a->type, from + i * size));
    if (i < a->n)
      v_store_n(a->y + r * a->n + i, widen_n(a->type, from + i * size, a->n - i), a->n - i);
  }
}

#include "attention.h"
#include "biased.h"
#include "latent.h"
#include "rows.h"
#include "delta.h"
#include "experts.h"

// ---- the speed of the arithmetic alone

double pio_seconds(void);

static double flops(double seconds) {
  V acc[12], x = v_set1(1.0f + 0x1p-20f), w = v_set1(0x1p-10f);
  UNROLL for (int i = 0; i < 12; i++)
    acc[i] = v_set1((float)i);
  double start = pio_seconds(), spent = 0, ops = 0;
  while (spent < seconds) {
    for (int i = 0; i < 20000; i++) {
      UNROLL for (int j = 0; j < 12; j++) {
        acc[j] = v_fma(acc[j], x, w);
      }
      __asm__ volatile("" : "+m"(*(char *)&start)); // a loop the compiler must run
    }
    ops += 20000.0 * 12 * W * 2;
    spent = pio_seconds() - start;
  }
  volatile float keep = 0;
  UNROLL for (int i = 0; i < 12; i++)
    keep += v_sum(acc[i]);
  return ops / spent;
}

const pio_kernels TABLE = {
    .name = TABLE_NAME,
    .matmul_few = matmul_few,
    .matmul_many = matmul_many,
    .rmsnorm = rmsnorm,
    .add = add,
    .swiglu = swiglu,
    .rotate = rotate,
    .embed = embed,
    .attention = attention,
    .attend_tile = attend_tile,
    .latent_query = latent_query,
    .latent_value = latent_value,
    .add_row = add_row,
    .layernorm = layernorm,
    .gelu_erf = gelu_erf,
    .gelu_tanh = gelu_tanh,
    .route = route,
    .scatter_add = scatter_add,
    .sigmoid = sigmoid,
    .mul = mul,
    .mul_rows = mul_rows,
    .l2norm = l2norm,
    .causal_conv = causal_conv,
    .delta_rule = delta_rule,
    .delta_room = delta_room,
    .exp = exp_all,
    .flops = flops,
};

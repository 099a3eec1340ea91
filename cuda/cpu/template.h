// template.h: the ops, once, in terms of the vector primitives of the file that includes it.
//
// What makes rows independent of their company, in every op:
//   - a sum over k or over a head runs through one vector of W lanes from the first element to the last, and its lanes
//     are added in one order at the end, whatever the number of rows and columns computed side by side;
//   - what does not fill a vector is loaded with zeros behind it and takes the same path;
//   - attention goes through the cache block by block from position 0, for every row alike.
// So blocking, chunks and threads change which sums are computed when, never how.

#define UNROLL _Pragma("GCC unroll 16")

// widen gives W elements of a weight as f32, widen_n the first n of them and zeros.
INLINE V widen(int type, const char *p) {
  switch (type) {
  case PIO_BF16:
    return v_bf16(p);
  case PIO_F16:
    return v_f16(p);
  default:
    return v_load((const float *)p);
  }
}

INLINE size_t width_of(int type) { return type == PIO_F32 ? 4 : 2; }

INLINE V widen_n(int type, const char *p, size_t n) {
  char full[W * 4] = {0};
  memcpy(full, p, n * width_of(type));
  return widen(type, full);
}

// ---- matmul: y[r][o] = sum over k of x[r][k] w[o][k]

// dots computes R x C sums side by side: x[r], w[c] point at rows of K elements; y[r] at where the C sums go. What lies
// ahead bytes behind each row of w is fetched meanwhile.
INLINE void dots(const int R, const int C, int type, const float *const *x, const char *const *w, size_t ahead, size_t K,
                 float *const *y) {
  V acc[4][8];
  size_t k = 0, size = width_of(type);
  UNROLL for (int r = 0; r < R; r++)
    UNROLL for (int c = 0; c < C; c++)
      acc[r][c] = v_zero();
  for (; k + W <= K; k += W) {
    V xv[4];
    UNROLL for (int r = 0; r < R; r++)
      xv[r] = v_load(x[r] + k);
    UNROLL for (int c = 0; c < C; c++) {
      v_prefetch(w[c] + k * size + ahead);
      V wv = widen(type, w[c] + k * size);
      UNROLL for (int r = 0; r < R; r++)
        acc[r][c] = v_fma(xv[r], wv, acc[r][c]);
    }
  }
  if (k < K)
    UNROLL for (int c = 0; c < C; c++) {
      V wv = widen_n(type, w[c] + k * size, K - k);
      UNROLL for (int r = 0; r < R; r++)
        acc[r][c] = v_fma(v_load_n(x[r] + k, K - k), wv, acc[r][c]);
    }
  UNROLL for (int r = 0; r < R; r++) {
    int c = 0;
    UNROLL for (; c + 4 <= C; c += 4)
      v_sum4(y[r] + c, acc[r][c], acc[r][c + 1], acc[r][c + 2], acc[r][c + 3]);
    UNROLL for (; c < C; c++)
      y[r][c] = v_sum(acc[r][c]);
  }
}

// dots_at computes outs o..o+C-1 for rows r..r+R-1.
INLINE void dots_at(const int R, const int C, int type, const pio_matmul_args *a, size_t r, size_t o) {
  const float *x[4];
  const char *w[8];
  float *y[4];
  size_t row = a->in * width_of(type);
  UNROLL for (int i = 0; i < R; i++) {
    x[i] = a->x + (r + (size_t)i) * a->in;
    y[i] = a->y + (r + (size_t)i) * a->out + o;
  }
  UNROLL for (int c = 0; c < C; c++)
    w[c] = (const char *)a->w + (o + (size_t)c) * row;
  dots(R, C, type, x, w, (size_t)C * row, a->in, y);
}

// outs_for_rows computes C outs for all rows, which find the weights in the first-level cache after the first four.
INLINE void outs_for_rows(const int C, int type, const pio_matmul_args *a, size_t o) {
  size_t r = 0;
  for (; r + 4 <= a->rows; r += 4)
    dots_at(4, C, type, a, r, o);
  if (a->rows - r == 3)
    dots_at(3, C, type, a, r, o);
  else if (a->rows - r == 2)
    dots_at(2, C, type, a, r, o);
  else if (a->rows - r == 1)
    dots_at(1, C, type, a, r, o);
}

// few does outs [from, to): eight at a time for a single row, three for more, so that there are enough sums in flight to
// hide how long one addition takes.
INLINE void few(int type, const pio_matmul_args *a, size_t from, size_t to) {
  size_t o = from;
  if (a->rows == 1)
    for (; o + 8 <= to; o += 8)
      dots_at(1, 8, type, a, 0, o);
  else
    for (; o + 3 <= to; o += 3)
      outs_for_rows(3, type, a, o);
  for (; o < to; o++)
    outs_for_rows(1, type, a, o);
}

static void matmul_few(const void *args, size_t task) {
  const pio_matmul_args *a = args;
  size_t from = task * a->outs_per_task, to = from + a->outs_per_task;
  if (to > a->out)
    to = a->out;
  switch (a->type) {
  case PIO_BF16:
    few(PIO_BF16, a, from, to);
    break;
  case PIO_F16:
    few(PIO_F16, a, from, to);
    break;
  default:
    few(PIO_F32, a, from, to);
  }
}

// With many rows the weights are widened once for a block of them: PANEL outs by DEPTH of k at a time, which stay in the
// first-level cache while the rows go by in threes. Unfinished sums wait in memory as whole vectors.
enum { PANEL = 4, DEPTH = 512 };

typedef float sums_buffer[PIO_ROWS_MANY * PIO_OUTS_MANY * W] __attribute__((aligned(64)));

// widen_panel also asks for the panel after this one, a cache line for every 64 bytes.
INLINE void widen_panel(int type, float *panel, const pio_matmul_args *a, size_t o, size_t C, size_t k0, size_t n) {
  size_t size = width_of(type), line = 64 / size, row = a->in * size;
  for (size_t c = 0; c < C; c++) {
    const char *w = (const char *)a->w + (o + c) * row + k0 * size;
    float *to = panel + c * DEPTH;
    size_t k = 0;
    for (; k + line <= n; k += line) {
      v_prefetch(w + PANEL * row + k * size);
      UNROLL for (size_t i = 0; i < line; i += W)
        v_store(to + k + i, widen(type, w + (k + i) * size));
    }
    for (; k + W <= n; k += W)
      v_store(to + k, widen(type, w + k * size));
    if (k < n)
      v_store(to + k, widen_n(type, w + k * size, n - k));
  }
}

// block goes on with R x C sums through n elements of k.
INLINE void block(const int R, const int C, const float *x, size_t stride, const float *panel, size_t n, int first,
                  float *sums) {
  V acc[3][PANEL];
  UNROLL for (int r = 0; r < R; r++)
    UNROLL for (int c = 0; c < C; c++)
      acc[r][c] = first ? v_zero() : v_load(sums + ((size_t)r * PIO_OUTS_MANY + (size_t)c) * W);
  size_t k = 0;
  for (; k + W <= n; k += W) {
    V xv[3];
    UNROLL for (int r = 0; r < R; r++)
      xv[r] = v_load(x + (size_t)r * stride + k);
    UNROLL for (int c = 0; c < C; c++) {
      V wv = v_load(panel + c * DEPTH + k);
      UNROLL for (int r = 0; r < R; r++)
        acc[r][c] = v_fma(xv[r], wv, acc[r][c]);
    }
  }
  if (k < n)
    UNROLL for (int c = 0; c < C; c++) {
      V wv = v_load(panel + c * DEPTH + k);
      UNROLL for (int r = 0; r < R; r++)
        acc[r][c] = v_fma(v_load_n(x + (size_t)r * stride + k, n - k), wv, acc[r][c]);
    }
  UNROLL for (int r = 0; r < R; r++)
    UNROLL for (int c = 0; c < C; c++)
      v_store(sums + ((size_t)r * PIO_OUTS_MANY + (size_t)c) * W, acc[r][c]);
}

INLINE void rows_by_panel(const int C, const float *x, size_t stride, size_t rows, const float *panel, size_t n,
                          int first, float *sums) {
  size_t r = 0;
  for (; r + 3 <= rows; r += 3)
    block(3, C, x + r * stride, stride, panel, n, first, sums + r * PIO_OUTS_MANY * W);
  if (rows - r == 2)
    block(2, C, x + r * stride, stride, panel, n, first, sums + r * PIO_OUTS_MANY * W);
  if (rows - r == 1)
    block(1, C, x + r * stride, stride, panel, n, first, sums + r * PIO_OUTS_MANY * W);
}

INLINE void add_up(float *y, const float *sums, size_t n) {
  size_t o = 0;
  for (; o + 4 <= n; o += 4)
    v_sum4(y + o, v_load(sums + o * W), v_load(sums + (o + 1) * W), v_load(sums + (o + 2) * W), v_load(sums + (o + 3) * W));
  for (; o < n; o++)
    y[o] = v_sum(v_load(sums + o * W));
}

// A task is a block of rows by a block of outs.
INLINE void many_of_type(int type, const pio_matmul_args *a, size_t task) {
  sums_buffer sums;
  float panel[PANEL * DEPTH] __attribute__((aligned(64)));
  size_t r0 = task / a->out_tasks * PIO_ROWS_MANY, o0 = task % a->out_tasks * PIO_OUTS_MANY;
  size_t rows = a->rows - r0 < PIO_ROWS_MANY ? a->rows - r0 : PIO_ROWS_MANY;
  size_t outs = a->out - o0 < PIO_OUTS_MANY ? a->out - o0 : PIO_OUTS_MANY;
  for (size_t k = 0; k < a->in; k += DEPTH) {
    size_t n = a->in - k < DEPTH ? a->in - k : DEPTH;
    const float *x = a->x + r0 * a->in + k;
    size_t o = 0;
    for (; o + PANEL <= outs; o += PANEL) {
      widen_panel(type, panel, a, o0 + o, PANEL, k, n);
      rows_by_panel(PANEL, x, a->in, rows, panel, n, k == 0, sums + o * W);
    }
    for (; o < outs; o++) {
      widen_panel(type, panel, a, o0 + o, 1, k, n);
      rows_by_panel(1, x, a->in, rows, panel, n, k == 0, sums + o * W);
    }
  }
  for (size_t r = 0; r < rows; r++)
    add_up(a->y + (r0 + r) * a->out + o0, sums + r * PIO_OUTS_MANY * W, outs);
}

static void matmul_many(const void *args, size_t task) {
  const pio_matmul_args *a = args;
  switch (a->type) {
  case PIO_BF16:
    many_of_type(PIO_BF16, a, task);
    break;
  case PIO_F16:
    many_of_type(PIO_F16, a, task);
    break;
  default:
    many_of_type(PIO_F32, a, task);
  }
}

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
  V inv = v_set1(1.0f / __builtin_sqrtf(v_sum(sum) / (float)n + a->eps));
  for (i = 0; i + W <= n; i += W)
    v_store(y + i, v_load(x + i) * inv * widen(a->type, w + i * size));
  if (i < n)
    v_store_n(y + i, v_load_n(x + i, n - i) * inv * widen_n(a->type, w + i * size, n - i), n - i);
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
      const float *x = a->x + (r * a->heads + h) * a->dim;
      float *y = a->y + (r * a->heads + h) * a->dim;
      for (size_t i = 0; i < a->pairs; i++) {
        float cos = angle[2 * i], sin = angle[2 * i + 1], first = x[i * step], other = x[i * step + second];
        y[i * step] = first * cos - other * sin;
        y[i * step + second] = other * cos + first * sin;
      }
      memcpy(y + 2 * a->pairs, x + 2 * a->pairs, (a->dim - 2 * a->pairs) * sizeof(float));
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
    for (; i + W <= a->n; i += W)
      v_store(a->y + r * a->n + i, widen(a->type, from + i * size));
    if (i < a->n)
      v_store_n(a->y + r * a->n + i, widen_n(a->type, from + i * size, a->n - i), a->n - i);
  }
}

#include "attention.h"

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
    .exp = exp_all,
    .flops = flops,
};

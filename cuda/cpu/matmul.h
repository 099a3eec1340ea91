// matmul.h: y[r][o] = sum over k of x[r][k] w[o][k]; included by template.h.
//
// The file's layout is the kernels' layout: both operands are read along k, and every sum is one vector of lanes. With few
// rows reading the weights is what takes time, so they are widened in registers as they come; with many rows it is the
// arithmetic, so a panel of them is widened once and stays in the first-level cache while the rows go by.

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
  if (type == PIO_F8) {
    fp8_dots_at(R, C, a, r, o);
    return;
  }
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
  if (a->rows == 1 && type == PIO_F8) // it is widening that keeps the machine busy
    for (; o + 4 <= to; o += 4)
      dots_at(1, 4, type, a, 0, o);
  else if (a->rows == 1)
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
  case PIO_F8:
    few(PIO_F8, a, from, to);
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
    if (type == PIO_F8) {
      if (n % W)
        v_store(to + n - n % W, v_zero()); // behind the last element there are zeros
      fp8_widen(to, w, factors_of(&a->scale, o + c, a->in), k0, n);
      continue;
    }
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
  case PIO_F8:
    many_of_type(PIO_F8, a, task);
    break;
  default:
    many_of_type(PIO_F32, a, task);
  }
}

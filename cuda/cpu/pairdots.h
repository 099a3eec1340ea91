// pairdots.h: products with bf16 as a file has it by dot products of pairs, for fast numerics; included by avx512.c after pairs.h.
//
// As in matmul.h both operands are read along k and every sum is one vector of lanes, of which each takes two of k at a time: weights are
// neither widened nor turned, so that a single row is as fast as the memory. With many rows a panel of weights stays in the first-level cache.

enum {
  PAIR_STEP = 2 * W,  // of k, that a vector takes
  PAIR_DEPTH = 1024,  // of k, that a panel has
  STRETCH = 16 * PAIR_STEP, // of a row, that is read without a look at its end
};

INLINE V pair_dot(V sum, __m512i x, __m512i w) { return _mm512_dpbf16_ps(sum, (__m512bh)x, (__m512bh)w); }

// pairs_n is the first n numbers of a vector, and zeros.
INLINE __m512i pairs_n(const char *p, size_t n) { return _mm512_maskz_loadu_epi16(_bzhi_u32(~0u, (unsigned)n), p); }

// sum_lanes adds the lanes of R x C sums up; y[r] is where the C sums of a row go.
INLINE void sum_lanes(const int R, const int C, V (*acc)[4], float *const *y) {
  UNROLL for (int r = 0; r < R; r++)
    if (C == 4)
      v_sum4(y[r], acc[r][0], acc[r][1], acc[r][2], acc[r][3]);
    else
      UNROLL for (int c = 0; c < C; c++)
        y[r][c] = v_sum(acc[r][c]);
}

// pair_dots goes on with R x C sums, from the first out on, from k on through n of k: of one vector, and what it has less than a vector is zeros.
INLINE void pair_dots(const int R, const int C, const char *const *x, const char *w, size_t row, size_t k, size_t n, V (*acc)[4], const int first) {
  __m512i xv[4];
  UNROLL for (int r = 0; r < R; r++)
    xv[r] = _mm512_loadu_si512(x[r] + 2 * k); // rows of x have zeros behind them
  UNROLL for (int c = 0; c < C; c++) {
    __m512i wv = n < PAIR_STEP ? pairs_n(w + (size_t)c * row + 2 * k, n) : _mm512_loadu_si512(w + (size_t)c * row + 2 * k);
    UNROLL for (int r = 0; r < R; r++)
      acc[r][first + c] = pair_dot(acc[r][first + c], xv[r], wv);
  }
}

// pair_outs computes outs o..o+C-1 for rows r..r+R-1: SIDE of them side by side, or one after the other. Then memory is read as one long stretch, which the
// processors that have this table (Zen 4 and 5) fetch ahead faster by themselves than any order of asking for it, as long as nothing but products stands
// between two reads: of a loop vector by vector too few are under way (docs/bench.md). Where several are side by side F rows of weights from next on are
// asked for meanwhile, in that order, into the second-level cache.
INLINE void pair_outs(const int R, const int C, const int SIDE, const int F, const matmul_args *a, size_t r, size_t o, const char *next) {
  V acc[4][4];
  const char *x[4], *w = element_at(BF16, a->w, o, 0);
  float *y[4];
  size_t row = 2 * a->in, whole = a->in / PAIR_STEP * PAIR_STEP;
  UNROLL for (int i = 0; i < R; i++) {
    x[i] = a->formed + (r + (size_t)i) * a->formed_bytes;
    y[i] = y_row(a, r + (size_t)i) + o;
    UNROLL for (int c = 0; c < C; c++)
      acc[i][c] = v_zero();
  }
  UNROLL for (int c = 0; c < C; c += SIDE, w += (size_t)SIDE * row) {
    size_t stretches = SIDE == 1 ? whole / STRETCH * STRETCH : 0;
    for (size_t k = 0; SIDE == 1 && k < stretches; k += STRETCH)
      UNROLL for (size_t i = 0; i < STRETCH; i += PAIR_STEP)
        pair_dots(R, SIDE, x, w, row, k + i, PAIR_STEP, acc, c);
    for (size_t k = stretches; k < whole; k += PAIR_STEP) {
      UNROLL for (int f = 0; f < F; f++)
        v_prefetch_far(next + (size_t)F * 2 * k + f * 64);
      pair_dots(R, SIDE, x, w, row, k, PAIR_STEP, acc, c);
    }
    if (whole < a->in)
      pair_dots(R, SIDE, x, w, row, whole, a->in - whole, acc, c);
  }
  sum_lanes(R, C, acc, y);
}

// pair_outs_for_rows computes C outs for all rows, four at a time, which find the weights in the first-level cache after the first ones. Each time F of the
// next outs are asked for, so that memory is never idle. The first four rows have a loop of their own: processors learn by an instruction what it will read.
INLINE void pair_outs_for_rows(const int C, const int F, const matmul_args *a, size_t o) {
  const char *next = element_at(BF16, a->w, o + (size_t)C, 0);
  size_t r = 4, asked = (size_t)F * 2 * a->in;
  switch (a->rows) {
  case 1:
    pair_outs(1, C, 1, 0, a, 0, o, next);
    return;
  case 2:
    pair_outs(2, C, 1, 0, a, 0, o, next);
    return;
  case 3:
    pair_outs(3, C, C, F, a, 0, o, next);
    return;
  }
  pair_outs(4, C, C, F, a, 0, o, next);
  for (next += asked; r + 4 <= a->rows; r += 4, next += asked)
    pair_outs(4, C, C, F, a, r, o, next);
  if (a->rows - r == 3)
    pair_outs(3, C, C, F, a, r, o, next);
  else if (a->rows - r == 2)
    pair_outs(2, C, C, F, a, r, o, next);
  else if (a->rows - r == 1)
    pair_outs(1, C, C, F, a, r, o, next);
}

// Each by itself: compilers do worse with all of them in one function.
#define PIO_OUTS_FOR_ROWS(C, F)                                                                                        \
  static __attribute__((noinline)) void pair_outs_for_rows_##C##_##F(const matmul_args *a, size_t o) { pair_outs_for_rows(C, F, a, o); }
PIO_OUTS_FOR_ROWS(4, 4)
PIO_OUTS_FOR_ROWS(4, 2)
PIO_OUTS_FOR_ROWS(4, 1)
PIO_OUTS_FOR_ROWS(1, 0)

static void pair_dots_few(const void *args, size_t task) {
  const matmul_args *a = args;
  span outs = part_of(task, a->outs_per_task, a->out);
  size_t o = outs.from, times = ceil_div(a->rows, 4);
  void (*fours)(const matmul_args *, size_t) = times <= 1 ? pair_outs_for_rows_4_4 : times <= 3 ? pair_outs_for_rows_4_2 : pair_outs_for_rows_4_1;
  for (; o + 4 <= outs.to; o += 4)
    fours(a, o);
  for (; o < outs.to; o++)
    pair_outs_for_rows_1_0(a, o);
}

// ---- many rows

typedef struct {
  char weights[PANEL][2 * PAIR_DEPTH];
  float sums[PAIRS_ROWS * PANEL * W]; // of rows that have more of k to come
} __attribute__((aligned(64))) pair_panel;

// fill_panel copies n of k of C outs, with zeros behind them, and asks for what the panel after this one has.
INLINE void fill_panel(int layout, pair_panel *p, const matmul_args *a, size_t o, size_t C, size_t k0, size_t n) {
  for (size_t c = 0; c < C; c++) {
    const char *w = element_at(layout, a->w, o + c, k0);
    if (layout == BF16) {
      for (size_t k = 0; k < n; k += PAIR_STEP) {
        v_prefetch(w + ahead_of(BF16, PANEL, a->in) + 2 * k);
        _mm512_storeu_si512(p->weights[c] + 2 * k, pairs_n(w + 2 * k, at_most(PAIR_STEP, n - k)));
      }
      continue;
    }
    for (size_t k = 0; k < n; k += PAIR_STEP, w += TILE)
      _mm512_storeu_si512(p->weights[c] + 2 * k, _mm512_loadu_si512(w));
  }
}

// pair_block takes R rows from r on through the n of k that a panel has, from k0 on: C sums each, which wait for the next panel or are added up.
INLINE void pair_block(const int R, const int C, const matmul_args *a, size_t r0, size_t r, size_t o, size_t k0, size_t n, pair_panel *p) {
  V acc[3][PANEL];
  float *waiting = p->sums + r * PANEL * W;
  const char *x = a->formed + (r0 + r) * a->formed_bytes + 2 * k0;
  UNROLL for (int i = 0; i < R; i++)
    UNROLL for (int c = 0; c < C; c++)
      acc[i][c] = k0 == 0 ? v_zero() : v_load(waiting + (i * PANEL + c) * W);
  for (size_t k = 0; k < n; k += PAIR_STEP) {
    __m512i xv[3];
    UNROLL for (int i = 0; i < R; i++)
      xv[i] = _mm512_loadu_si512(x + (size_t)i * a->formed_bytes + 2 * k);
    UNROLL for (int c = 0; c < C; c++) {
      __m512i wv = (__m512i)held((V)_mm512_loadu_si512(p->weights[c] + 2 * k));
      UNROLL for (int i = 0; i < R; i++)
        acc[i][c] = pair_dot(acc[i][c], xv[i], wv);
    }
  }
  int more = k0 + n < a->in;
  UNROLL for (int i = 0; i < R; i++) {
    float *y = y_row(a, r0 + r + (size_t)i) + o;
    if (more)
      UNROLL for (int c = 0; c < C; c++)
        v_store(waiting + (i * PANEL + c) * W, acc[i][c]);
    else if (C == 1)
      *y = v_sum(acc[i][0]);
    else
      UNROLL for (int c = 0; c < C; c += 4)
        v_sum4(y + c, acc[i][c], acc[i][c + 1], acc[i][c + 2], acc[i][c + 3]);
  }
}

// pair_panels computes outs o..o+C-1 for rows.
INLINE void pair_panels(const int C, int layout, const matmul_args *a, span rows, size_t o, pair_panel *p) {
  size_t k = 0;
  do { // once at least, so that sums over nothing are zero
    size_t n = at_most(PAIR_DEPTH, a->in - k), r = 0, count = rows.to - rows.from;
    fill_panel(layout, p, a, o, (size_t)C, k, n);
    for (; r + 3 <= count; r += 3)
      pair_block(3, C, a, rows.from, r, o, k, n, p);
    if (count - r == 2)
      pair_block(2, C, a, rows.from, r, o, k, n, p);
    else if (count - r == 1)
      pair_block(1, C, a, rows.from, r, o, k, n, p);
    k += PAIR_DEPTH;
  } while (k < a->in);
}

INLINE void pair_dots_many(int layout, const matmul_args *a, size_t task) {
  pair_panel panel;
  span rows = part_of(task / a->out_tasks, a->rows_per_task, a->rows), outs = part_of(task % a->out_tasks, OUTS_MANY, a->out);
  size_t o = outs.from;
  for (; o + PANEL <= outs.to; o += PANEL)
    pair_panels(PANEL, layout, a, rows, o, &panel);
  for (; o < outs.to; o++)
    pair_panels(1, layout, a, rows, o, &panel);
}

static void pair_dots_many_BF16(const void *args, size_t task) { pair_dots_many(BF16, args, task); }
static void pair_dots_many_BF16X16(const void *args, size_t task) { pair_dots_many(BF16X16, args, task); }

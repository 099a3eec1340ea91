// codes.h: products with matrices of codes, q8 and q4 of cuda/layout.go; included by template.h.
//
// A block is 16 rows of weights by 128 columns. Its codes lie four columns of a row together, a quad, and the quads of 16 rows
// behind each other, so that a lane of a vector is a row of weights, which an out is made of:
//
//	q8	quad 0 of rows 0..15, quad 1 of them, .. quad 31; then, in the second plane, 16 factors
//	q4	bytes that hold a code + 8 of columns 0..15 of 32 in their lower half and one of columns 16..31 in the upper: quads 0..3 of
//		32 columns, four times; then 16 factors, and the whole numbers of 16 rows for the first 32 columns in the lower halves of
//		16 bytes and for the second in the upper, and the same for the others
//
// Where numerics are fast, rows of activations become codes of 8 bits too, with a factor for each 128 columns; then a sum over a block
// is one of whole numbers, which no order changes, and block by block it is multiplied by both factors and added. Each of these steps is
// rounded by itself, so that every table gives the same bits. Where they are exact, activations stay in f32 and go by column by column.

enum { GROUP = 16, COLS = 128, SUB = 32, SUBS = COLS / SUB, HALVES = GROUP / W };

// A block of a row of activations in codes.
typedef struct {
  int8_t code[COLS];
  int16_t sixteens[2 * SUBS][2]; // sums of 16 codes, those at k mod 4 = 0, 1 and at 2, 3
  int16_t sums[SUBS][2];         // of 32, so
  int16_t wholes[SUBS];          // of 32, all
  int32_t sum;                   // of all
  float factor;
} coded;

static size_t coded_bytes(size_t cols) { return ceil_div(cols, COLS) * sizeof(coded); }

#ifndef Q_CODES
// q_most is the bits of the greatest magnitude of COLS numbers.
INLINE uint32_t q_most(const float *x) {
  uint32_t bits[COLS], most = 0;
  memcpy(bits, x, sizeof bits);
  for (int i = 0; i < COLS; i++) {
    uint32_t magnitude = bits[i] & 0x7fffffff;
    most = magnitude > most ? magnitude : most;
  }
  return most;
}

// q_codes makes COLS numbers codes and adds these up; it gives the sum of all.
INLINE int32_t q_codes(int8_t *code, int16_t *sixteens, int16_t *sums, int16_t *wholes, const float *x, float inverse) {
  int32_t whole[COLS], sum = 0;
  for (int i = 0; i < COLS; i++) {
    float rounded = x[i] * inverse + 12582912.0f; // 1.5 * 2^23: what is rounded to whole lies in the lowest bits
    memcpy(whole + i, &rounded, 4);
  }
  for (int i = 0; i < COLS; i++)
    code[i] = (int8_t)(whole[i] & 0xff);
  for (int s = 0; s < 2 * SUBS; s++)
    q_sums(sixteens + 2 * s, code + s * SUB / 2);
  for (int s = 0; s < SUBS; s++) {
    for (int i = 0; i < 2; i++)
      sums[2 * s + i] = (int16_t)(sixteens[4 * s + i] + sixteens[4 * s + 2 + i]);
    wholes[s] = (int16_t)(sums[2 * s] + sums[2 * s + 1]);
    sum += wholes[s];
  }
  return sum;
}
#endif

// code_block makes n numbers codes, to the nearest, of two the even one, and the largest 127. What is no number makes the factor none.
INLINE void code_block(coded *to, const float *from, size_t n) {
  float some[COLS], largest;
  if (n < COLS) {
    memset(some, 0, sizeof some);
    memcpy(some, from, n * sizeof *some);
    from = some;
  }
  uint32_t most = q_most(from);
  memcpy(&largest, &most, 4);
  to->factor = largest * (1.0f / 127);
  float inverse = most < 0x03800000 ? 0 : 127 / largest; // below 2^-120 it could be infinite
  to->sum = q_codes(to->code, to->sixteens[0], to->sums[0], to->wholes, from, inverse);
}

static void code_rows(void *to, const float *x, size_t rows, size_t cols) {
  coded *block = to;
  for (size_t r = 0; r < rows; r++, x += cols)
    for (size_t k = 0; k < cols; k += COLS)
      code_block(block++, x + k, at_most(COLS, cols - k));
}

// ---- blocks of weights

typedef struct {
  const uint8_t *codes, *factors; // of the first block
  size_t code_bytes, factor_bytes; // of one
  size_t n;                       // blocks that follow each other
} blocks;

INLINE blocks blocks_of(int layout, const pio_matrix *m, size_t group) {
  blocks b = {NULL, NULL, layout == Q8 ? GROUP * COLS : GROUP * COLS / 2, layout == Q8 ? 32 : 64, ceil_div((size_t)m->cols, COLS)};
  b.codes = (const uint8_t *)m->plane[0] + group * b.n * b.code_bytes;
  b.factors = (const uint8_t *)m->plane[1] + group * b.n * b.factor_bytes;
  return b;
}

// code_at is one code; for widening rows by themselves.
INLINE int code_at(int layout, const uint8_t *codes, size_t row, size_t col) {
  if (layout == Q8)
    return (int8_t)codes[(col / 4 * GROUP + row) * 4 + col % 4];
  size_t in = col % SUB, upper = in / 16;
  return (codes[col / SUB * SUB * GROUP / 2 + (in % 16 / 4 * GROUP + row) * 4 + in % 4] >> 4 * upper & 15) - 8;
}

// whole_at is the whole number of 32 columns of a row.
INLINE int whole_at(const uint8_t *factors, size_t row, size_t sub) { return factors[32 + sub / 2 * GROUP + row] >> sub % 2 * 4 & 15; }

INLINE void codes_widen(int layout, const pio_matrix *m, size_t row, size_t col, size_t n, float *to) {
  blocks b = blocks_of(layout, m, row / GROUP);
  for (size_t i = 0; i < n; i++) {
    size_t at = (col + i) / COLS, c = (col + i) % COLS;
    const uint8_t *factors = b.factors + at * b.factor_bytes;
    float factor;
    bf16_widen(&factor, factors + row % GROUP * 2, 1);
    int code = code_at(layout, b.codes + at * b.code_bytes, row % GROUP, c);
    to[i] = (float)(layout == Q8 ? code : code * whole_at(factors, row % GROUP, c / SUB)) * factor;
  }
}

static void q8_widen(const pio_matrix *m, size_t row, size_t col, size_t n, float *to) { codes_widen(Q8, m, row, col, n, to); }
static void q4_widen(const pio_matrix *m, size_t row, size_t col, size_t n, float *to) { codes_widen(Q4, m, row, col, n, to); }

// put_group writes a row's outs of a group, as many as there are.
INLINE void put_group(const matmul_args *a, size_t r, size_t group, const V *outs) {
  float *y = y_row(a, r) + group * GROUP;
  size_t n = at_most(GROUP, a->out - group * GROUP);
  UNROLL for (size_t h = 0; h < HALVES; h++)
    if (n >= (h + 1) * W)
      v_store(y + h * W, outs[h]);
    else if (n > h * W)
      v_store_n(y + h * W, outs[h], n - h * W);
}

// ---- with activations in codes: R rows by a group of outs

// IN_MEMORY keeps what is seldom needed out of the registers that sums need.
#define IN_MEMORY(ARRAY) __asm__ volatile("" : "+m"(*(char(*)[sizeof(Q) * CODED_ROWS])(ARRAY)))

// chains is how many sums one out of few rows is added up in, so that a product need not wait for the one before it.
INLINE int chains(const int R) { return R < 4 ? 2 : 1; }

INLINE void begin_sums(const int R, const coded *const *x, Q sum[2][CODED_ROWS]) {
  UNROLL for (int r = 0; r < R; r++)
    sum[0][r] = q8_begin(x[r]->sum), sum[1][r] = q_zero();
}

INLINE void end_sums(const int R, Q sum[2][CODED_ROWS], Q *sums) {
  UNROLL for (int r = 0; r < R; r++)
    sums[r] = chains(R) == 1 ? sum[0][r] : (Q)((L)sum[0][r] + (L)sum[1][r]);
}

// q8_sums multiplies W rows of a block of weights by a block of each row of activations.
INLINE void q8_sums(const int R, const uint8_t *codes, const coded *const *x, Q *sums) {
  Q sum[2][CODED_ROWS];
  begin_sums(R, x, sum);
  for (int i = 0; i < COLS / 4; i += chains(R))
    UNROLL for (int p = 0; p < chains(R); p++) {
      Q w = q_load(codes + (i + p) * GROUP * 4);
      UNROLL for (int r = 0; r < R; r++)
        sum[p][r] = q8_dot(sum[p][r], w, x[r]->code + 4 * (i + p));
    }
  end_sums(R, sum, sums);
}

#ifdef Q4_TIMES_FIRST
enum { CODES_TIMED = 5, TIMED_CHAINS = 2 };
#else
enum { CODES_TIMED = CODED_ROWS + 1, TIMED_CHAINS = 1 };
#endif

// Of codes of 4 bits the sums of 32 columns are multiplied by the whole numbers of the W rows. Until then they are small enough to be kept in 16 bits, by
// tables that add them up in one chain.
INLINE void q4_sums_timed(const int R, const uint8_t *codes, const uint8_t *wholes, const coded *const *x, Q *sums) {
  for (int s = 0; s < SUBS; s++, codes += GROUP * SUB / 2) {
    Q part[2][CODED_ROWS], whole = q_nibbles(wholes + s / 2 * GROUP, s % 2 * 4);
    UNROLL for (int r = 0; r < R; r++)
      part[0][r] = q4_begin(x[r]->sums[s]), part[1][r] = q_zero();
    UNROLL for (int i = 0; i < SUB / 8; i++) {
      Q both = q_load(codes + i * GROUP * 4), low = q_low(both), high = q_high(both);
      UNROLL for (int r = 0; r < R; r++) {
        const int8_t *code = x[r]->code + s * SUB + 4 * i;
        Q *last = &part[TIMED_CHAINS - 1][r];
        part[0][r] = q4_dot(part[0][r], low, code);
        *last = q4_dot(*last, high, code + SUB / 2);
      }
    }
    UNROLL for (int r = 0; r < R; r++)
      sums[r] = q4_times(s == 0 ? q_zero() : sums[r], TIMED_CHAINS == 1 ? part[0][r] : (Q)((L)part[0][r] + (L)part[1][r]), whole);
    if (R > 4)
      IN_MEMORY(sums);
  }
}

#ifdef Q4_TIMES_FIRST
// Or the codes are, once for all rows, which pays from CODES_TIMED rows on.
INLINE void q4_codes_timed(const int R, const uint8_t *codes, const uint8_t *wholes, const coded *const *x, Q *sums) {
  Q sum[2][CODED_ROWS];
  begin_sums(R, x, sum);
  for (int s = 0; s < SUBS; s++) {
    Q times = q4_times_of(q_nibbles(wholes + s / 2 * GROUP, s % 2 * 4)), less = q4_less_of(times);
    UNROLL for (int i = 0; i < SUB / 8; i++, codes += GROUP * 4) {
      Q both = q_load(codes), low = q4_timed(q_low(both), times, less), high = q4_timed(q_high(both), times, less);
      UNROLL for (int r = 0; r < R; r++) {
        const int8_t *code = x[r]->code + s * SUB + 4 * i;
        sum[0][r] = q4_dot(q4_dot(sum[0][r], low, code), high, code + SUB / 2);
      }
    }
  }
  end_sums(R, sum, sums);
}
#else
#define q4_codes_timed q4_sums_timed
#endif

// q4_sums does what q8_sums does with codes of 4 bits.
INLINE void q4_sums(const int R, const uint8_t *codes, const uint8_t *wholes, const coded *const *x, Q *sums) {
  if (R < CODES_TIMED)
    q4_sums_timed(R, codes, wholes, x, sums);
  else
    q4_codes_timed(R, codes, wholes, x, sums);
}

// AHEAD is how far behind a block lies what is fetched meanwhile, FAR where it is fetched into the second-level cache: of processors that read one
// long stretch faster unasked, for so many rows that arithmetic leaves them behind.
enum { AHEAD = 4096, FAR = 8192 };

INLINE void fetch_block(const int R, const matmul_args *a, const uint8_t *p, size_t bytes) {
  for (size_t i = 0; i < bytes && !a->unasked; i += 64)
    v_prefetch(p + AHEAD + i);
  for (size_t i = 0; i < bytes && R > 4 && a->unasked; i += 64)
    v_prefetch_far(p + FAR + i);
}

// coded_block goes on with R rows by W outs through one block.
INLINE void coded_block(const int R, int layout, const blocks *b, int half, const coded *const *x, V *total) {
  Q sums[CODED_ROWS];
  if (layout == Q8)
    q8_sums(R, b->codes + half * W * 4, x, sums);
  else
    q4_sums(R, b->codes + half * W * 4, b->factors + 32 + half * W, x, sums);
  V factor = v_bf16(b->factors + half * W * 2);
  UNROLL for (int r = 0; r < R; r++)
    total[r] = total[r] + q_float(sums[r]) * (factor * v_set1(x[r]->factor));
  IN_MEMORY(total);
}

// coded_group computes a group's outs for R rows.
INLINE void coded_group(const int R, int layout, const matmul_args *a, size_t r0, size_t group) {
  blocks b = blocks_of(layout, a->w, group);
  const coded *x[CODED_ROWS];
  V total[HALVES][CODED_ROWS], out[HALVES];
  memset(total, 0, sizeof total);
  UNROLL for (int r = 0; r < R; r++)
    x[r] = (const coded *)(a->formed + (r0 + (size_t)r) * a->formed_bytes);
  for (size_t i = 0; i < b.n; i++, b.codes += b.code_bytes, b.factors += b.factor_bytes) {
    if (r0 == 0) // later rows find them in a cache
      fetch_block(R, a, b.codes, b.code_bytes);
    UNROLL for (int h = 0; h < HALVES; h++)
      coded_block(R, layout, &b, h, x, total[h]);
    UNROLL for (int r = 0; r < R; r++)
      x[r]++;
  }
  UNROLL for (int r = 0; r < R; r++) {
    UNROLL for (int h = 0; h < HALVES; h++)
      out[h] = total[h][r];
    put_group(a, r0 + (size_t)r, group, out);
  }
}

// ---- with activations in f32

// quad_of widens the quads of W rows: w[j] holds their columns j. Codes of q4 are in the lower or upper halves of bytes.
INLINE void quad_of(int layout, Q quads, int upper, V whole, V w[4]) {
  UNROLL for (int j = 0; j < 4; j++)
    if (layout == Q8)
      w[j] = q_float(q_byte(quads, j));
    else
      w[j] = (q_float(q_nibble(quads, 8 * j + 4 * upper)) - v_set1(8)) * whole;
}

// exact_block goes on with R rows by W outs through one block. Columns that x does not have are zeros there.
INLINE void exact_block(const int R, int layout, blocks b, int half, const float (*x)[COLS], V *total) {
  V sum[4], factor = v_bf16(b.factors + half * W * 2), w[4];
  UNROLL for (int r = 0; r < R; r++)
    sum[r] = v_zero();
  for (int i = 0; i < COLS / 4; i++) {
    int s = i * 4 / SUB, in = i % (SUB / 4), upper = layout == Q4 && in >= SUB / 8;
    size_t row = layout == Q8 ? (size_t)i : (size_t)(s * SUB / 8 + in % (SUB / 8));
    V whole = layout == Q8 ? v_zero() : q_float(q_nibbles(b.factors + 32 + s / 2 * GROUP + half * W, s % 2 * 4));
    quad_of(layout, q_load(b.codes + (row * HALVES + (size_t)half) * W * 4), upper, whole, w);
    UNROLL for (int j = 0; j < 4; j++)
      UNROLL for (int r = 0; r < R; r++)
        sum[r] = v_fma(v_set1(x[r][4 * i + j]), w[j], sum[r]);
  }
  UNROLL for (int r = 0; r < R; r++)
    total[r] = v_fma(sum[r], factor, total[r]);
}

INLINE void exact_group(const int R, int layout, const matmul_args *a, size_t r0, size_t group) {
  blocks b = blocks_of(layout, a->w, group);
  V total[HALVES][4], out[4][HALVES];
  UNROLL for (int h = 0; h < HALVES; h++)
    UNROLL for (int r = 0; r < R; r++)
      total[h][r] = v_zero();
  for (size_t k = 0; k < a->in; k += COLS, b.codes += b.code_bytes, b.factors += b.factor_bytes) {
    float x[4][COLS] __attribute__((aligned(64)));
    memset(x, 0, sizeof x);
    UNROLL for (int r = 0; r < R; r++)
      memcpy(x[r], a->x + (r0 + (size_t)r) * a->in + k, at_most(COLS, a->in - k) * sizeof(float));
    UNROLL for (int h = 0; h < HALVES; h++)
      exact_block(R, layout, b, h, (const float(*)[COLS])x, total[h]);
  }
  UNROLL for (int r = 0; r < R; r++) {
    UNROLL for (int h = 0; h < HALVES; h++)
      out[r][h] = total[h][r];
    put_group(a, r0 + (size_t)r, group, out[r]);
  }
}

// ---- tasks

// grouped_outs computes outs from..to-1, the first of which begins a group, for rows r..end-1: a group after the other, whose weights
// the rows after the first ones find in a cache.
#define PIO_GROUPED(NAME, MOST, ONE)                                                                                   \
  INLINE void NAME(int layout, const matmul_args *a, size_t r, size_t end, size_t from, size_t to) {                   \
    for (size_t g = from / GROUP; g * GROUP < to; g++) {                                                               \
      size_t i = r;                                                                                                    \
      for (; i + MOST <= end; i += MOST)                                                                               \
        ONE(MOST, layout, a, i, g);                                                                                    \
      for (; MOST > 8 && i + 8 <= end; i += 8)                                                                         \
        ONE(8, layout, a, i, g);                                                                                       \
      for (; i + 4 <= end; i += 4)                                                                                     \
        ONE(4, layout, a, i, g);                                                                                       \
      if (end - i == 3)                                                                                                \
        ONE(3, layout, a, i, g);                                                                                       \
      else if (end - i == 2)                                                                                           \
        ONE(2, layout, a, i, g);                                                                                       \
      else if (end - i == 1)                                                                                           \
        ONE(1, layout, a, i, g);                                                                                       \
    }                                                                                                                  \
  }
PIO_GROUPED(coded_outs, CODED_ROWS, coded_group)
PIO_GROUPED(exact_outs, 4, exact_group)

INLINE void codes_few(int layout, int fast, const matmul_args *a, size_t task) {
  span outs = part_of(task, a->outs_per_task, a->out);
  (fast ? coded_outs : exact_outs)(layout, a, 0, a->rows, outs.from, outs.to);
}

// BAND strips of outs go by all rows before the next ones: their codes stay in the second-level cache, and what a task has of the rows while they go by.
enum { BAND = 4 };

INLINE void many_of_codes(const matmul_args *a, size_t task, span *rows, span *outs) {
  size_t row_tasks = ceil_div(a->rows, a->rows_per_task), first = task / (BAND * row_tasks) * BAND, in = task % (BAND * row_tasks);
  size_t strips = at_most(BAND, a->out_tasks - first);
  *rows = part_of(in / strips, a->rows_per_task, a->rows);
  *outs = part_of(first + in % strips, OUTS_MANY, a->out);
}

INLINE void codes_many(int layout, int fast, const matmul_args *a, size_t task) {
  span rows, outs;
  many_of_codes(a, task, &rows, &outs);
  (fast ? coded_outs : exact_outs)(layout, a, rows.from, rows.to, outs.from, outs.to);
}

// pairs.h: products of pairs of bf16 in tiles, for fast numerics: with 8-bit floats by dot products, and what those of amx.h begin with; included
// by avx512.c after template.h.
//
// Activations are rounded to bf16 once. A tile is 16 outs by 32 of k, two after two, so that a vector holds for 16 outs the weights of two k, and a
// lane is an out: nothing is added across lanes, and what is stored is outs side by side. Rows of a file are turned into tiles as they come, those of
// 8-bit floats made bf16 on the way, which all of them are.
//
// A sum runs through DEPTH of k in order and is then multiplied by what a block of 8-bit floats has for a factor and added to those before:
// in one order, however many rows and outs are computed side by side.

static size_t pair_bytes(size_t cols) { return ceil_div(cols, TILE_COLS) * TILE_COLS * 2; }

static void pair_rows(void *to, const float *x, size_t rows, size_t cols) {
  char *row = to;
  for (size_t r = 0; r < rows; r++, x += cols, row += pair_bytes(cols)) {
    bf16_round(row, x, cols);
    memset(row + 2 * cols, 0, pair_bytes(cols) - 2 * cols);
  }
}

// ---- whether that pays

#ifndef PIO_MODEL
enum { RATE_CHAINS = 12, RATE_STEPS = 500 };

// PIO_RATE is the seconds that so many products of vectors take.
#define PIO_RATE(NAME, PRODUCT)                                                                                        \
  static double NAME(void) {                                                                                           \
    V sum[RATE_CHAINS] = {0};                                                                                          \
    __m512i x = _mm512_setzero_si512();                                                                                \
    double start = pio_seconds();                                                                                      \
    for (int i = 0; i < RATE_STEPS; i++)                                                                               \
      UNROLL for (int j = 0; j < RATE_CHAINS; j++) {                                                                   \
        sum[j] = PRODUCT;                                                                                              \
        __asm__ volatile("" : "+v"(sum[j]), "+v"(x)); /* products that the compiler must do */                         \
      }                                                                                                                \
    return pio_seconds() - start;                                                                                      \
  }
PIO_RATE(pairs_rate, _mm512_dpbf16_ps(sum[j], (__m512bh)x, (__m512bh)x))
PIO_RATE(f32_rate, v_fma((V)x, (V)x, sum[j]))

int pio_pairs_pay(void);

// pio_pairs_pay measures whether products of pairs are faster here than those of f32, of which there are half as many in a vector. Zen 4 and 5
// do as many of either in a cycle, Sapphire and Emerald Rapids four of f32 in the time of one: far enough apart for a glance to tell.
int pio_pairs_pay(void) {
  double pairs = 1, f32 = 1;
  for (int i = 0; i < 10; i++) { // the first ones while the processor still wakes its wide units
    double p = pairs_rate(), f = f32_rate();
    pairs = p < pairs ? p : pairs, f32 = f < f32 ? f : f32;
  }
  return pairs < 2 * f32;
}
#endif

// ---- tiles

// put_vector writes a vector, apart from the caches if it will be read much later: what is there need not be read first. Such writes come before
// the locked instruction by which a thread leaves a job.
INLINE void put_vector(char *to, int apart, __m512i v) {
  if (apart)
    _mm512_stream_si512((__m512i *)to, v);
  else
    _mm512_storeu_si512(to, v);
}

// turn_tile writes 16 rows of 16 pairs so that the first pairs of all come first, the next ones step bytes behind them, and so on: within
// quarters of vectors, then quarters.
INLINE void turn_tile(char *to, size_t step, int apart, const __m512i r[16]) {
  __m512i u[4][4]; // of four rows each: in quarter q of [j] their pairs 4q + j
  UNROLL for (int g = 0; g < 4; g++) {
    __m512i low = _mm512_unpacklo_epi32(r[4 * g], r[4 * g + 1]), low2 = _mm512_unpacklo_epi32(r[4 * g + 2], r[4 * g + 3]);
    __m512i high = _mm512_unpackhi_epi32(r[4 * g], r[4 * g + 1]), high2 = _mm512_unpackhi_epi32(r[4 * g + 2], r[4 * g + 3]);
    u[g][0] = _mm512_unpacklo_epi64(low, low2), u[g][1] = _mm512_unpackhi_epi64(low, low2);
    u[g][2] = _mm512_unpacklo_epi64(high, high2), u[g][3] = _mm512_unpackhi_epi64(high, high2);
  }
  UNROLL for (int j = 0; j < 4; j++) {
    __m512i even = _mm512_shuffle_i32x4(u[0][j], u[1][j], 0x88), even2 = _mm512_shuffle_i32x4(u[2][j], u[3][j], 0x88);
    __m512i odd = _mm512_shuffle_i32x4(u[0][j], u[1][j], 0xdd), odd2 = _mm512_shuffle_i32x4(u[2][j], u[3][j], 0xdd);
    put_vector(to + (size_t)j * step, apart, _mm512_shuffle_i32x4(even, even2, 0x88));
    put_vector(to + (size_t)(4 + j) * step, apart, _mm512_shuffle_i32x4(odd, odd2, 0x88));
    put_vector(to + (size_t)(8 + j) * step, apart, _mm512_shuffle_i32x4(even, even2, 0xdd));
    put_vector(to + (size_t)(12 + j) * step, apart, _mm512_shuffle_i32x4(odd, odd2, 0xdd));
  }
}

// f8_pairs makes 8-bit floats bf16: an exponent that is too small by 120 is mended, and the few that are subnormal are looked up.
INLINE __m512i f8_pairs(__m256i b) {
  const __m512i small = _mm512_broadcast_i32x4(_mm_setr_epi16(0, 0x3b00, 0x3b80, 0x3bc0, 0x3c00, 0x3c20, 0x3c40, 0x3c60));
  __m512i w = _mm512_cvtepu8_epi16(b), magnitude = _mm512_and_si512(w, _mm512_set1_epi16(0x7f));
  __m512i v = _mm512_add_epi16(_mm512_slli_epi16(magnitude, 4), _mm512_set1_epi16(120 << 7));
  v = _mm512_mask_permutexvar_epi16(v, _mm512_cmplt_epu16_mask(magnitude, _mm512_set1_epi16(8)), magnitude, small);
  v = _mm512_mask_mov_epi16(v, _mm512_cmpeq_epi16_mask(magnitude, _mm512_set1_epi16(0x7f)), _mm512_set1_epi16(0x7fc0));
  return _mm512_or_si512(v, _mm512_slli_epi16(_mm512_and_si512(w, _mm512_set1_epi16(0x80)), 8));
}

// make_tile brings n columns of 16 rows, which are row bytes apart, into a tile; of rows there may be fewer. It asks for what lies ahead.
INLINE void make_tile(int layout, char *to, const char *w, size_t row, size_t rows, size_t n, ptrdiff_t ahead) {
  __m512i r[16];
  __mmask32 columns = _bzhi_u32(~0u, (unsigned)n);
  UNROLL for (size_t i = 0; i < 16; i++) {
    const char *p = w + i * row;
    __mmask32 mask = i < rows ? columns : 0;
    v_prefetch(p + ahead);
    r[i] = is_f8(layout) ? f8_pairs(_mm256_maskz_loadu_epi8(mask, p)) : _mm512_maskz_loadu_epi16(mask, p);
  }
  turn_tile(to, 64, 0, r);
}

// ---- strips: some groups of 16 outs by a depth of k

enum { STRIPS = 3 }; // at most

typedef struct {
  const char *at[STRIPS]; // tiles of each group, one behind the other
  V factor[STRIPS];       // by which their sums are multiplied
  __mmask16 outs[STRIPS], // that there are of 16
      begun[STRIPS];      // that have sums of strips before this one
  size_t o, end, k, n;    // the first out and the task's last, the first of k and how many
} strips;

// factors_of_outs has the factors of 16 outs.
INLINE V factors_of_outs(int layout, const pio_matrix *m, size_t o, size_t k) {
  float f[16] = {0};
  for (size_t i = 0; i < at_most(16, (size_t)m->rows - o); i++)
    f[i] = factor(layout, factors_of(layout, m, o + i), k / (size_t)m->block_cols);
  return v_load(f);
}

// make_strip brings a group of outs into tiles. What is asked for meanwhile is the same outs' next strip, or the first one of next outs.
INLINE void make_strip(int layout, const matmul_args *a, const strips *s, size_t depth, size_t o, size_t next, char *to) {
  size_t size = size_of(layout), row = a->in * size;
  ptrdiff_t ahead = s->k + depth < a->in ? (ptrdiff_t)(depth * size) : (ptrdiff_t)(next * row) - (ptrdiff_t)(s->k * size);
  const char *w = element_at(layout, a->w, o, s->k);
  for (size_t k = 0; k < s->n; k += TILE_COLS, to += TILE, w += TILE_COLS * size)
    make_tile(layout, to, w, row, a->out - o, at_most(TILE_COLS, s->n - k), ahead);
}

// make_strips finds C strips from out o and k on, in the matrix if it has tiles, or else makes them in room.
INLINE void make_strips(int layout, const size_t C, const matmul_args *a, size_t depth, strips *s, char *room) {
  s->n = at_most(depth, a->in - s->k);
  UNROLL for (size_t c = 0; c < C; c++) {
    size_t o = s->o + c * TILE_ROWS;
    s->outs[c] = o < s->end ? first_n(at_most(TILE_ROWS, s->end - o)) : 0;
    s->begun[c] = s->k > 0 ? s->outs[c] : 0;
    s->factor[c] = v_set1(1);
    s->at[c] = room;
    if (s->outs[c] == 0 || s->n == 0)
      continue;
    if (is_f8(layout))
      s->factor[c] = factors_of_outs(layout, a->w, o, s->k);
    make_strip(layout, a, s, depth, o, C * TILE_ROWS, room + c * (depth / TILE_COLS) * TILE);
    s->at[c] = room + c * (depth / TILE_COLS) * TILE;
  }
}

// add_outs adds sums of a row over a strip to its outs, or begins them.
INLINE void add_outs(float *y, V sums, V factor, __mmask16 outs, __mmask16 begun) {
  _mm512_mask_storeu_ps(y, outs, v_fma(sums, factor, _mm512_maskz_loadu_ps(begun, y)));
}

// ---- sums in registers

// PAIRS_DEPTH is of k; PAIRS_ROWS the rows that many takes, so that turning weights costs little beside them.
enum { PAIRS_DEPTH = 128, PAIRS_ROWS = 4 * ROWS_MANY };

// pair_sums does R rows from r on by C strips, three rows to a pointer.
INLINE void pair_sums(const int R, const int C, const matmul_args *a, size_t r, const strips *s) {
  V acc[12][STRIPS];
  const char *x[4], *w[STRIPS];
  size_t row = a->formed_bytes;
  UNROLL for (int i = 0; i < R; i++)
    UNROLL for (int c = 0; c < C; c++)
      acc[i][c] = v_zero();
  UNROLL for (int i = 0; i < R; i += 3)
    x[i / 3] = a->formed + (r + (size_t)i) * row + s->k * 2;
  UNROLL for (int c = 0; c < C; c++)
    w[c] = s->at[c];
  for (size_t p = 0; p < ceil_div(s->n, 2); p++) {
    __m512i wv[STRIPS];
    UNROLL for (int c = 0; c < C; c++)
      wv[c] = _mm512_loadu_si512(w[c] + p * 64);
    UNROLL for (int i = 0; i < R; i++) {
      int32_t pair;
      memcpy(&pair, x[i / 3] + (size_t)(i % 3) * row + p * 4, 4);
      UNROLL for (int c = 0; c < C; c++)
        acc[i][c] = _mm512_dpbf16_ps(acc[i][c], (__m512bh)wv[c], (__m512bh)_mm512_set1_epi32(pair));
    }
  }
  strips t = *s; // which could be in the way of stores
  UNROLL for (int i = 0; i < R; i++) {
    float *y = y_row(a, r + (size_t)i) + t.o;
    UNROLL for (int c = 0; c < C; c++)
      add_outs(y + c * TILE_ROWS, acc[i][c], t.factor[c], t.outs[c], t.begun[c]);
  }
}

#define PIO_PAIR_SUMS(R, C)                                                                                            \
  static void pair_sums_##R##_##C(const matmul_args *a, size_t r, const strips *s) { pair_sums(R, C, a, r, s); }
PIO_PAIR_SUMS(12, 2)
PIO_PAIR_SUMS(4, 2)
PIO_PAIR_SUMS(1, 2)
PIO_PAIR_SUMS(4, 3)
PIO_PAIR_SUMS(2, 3)
PIO_PAIR_SUMS(1, 3)

static void many_pair_sums(const matmul_args *a, span rows, const strips *s) {
  size_t r = rows.from;
  for (; r + 12 <= rows.to; r += 12)
    pair_sums_12_2(a, r, s);
  for (; r + 4 <= rows.to; r += 4)
    pair_sums_4_2(a, r, s);
  for (; r < rows.to; r++)
    pair_sums_1_2(a, r, s);
}

static void few_pair_sums(const matmul_args *a, span rows, const strips *s) {
  size_t r = rows.from;
  for (; r + 4 <= rows.to; r += 4)
    pair_sums_4_3(a, r, s);
  for (; r + 2 <= rows.to; r += 2)
    pair_sums_2_3(a, r, s);
  for (; r < rows.to; r++)
    pair_sums_1_3(a, r, s);
}

// ---- tasks

typedef void strip_sums(const matmul_args *a, span rows, const strips *s);

// by_strips computes outs for rows, C groups of 16 at a time. Factors are those of depth columns.
INLINE void by_strips(int layout, const size_t C, const matmul_args *a, span rows, span outs, size_t depth, char *room, strip_sums *sums) {
  for (size_t o = outs.from; o < outs.to; o += C * TILE_ROWS) {
    strips s = {.o = o, .end = outs.to};
    do { // once at least, so that sums over nothing are zero
      make_strips(layout, C, a, depth, &s, room);
      sums(a, rows, &s);
      s.k += depth;
    } while (s.k < a->in);
  }
}

// Factors of blocks of another width are left to kernels that multiply every weight by its own, whose tasks are of fewer rows.
INLINE int in_strips(int layout, const matmul_args *a, size_t depth) { return !is_f8(layout) || (size_t)a->w->block_cols == depth; }

// many_of has them do a task of larger ones.
static void many_of(int layout, const matmul_args *a, size_t task) {
  span rows = part_of(task / a->out_tasks, a->rows_per_task, a->rows), outs = part_of(task % a->out_tasks, a->outs_per_task, a->out);
  matmul_args b = *a;
  b.out_tasks = ceil_div(a->out, OUTS_MANY);
  for (size_t r = rows.from; r < rows.to; r += ROWS_MANY)
    for (size_t o = outs.from; o < outs.to; o += OUTS_MANY)
      layouts[layout].many(&b, r / ROWS_MANY * b.out_tasks + o / OUTS_MANY);
}

INLINE void pairs_few(int layout, const matmul_args *a, size_t task) {
  char room[STRIPS * PAIRS_DEPTH / TILE_COLS * TILE] __attribute__((aligned(64)));
  by_strips(layout, 3, a, (span){0, a->rows}, part_of(task, a->outs_per_task, a->out), PAIRS_DEPTH, room, few_pair_sums);
}

INLINE void pairs_many(int layout, const matmul_args *a, size_t task) {
  char room[2 * PAIRS_DEPTH / TILE_COLS * TILE] __attribute__((aligned(64)));
  span rows = part_of(task / a->out_tasks, a->rows_per_task, a->rows);
  by_strips(layout, 2, a, rows, part_of(task % a->out_tasks, OUTS_MANY, a->out), PAIRS_DEPTH, room, many_pair_sums);
}

#define PIO_F8S(X) X(F8_F32, "f8e4m3/f32") X(F8_BF16, "f8e4m3/bf16")
#define PIO_PAIRS(X) X(BF16, "bf16") X(BF16X16, "bf16x16") PIO_F8S(X)

#define PIO_PAIRS_KERNELS(LAYOUT, NAME)                                                                                \
  static void pairs_few_##LAYOUT(const void *args, size_t task) {                                                      \
    if (in_strips(LAYOUT, args, PAIRS_DEPTH))                                                                          \
      pairs_few(LAYOUT, args, task);                                                                                   \
    else                                                                                                               \
      layouts[LAYOUT].few(args, task);                                                                                 \
  }                                                                                                                    \
  static void pairs_many_##LAYOUT(const void *args, size_t task) {                                                     \
    if (in_strips(LAYOUT, args, PAIRS_DEPTH))                                                                          \
      pairs_many(LAYOUT, args, task);                                                                                  \
    else                                                                                                               \
      many_of(LAYOUT, args, task);                                                                                \
  }
PIO_F8S(PIO_PAIRS_KERNELS)

// amx.h: products by the tiles of AMX, for fast numerics; included by avx512.c after pairs.h.
//
// One product of tiles takes 16 rows by 16 outs through 32 pairs of bf16 or 64 bytes. Rows of activations are a tile as they lie; tiles of
// weights are those of pairs.h, or the quads of codes.h. Every number of rows goes this way, so that a row's bits do not depend on how many.
//
// Tiles are a thread's own: each task says at its beginning how large they are and gives them back at its end, before the thread may wait
// or go back to Go. The instructions are written out, as those of <immintrin.h> in gcc 12 do not say what memory they read.

#ifndef PIO_MODEL
#define t_configure(CONFIG) __asm__ volatile("ldtilecfg %0" ::"m"(CONFIG) : "memory")
#define t_release() __asm__ volatile("tilerelease" ::: "memory")
#define t_zero(T) __asm__ volatile("tilezero %%tmm" #T ::: "memory")
#define t_load(T, P, STEP) __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #T ::"r"(P), "r"((size_t)(STEP)) : "memory")
#define t_stream(T, P, STEP) __asm__ volatile("tileloaddt1 (%0,%1,1), %%tmm" #T ::"r"(P), "r"((size_t)(STEP)) : "memory")
#define t_store(T, P, STEP) __asm__ volatile("tilestored %%tmm" #T ", (%0,%1,1)" ::"r"(P), "r"((size_t)(STEP)) : "memory")
#define t_pairs(C, A, B) __asm__ volatile("tdpbf16ps %%tmm" #B ", %%tmm" #A ", %%tmm" #C ::: "memory")
#define t_quads(C, A, B) __asm__ volatile("tdpbssd %%tmm" #B ", %%tmm" #A ", %%tmm" #C ::: "memory")
#endif

// Tiles 0 to 3 are sums, of rows 0 and 16 by outs 0 and 16; 4 and 5 are activations, 6 and 7 weights.
typedef struct {
  uint8_t palette, start, zeros[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
} tile_config;

// configure makes tiles of sums and of activations as high as there are rows, where these are few.
static void configure(size_t rows) {
  tile_config c = {.palette = 1};
  for (int t = 0; t < 8; t++)
    c.row_bytes[t] = 64, c.rows[t] = (uint8_t)(t < 6 ? at_most(16, rows) : 16);
  t_configure(c);
}

enum {
  AMX_DEPTH = 512,            // of k, so that tiles of sums are put away seldom, and strips fit in the first-level cache
  AMX_F8_DEPTH = 128,         // where each block has its factors
  AMX_ROWS = 6 * ROWS_MANY,   // that many takes: making tiles of weights takes as long as multiplying 64 rows by them
  AMX_ROOM = 2 * AMX_DEPTH / TILE_COLS * TILE,
};

// ---- bf16

// add_tiles adds R x C tiles of sums, which lie in rows of 32, to the outs of as many rows as there are.
INLINE void add_tiles(const int C, const matmul_args *a, span rows, const strips *s, const float (*sums)[32]) {
  strips t = *s;
  for (size_t r = rows.from; r < rows.to; r++, sums++) {
    float *y = y_row(a, r) + t.o;
    UNROLL for (int c = 0; c < C; c++)
      add_outs(y + c * TILE_ROWS, v_load(*sums + c * 16), t.factor[c], t.outs[c], t.begun[c]);
  }
}

// two_by_two multiplies 32 rows by two strips, from r on; behind the last row may be others.
static void two_by_two(const matmul_args *a, size_t r, const strips *s, float (*sums)[32]) {
  size_t row = a->formed_bytes;
  const char *x = a->formed + r * row + s->k * 2;
  t_zero(0);
  t_zero(1);
  t_zero(2);
  t_zero(3);
  for (size_t k = 0; k < s->n; k += TILE_COLS) {
    size_t at = k / TILE_COLS * TILE;
    t_load(6, s->at[0] + at, 64);
    t_stream(4, x + k * 2, row);
    t_pairs(0, 4, 6);
    t_load(7, s->at[1] + at, 64);
    t_pairs(1, 4, 7);
    t_stream(5, x + 16 * row + k * 2, row);
    t_pairs(2, 5, 6);
    t_pairs(3, 5, 7);
  }
  t_store(0, sums[0], 128);
  t_store(1, sums[0] + 16, 128);
  t_store(2, sums[16], 128);
  t_store(3, sums[16] + 16, 128);
}

static void many_by_tiles(const matmul_args *a, span rows, const strips *s) {
  float sums[32][32] __attribute__((aligned(64)));
  for (size_t r = rows.from; r < rows.to; r += 32) {
    two_by_two(a, r, s, sums);
    add_tiles(2, a, (span){r, at_most(rows.to, r + 32)}, s, (const float(*)[32])sums);
  }
}

// few_by_tiles multiplies the rows that tiles were made for.
static void few_by_tiles(const matmul_args *a, span rows, const strips *s) {
  float sums[16][32] __attribute__((aligned(64)));
  const char *x = a->formed + s->k * 2;
  t_zero(0);
  t_zero(1);
  for (size_t k = 0; k < s->n; k += TILE_COLS) {
    size_t at = k / TILE_COLS * TILE;
    t_load(4, x + k * 2, a->formed_bytes);
    t_stream(6, s->at[0] + at, 64);
    t_pairs(0, 4, 6);
    t_stream(7, s->at[1] + at, 64);
    t_pairs(1, 4, 7);
  }
  t_store(0, sums[0], 128);
  t_store(1, sums[0] + 16, 128);
  add_tiles(2, a, rows, s, (const float(*)[32])sums);
}

INLINE void tiles_few(int layout, const matmul_args *a, size_t task) {
  char room[AMX_ROOM] __attribute__((aligned(64)));
  size_t depth = is_f8(layout) ? AMX_F8_DEPTH : AMX_DEPTH;
  configure(a->rows);
  by_strips(layout, 2, a, (span){0, a->rows}, part_of(task, a->outs_per_task, a->out), depth, room, few_by_tiles);
  t_release();
}

INLINE void tiles_many(int layout, const matmul_args *a, size_t task) {
  char room[AMX_ROOM] __attribute__((aligned(64)));
  size_t depth = is_f8(layout) ? AMX_F8_DEPTH : AMX_DEPTH;
  span rows = part_of(task / a->out_tasks, a->rows_per_task, a->rows);
  configure(16);
  by_strips(layout, 2, a, rows, part_of(task % a->out_tasks, OUTS_MANY, a->out), depth, room, many_by_tiles);
  t_release();
}

#define PIO_TILES_KERNELS(LAYOUT, NAME)                                                                                \
  static void tiles_few_##LAYOUT(const void *args, size_t task) {                                                      \
    if (in_strips(LAYOUT, args, AMX_F8_DEPTH))                                                                         \
      tiles_few(LAYOUT, args, task);                                                                                   \
    else                                                                                                               \
      layouts[LAYOUT].few(args, task);                                                                                 \
  }                                                                                                                    \
  static void tiles_many_##LAYOUT(const void *args, size_t task) {                                                     \
    if (in_strips(LAYOUT, args, AMX_F8_DEPTH))                                                                         \
      tiles_many(LAYOUT, args, task);                                                                                  \
    else                                                                                                               \
      many_of(LAYOUT, args, task);                                                                                     \
  }
PIO_PAIRS(PIO_TILES_KERNELS)

// ---- codes: a block is two tiles of 64 columns, whose sums are whole numbers, as exact as any others

// expand_q4 makes the codes of a block of q4 those of q8, each times the whole number of its 32 columns.
static void expand_q4(int8_t *to, const uint8_t *codes, const uint8_t *factors) {
  const Q eight = _mm512_set1_epi8(8);
  for (int s = 0; s < SUBS; s++, codes += GROUP * SUB / 2, to += GROUP * SUB) {
    Q whole = q_nibbles(factors + 32 + s / 2 * GROUP, s % 2 * 4);
    whole = _mm512_or_si512(whole, _mm512_slli_epi32(whole, 16)); // of 16 bits each
    UNROLL for (int i = 0; i < SUB / 8; i++) {
      Q both = q_load(codes + i * 64), half[2] = {_mm512_sub_epi8(q_low(both), eight), _mm512_sub_epi8(q_high(both), eight)};
      UNROLL for (int h = 0; h < 2; h++) {
        Q even = _mm512_mullo_epi16(half[h], whole), odd = _mm512_mullo_epi16(_mm512_srli_epi16(half[h], 8), whole);
        Q bytes = _mm512_mask_blend_epi8(0xaaaaaaaaaaaaaaaa, even, _mm512_slli_epi16(odd, 8));
        _mm512_storeu_si512(to + (h * SUB / 8 + i) * 64, bytes);
      }
    }
  }
}

// A block of two groups of 16 outs: tiles of codes, and factors by which sums are multiplied.
typedef struct {
  const int8_t *codes[2];
  V factor[2];
} code_tiles;

INLINE code_tiles tiles_of_codes(int layout, const blocks b[2], size_t block, int8_t (*room)[GROUP * COLS]) {
  code_tiles t;
  UNROLL for (int c = 0; c < 2; c++) {
    const uint8_t *codes = b[c].codes + block * b[c].code_bytes, *factors = b[c].factors + block * b[c].factor_bytes;
    t.factor[c] = v_bf16(factors);
    t.codes[c] = (const int8_t *)codes;
    if (layout == Q4)
      expand_q4(room[c], codes, factors), t.codes[c] = room[c];
  }
  return t;
}

// sum_codes multiplies up to 32 rows from r on, or 16, by a block.
INLINE void sum_codes(const int R, const matmul_args *a, size_t r, size_t block, const code_tiles *t, int32_t (*sums)[32]) {
  size_t row = a->formed_bytes;
  const int8_t *x = ((const coded *)(a->formed + r * row))[block].code;
  t_zero(0);
  t_zero(1);
  if (R == 2) {
    t_zero(2);
    t_zero(3);
  }
  UNROLL for (size_t k = 0; k < COLS; k += 64) {
    t_load(6, t->codes[0] + k * GROUP, 64);
    t_load(4, x + k, row);
    t_quads(0, 4, 6);
    t_load(7, t->codes[1] + k * GROUP, 64);
    t_quads(1, 4, 7);
    if (R == 2) {
      t_load(5, x + 16 * row + k, row);
      t_quads(2, 5, 6);
      t_quads(3, 5, 7);
    }
  }
  t_store(0, sums[0], 128);
  t_store(1, sums[0] + 16, 128);
  if (R == 2) {
    t_store(2, sums[16], 128);
    t_store(3, sums[16] + 16, 128);
  }
}

// add_codes goes on with the outs of rows as coded_group does, which wait where they will be: rounding is the same, step by step.
INLINE void add_codes(const matmul_args *a, span rows, span outs, size_t block, const code_tiles *t, const int32_t (*sums)[32]) {
  for (size_t r = rows.from; r < rows.to; r++, sums++) {
    V factor = v_set1(((const coded *)(a->formed + r * a->formed_bytes))[block].factor);
    UNROLL for (size_t c = 0; c < 2; c++) {
      size_t o = outs.from + c * GROUP, n = o < outs.to ? at_most(GROUP, outs.to - o) : 0;
      float *y = y_row(a, r) + o;
      V before = block == 0 ? v_zero() : v_load_n(y, n);
      v_store_n(y, before + q_float(q_load(*sums + c * 16)) * (t->factor[c] * factor), n);
    }
  }
}

// codes_by_tiles computes two groups of outs for rows, as far as there are any before the end.
INLINE void codes_by_tiles(const int R, int layout, const matmul_args *a, span rows, size_t o, size_t end) {
  int32_t sums[R * 16][32] __attribute__((aligned(64)));
  int8_t room[2][GROUP * COLS] __attribute__((aligned(64)));
  size_t group = o / GROUP, next = o + GROUP < end ? group + 1 : group;
  blocks b[2] = {blocks_of(layout, a->w, group), blocks_of(layout, a->w, next)};
  for (size_t block = 0; block < b[0].n; block++) {
    code_tiles t = tiles_of_codes(layout, b, block, room);
    for (size_t r = rows.from; r < rows.to; r += (size_t)R * 16) {
      sum_codes(R, a, r, block, &t, sums);
      add_codes(a, (span){r, at_most(rows.to, r + (size_t)R * 16)}, (span){o, end}, block, &t, (const int32_t(*)[32])sums);
    }
  }
  if (b[0].n == 0)
    for (size_t r = rows.from; r < rows.to; r++)
      memset(y_row(a, r) + o, 0, at_most(2 * GROUP, end - o) * sizeof(float));
}

INLINE void tiled_few(int layout, const matmul_args *a, size_t task) {
  span outs = part_of(task, a->outs_per_task, a->out);
  configure(a->rows);
  for (size_t o = outs.from; o < outs.to; o += 2 * GROUP)
    codes_by_tiles(1, layout, a, (span){0, a->rows}, o, outs.to);
  t_release();
}

INLINE void tiled_many(int layout, const matmul_args *a, size_t task) {
  span outs = part_of(task % a->out_tasks, OUTS_MANY, a->out);
  configure(16);
  codes_by_tiles(2, layout, a, part_of(task / a->out_tasks, a->rows_per_task, a->rows), outs.from, outs.to);
  t_release();
}

#define PIO_TILED_KERNELS(LAYOUT, NAME)                                                                                \
  static void tiled_few_##LAYOUT(const void *args, size_t task) { tiled_few(LAYOUT, args, task); }                     \
  static void tiled_many_##LAYOUT(const void *args, size_t task) { tiled_many(LAYOUT, args, task); }
PIO_CODES(PIO_TILED_KERNELS)

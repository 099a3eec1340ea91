// amx_pairs.h: products with bf16 and 8-bit floats by tiles of pairs; included by avx512.c after amx.h.
//
// Weights are the left operand: 16 outs by 32 columns are a tile as files have them. Activations are the right one, 16 rows that are turned once:
// for each 32 columns their 16 pairs, each of all rows. Sums are 16 outs by 16 rows, and are turned where they are put. So a few rows read
// weights once and where they lie; for many, strips of 32 outs are brought into a cache.
//
// Sums of bf16 stay in tiles from the first column to the last, or wait as they are. Those of 8-bit floats end with each block of columns, and
// are multiplied by what it has for a factor and added to those before.

enum {
  AMX_STRIP = 1024,   // columns of a strip: rows of weights are read in long stretches,
  AMX_DEPTH = 512,    // of which so many are multiplied at a time, which a first-level cache holds
  AMX_F8_DEPTH = 128, // of a block of 8-bit floats that has its factors
  BLOCKS = AMX_STRIP / AMX_F8_DEPTH,
};

// ---- activations: 16 rows at a time

// turned_at is where the rows of a group begin with the tile of a column.
INLINE const char *turned_at(const matmul_args *a, size_t row, size_t col) { return a->formed + row * a->formed_bytes + col / TILE_COLS * TILE; }

// ---- weights

// A strip has the tiles of 16 outs and of the next 16, in the matrix if that has tiles, or else made of it.
typedef struct {
  char made[2][AMX_STRIP / TILE_COLS][TILE];
  const char *tiles[2];
  float factors[BLOCKS][2 * SIDE]; // of 8-bit floats
  size_t o, k, n; // the first out, the first column, and how many
} strip_of_tiles;

INLINE void fill_factors(int layout, const matmul_args *a, strip_of_tiles *s) {
  for (size_t i = 0; i < at_most(2 * SIDE, a->out - s->o); i++)
    for (size_t k = 0; k < s->n; k += AMX_F8_DEPTH)
      s->factors[k / AMX_F8_DEPTH][i] = factor(layout, factors_of(layout, a->w, s->o + i), (s->k + k) / AMX_F8_DEPTH);
}

// fill_tile brings 16 outs by 32 columns into a tile; what the matrix does not have are zeros.
INLINE void fill_tile(int layout, const matmul_args *a, char *to, size_t o, size_t k, size_t n) {
  size_t row = a->in * size_of(layout), outs = o < a->out ? at_most(SIDE, a->out - o) : 0;
  const char *w = element_at(layout, a->w, o, k);
  __mmask32 columns = _bzhi_u32(~0u, (unsigned)at_most(TILE_COLS, n));
  UNROLL for (size_t i = 0; i < SIDE; i++) {
    __mmask32 is = i < outs ? columns : 0;
    _mm512_storeu_si512(to + i * 64, is_f8(layout) ? f8_pairs(_mm256_maskz_loadu_epi8(is, w + i * row)) : _mm512_maskz_loadu_epi16(is, w + i * row));
  }
}

// fill_strip makes a strip at once, column by column: each of its outs is a stretch of memory of its own, which processors fetch ahead. Bit by bit
// while products go on it is no faster, as their operands come by the same few lines, and a second strip takes a cache's room from them.
INLINE void fill_strip(int layout, const matmul_args *a, strip_of_tiles *s) {
  for (size_t h = 0; h < 2; h++) {
    s->tiles[h] = s->made[h][0];
    if (layout == BF16X16) // of outs that there are not are the first ones' once more
      s->tiles[h] = element_at(BF16X16, a->w, s->o + h * SIDE < a->out ? s->o + h * SIDE : s->o, s->k);
  }
  if (is_f8(layout))
    fill_factors(layout, a, s);
  for (size_t t = 0; layout != BF16X16 && t < ceil_div(s->n, TILE_COLS); t++)
    for (size_t h = 0; h < 2; h++)
      fill_tile(layout, a, s->made[h][t], s->o + h * SIDE, s->k + t * TILE_COLS, s->n - t * TILE_COLS);
}

// ---- 32 outs by R groups of rows

// multiply goes on with the sums in tiles through n columns from column k of a strip on.
INLINE void multiply(const int R, const strip_of_tiles *s, size_t k, size_t n, const char *const x[2]) {
  for (size_t i = k / TILE_COLS; i < ceil_div(k + n, TILE_COLS); i++) {
    t_load(4, s->tiles[0] + i * TILE, 64);
    t_stream(6, x[0] + i * TILE, 64);
    t_pairs(0, 4, 6);
    if (R == 2) {
      t_stream(7, x[1] + i * TILE, 64);
      t_pairs(1, 4, 7);
    }
    t_load(5, s->tiles[1] + i * TILE, 64);
    t_pairs(2, 5, 6);
    if (R == 2)
      t_pairs(3, 5, 7);
  }
}

// add_scaled adds sums of a block to those before, each out by its factor.
INLINE void add_scaled(const int R, float *sums, const float (*block)[SUMS], const float *factors, int begun) {
  for (size_t c = 0; c < 2; c++)
    for (size_t i = 0; i < SIDE; i++) {
      V f = v_set1(factors[c * SIDE + i]);
      UNROLL for (size_t g = 0; g < (size_t)R; g++) {
        float *to = sums + (2 * c + g) * SUMS + i * SIDE;
        v_store(to, v_fma(v_load(block[2 * c + g] + i * SIDE), f, begun ? v_load(to) : v_zero()));
      }
    }
}

// through_strip takes rows through n columns of a strip, from column k on. Their sums are in tiles then; of 8-bit floats those over the last block.
INLINE void through_strip(const int R, int layout, const strip_of_tiles *s, size_t k, size_t n, const char *const x[2], float *sums) {
  float block[4][SUMS] __attribute__((aligned(64)));
  if (s->k + k == 0 || is_f8(layout))
    zero_sums();
  else
    load_sums(sums);
  multiply(R, s, k, is_f8(layout) ? at_most(AMX_F8_DEPTH, n) : n, x);
  for (size_t i = AMX_F8_DEPTH; is_f8(layout) && i < n; i += AMX_F8_DEPTH) {
    store_sums(block);
    zero_sums();
    multiply(R, s, k + i, at_most(AMX_F8_DEPTH, n - i), x);
    add_scaled(R, sums, (const float(*)[SUMS])block, s->factors[(k + i) / AMX_F8_DEPTH - 1], s->k + k + i > AMX_F8_DEPTH);
  }
}

// keep_sums puts away what through_strip has left in tiles, up to column end of the strip.
INLINE void keep_sums(const int R, int layout, const strip_of_tiles *s, size_t end, float *sums) {
  float block[4][SUMS] __attribute__((aligned(64)));
  if (!is_f8(layout)) {
    store_sums(sums);
    return;
  }
  size_t last = end ? (end - 1) / AMX_F8_DEPTH : 0;
  store_sums(block);
  add_scaled(R, sums, (const float(*)[SUMS])block, s->factors[last], s->k + last > 0);
}

// put_sums writes what 16 rows from r on come to, of outs from o on.
INLINE void put_sums(const matmul_args *a, size_t r, size_t o, const float *sums) {
  __m512i v[SIDE];
  size_t rows = at_most(SIDE, a->rows - r);
  UNROLL for (size_t i = 0; i < SIDE; i++)
    v[i] = _mm512_loadu_si512(sums + i * SIDE);
  if (!a->to && rows == SIDE && o + SIDE <= a->out) {
    if (a->apart)
      turn_tile((char *)(a->y + r * a->out + o), a->out * sizeof(float), 1, v);
    else
      turn_tile((char *)(a->y + r * a->out + o), a->out * sizeof(float), 0, v);
    return;
  }
  float turned[SIDE][SIDE] __attribute__((aligned(64)));
  turn_tile((char *)turned, 64, 0, v);
  for (size_t i = 0; i < rows; i++)
    v_store_n(y_row(a, r + i) + o, v_load(turned[i]), at_most(SIDE, a->out - o));
}

// A square of sums that are complete, of rows from r on and outs from o on, and are still to be put where they go.
typedef struct {
  size_t r, o, groups;
  const float *sums;
} complete;

INLINE void put_square(const matmul_args *a, const complete *c) {
  for (size_t g = 0; g < c->groups; g++)
    for (size_t h = 0; h < 2; h++)
      if (c->o + h * SIDE < a->out)
        put_sums(a, c->r + g * SIDE, c->o + h * SIDE, c->sums + (2 * h + g) * SUMS);
}

// ---- tasks

// next_strip goes on to the outs' next columns, or to the first ones of the next outs.
INLINE void next_strip(const matmul_args *a, strip_of_tiles *s) {
  s->k += s->n;
  if (s->k == a->cols.to)
    s->o += SQUARE, s->k = a->cols.from;
  s->n = at_most(AMX_STRIP, a->cols.to - s->k);
}

// by_tiles computes outs for rows, a strip after the other. While tiles are multiplied the sums before are put where they go.
INLINE void by_tiles(int layout, const matmul_args *a, span rows, span outs) {
  strip_of_tiles s __attribute__((aligned(64)));
  float sums[AMX_ROWS / SQUARE][SQUARE * SQUARE] __attribute__((aligned(64)));
  size_t squares = ceil_div(rows.to - rows.from, SQUARE);
  complete before = {0};
  configure();
  for (s.o = outs.from, s.k = a->cols.from, s.n = at_most(AMX_STRIP, a->cols.to - s.k); s.o < outs.to; next_strip(a, &s)) {
    float *waiting = a->sums ? a->sums + (s.o / SQUARE * ceil_div(a->rows, SQUARE) + rows.from / SQUARE) * SQUARE * SQUARE : sums[0];
    size_t steps = squares * at_least(1, ceil_div(s.n, AMX_DEPTH));
    fill_strip(layout, a, &s);
    for (size_t i = 0; i < steps; i++) {
      size_t square = i % squares, k = i / squares * AMX_DEPTH, n = at_most(AMX_DEPTH, s.n - k);
      size_t r = rows.from + square * SQUARE, R = r + SIDE < rows.to ? 2 : 1;
      const char *x[2] = {turned_at(a, r, s.k), turned_at(a, R == 2 ? r + SIDE : r, s.k)};
      float *here = waiting + square * SQUARE * SQUARE;
      if (before.groups && before.sums == here)
        put_square(a, &before), before.groups = 0;
      if (R == 2)
        through_strip(2, layout, &s, k, n, x, here);
      else
        through_strip(1, layout, &s, k, n, x, here);
      if (before.groups)
        put_square(a, &before);
      keep_sums((int)R, layout, &s, k + n, here);
      before = (complete){r, s.o, s.k + k + n == a->in ? R : 0, here};
    }
  }
  if (before.groups)
    put_square(a, &before);
  t_release();
}

INLINE void tiles_many(int layout, const matmul_args *a, size_t task) {
  by_tiles(layout, a, part_of(task / a->out_tasks, a->rows_per_task, a->rows), part_of(task % a->out_tasks, a->outs_per_task, a->out));
}

// ---- a few rows: weights are read once, as they lie

enum { AMX_FEW = 4 * SIDE };

// one_tile goes on with 16 outs by R groups of rows through 32 columns.
INLINE void one_tile(const int R, const char *w, size_t row, const char *x, size_t group) {
  t_load(4, w, row);
  t_load(6, x, 64);
  t_pairs(0, 4, 6);
  if (R > 1) {
    t_load(7, x + group, 64);
    t_pairs(1, 4, 7);
  }
  if (R > 2) {
    t_load(6, x + 2 * group, 64);
    t_pairs(2, 4, 6);
  }
  if (R > 3) {
    t_load(7, x + 3 * group, 64);
    t_pairs(3, 4, 7);
  }
}

// few_outs computes 16 outs, which are stretches of memory side by side: processors fetch them ahead unasked, and faster.
INLINE void few_outs(const int R, int layout, const matmul_args *a, size_t o) {
  float sums[4 * SUMS] __attribute__((aligned(64)));
  int packed = layout == BF16X16;
  size_t row = packed ? 64 : a->in * 2, step = packed ? TILE : 64, whole = packed ? ceil_div(a->in, TILE_COLS) : a->in / TILE_COLS;
  size_t group = SIDE * a->formed_bytes;
  const char *w = element_at(layout, a->w, o, 0), *x = a->formed;
  zero_sums();
  for (size_t i = 0; i < whole; i++, w += step, x += TILE)
    one_tile(R, w, row, x, group);
  if (a->in > whole * TILE_COLS) {
    char rest[TILE] __attribute__((aligned(64)));
    fill_tile(BF16, a, rest, o, whole * TILE_COLS, a->in % TILE_COLS);
    one_tile(R, rest, 64, x, group);
  }
  store_sums(sums);
  for (size_t g = 0; g < (size_t)R; g++)
    put_sums(a, g * SIDE, o, sums + g * SUMS);
}

INLINE void tiles_few(int layout, const matmul_args *a, size_t task) {
  span outs = part_of(task, a->outs_per_task, a->out);
  size_t o = outs.from, R = ceil_div(a->rows, SIDE);
  configure();
  for (; o + SIDE <= outs.to; o += SIDE)
    if (R == 1)
      few_outs(1, layout, a, o);
    else if (R == 2)
      few_outs(2, layout, a, o);
    else if (R == 3)
      few_outs(3, layout, a, o);
    else
      few_outs(4, layout, a, o);
  t_release();
  if (o < outs.to)
    by_tiles(layout, a, (span){0, a->rows}, (span){o, outs.to});
}

static void tiles_few_BF16(const void *args, size_t task) { tiles_few(BF16, args, task); }
static void tiles_few_BF16X16(const void *args, size_t task) { tiles_few(BF16X16, args, task); }

#define PIO_TILES_KERNELS(LAYOUT, NAME)                                                                                \
  static void tiles_many_##LAYOUT(const void *args, size_t task) {                                                     \
    if (in_strips(LAYOUT, args, AMX_F8_DEPTH))                                                                         \
      tiles_many(LAYOUT, args, task);                                                                                  \
    else                                                                                                               \
      many_of(LAYOUT, args, task);                                                                                     \
  }
PIO_PAIRS(PIO_TILES_KERNELS)

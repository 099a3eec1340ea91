// amx_quads.h: products with codes by tiles of quads; included by avx512.c after amx.h. What is different for q8 and q4 is in amx_codes.h, for K-types in
// amx_kcodes.h.
//
// Rows of activations in codes are the left operand as they lie, codes of weights the right one. What they come to over a block of 128 columns is a whole
// number, as exact as any other way, and what is done with it is rounded step by step as coded_block and those of kcodes.h do: a few rows go by these,
// and come to the same bits.
//
// Blocks of a strip of outs are brought into a form that tiles are loaded from, and rows go by. What a block comes to is added to outs between the products
// of the next one's tiles, some rows after each: were it added at once, tiles would wait for it.

enum {
  CODE_DEPTH = 8,      // blocks of a strip, which a first-level cache holds, or half as many of two parts
  ADD_ROWS = SIDE / 4, // of a group's, after each of the four products of tiles that two right operands take
};

// Some blocks of two groups of 16 outs: tiles of codes, and what sums are multiplied by.
typedef struct {
  int8_t room[2][CODE_DEPTH][GROUP * COLS]; // of codes that are made
  const int8_t *codes[2];                   // of the first block, from which the others follow
  V factors[CODE_DEPTH][2];
  V least[CODE_DEPTH / 2][2];  // of q4k: what minima are multiplied by,
  Q minima[CODE_DEPTH / 2][2][2]; // and these
  size_t block, n;             // the first and how many
} code_strip;

// What up to 32 rows come to over a block, and what it is multiplied by and added to. There are 16 by 16 sums of each group of rows and right operand.
typedef struct {
  const int32_t *sums;
  const char *x; // rows of activations in codes, from the block on
  size_t row;    // bytes of one
  V factor[2], least;
  Q minima[2];
  float (*outs)[SQUARE];
} block_sums;

// What goes on with the outs of ADD_ROWS rows.
typedef void add_sums_of(const block_sums *b, size_t first);

// A product of tiles, behind the last of which sums are stored, and some of what was before, if anything was, is added.
#define PIO_SUM_QUADS(SUM, A, B)                                                                                       \
  t_quads(SUM, A, B);                                                                                                  \
  if (ends)                                                                                                            \
    t_store(SUM, sums + SUM * SUMS, 64);                                                                               \
  if (before)                                                                                                          \
    add(before, first), first += ADD_ROWS

// sum_quads multiplies R groups of 16 rows by two right operands of 128 columns, and adds what was before.
INLINE void sum_quads(const int R, const int8_t *codes, size_t row, const int8_t *right, const int8_t *right2, int32_t *sums, add_sums_of *add,
                      const block_sums *before) {
  size_t first = 0;
  zero_sums();
  UNROLL for (size_t k = 0; k < COLS; k += 64) {
    const int ends = k + 64 == COLS;
    t_load(6, right + k * GROUP, 64);
    t_stream(4, codes + k, row);
    PIO_SUM_QUADS(0, 4, 6);
    t_load(7, right2 + k * GROUP, 64);
    PIO_SUM_QUADS(1, 4, 7);
    if (R == 2) {
      t_stream(5, codes + SIDE * row + k, row);
      PIO_SUM_QUADS(2, 5, 6);
      PIO_SUM_QUADS(3, 5, 7);
    }
  }
}

INLINE void add_all(const int R, add_sums_of *add, const block_sums *b) {
  for (size_t r = 0; r < (size_t)R * SIDE; r += ADD_ROWS)
    add(b, r);
}

#include "amx_codes.h"
#include "amx_kcodes.h"

// ---- tasks

INLINE void put_codes(const matmul_args *a, size_t r, size_t o, float (*outs)[SQUARE]) {
  for (size_t i = 0; i < at_most(SQUARE, a->rows - r); i++)
    for (size_t c = 0; c < 2 && o + c * GROUP < a->out; c++) {
      float *y = y_row(a, r + i) + o + c * GROUP;
      size_t n = at_most(GROUP, a->out - o - c * GROUP);
      if (n == GROUP)
        put_vector((char *)y, a->apart, (__m512i)v_load(outs[i] + c * W));
      else
        v_store_n(y, v_load(outs[i] + c * W), n);
    }
}

// ask_codes asks for a share of the codes of outs from o on, which so many shares make.
INLINE void ask_codes(int layout, const matmul_args *a, size_t o, size_t block, size_t n, size_t share, size_t shares) {
  for (size_t c = 0; c < 2; c++) {
    const uint8_t *codes;
    size_t bytes;
    if (is_k(layout))
      codes = k_blocks(layout, a->w, o / GROUP + c) + block / 2 * k_bytes(layout), bytes = ceil_div(n, 2) * k_bytes(layout);
    else {
      blocks b = blocks_of(layout, a->w, o / GROUP + c);
      codes = b.codes + block * b.code_bytes, bytes = n * b.code_bytes;
    }
    span some = part_of(share, ceil_div(bytes / 64, shares), bytes / 64);
    for (size_t i = some.from; i < some.to; i++)
      v_prefetch_far(codes + i * 64);
  }
}

INLINE void through_blocks(const int R, int layout, const char *x, size_t row, const code_strip *s, float (*outs)[SQUARE]) {
  if (s->block == 0)
    memset(outs, 0, (size_t)R * SIDE * sizeof *outs);
  if (s->n > 0 && is_k(layout))
    through_parts(R, layout, x, row, s, outs);
  else if (s->n > 0)
    through_codes(R, x, row, s, outs);
}

INLINE void tiled_many(int layout, const matmul_args *a, size_t task) {
  span rows = part_of(task / a->out_tasks, a->rows_per_task, a->rows), outs = part_of(task % a->out_tasks, a->outs_per_task, a->out);
  code_strip s __attribute__((aligned(64)));
  float sums[AMX_ROWS / SQUARE][SQUARE][SQUARE] __attribute__((aligned(64)));
  size_t all = ceil_div(a->in, COLS), squares = ceil_div(rows.to - rows.from, SQUARE);
  configure();
  for (size_t o = outs.from; o < outs.to; o += SQUARE) {
    s.block = 0;
    do { // once at least, so that sums over nothing are zero
      s.n = at_most(is_k(layout) ? CODE_DEPTH / 2 : CODE_DEPTH, all - s.block);
      for (size_t c = 0; c < 2; c++) // of outs that there are not are the first ones' once more
        if (is_k(layout))
          fill_parts(layout, a, o + c * GROUP < a->out ? o / GROUP + c : o / GROUP, c, &s);
        else
          fill_codes(layout, a, o + c * GROUP < a->out ? o / GROUP + c : o / GROUP, c, &s);
      int ends = s.block + s.n == all;
      for (size_t i = 0; i < squares; i++) {
        size_t r = rows.from + i * SQUARE;
        const char *x = a->formed + r * a->formed_bytes;
        ask_codes(layout, a, ends ? o + SQUARE : o, ends ? 0 : s.block + s.n, s.n, i, squares);
        if (r + SIDE < rows.to)
          through_blocks(2, layout, x, a->formed_bytes, &s, sums[i]);
        else
          through_blocks(1, layout, x, a->formed_bytes, &s, sums[i]);
        if (ends)
          put_codes(a, r, o, sums[i]);
      }
      s.block += s.n;
    } while (s.block < all);
  }
  t_release();
}

#define PIO_TILED_KERNELS(LAYOUT, NAME)                                                                                \
  static void tiled_many_##LAYOUT(const void *args, size_t task) { tiled_many(LAYOUT, args, task); }
PIO_CODES(PIO_TILED_KERNELS)
PIO_KCODES(PIO_TILED_KERNELS)

// amx_codes.h: products with codes of 8 and of 4 bits by tiles of quads; included by avx512.c after amx.h.
//
// Rows of activations in codes are the left operand as they lie, blocks of weights of q8 the right one. Those of q4 are made codes of 8 bits,
// multiplied by their whole numbers. A block's sums are whole numbers, as exact as any others, and what is done with
// them is rounded step by step as coded_block does: a few rows go by its kernels, and come to the same bits.
//
// The sums of a block are added to outs between the products of the next one's tiles, some after each.

enum { CODE_DEPTH = 8 }; // blocks of a strip, which a first-level cache holds

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

// Some blocks of two groups of 16 outs: tiles of codes, and factors by which sums are multiplied.
typedef struct {
  int8_t room[2][CODE_DEPTH][GROUP * COLS]; // of expanded ones
  const int8_t *codes[2];                   // of the first block, from which the others follow
  V factors[CODE_DEPTH][2];
  size_t block, n; // the first and how many
} code_strip;

// fill_codes finds the codes of outs from o on, in the matrix if it has them, or else makes them.
INLINE void fill_codes(int layout, const matmul_args *a, size_t o, code_strip *s) {
  for (size_t c = 0; c < 2; c++) {
    blocks b = blocks_of(layout, a->w, o + c * GROUP < a->out ? o / GROUP + c : o / GROUP);
    b.codes += s->block * b.code_bytes, b.factors += s->block * b.factor_bytes;
    s->codes[c] = layout == Q8 ? (const int8_t *)b.codes : s->room[c][0];
    for (size_t i = 0; i < s->n; i++, b.codes += b.code_bytes, b.factors += b.factor_bytes) {
      s->factors[i][c] = v_bf16(b.factors);
      if (layout == Q4)
        expand_q4(s->room[c][i], b.codes, b.factors);
    }
  }
}

// What a block's tiles of up to 32 rows come to, and by what it is multiplied.
typedef struct {
  const int32_t *sums;
  const char *x; // rows of activations in codes, from the block on
  V f[2];        // of 16 outs each
} block_sums;

enum { ADD_ROWS = SIDE / 4 }; // of a group's, after each of the four products of tiles that a block has for it

// add_codes goes on with the outs of a few rows as coded_block does.
INLINE void add_codes(const block_sums *b, size_t row, size_t first, float (*outs)[SQUARE]) {
  UNROLL for (size_t r = first; r < first + ADD_ROWS; r++) {
    V factor = v_set1(*(const float *)(b->x + r * row + offsetof(coded, factor)));
    UNROLL for (size_t c = 0; c < 2; c++) {
      V sums = q_float(q_load(b->sums + (r / SIDE * 2 + c) * SUMS + r % SIDE * SIDE));
      v_store(outs[r] + c * W, v_load(outs[r] + c * W) + sums * (b->f[c] * factor));
    }
  }
}

// sum_codes multiplies R groups of rows, which begin at x, by block i of a strip, and adds what the block before came to, if there is one: were it added
// at once, tiles would wait for it.
INLINE void sum_codes(const int R, const char *x, size_t row, const code_strip *s, size_t i, int32_t *sums, const block_sums *before, float (*outs)[SQUARE]) {
  const int8_t *codes = ((const coded *)x)[s->block + i].code;
  size_t first = 0;
  zero_sums();
  UNROLL for (size_t k = 0; k < COLS; k += 64) {
    const int ends = k + 64 == COLS;
    t_load(6, s->codes[0] + (i * COLS + k) * GROUP, 64);
    t_stream(4, codes + k, row);
    t_quads(0, 4, 6);
    if (ends)
      t_store(0, sums, 64);
    if (before)
      add_codes(before, row, first, outs), first += ADD_ROWS;
    t_load(7, s->codes[1] + (i * COLS + k) * GROUP, 64);
    t_quads(1, 4, 7);
    if (ends)
      t_store(1, sums + SUMS, 64);
    if (before)
      add_codes(before, row, first, outs), first += ADD_ROWS;
    if (R == 1)
      continue;
    t_stream(5, codes + SIDE * row + k, row);
    t_quads(2, 5, 6);
    if (ends)
      t_store(2, sums + 2 * SUMS, 64);
    if (before)
      add_codes(before, row, first, outs), first += ADD_ROWS;
    t_quads(3, 5, 7);
    if (ends)
      t_store(3, sums + 3 * SUMS, 64);
    if (before)
      add_codes(before, row, first, outs), first += ADD_ROWS;
  }
}

INLINE void through_codes(const int R, const char *x, size_t row, const code_strip *s, float (*outs)[SQUARE]) {
  int32_t sums[2][4 * SUMS] __attribute__((aligned(64)));
  block_sums before;
  if (s->block == 0)
    memset(outs, 0, (size_t)R * SIDE * sizeof *outs);
  for (size_t i = 0; i < s->n; i++) {
    if (i == 0)
      sum_codes(R, x, row, s, i, sums[0], NULL, outs);
    else
      sum_codes(R, x, row, s, i, sums[i % 2], &before, outs);
    before = (block_sums){sums[i % 2], x + (s->block + i) * sizeof(coded), {s->factors[i][0], s->factors[i][1]}};
  }
  for (size_t r = 0; s->n > 0 && r < (size_t)R * SIDE; r += ADD_ROWS)
    add_codes(&before, row, r, outs);
}

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
    blocks b = blocks_of(layout, a->w, o / GROUP + c);
    span some = part_of(share, ceil_div(n * b.code_bytes / 64, shares), n * b.code_bytes / 64);
    for (size_t i = some.from; i < some.to; i++)
      v_prefetch_far(b.codes + block * b.code_bytes + i * 64);
  }
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
      s.n = at_most(CODE_DEPTH, all - s.block);
      fill_codes(layout, a, o, &s);
      int ends = s.block + s.n == all;
      for (size_t i = 0; i < squares; i++) {
        size_t r = rows.from + i * SQUARE;
        const char *x = a->formed + r * a->formed_bytes;
        ask_codes(layout, a, ends ? o + SQUARE : o, ends ? 0 : s.block + s.n, s.n, i, squares);
        if (r + SIDE < rows.to)
          through_codes(2, x, a->formed_bytes, &s, sums[i]);
        else
          through_codes(1, x, a->formed_bytes, &s, sums[i]);
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

// kcodes.h: products with matrices in blocks of 256 columns as llama.cpp's K-types have them, q4k and q6k of cuda/layout.go; included by
// template.h after codes.h.
//
// They are the numbers of a file in another order, and nothing else. A block is 16 rows by 256 columns in one stretch of memory: first what codes
// are multiplied by, then the codes, of which as in codes.h four columns of a row, a quad, lie together, and the quads of 16 rows behind each other.
//
//	q4k	d * factor * code - dmin * minimum: three words of each row with the factors and minima of 32 columns, six_pair; d and dmin of
//		each row, in f16; then for each 32 columns codes as those of q4, without a sign
//	q6k	d * factor * (code - 32): four words of each row with the factors of 16 columns, signed_pairs; d of each row, in f16, and 32 bytes of
//		nothing, so that vectors begin where cache lines do; then for each 16 columns codes, six_quads
//
// Activations are those of codes.h. A sum over 128 columns is one of whole numbers here, too: codes times their factors, and in q4k minima times
// what the activations' codes add up to. It is multiplied by d, or dmin, and by the activations' factor, each step rounded by itself.

enum {
  KCOLS = 256,
  Q4K_HEAD = 4 * 64, Q4K_D = 3 * 64, Q4K_LEAST = Q4K_D + 32, // where they begin
  Q4K_SUB = GROUP * SUB / 2,                                 // bytes of 32 columns
  Q6K_HEAD = 5 * 64, Q6K_D = 4 * 64,
  Q6K_SUB = GROUP * 16 * 6 / 8, // of 16 columns
};

INLINE size_t k_bytes(int layout) { return layout == Q4K ? Q4K_HEAD + KCOLS / SUB * Q4K_SUB : Q6K_HEAD + KCOLS / 16 * Q6K_SUB; }

// k_blocks are those of a group of rows.
INLINE const uint8_t *k_blocks(int layout, const pio_matrix *m, size_t group) {
  return (const uint8_t *)m->plane[0] + group * ceil_div((size_t)m->cols, KCOLS) * k_bytes(layout);
}

// six_pair has two numbers of 6 bits of W rows in the halves of lanes, of even and of odd ones of 32 columns. Pairs 0 and 1 are the factors of the
// first 128 columns, 2 and 3 their minima, and 4 to 7 the others'. Each half of a word has two numbers, and four bits of one of the last two
// pairs, whose upper bits are in the third word.
INLINE Q six_pair(const uint8_t *words, int pair) {
  if (pair < 6)
    return (Q)((U)q_load(words + pair / 2 * 64) >> 6 * (pair % 2) & 0x003f003f);
  U low = (U)q_load(words + (pair - 6) * 64) >> 12 & 0x000f000f, high = (U)q_load(words + 2 * 64) >> (12 + 2 * (pair - 6)) & 0x00030003;
  return (Q)(low | high << 4);
}

// four_pairs are those of 128 columns, the first or the second.
INLINE void four_pairs(const uint8_t *words, int part, Q pairs[4]) {
  UNROLL for (int i = 0; i < 4; i++)
    pairs[i] = part == 0 ? six_pair(words, i) : six_pair(words, 4 + i);
}

// signed_pairs are the factors of 64 columns of W rows in the halves of lanes: of each 16 columns the first two, and the others, which are the
// upper bytes.
INLINE void signed_pairs(const uint8_t *words, Q pairs[2]) {
  H word = (H)q_load(words);
  pairs[0] = (Q)((H)((UH)word << 8) >> 8), pairs[1] = (Q)(word >> 8);
}

// six_quads are the codes of 16 columns of W rows: the lower four bits of the first two quads in the halves of bytes, those of the others, and two
// upper bits of each in the quarters of bytes.
INLINE void six_quads(const uint8_t *p, Q quads[4]) {
  Q first = q_load(p), second = q_load(p + 64);
  U high = (U)q_load(p + 128);
  quads[0] = (Q)((U)q_low(first) | (high << 4 & 0x30303030)), quads[1] = (Q)((U)q_high(first) | (high << 2 & 0x30303030));
  quads[2] = (Q)((U)q_low(second) | (high & 0x30303030)), quads[3] = (Q)((U)q_high(second) | (high >> 2 & 0x30303030));
}

// ---- elements

// six_of is a number of 6 bits of one row: a half of a pair.
INLINE int six_of(const uint8_t *block, size_t row, size_t pair, size_t half) {
  uint16_t word[3];
  for (size_t i = 0; i < 3; i++)
    memcpy(word + i, block + i * 64 + row * 4 + half * 2, 2);
  return pair < 6 ? word[pair / 2] >> 6 * (pair % 2) & 63 : word[pair - 6] >> 12 | (word[2] >> (12 + 2 * (pair - 6)) & 3) << 4;
}

// half_of is a number in f16 of one row.
INLINE float half_of(const uint8_t *p, size_t row) {
  float all[W];
  v_store(all, v_f16(p + row / W * W * 2));
  return all[row % W];
}

INLINE float q4k_at(const uint8_t *block, size_t row, size_t col) {
  size_t s = col / SUB, in = col % SUB, pair = s / 4 * 4 + s % 4 / 2;
  int code = block[Q4K_HEAD + s * Q4K_SUB + (in % 16 / 4 * GROUP + row) * 4 + in % 4] >> in / 16 * 4 & 15;
  float factor = half_of(block + Q4K_D, row) * (float)six_of(block, row, pair, s % 2);
  return factor * (float)code - half_of(block + Q4K_LEAST, row) * (float)six_of(block, row, pair + 2, s % 2);
}

INLINE float q6k_at(const uint8_t *block, size_t row, size_t col) {
  size_t s = col / 16, quad = col % 16 / 4, at = row * 4 + col % 4;
  const uint8_t *codes = block + Q6K_HEAD + s * Q6K_SUB;
  int code = (codes[quad / 2 * 64 + at] >> quad % 2 * 4 & 15) | (codes[128 + at] >> 2 * quad & 3) << 4;
  int factor = (int8_t)block[s / 4 * 64 + row * 4 + s % 4 / 2 + s % 2 * 2];
  return half_of(block + Q6K_D, row) * (float)factor * (float)(code - 32);
}

INLINE void k_widen(int layout, const pio_matrix *m, size_t row, size_t col, size_t n, float *to) {
  const uint8_t *blocks = k_blocks(layout, m, row / GROUP);
  for (size_t i = 0; i < n; i++) {
    const uint8_t *block = blocks + (col + i) / KCOLS * k_bytes(layout);
    to[i] = layout == Q4K ? q4k_at(block, row % GROUP, (col + i) % KCOLS) : q6k_at(block, row % GROUP, (col + i) % KCOLS);
  }
}

static void q4k_widen(const pio_matrix *m, size_t row, size_t col, size_t n, float *to) { k_widen(Q4K, m, row, col, n, to); }
static void q6k_widen(const pio_matrix *m, size_t row, size_t col, size_t n, float *to) { k_widen(Q6K, m, row, col, n, to); }

// ---- with activations in codes: R rows by W outs through 128 columns, which are a part of a block

// q4k_block adds products of codes, and takes those of minima away.
INLINE void q4k_block(const int R, const uint8_t *block, int part, int half, const coded *const *x, V *total) {
  const uint8_t *head = block + half * W * 4, *codes = head + Q4K_HEAD + part * SUBS * Q4K_SUB;
  Q pairs[4], factors[SUBS], sums[CODED_ROWS];
  four_pairs(head, part, pairs);
  UNROLL for (int s = 0; s < SUBS; s++)
    factors[s] = q_half(pairs[s / 2], s % 2);
  for (int s = 0; s < SUBS; s++, codes += Q4K_SUB) {
    Q sum[CODED_ROWS];
    UNROLL for (int r = 0; r < R; r++)
      sum[r] = q_zero();
    UNROLL for (int i = 0; i < SUB / 8; i++) {
      Q both = q_load(codes + i * GROUP * 4), low = q_low(both), high = q_high(both);
      UNROLL for (int r = 0; r < R; r++) {
        const int8_t *code = x[r]->code + s * SUB + 4 * i;
        sum[r] = q4_dot(q4_dot(sum[r], low, code), high, code + SUB / 2);
      }
    }
    UNROLL for (int r = 0; r < R; r++)
      sums[r] = k_times(s == 0 ? q_zero() : sums[r], sum[r], factors[s]);
    if (R > 1)
      IN_MEMORY(sums);
  }
  V d = v_f16(block + Q4K_D + half * W * 2), least = v_f16(block + Q4K_LEAST + half * W * 2);
  UNROLL for (int r = 0; r < R; r++) {
    V factor = v_set1(x[r]->factor);
    Q minima = q_pairs(q_pairs(q_zero(), pairs[2], q_quad((const int8_t *)x[r]->wholes)), pairs[3], q_quad((const int8_t *)(x[r]->wholes + 2)));
    total[r] = total[r] + q_float(sums[r]) * (d * factor);
    total[r] = total[r] - q_float(minima) * (least * factor);
  }
  if (R > 1)
    IN_MEMORY(total);
}

INLINE void q6k_block(const int R, const uint8_t *block, int part, int half, const coded *const *x, V *total) {
  const uint8_t *codes = block + Q6K_HEAD + part * (COLS / 16) * Q6K_SUB + half * W * 4;
  Q sums[CODED_ROWS], factors[COLS / 16];
  UNROLL for (int i = 0; i < 2; i++) {
    Q pairs[2];
    signed_pairs(block + (part * 2 + i) * 64 + half * W * 4, pairs);
    UNROLL for (int s = 0; s < 4; s++)
      factors[4 * i + s] = q_half(pairs[s / 2], s % 2);
  }
  for (int s = 0; s < COLS / 16; s++, codes += Q6K_SUB) {
    Q sum[CODED_ROWS], quads[4];
    six_quads(codes, quads);
    UNROLL for (int r = 0; r < R; r++) {
      sum[r] = q6_begin(x[r]->sixteens[s]);
      UNROLL for (int i = 0; i < 4; i++)
        sum[r] = q4_dot(sum[r], quads[i], x[r]->code + s * 16 + 4 * i);
      sums[r] = k_times(s == 0 ? q_zero() : sums[r], sum[r], factors[s]);
    }
    if (R > 1)
      IN_MEMORY(sums);
  }
  V d = v_f16(block + Q6K_D + half * W * 2);
  UNROLL for (int r = 0; r < R; r++)
    total[r] = total[r] + q_float(sums[r]) * (d * v_set1(x[r]->factor));
  if (R > 1)
    IN_MEMORY(total);
}

// k_coded_group computes a group's outs for R rows.
INLINE void k_coded_group(const int R, int layout, const matmul_args *a, size_t r0, size_t group) {
  const uint8_t *block = k_blocks(layout, a->w, group);
  const coded *x[CODED_ROWS];
  V total[HALVES][CODED_ROWS], out[HALVES];
  memset(total, 0, sizeof total);
  UNROLL for (int r = 0; r < R; r++)
    x[r] = (const coded *)(a->formed + (r0 + (size_t)r) * a->formed_bytes);
  for (size_t i = 0, n = ceil_div(a->in, COLS); i < n; i++) {
    if (r0 == 0) // later rows find them in a cache
      fetch_block(R, a, block + i % 2 * (k_bytes(layout) / 2), k_bytes(layout) / 2);
    UNROLL for (int h = 0; h < HALVES; h++)
      if (layout == Q4K)
        q4k_block(R, block, i % 2, h, x, total[h]);
      else
        q6k_block(R, block, i % 2, h, x, total[h]);
    block += i % 2 * k_bytes(layout);
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

// signed_half is one half of each lane, with its sign.
INLINE Q signed_half(Q pairs, int upper) { return (Q)((L)(upper ? (U)pairs : (U)pairs << 16) >> 16); }

// k_columns has four columns of W rows as numbers, the codes of a quad in bytes of which shift is the first bit.
INLINE void k_columns(Q quads, V factor, V less, V w[4]) {
  UNROLL for (int j = 0; j < 4; j++)
    w[j] = factor * q_float((Q)((U)quads >> 8 * j & 63)) - less;
}

// k_exact_part goes on with R rows by W outs through 128 columns. Columns that x does not have are zeros there.
INLINE void k_exact_part(const int R, int layout, const uint8_t *block, int part, int half, const float (*x)[COLS], V *total) {
  V sum[4], w[4];
  UNROLL for (int r = 0; r < R; r++)
    sum[r] = v_zero();
  for (int s = 0; s < COLS / 16; s++) {
    V factor, less;
    Q quads[4], pairs[4];
    const uint8_t *head = block + half * W * 4;
    if (layout == Q4K) {
      four_pairs(head, part, pairs);
      factor = v_f16(block + Q4K_D + half * W * 2) * q_float(q_half(pairs[s / 4], s / 2 % 2));
      less = v_f16(block + Q4K_LEAST + half * W * 2) * q_float(q_half(pairs[2 + s / 4], s / 2 % 2));
      UNROLL for (int i = 0; i < 4; i++) {
        Q both = q_load(head + Q4K_HEAD + (part * SUBS + s / 2) * Q4K_SUB + i * 64);
        quads[i] = s % 2 == 0 ? q_low(both) : q_high(both);
      }
    } else {
      signed_pairs(head + (part * 2 + s / 4) * 64, pairs);
      V d = v_f16(block + Q6K_D + half * W * 2);
      factor = d * q_float(signed_half(pairs[s % 4 / 2], s % 2));
      less = factor * v_set1(32);
      six_quads(head + Q6K_HEAD + (part * (COLS / 16) + s) * Q6K_SUB, quads);
    }
    UNROLL for (int i = 0; i < 4; i++) {
      k_columns(quads[i], factor, less, w);
      UNROLL for (int j = 0; j < 4; j++)
        UNROLL for (int r = 0; r < R; r++)
          sum[r] = v_fma(v_set1(x[r][16 * s + 4 * i + j]), w[j], sum[r]);
    }
  }
  UNROLL for (int r = 0; r < R; r++)
    total[r] = total[r] + sum[r];
}

INLINE void k_exact_group(const int R, int layout, const matmul_args *a, size_t r0, size_t group) {
  const uint8_t *block = k_blocks(layout, a->w, group);
  V total[HALVES][4], out[4][HALVES];
  UNROLL for (int h = 0; h < HALVES; h++)
    UNROLL for (int r = 0; r < R; r++)
      total[h][r] = v_zero();
  for (size_t k = 0; k < a->in; k += COLS) {
    float x[4][COLS] __attribute__((aligned(64)));
    int part = k % KCOLS != 0;
    memset(x, 0, sizeof x);
    UNROLL for (int r = 0; r < R; r++)
      memcpy(x[r], a->x + (r0 + (size_t)r) * a->in + k, at_most(COLS, a->in - k) * sizeof(float));
    UNROLL for (int h = 0; h < HALVES; h++)
      k_exact_part(R, layout, block, part, h, (const float(*)[COLS])x, total[h]);
    block += part ? k_bytes(layout) : 0;
  }
  UNROLL for (int r = 0; r < R; r++) {
    UNROLL for (int h = 0; h < HALVES; h++)
      out[r][h] = total[h][r];
    put_group(a, r0 + (size_t)r, group, out[r]);
  }
}

// ---- tasks

PIO_GROUPED(k_coded_outs, CODED_ROWS, k_coded_group)
PIO_GROUPED(k_exact_outs, 4, k_exact_group)

INLINE void k_few(int layout, int fast, const matmul_args *a, size_t task) {
  span outs = part_of(task, a->outs_per_task, a->out);
  (fast ? k_coded_outs : k_exact_outs)(layout, a, 0, a->rows, outs.from, outs.to);
}

INLINE void k_many(int layout, int fast, const matmul_args *a, size_t task) {
  span rows, outs;
  many_of_codes(a, task, &rows, &outs);
  (fast ? k_coded_outs : k_exact_outs)(layout, a, rows.from, rows.to, outs.from, outs.to);
}

// amx_kcodes.h: K-types as amx_quads.h wants them, which includes it. A code times its factor has up to 13 bits: the upper ones and the lower ones are the
// two right operands, 128 columns of 16 outs. What both come to is the whole number that q4k_block and q6k_block have.

INLINE int lower_bits(int layout) { return layout == Q4K ? 4 : 6; }

// split_codes makes quads of codes, with their signs, times the factors in both halves of lanes the upper and the lower parts of products.
INLINE void split_codes(int layout, int8_t *upper, Q codes, Q factor) {
  const int bits = lower_bits(layout);
  const uint16_t lower = (uint16_t)((1 << bits) - 1);
  H even = (H)((UH)codes << 8) >> 8, odd = (H)codes >> 8;
  even *= (H)factor, odd *= (H)factor;
  _mm512_storeu_si512(upper, (Q)(((UH)(even >> bits) & 0xff) | (UH)(odd >> bits) << 8));
  _mm512_storeu_si512(upper + GROUP * COLS, (Q)(((UH)even & lower) | ((UH)odd & lower) << 8));
}

// twice has one half of each lane in both.
INLINE Q twice(Q pairs, int upper) { return (Q)(upper ? (U)pairs >> 16 | ((U)pairs & 0xffff0000u) : ((U)pairs & 0xffff) | (U)pairs << 16); }

static void split_q4k(int8_t *to, const uint8_t *codes, const Q factors[2]) {
  for (int s = 0; s < SUBS; s++, codes += Q4K_SUB, to += GROUP * SUB) {
    Q factor = twice(factors[s / 2], s % 2);
    UNROLL for (int i = 0; i < SUB / 8; i++) {
      Q both = q_load(codes + i * 64);
      split_codes(Q4K, to + i * 64, q_low(both), factor);
      split_codes(Q4K, to + GROUP * SUB / 2 + i * 64, q_high(both), factor);
    }
  }
}

static void split_q6k(int8_t *to, const uint8_t *codes, const uint8_t *words) {
  for (int s = 0; s < COLS / 16; s++, codes += Q6K_SUB, to += GROUP * 16) {
    Q pairs[2], quads[4];
    signed_pairs(words + s / 4 * 64, pairs);
    six_quads(codes, quads);
    UNROLL for (int i = 0; i < 4; i++)
      split_codes(Q6K, to + i * 64, _mm512_sub_epi8(quads[i], _mm512_set1_epi8(32)), twice(pairs[s % 4 / 2], s % 2));
  }
}

// fill_parts makes both parts of a group of outs.
INLINE void fill_parts(int layout, const matmul_args *a, size_t group, size_t c, code_strip *s) {
  const uint8_t *blocks = k_blocks(layout, a->w, group);
  for (size_t i = 0; i < s->n; i++) {
    const uint8_t *block = blocks + (s->block + i) / 2 * k_bytes(layout);
    size_t part = (s->block + i) % 2;
    Q pairs[4];
    if (layout == Q6K) {
      s->factors[i][c] = v_f16(block + Q6K_D);
      split_q6k(s->room[c][2 * i], block + Q6K_HEAD + part * (COLS / 16) * Q6K_SUB, block + part * 2 * 64);
      continue;
    }
    four_pairs(block, (int)part, pairs);
    s->factors[i][c] = v_f16(block + Q4K_D), s->least[i][c] = v_f16(block + Q4K_LEAST);
    s->minima[i][c][0] = pairs[2], s->minima[i][c][1] = pairs[3];
    split_q4k(s->room[c][2 * i], block + Q4K_HEAD + part * SUBS * Q4K_SUB, pairs);
  }
}

// add_parts_of does what q4k_block and q6k_block do.
INLINE void add_parts_of(int layout, const block_sums *b, size_t first) {
  UNROLL for (size_t r = first; r < first + ADD_ROWS; r++) {
    const coded *x = (const coded *)(b->x + r * b->row);
    const int32_t *sums = b->sums + r / SIDE * 2 * SUMS + r % SIDE * SIDE;
    V factor = v_set1(x->factor), total = v_load(b->outs[r]);
    Q both = _mm512_add_epi32(_mm512_slli_epi32(q_load(sums), lower_bits(layout)), q_load(sums + SUMS));
    total = total + q_float(both) * (b->factor[0] * factor);
    if (layout == Q4K) {
      Q minima = q_pairs(q_pairs(q_zero(), b->minima[0], q_quad((const int8_t *)x->wholes)), b->minima[1], q_quad((const int8_t *)(x->wholes + 2)));
      total = total - q_float(minima) * (b->least * factor);
    }
    v_store(b->outs[r], total);
  }
}

INLINE void add_q4k(const block_sums *b, size_t first) { add_parts_of(Q4K, b, first); }
INLINE void add_q6k(const block_sums *b, size_t first) { add_parts_of(Q6K, b, first); }

// through_parts takes R groups of rows, which begin at x, through a strip: in each block the first 16 outs and then the others.
INLINE void through_parts(const int R, int layout, const char *x, size_t row, const code_strip *s, float (*outs)[SQUARE]) {
  int32_t sums[2][4 * SUMS] __attribute__((aligned(64)));
  add_sums_of *add = layout == Q4K ? add_q4k : add_q6k;
  block_sums before = {0};
  for (size_t i = 0; i < s->n; i++)
    for (size_t c = 0; c < 2; c++) {
      const coded *block = (const coded *)x + s->block + i;
      const int8_t *upper = s->room[c][2 * i], *lower = s->room[c][2 * i + 1];
      if (i == 0 && c == 0)
        sum_quads(R, block->code, row, upper, lower, sums[0], add, NULL);
      else
        sum_quads(R, block->code, row, upper, lower, sums[c], add, &before);
      before = (block_sums){.sums = sums[c], .x = (const char *)block, .row = row, .factor = {s->factors[i][c]}, .least = s->least[i][c],
                            .minima = {s->minima[i][c][0], s->minima[i][c][1]}, .outs = (float(*)[SQUARE])(outs[0] + c * GROUP)};
    }
  add_all(R, add, &before);
}

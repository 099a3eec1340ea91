// amx_codes.h: q8 and q4 as amx_quads.h wants them, which includes it. Blocks of q8 are right operands as they lie; codes of q4 are made codes of 8 bits,
// multiplied by their whole numbers. The two right operands are those of two groups of 16 outs.

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

// fill_codes finds the codes of a group of outs, in the matrix if it has them, or else makes them.
INLINE void fill_codes(int layout, const matmul_args *a, size_t group, size_t c, code_strip *s) {
  blocks b = blocks_of(layout, a->w, group);
  b.codes += s->block * b.code_bytes, b.factors += s->block * b.factor_bytes;
  s->codes[c] = layout == Q8 ? (const int8_t *)b.codes : s->room[c][0];
  for (size_t i = 0; i < s->n; i++, b.codes += b.code_bytes, b.factors += b.factor_bytes) {
    s->factors[i][c] = v_bf16(b.factors);
    if (layout == Q4)
      expand_q4(s->room[c][i], b.codes, b.factors);
  }
}

// add_codes does what coded_block does.
INLINE void add_codes(const block_sums *b, size_t first) {
  UNROLL for (size_t r = first; r < first + ADD_ROWS; r++) {
    V factor = v_set1(((const coded *)(b->x + r * b->row))->factor);
    UNROLL for (size_t c = 0; c < 2; c++) {
      V sums = q_float(q_load(b->sums + (r / SIDE * 2 + c) * SUMS + r % SIDE * SIDE));
      v_store(b->outs[r] + c * W, v_load(b->outs[r] + c * W) + sums * (b->factor[c] * factor));
    }
  }
}

// through_codes takes R groups of rows, which begin at x, through a strip.
INLINE void through_codes(const int R, const char *x, size_t row, const code_strip *s, float (*outs)[SQUARE]) {
  int32_t sums[2][4 * SUMS] __attribute__((aligned(64)));
  block_sums before = {0};
  for (size_t i = 0; i < s->n; i++) {
    const coded *block = (const coded *)x + s->block + i;
    const int8_t *codes[2] = {s->codes[0] + i * COLS * GROUP, s->codes[1] + i * COLS * GROUP};
    if (i == 0)
      sum_quads(R, block->code, row, codes[0], codes[1], sums[0], add_codes, NULL);
    else
      sum_quads(R, block->code, row, codes[0], codes[1], sums[i % 2], add_codes, &before);
    before = (block_sums){.sums = sums[i % 2], .x = (const char *)block, .row = row, .factor = {s->factors[i][0], s->factors[i][1]}, .outs = outs};
  }
  add_all(R, add_codes, &before);
}

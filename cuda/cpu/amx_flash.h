// amx_flash.h: attention over keys and values in bf16 by tiles of pairs; included by avx512.c after amx.h.
//
// As flash.h, but 16 queries side by side, a lane each. Scores are keys by queries: keys are the left operand as the cache has them, queries, rounded
// to bf16 and turned, the right one. So the softmax has no sums across lanes. Weights are rounded to bf16 and turned into a left operand, values
// brought into pairs of positions as the right one; what they come to over a block is added to the sums so far.
//
// A query that sees less than others has weights of zero behind its own position, which add nothing: its bits are those it would have by itself.

enum { BLOCK_TILES = KEYS / SIDE, LONGEST_KEY = 2048 /* bytes of a key */ };

_Static_assert(QUERIES % SIDE == 0 && KEYS == 4 * SIDE && LONGEST_KEY == 2 * TILED_DIM, "a block's scores are four tiles");

// pair_values lays positions of a block in pairs: tiles of 16 elements by 32 positions. Behind the n positions there are zeros.
static void pair_values(char *to, const char *v, size_t row, size_t n, size_t vdim) {
  for (size_t t = 0; t < ceil_div(n, TILE_COLS) * TILE_COLS; t += 2)
    for (size_t d = 0; d < vdim; d += SIDE) {
      __m512i first = _mm512_setzero_si512(), second = first;
      if (t < n)
        first = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(v + t * row + 2 * d)));
      if (t + 1 < n)
        second = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(v + (t + 1) * row + 2 * d)));
      char *tile = to + (d / SIDE * (KEYS / TILE_COLS) + t / TILE_COLS) * TILE;
      _mm512_storeu_si512(tile + t % TILE_COLS / 2 * 64, _mm512_or_si512(first, _mm512_slli_epi32(second, 16)));
    }
}

// score_tile gives the scores of n keys of a block for 16 queries.
static void score_tile(float (*s)[SIDE], const char *q, const char *k, size_t row, size_t n, size_t dim) {
  char last[SIDE * LONGEST_KEY] __attribute__((aligned(64)));
  const char *at[BLOCK_TILES];
  for (size_t i = 0; i < BLOCK_TILES; i++)
    at[i] = k + at_most(i * SIDE, n - 1) / SIDE * SIDE * row;
  if (n % SIDE) { // what follows the last key may not be there
    size_t i = n / SIDE;
    for (size_t t = 0; t < n % SIDE; t++)
      memcpy(last + t * row, at[i] + t * row, row);
    memset(last + n % SIDE * row, 0, (SIDE - n % SIDE) * row);
    for (; i < BLOCK_TILES; i++)
      at[i] = last;
  }
  zero_sums();
  for (size_t d = 0; d < dim; d += TILE_COLS, q += TILE) {
    t_load(6, q, 64);
    t_load(4, at[0] + 2 * d, row);
    t_pairs(0, 4, 6);
    t_load(5, at[1] + 2 * d, row);
    t_pairs(1, 5, 6);
    t_load(4, at[2] + 2 * d, row);
    t_pairs(2, 4, 6);
    t_load(5, at[3] + 2 * d, row);
    t_pairs(3, 5, 6);
  }
  store_sums(s);
}

// lanes are 16 queries: what each sees of the block, and what its softmax has come to.
typedef struct {
  __m512i seen;
  V m, l, keep; // the largest score, the sum of weights, by what sums before are multiplied
} lanes;

INLINE __mmask16 seen_at(const lanes *q, size_t t) { return _mm512_cmplt_epi32_mask(_mm512_set1_epi32((int)t), q->seen); }

// rounded_high is a vector of f32 whose upper halves are rounded to bf16.
INLINE __m512i rounded_high(V v) {
  __m512i bits = (__m512i)v, odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  return _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
}

// softmax_lanes turns scores of n keys into weights in tiles, a left operand, and brings the lanes up to date. What comes after, it asks for.
static void softmax_lanes(char *weights, float (*s)[SIDE], size_t n, float scale, lanes *q) {
  V most = q->m, sum = v_zero(), none = v_set1(-__builtin_inff());
  for (size_t t = 0; t < n; t++) {
    V v = _mm512_mask_mul_ps(none, seen_at(q, t), v_load(s[t]), v_set1(scale));
    v_store(s[t], v);
    most = v_max(most, v);
  }
  __mmask16 begun = (__mmask16)~_mm512_cmpeq_epi32_mask((__m512i)q->m, (__m512i)none);
  q->keep = _mm512_maskz_mov_ps(begun, v_exp(q->m - most));
  q->m = most;
  for (size_t t = 0; t < ceil_div(n, TILE_COLS) * TILE_COLS; t += TILE_COLS, weights += TILE) {
    __m512i pairs[SIDE];
    for (size_t i = 0; i < SIDE; i++) {
      V first = v_zero(), second = v_zero();
      size_t at = t + 2 * i;
      if (at < n)
        first = _mm512_maskz_mov_ps(seen_at(q, at), v_exp(v_load(s[at]) - most));
      if (at + 1 < n)
        second = _mm512_maskz_mov_ps(seen_at(q, at + 1), v_exp(v_load(s[at + 1]) - most));
      sum += first, sum += second;
      pairs[i] = _mm512_or_si512(_mm512_srli_epi32(rounded_high(first), 16), _mm512_and_si512(rounded_high(second), _mm512_set1_epi32((int)0xffff0000u)));
    }
    turn_tile(weights, 64, 0, pairs);
  }
  q->l = v_fma(q->l, q->keep, sum);
}

// weigh_tiles adds four tiles of 16 elements of values, or as many as C, for 16 queries.
INLINE void weigh_tiles(const int C, const char *weights, const char *values, size_t n, float *sums) {
  zero_sums();
  for (size_t t = 0; t < n; t += TILE_COLS, weights += TILE, values += TILE) {
    t_load(4, weights, 64);
    t_load(6, values, 64);
    t_pairs(0, 4, 6);
    t_load(7, values + KEYS / TILE_COLS * TILE, 64);
    t_pairs(1, 4, 7);
    if (C == 4) {
      t_load(6, values + 2 * KEYS / TILE_COLS * TILE, 64);
      t_pairs(2, 4, 6);
      t_load(7, values + 3 * KEYS / TILE_COLS * TILE, 64);
      t_pairs(3, 4, 7);
    }
  }
  store_sums(sums);
}

// attend_lanes takes up to 16 queries through n keys, which begin at position start.
static void attend_lanes(query *qs, size_t count, const char *q, const char *k, const char *values, size_t start, size_t n, const keys_form *f) {
  float s[KEYS][SIDE] __attribute__((aligned(64))), m[SIDE] = {0}, l[SIDE] = {0}, keep[SIDE], sums[4 * SUMS] __attribute__((aligned(64)));
  int32_t sees[SIDE] = {0};
  char weights[KEYS / TILE_COLS * TILE] __attribute__((aligned(64)));
  for (size_t i = 0; i < count; i++)
    sees[i] = (int32_t)seen(&qs[i], start, n), m[i] = qs[i].is.m, l[i] = qs[i].is.l;
  if (sees[count - 1] == 0)
    return;
  lanes x = {q_load(sees), v_load(m), v_load(l), v_zero()};
  score_tile(s, q, k, row_bytes(f->type, f->dim), n, f->dim);
  softmax_lanes(weights, s, n, f->scale, &x);
  v_store(m, x.m), v_store(l, x.l), v_store(keep, x.keep);
  for (size_t d = 0; d < f->vdim; d += 4 * SIDE) {
    size_t tiles = at_most(4, (f->vdim - d) / SIDE);
    if (tiles == 4)
      weigh_tiles(4, weights, values + d / SIDE * (KEYS / TILE_COLS) * TILE, n, sums);
    else
      weigh_tiles(2, weights, values + d / SIDE * (KEYS / TILE_COLS) * TILE, n, sums);
    for (size_t i = 0; i < count; i++)
      for (size_t c = 0; sees[i] > 0 && c < tiles; c++) {
        float *out = qs[i].is.out + d + c * SIDE;
        v_store(out, v_fma(v_load(out), v_set1(keep[i]), v_load(sums + c * SUMS + i * SIDE)));
      }
  }
  for (size_t i = 0; i < count; i++)
    if (sees[i] > 0)
      qs[i].is.m = m[i], qs[i].is.l = l[i];
}

// attend_part_by_tiles does what attend_part does.
static void attend_part_by_tiles(query *qs, size_t count, size_t from, size_t to, size_t end, const int32_t *table, size_t kv_head, const attention_args *a,
                                 float *panel) {
  const keys_form *f = &a->keys;
  size_t key = row_bytes(f->type, f->dim), value = row_bytes(f->type, f->value_dim);
  char *turned = (char *)panel, *values = turned + QUERIES * f->dim * 2;
  for (size_t i = 0; i < count; i += SIDE)
    turned_rows(turned + i * f->dim * 2, qs[i].q, at_most(SIDE, count - i), f->dim);
  configure();
  for (size_t slot = slot_at(a, table, kv_head, from), n, next; from < to; from += n, slot = next) {
    n = at_most(at_most(KEYS, a->block - from % a->block), to - from);
    next = from + n < end ? slot_at(a, table, kv_head, from + n) : slot;
    pair_values(values, a->v + slot * value, value, n, f->vdim);
    for (size_t t = 0; t < n && count <= SIDE; t++) // what comes after; more queries leave the memory behind
      for (size_t line = 0; line < at_least(key, value); line += 64) {
        v_prefetch_far(a->k + (next + t) * key + line);
        if (a->v != a->k && line < value)
          v_prefetch_far(a->v + (next + t) * value + line);
      }
    for (size_t i = 0; i < count; i += SIDE)
      attend_lanes(qs + i, at_most(SIDE, count - i), turned + i * f->dim * 2, a->k + slot * key, values, from, n, f);
  }
  t_release();
}

// pair_flash.h: attention over keys and values in bf16 by products of pairs; included by avx512.c after lanes.h and pairdots.h.
//
// From LANES_FROM queries on they are lanes, and a pair of a key's elements is multiplied with all of them; with fewer, elements are lanes, and keys and values
// are read as they come. Either way a score is the sum of 16, those of the pairs i, i + 16 and so on, which are added up in one order, as the sum of a block's weights
// is, and an output the sum of weighted pairs of positions, so that a query's bits do not depend on its company.

enum {
  LANES_FROM = 9,
  LANE_KEYS = 3, // at once, of lanes; three times eight sums
  FEW_KEYS = 8,  // of up to three queries
  FEW_ROWS = 3,
};

// ---- scores

// score_lanes gives the scores of C keys for 16 queries.
INLINE void score_lanes(const int C, float (*s)[W], const char *q, const char *k, size_t row, size_t dim) {
  V sum[2][LANE_KEYS];
  UNROLL for (int h = 0; h < 2; h++) {
    V acc[LANE_KEYS][8];
    UNROLL for (int c = 0; c < C; c++)
      UNROLL for (int j = 0; j < 8; j++)
        acc[c][j] = v_zero();
    for (size_t p = 8 * (size_t)h; p < dim / 2; p += 16)
      UNROLL for (size_t j = 0; j < 8; j++) {
        __m512i x = _mm512_loadu_si512(q + (p + j) * 64);
        UNROLL for (int c = 0; c < C; c++)
          acc[c][j] = pair_dot(acc[c][j], x, q_quad((const int8_t *)k + (size_t)c * row + (p + j) * 4));
      }
    UNROLL for (int c = 0; c < C; c++)
      sum[h][c] = sum_of_eight(acc[c]);
  }
  UNROLL for (int c = 0; c < C; c++)
    v_store(s[c], sum[0][c] + sum[1][c]);
}

static void scores_of_lanes(float (*s)[W], const char *q, const char *k, size_t row, size_t n, size_t dim) {
  size_t t = 0;
  for (; t + LANE_KEYS <= n; t += LANE_KEYS)
    score_lanes(LANE_KEYS, s + t, q, k + t * row, row, dim);
  for (; t < n; t++)
    score_lanes(1, s + t, q, k + t * row, row, dim);
}

// half_sums adds the lanes of each of four vectors up, both halves as sum_of_eight does, and then the two.
INLINE __m128 half_sums(V a, V b, V c, V d) {
  V x = _mm512_mask_blend_ps(0xf0f0, a, b) + swapped_fours(_mm512_mask_blend_ps(0xf0f0, b, a)); // a, b, a, b
  V y = _mm512_mask_blend_ps(0xf0f0, c, d) + swapped_fours(_mm512_mask_blend_ps(0xf0f0, d, c));
  V two = (V)_mm512_unpacklo_epi64((__m512i)x, (__m512i)y) + (V)_mm512_unpackhi_epi64((__m512i)x, (__m512i)y); // of a, a, c, c, b, b, d, d
  two = two + _mm512_permute_ps(two, 0xb1);
  __m256 one = _mm512_castps512_ps256(two) + _mm512_extractf32x8_ps(two, 1);
  return _mm256_castps256_ps128(_mm256_permutevar8x32_ps(one, _mm256_setr_epi32(0, 4, 2, 6, 0, 4, 2, 6)));
}

// score_few gives the scores of C keys, four or eight, or one, for R queries: a key after the other, so that memory is read as one stretch. What lies ahead
// bytes behind a key is wanted next.
INLINE void score_few(const int R, const int C, float (*s)[KEYS], size_t t, const char *q, const char *k, size_t row, size_t dim, uintptr_t ahead) {
  V acc[FEW_ROWS][FEW_KEYS];
  UNROLL for (int c = 0; c < C; c++) {
    UNROLL for (int r = 0; r < R; r++)
      acc[r][c] = v_zero();
    UNROLL for (size_t d = 0; d < dim; d += TILE_COLS) {
      const char *at = k + (size_t)c * row + 2 * d;
      __m512i key = _mm512_loadu_si512(at);
      if (ahead)
        v_prefetch_far((const void *)((uintptr_t)at + ahead));
      UNROLL for (int r = 0; r < R; r++)
        acc[r][c] = pair_dot(acc[r][c], _mm512_loadu_si512(q + ((size_t)r * dim + d) * 2), key);
    }
  }
  UNROLL for (int r = 0; r < R; r++)
    if (C == 1)
      _mm_store_ss(s[r] + t, half_sums(acc[r][0], acc[r][0], acc[r][0], acc[r][0]));
    else
      UNROLL for (int c = 0; c < C; c += 4)
        _mm_storeu_ps(s[r] + t + c, half_sums(acc[r][c], acc[r][c + 1], acc[r][c + 2], acc[r][c + 3]));
}

INLINE void scores_of_few_in(const int R, float (*s)[KEYS], const char *q, const char *k, size_t row, size_t n, size_t dim, uintptr_t ahead) {
  size_t t = 0;
  for (; t + FEW_KEYS <= n; t += FEW_KEYS)
    score_few(R, FEW_KEYS, s, t, q, k + t * row, row, dim, ahead);
  for (; t < n; t++)
    score_few(R, 1, s, t, q, k + t * row, row, dim, ahead);
}

// scores_of_few knows the size that most models' heads have when it is compiled, so that nothing but products stands between two reads.
INLINE void scores_of_few(const int R, float (*s)[KEYS], const char *q, const char *k, size_t row, size_t n, size_t dim, uintptr_t ahead) {
  if (dim == 128)
    scores_of_few_in(R, s, q, k, row, n, 128, ahead);
  else
    scores_of_few_in(R, s, q, k, row, n, dim, ahead);
}

// ---- the softmax of few: a block's scores, weights and what softmax_lanes has besides

typedef struct {
  float s[LANES_FROM - 1][KEYS];
  uint16_t weights[LANES_FROM - 1][KEYS];
  float keep[LANES_FROM - 1];
  size_t sees[LANES_FROM - 1];
} block_of_few;

// softmax_few does for one query what softmax_lanes does for 16.
static void softmax_few(block_of_few *b, query *q, size_t i, float scale) {
  float *s = b->s[i], keep[W];
  V most = v_set1(-__builtin_inff()), none = most, sum = v_zero();
  for (size_t t = 0; t < b->sees[i]; t += W) {
    V v = _mm512_mask_mul_ps(none, first_n(at_most(W, b->sees[i] - t)), v_load(s + t), v_set1(scale));
    v_store(s + t, v);
    most = v_max(most, v);
  }
  float m = v_most(most);
  m = q->is.m > m ? q->is.m : m;
  for (size_t t = 0; t < KEYS; t += W) {
    V e = v_zero();
    if (t < b->sees[i])
      e = _mm512_maskz_mov_ps(first_n(at_most(W, b->sees[i] - t)), v_exp(v_load(s + t) - v_set1(m)));
    sum += e;
    _mm256_storeu_si256((__m256i *)(b->weights[i] + t), _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded_high(e), 16)));
  }
  v_store(keep, v_exp(v_set1(q->is.m - m)));
  b->keep[i] = q->is.m == -__builtin_inff() ? 0 : keep[0];
  q->is.l = __builtin_fmaf(q->is.l, b->keep[i], _mm_cvtss_f32(half_sums(sum, sum, sum, sum)));
  q->is.m = m;
}

// ---- weighted sums

// weigh_lanes adds 32 elements of values to R outputs.
INLINE void weigh_lanes(const int R, const block_of_lanes *b, query *qs, size_t first, const char *values, size_t d, size_t n) {
  V acc[8][2];
  UNROLL for (int r = 0; r < R; r++)
    acc[r][0] = acc[r][1] = v_zero();
  for (size_t t = 0; t < ceil_div(n, 2); t++) {
    __m512i low = _mm512_loadu_si512(values + (d / W * (KEYS / 2) + t) * 64), high = _mm512_loadu_si512(values + ((d / W + 1) * (KEYS / 2) + t) * 64);
    UNROLL for (int r = 0; r < R; r++) {
      __m512i weight = q_quad((const int8_t *)&b->weights[t][first + (size_t)r]);
      acc[r][0] = pair_dot(acc[r][0], low, weight);
      acc[r][1] = pair_dot(acc[r][1], high, weight);
    }
  }
  UNROLL for (int r = 0; r < R; r++) {
    add_sums(b, qs, first + (size_t)r, d, acc[r][0]);
    add_sums(b, qs, first + (size_t)r, d + W, acc[r][1]);
  }
}

// weigh_pairs adds P times 32 elements of values, which are brought into pairs as they come, to R outputs: of each quarter of 32 the first four and the
// others are apart until the end.
INLINE void weigh_pairs(const int R, const int P, const block_of_few *b, query *qs, size_t first, const char *v, size_t row, size_t d, size_t n, uintptr_t ahead) {
  V acc[FEW_ROWS][8];
  UNROLL for (int r = 0; r < R; r++)
    UNROLL for (int j = 0; j < 2 * P; j++)
      acc[r][j] = v_zero();
  for (size_t t = 0; t < n; t += 2) {
    const char *at = v + t * row + 2 * d;
    __m512i weight[FEW_ROWS];
    UNROLL for (int r = 0; r < R; r++)
      weight[r] = q_quad((const int8_t *)&b->weights[first + (size_t)r][t]);
    UNROLL for (int p = 0; p < P; p++) {
      __m512i x = _mm512_loadu_si512(at + 64 * p), y = t + 1 < n ? _mm512_loadu_si512(at + row + 64 * p) : _mm512_setzero_si512();
      if (ahead) {
        v_prefetch_far((const void *)((uintptr_t)at + 64 * (size_t)p + ahead));
        v_prefetch_far((const void *)((uintptr_t)at + row + 64 * (size_t)p + ahead));
      }
      __m512i low = _mm512_unpacklo_epi16(x, y), high = _mm512_unpackhi_epi16(x, y);
      UNROLL for (int r = 0; r < R; r++) {
        acc[r][2 * p] = pair_dot(acc[r][2 * p], low, weight[r]);
        acc[r][2 * p + 1] = pair_dot(acc[r][2 * p + 1], high, weight[r]);
      }
    }
  }
  const __m512i lower = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  const __m512i upper = _mm512_setr_epi32(8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  UNROLL for (int r = 0; r < R; r++)
    if (b->sees[first + (size_t)r] > 0)
      UNROLL for (int p = 0; p < P; p++) {
        query *q = &qs[first + (size_t)r];
        float keep = b->keep[first + (size_t)r];
        add_to(q, keep, d + 32 * (size_t)p, _mm512_permutex2var_ps(acc[r][2 * p], lower, acc[r][2 * p + 1]));
        add_to(q, keep, d + 32 * (size_t)p + W, _mm512_permutex2var_ps(acc[r][2 * p], upper, acc[r][2 * p + 1]));
      }
}

INLINE void weigh_some(const int R, const block_of_few *b, query *qs, size_t first, const char *v, size_t row, size_t vdim, size_t n, uintptr_t ahead) {
  size_t d = 0;
  for (; d + 4 * TILE_COLS <= vdim; d += 4 * TILE_COLS)
    weigh_pairs(R, 4, b, qs, first, v, row, d, n, ahead);
  for (; d < vdim; d += TILE_COLS)
    weigh_pairs(R, 1, b, qs, first, v, row, d, n, ahead);
}

// ---- all of it

// attend_many takes 16 queries, or as many as there are, through n keys, as lanes.
static void attend_many(query *qs, size_t count, const char *q, const char *k, const char *values, size_t start, size_t n, const keys_form *f) {
  block_of_lanes b;
  if (!see(&b, qs, count, start, n))
    return;
  scores_of_lanes(b.s, q, k, row_bytes(f->type, f->dim), n, f->dim);
  weigh_up(&b, qs, count, n, f->scale);
  for (size_t d = 0; d < f->vdim; d += TILE_COLS) {
    size_t i = 0;
    for (; i + 8 <= count; i += 8)
      weigh_lanes(8, &b, qs, i, values, d, n);
    for (; i < count; i++)
      weigh_lanes(1, &b, qs, i, values, d, n);
  }
}

// attend_few takes few queries through n keys; next is where the keys after them are.
static void attend_few(query *qs, size_t count, const char *q, const char *k, const char *v, const char *next, size_t start, size_t n, const keys_form *f) {
  block_of_few b;
  size_t key = row_bytes(f->type, f->dim), value = row_bytes(f->type, f->value_dim), i = 0;
  uintptr_t behind = (uintptr_t)(v == k ? next : v) - (uintptr_t)k, after = v == k ? 0 : (uintptr_t)next - (uintptr_t)v;
  for (; i + FEW_ROWS <= count; i += FEW_ROWS, behind = 0)
    scores_of_few(FEW_ROWS, b.s + i, q + i * f->dim * 2, k, key, n, f->dim, behind);
  if (count - i == 2)
    scores_of_few(2, b.s + i, q + i * f->dim * 2, k, key, n, f->dim, behind);
  else if (count - i == 1)
    scores_of_few(1, b.s + i, q + i * f->dim * 2, k, key, n, f->dim, behind);
  for (i = 0; i < count; i++)
    if ((b.sees[i] = seen(&qs[i], start, n)) > 0)
      softmax_few(&b, &qs[i], i, f->scale);
    else
      memset(b.weights[i], 0, sizeof b.weights[i]);
  for (i = 0; i + FEW_ROWS <= count; i += FEW_ROWS, after = 0)
    weigh_some(FEW_ROWS, &b, qs, i, v, value, f->vdim, n, after);
  if (count - i == 2)
    weigh_some(2, &b, qs, i, v, value, f->vdim, n, after);
  else if (count - i == 1)
    weigh_some(1, &b, qs, i, v, value, f->vdim, n, after);
}

// in_lanes says how many queries go as lanes: whole vectors, and a last one that has enough.
INLINE size_t in_lanes(size_t count) { return count % W >= LANES_FROM ? count : count / W * W; }

static void form_pairs(char *formed, const query *qs, size_t count, size_t dim) {
  size_t many = in_lanes(count);
  for (size_t i = 0; i < many; i += W)
    turned_rows(formed + i * dim * 2, qs[i].q, at_most(W, many - i), dim);
  if (many < count)
    pair_rows(formed + many * dim * 2, qs[many].q, count - many, dim);
}

static void block_by_pairs(query *qs, size_t count, const char *formed, const char *k, const char *v, const char *next, size_t start, size_t n,
                           const keys_form *f, char *values) {
  size_t many = in_lanes(count);
  if (many > 0)
    pair_values(values, v, row_bytes(f->type, f->value_dim), n, f->vdim);
  for (size_t i = 0; i < many; i += W)
    attend_many(qs + i, at_most(W, many - i), formed + i * f->dim * 2, k, values, start, n, f);
  if (many < count)
    attend_few(qs + many, count - many, formed + many * f->dim * 2, k, v, next, start, n, f);
}

static void attend_part_by_pairs(query *qs, size_t count, size_t from, size_t to, size_t end, const int32_t *table, size_t kv_head, const attention_args *a,
                                 float *panel) {
  attend_part_by(form_pairs, block_by_pairs, qs, count, from, to, end, table, kv_head, a, panel);
}

static void attend_tile_by_pairs(query *qs, size_t count, const float *k, const float *v, size_t first, size_t most, const keys_form *f, float *panel) {
  attend_tile_by(form_pairs, block_by_pairs, qs, count, k, v, first, most, f, panel);
}

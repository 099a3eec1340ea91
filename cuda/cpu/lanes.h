// lanes.h: queries side by side, a lane each, as attention over keys and values in bf16 has them that multiplies pairs; included by avx512.c after
// pairs.h. It is flash.h's, but queries, and the weights of values, are rounded to bf16.
//
// A softmax in lanes has no sums across them. A query that sees less than others has weights of zero behind its own position, which add nothing:
// its bits are those it would have by itself.

enum { LONGEST_KEY = 2048 /* bytes of a key */ };

_Static_assert(QUERIES % W == 0 && LONGEST_KEY == 2 * TILED_DIM, "queries are whole vectors");

// turned_rows is up to 16 rows in bf16: the first pair of each, then the second ones, and so on. Where there is no row are zeros.
static void turned_rows(void *to, const float *x, size_t rows, size_t cols) {
  for (size_t k = 0; k < cols; k += TILE_COLS) {
    __m512i r[W];
    __mmask16 low = first_n(at_most(W, cols - k)), high = first_n(k + W < cols ? at_most(W, cols - k - W) : 0);
    UNROLL for (size_t i = 0; i < W; i++) {
      const float *p = x + i * cols + k;
      __mmask16 is = i < rows ? 0xffff : 0;
      r[i] = (__m512i)_mm512_cvtne2ps_pbh(_mm512_maskz_loadu_ps(high & is, p + W), _mm512_maskz_loadu_ps(low & is, p));
    }
    turn_tile((char *)to + k / TILE_COLS * TILE, 64, 0, r);
  }
}

// pair_values lays positions of a block in pairs, those of 16 elements after the other: tiles of 16 elements by 32 positions. Behind the n positions there
// are zeros.
static void pair_values(char *to, const char *v, size_t row, size_t n, size_t vdim) {
  for (size_t t = 0; t < ceil_div(n, TILE_COLS) * TILE_COLS; t += 2)
    for (size_t d = 0; d < vdim; d += W) {
      __m512i first = _mm512_setzero_si512(), second = first;
      if (t < n)
        first = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(v + t * row + 2 * d)));
      if (t + 1 < n)
        second = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(v + (t + 1) * row + 2 * d)));
      _mm512_storeu_si512(to + (d / W * (KEYS / 2) + t / 2) * 64, _mm512_or_si512(first, _mm512_slli_epi32(second, 16)));
    }
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

// block_of_lanes is what up to 16 queries make of a block of keys: scores, weights of pairs of keys in bf16, by what the sums before are multiplied, and how
// many keys each sees.
typedef struct {
  float s[KEYS][W];
  uint32_t weights[KEYS / 2][W];
  float keep[W];
  int32_t sees[W];
} __attribute__((aligned(64))) block_of_lanes;

// sum_of_eight adds vectors up: i + (4+i), of these i + (2+i), and the two.
INLINE V sum_of_eight(const V v[8]) { return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7])); }

// softmax_lanes turns scores of n keys into weights, with zeros up to the next 32, and brings the lanes up to date. Of 16 keys each has a sum of its own.
static void softmax_lanes(block_of_lanes *b, size_t n, float scale, lanes *q) {
  V most = q->m, sums[W] = {0}, none = v_set1(-__builtin_inff());
  for (size_t t = 0; t < n; t++) {
    V v = _mm512_mask_mul_ps(none, seen_at(q, t), v_load(b->s[t]), v_set1(scale));
    v_store(b->s[t], v);
    most = v_max(most, v);
  }
  __mmask16 begun = (__mmask16)~_mm512_cmpeq_epi32_mask((__m512i)q->m, (__m512i)none);
  q->keep = _mm512_maskz_mov_ps(begun, v_exp(q->m - most));
  q->m = most;
  for (size_t from = 0; from < ceil_div(n, TILE_COLS) * TILE_COLS; from += W)
    UNROLL for (size_t i = 0; i < W; i += 2) {
      size_t t = from + i;
      V first = v_zero(), second = v_zero();
      if (t < n)
        first = _mm512_maskz_mov_ps(seen_at(q, t), v_exp(v_load(b->s[t]) - most));
      if (t + 1 < n)
        second = _mm512_maskz_mov_ps(seen_at(q, t + 1), v_exp(v_load(b->s[t + 1]) - most));
      sums[i] += first, sums[i + 1] += second;
      _mm512_storeu_si512(b->weights[t / 2], _mm512_or_si512(_mm512_srli_epi32(rounded_high(first), 16), _mm512_and_si512(rounded_high(second), _mm512_set1_epi32((int)0xffff0000u))));
    }
  q->l = v_fma(q->l, q->keep, sum_of_eight(sums) + sum_of_eight(sums + 8));
}

// see fills in what up to 16 queries see of n keys that begin at position start; 0: none does anything.
static int see(block_of_lanes *b, const query *qs, size_t count, size_t start, size_t n) {
  memset(b->sees, 0, sizeof b->sees);
  for (size_t i = 0; i < count; i++)
    b->sees[i] = (int32_t)seen(&qs[i], start, n);
  return b->sees[count - 1] > 0; // they come in rising order of position
}

// weigh_up brings queries up to date with the scores of n keys.
static void weigh_up(block_of_lanes *b, query *qs, size_t count, size_t n, float scale) {
  float m[W] = {0}, l[W] = {0};
  for (size_t i = 0; i < count; i++)
    m[i] = qs[i].is.m, l[i] = qs[i].is.l;
  lanes x = {q_load(b->sees), v_load(m), v_load(l), v_zero()};
  softmax_lanes(b, n, scale, &x);
  v_store(m, x.m), v_store(l, x.l), v_store(b->keep, x.keep);
  for (size_t i = 0; i < count; i++)
    if (b->sees[i] > 0)
      qs[i].is.m = m[i], qs[i].is.l = l[i];
}

// add_to adds 16 sums to a query's from element d on, of which keep is left.
INLINE void add_to(query *q, float keep, size_t d, V sums) { v_store(q->is.out + d, v_fma(v_load(q->is.out + d), v_set1(keep), sums)); }

// add_sums adds what weights and 16 values from element d on come to.
INLINE void add_sums(const block_of_lanes *b, query *qs, size_t i, size_t d, V sums) {
  if (b->sees[i] > 0)
    add_to(&qs[i], b->keep[i], d, sums);
}

// ---- the loops that tables have in common

// form_queries brings queries into the form that a table multiplies; attend_block takes them through n keys, which begin at position start. next is where
// the keys after them are; values is room for KEYS of them.
typedef void form_queries(char *formed, const query *qs, size_t count, size_t dim);
typedef void attend_block(query *qs, size_t count, const char *formed, const char *k, const char *v, const char *next, size_t start, size_t n,
                          const keys_form *f, char *values);

// attend_part_by does what attend_part does.
INLINE void attend_part_by(form_queries *form, attend_block *block, query *qs, size_t count, size_t from, size_t to, size_t end, const int32_t *table,
                           size_t kv_head, const attention_args *a, float *panel) {
  size_t key = row_bytes(a->keys.type, a->keys.dim), value = row_bytes(a->keys.type, a->keys.value_dim);
  char *formed = (char *)panel, *values = formed + QUERIES * a->keys.dim * 2;
  form(formed, qs, count, a->keys.dim);
  for (size_t slot = slot_at(a, table, kv_head, from), n, next; from < to; from += n, slot = next) {
    n = at_most(at_most(KEYS, a->block - from % a->block), to - from);
    next = from + n < end ? slot_at(a, table, kv_head, from + n) : slot;
    block(qs, count, formed, a->k + slot * key, a->v + slot * value, a->k + next * key, from, n, &a->keys, values);
  }
}

// attend_tile_by takes queries through keys and values in f32, which are rounded on the way, from position first to most.
INLINE void attend_tile_by(form_queries *form, attend_block *block, query *qs, size_t count, const float *k, const float *v, size_t first, size_t most,
                           const keys_form *f, float *panel) {
  char *formed = (char *)panel, *values = formed + QUERIES * f->dim * 2, *keys = values + KEYS * f->vdim * 2, *rows = keys + KEYS * f->dim * 2;
  keys_form rounded = {PIO_BF16, f->dim, f->vdim, f->vdim, f->scale};
  form(formed, qs, count, f->dim);
  for (size_t n; first < most; first += n, k += n * f->dim, v += n * f->vdim) {
    n = at_most(KEYS, most - first);
    pair_rows(keys, k, n, f->dim);
    pair_rows(rows, v, n, f->vdim);
    block(qs, count, formed, keys, rows, keys, first, n, &rounded, values);
  }
}

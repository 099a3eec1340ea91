// attention.h: causal attention over a paged cache or over a tile of keys and values; included by template.h.
//
// A task is a few rows by heads that share a kv head. Its queries (rows of one sequence times the heads that share the kv head) go
// through the cache together, block by block, with a running maximum m, a running sum l and the output as the running
// weighted sum: at each block both are scaled by e^(m before - m now). What a query computes at a block depends on the
// block's keys up to its own position alone, so its bits are those it would have by itself.

enum { QUERIES = 24, KEYS = 64 }; // queries at once; keys at once, which divide a cache block or are divided by it

typedef struct {
  const float *q;
  float *out;
  size_t keys; // it may see: its position + 1
  float m, l;
} query;

// scores gives s[i][t] = q[i]·k[t] for n keys.
INLINE void scores(const query *qs, size_t count, const float *k, size_t n, size_t dim, size_t step, float (*s)[KEYS]) {
  size_t i = 0;
  const float *x[4];
  const char *w[8];
  float *y[4];
#define PIO_SCORES(R, C)                                                                                               \
  do {                                                                                                                 \
    UNROLL for (int r = 0; r < R; r++) x[r] = qs[i + (size_t)r].q, y[r] = s[i + (size_t)r] + t;                        \
    UNROLL for (int c = 0; c < C; c++) w[c] = (const char *)(k + (t + (size_t)c) * step);                              \
    dots(R, C, PIO_F32, x, w, (size_t)C * step * 4, dim, y);                                                                               \
  } while (0)
#define PIO_SCORES_ALL(R, C)                                                                                           \
  do {                                                                                                                 \
    size_t t = 0;                                                                                                      \
    for (; t + C <= n; t += C)                                                                                         \
      PIO_SCORES(R, C);                                                                                                \
    for (; t < n; t++)                                                                                                 \
      PIO_SCORES(R, 1);                                                                                                \
  } while (0)
  for (; i + 3 <= count; i += 3)
    PIO_SCORES_ALL(3, 4);
  if (count - i == 2)
    PIO_SCORES_ALL(2, 4);
  if (count - i == 1)
    PIO_SCORES_ALL(1, 8);
#undef PIO_SCORES
#undef PIO_SCORES_ALL
}

// softmax_block turns the scores of the first n keys of a block into weights and brings m, l and the output up to date.
INLINE void softmax_block(query *q, float *s, size_t n, float scale, size_t vdim) {
  V most = v_set1(-__builtin_inff());
  size_t i = 0;
  for (; i + W <= n; i += W) {
    V v = v_load(s + i) * v_set1(scale);
    v_store(s + i, v);
    most = v_max(most, v);
  }
  float m = v_most(most);
  for (; i < n; i++) {
    s[i] *= scale;
    m = m > s[i] ? m : s[i];
  }
  m = q->m > m ? q->m : m;
  float fade[W];
  v_store(fade, v_exp(v_set1(q->m - m)));
  float keep = q->m == -__builtin_inff() ? 0 : fade[0];
  V sum = v_zero();
  for (i = 0; i + W <= n; i += W) {
    V e = v_exp(v_load(s + i) - v_set1(m));
    v_store(s + i, e);
    sum += e;
  }
  if (i < n) {
    v_store_n(s + i, v_exp(v_load_n(s + i, n - i) - v_set1(m)), n - i);
    sum += v_load_n(s + i, n - i);
  }
  q->l = q->l * keep + v_sum(sum);
  q->m = m;
  size_t d = 0;
  for (; d + W <= vdim; d += W)
    v_store(q->out + d, v_load(q->out + d) * v_set1(keep));
  for (; d < vdim; d++)
    q->out[d] *= keep;
}

// weigh adds keys [from, to) to R outputs, N vectors of them from d on: out[r][d..] += s[r][t] v[t][d..].
INLINE void weigh(const int R, const int N, query *qs, float (*s)[KEYS], const float *v, size_t step, size_t d,
                  size_t from, size_t to) {
  V acc[3][4];
  UNROLL for (int r = 0; r < R; r++)
    UNROLL for (int j = 0; j < N; j++)
      acc[r][j] = v_load(qs[r].out + d + j * W);
  for (size_t t = from; t < to; t++) {
    V weight[3];
    UNROLL for (int r = 0; r < R; r++)
      weight[r] = v_set1(s[r][t]);
    UNROLL for (int j = 0; j < N; j++) {
      V value = v_load(v + t * step + d + j * W);
      UNROLL for (int r = 0; r < R; r++)
        acc[r][j] = v_fma(weight[r], value, acc[r][j]);
    }
  }
  UNROLL for (int r = 0; r < R; r++)
    UNROLL for (int j = 0; j < N; j++)
      v_store(qs[r].out + d + j * W, acc[r][j]);
}

INLINE void weigh_rest(query *q, const float *s, const float *v, size_t step, size_t vdim, size_t d, size_t from, size_t to) {
  V acc = v_load_n(q->out + d, vdim - d);
  for (size_t t = from; t < to; t++)
    acc = v_fma(v_set1(s[t]), v_load_n(v + t * step + d, vdim - d), acc);
  v_store_n(q->out + d, acc, vdim - d);
}

INLINE void weigh_all(const int R, query *qs, float (*s)[KEYS], const float *v, const pio_keys *keys, size_t from, size_t to) {
  size_t d = 0, vdim = keys->vdim, step = keys->value_step;
  for (; d + 4 * W <= vdim; d += 4 * W)
    weigh(R, 4, qs, s, v, step, d, from, to);
  for (; d + W <= vdim; d += W)
    weigh(R, 1, qs, s, v, step, d, from, to);
  if (d < vdim)
    for (int r = 0; r < R; r++)
      weigh_rest(&qs[r], s[r], v, step, vdim, d, from, to);
}

INLINE size_t seen(const query *q, size_t start, size_t n) {
  size_t keys = q->keys > start ? q->keys - start : 0;
  return keys < n ? keys : n;
}

// attend_keys takes all queries through n keys that begin at position start.
static void attend_keys(query *qs, size_t count, const float *k, const float *v, size_t start, size_t n, const pio_keys *keys) {
  float s[QUERIES][KEYS] __attribute__((aligned(64)));
  for (size_t t = 0; v != k && t < n; t++)
    for (size_t i = 0; i < keys->vdim; i += 64 / sizeof *v)
      v_prefetch(v + t * keys->value_step + i); // they arrive while the scores are computed
  scores(qs, count, k, n, keys->dim, keys->key_step, s);
  for (size_t i = 0; i < count; i++)
    if (seen(&qs[i], start, n) > 0)
      softmax_block(&qs[i], s[i], seen(&qs[i], start, n), keys->scale, keys->vdim);
  size_t i = 0;
  for (; i + 3 <= count; i += 3) {
    size_t common = seen(&qs[i], start, n); // of three: the first is never later than the others
    weigh_all(3, qs + i, s + i, v, keys, 0, common);
    for (size_t j = i + 1; j < i + 3; j++)
      weigh_all(1, qs + j, s + j, v, keys, common, seen(&qs[j], start, n));
  }
  for (; i < count; i++)
    weigh_all(1, qs + i, s + i, v, keys, 0, seen(&qs[i], start, n));
}

// ---- over a paged cache

// attend takes queries of one sequence through its cache.
static void attend(query *qs, size_t count, size_t most, const int32_t *table, size_t kv_head, const pio_attention_args *a) {
  for (size_t start = 0; start < most;) {
    size_t offset = start % a->block, n = a->block - offset;
    n = n < KEYS ? n : KEYS;
    size_t slot = ((size_t)table[start / a->block] * a->kv_heads + kv_head) * a->block + offset;
    attend_keys(qs, count, a->k + slot * a->keys.key_step, a->v + slot * a->keys.value_step, start,
                most - start < n ? most - start : n, &a->keys);
    start += n;
  }
  for (size_t i = 0; i < count; i++)
    for (size_t d = 0; d < a->keys.vdim; d++)
      qs[i].out[d] /= qs[i].l;
}

static void attention(const void *args, size_t task) {
  const pio_attention_args *a = args;
  size_t group = a->heads / a->kv_heads, parts = (group + a->heads_per_task - 1) / a->heads_per_task, vdim = a->keys.vdim;
  size_t pieces = (a->rows + a->rows_per_task - 1) / a->rows_per_task;
  // All rows go through a kv head before the next one's turn, and find its keys and values in the last cache.
  size_t part = task % parts, r = task / parts % pieces * a->rows_per_task, kv_head = task / parts / pieces;
  size_t to = a->rows - r < a->rows_per_task ? a->rows : r + a->rows_per_task;
  size_t h0 = part * a->heads_per_task, heads = group - h0 < a->heads_per_task ? group - h0 : a->heads_per_task;
  for (size_t row = r; row < to;) {
    query qs[QUERIES];
    size_t count = 0, most = 0, first = row;
    // rows of one sequence, in rising order of position, as long as their heads find room
    for (; row < to && a->seqs[row] == a->seqs[first] && count + heads <= QUERIES &&
           (row == first || a->positions[row] >= a->positions[row - 1]);
         row++)
      for (size_t h = 0; h < heads; h++) {
        size_t at = row * a->heads + kv_head * group + h0 + h;
        most = (size_t)a->positions[row] + 1;
        qs[count++] = (query){a->q + at * a->keys.dim, a->y + at * vdim, most, -__builtin_inff(), 0};
        memset(a->y + at * vdim, 0, vdim * sizeof(float));
      }
    attend(qs, count, most, a->tables + (size_t)a->seqs[first] * a->width, kv_head, a);
  }
}

// ---- over a tile: keys and values of each kv head in order, the running state in memory

static void attend_tile(const void *args, size_t task) {
  const pio_tile_args *a = args;
  size_t pieces = (a->rows + a->rows_per_task - 1) / a->rows_per_task;
  size_t kv_head = task / pieces, row = task % pieces * a->rows_per_task;
  size_t to = a->rows - row < a->rows_per_task ? a->rows : row + a->rows_per_task;
  size_t group = a->heads / a->kv_heads, width = a->keys.vdim + 2;
  const float *k = a->k + kv_head * a->n * a->keys.dim, *v = a->v + kv_head * a->n * a->keys.vdim;
  for (size_t i = row * group; i < to * group;) {
    query qs[QUERIES];
    size_t count = 0, most = 0;
    for (; i < to * group && count < QUERIES; i++) { // in rising order of what they see
      int32_t limit = a->limits[i / group];
      size_t at = i / group * a->heads + kv_head * group + i % group, sees = limit < 0 ? 0 : (size_t)limit + 1;
      if (count > 0 && sees < most)
        break;
      float *out = a->acc + at * width;
      qs[count++] = (query){a->q + at * a->keys.dim, out, sees, out[width - 2], out[width - 1]};
      most = sees;
    }
    for (size_t t = 0; t < a->n && a->first + t < most; t += KEYS) {
      size_t n = a->n - t < KEYS ? a->n - t : KEYS, left = most - a->first - t;
      attend_keys(qs, count, k + t * a->keys.dim, v + t * a->keys.vdim, a->first + t, left < n ? left : n, &a->keys);
    }
    for (size_t j = 0; j < count; j++)
      qs[j].out[width - 2] = qs[j].m, qs[j].out[width - 1] = qs[j].l;
  }
}

// attention.h: causal attention over a paged cache or over a tile of keys and values, in f32 or bf16; included by template.h.
//
// A task is a few rows by heads that share a kv head. Its queries (rows of one sequence times the heads that share the kv head) go
// through the cache together, block by block, with a running maximum m, a running sum l and the output as the running
// weighted sum: at each block both are scaled by e^(m before - m now). What a query computes at a block depends on the
// block's keys up to its own position alone, so its bits are those it would have by itself.

enum { QUERIES = 24, KEYS = 64 }; // queries at once; keys at once, which divide a cache block or are divided by it

// What attention reads of a position: a key of dim elements and a value of vdim, and how far on the next ones are.
typedef struct {
  int type; // of keys and values: PIO_F32 or PIO_BF16, whose layouts as weights are F32 and BF16
  size_t dim, vdim, key_step, value_step;
  float scale; // of scores
} keys_form;

_Static_assert((int)F32 == (int)PIO_F32 && (int)BF16 == (int)PIO_BF16, "a type is its layout");

INLINE keys_form keys_of(const pio_op *op, const pio_tensor *k, size_t vdim, size_t value_step) {
  return (keys_form){k->type, last(k), vdim, last(k), value_step, op->f[0]};
}

typedef struct {
  const float *q;
  float *out;
  size_t keys; // it may see: its position + 1
  float m, l;
} query;

// scores gives s[i][t] = q[i]·k[t] for n keys.
INLINE void scores(int type, const query *qs, size_t count, const char *k, size_t n, const keys_form *keys, float (*s)[KEYS]) {
  size_t i = 0, step = keys->key_step * size_of(type);
  const float *x[4];
  const char *w[8];
  float *y[4];
#define PIO_SCORES(R, C)                                                                                               \
  do {                                                                                                                 \
    UNROLL for (int r = 0; r < R; r++) x[r] = qs[i + (size_t)r].q, y[r] = s[i + (size_t)r] + t;                        \
    UNROLL for (int c = 0; c < C; c++) w[c] = k + (t + (size_t)c) * step;                                              \
    dots(R, C, type, x, w, (size_t)C * step, keys->dim, y);                                                            \
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
  float fade = exp_of(q->m - m), keep = q->m == -__builtin_inff() ? 0 : fade;
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

// weigh adds keys [from, to) to R outputs, N vectors of them from d on: out[r][d..] += s[r][t] v[t][d..]. Values are step bytes apart.
INLINE void weigh(const int R, const int N, int type, query *qs, float (*s)[KEYS], const char *v, size_t step, size_t d,
                  size_t from, size_t to) {
  V acc[3][4];
  UNROLL for (int r = 0; r < R; r++)
    UNROLL for (int j = 0; j < N; j++)
      acc[r][j] = v_load(qs[r].out + d + j * W);
  v += d * size_of(type);
  for (size_t t = from; t < to; t++) {
    V weight[3];
    UNROLL for (int r = 0; r < R; r++)
      weight[r] = v_set1(s[r][t]);
    UNROLL for (int j = 0; j < N; j++) {
      V value = widen(type, v + t * step + (size_t)j * step_of(type));
      UNROLL for (int r = 0; r < R; r++)
        acc[r][j] = v_fma(weight[r], value, acc[r][j]);
    }
  }
  UNROLL for (int r = 0; r < R; r++)
    UNROLL for (int j = 0; j < N; j++)
      v_store(qs[r].out + d + j * W, acc[r][j]);
}

// weigh_rest does the last elements of values, n of them from d on.
INLINE void weigh_rest(int type, query *q, const float *s, const char *v, size_t step, size_t d, size_t n, size_t from, size_t to) {
  V acc = v_load_n(q->out + d, n);
  for (size_t t = from; t < to; t++)
    acc = v_fma(v_set1(s[t]), widen_n(type, v + t * step + d * size_of(type), n), acc);
  v_store_n(q->out + d, acc, n);
}

INLINE void weigh_all(const int R, int type, query *qs, float (*s)[KEYS], const char *v, const keys_form *keys, size_t from, size_t to) {
  size_t d = 0, vdim = keys->vdim, step = keys->value_step * size_of(type);
  for (; d + 4 * W <= vdim; d += 4 * W)
    weigh(R, 4, type, qs, s, v, step, d, from, to);
  for (; d + W <= vdim; d += W)
    weigh(R, 1, type, qs, s, v, step, d, from, to);
  if (d < vdim)
    for (int r = 0; r < R; r++)
      weigh_rest(type, &qs[r], s[r], v, step, d, vdim - d, from, to);
}

INLINE size_t seen(const query *q, size_t start, size_t n) {
  size_t keys = q->keys > start ? q->keys - start : 0;
  return keys < n ? keys : n;
}

INLINE void attend_keys_of(int type, query *qs, size_t count, const char *k, const char *v, size_t start, size_t n, const keys_form *keys) {
  float s[QUERIES][KEYS] __attribute__((aligned(64)));
  size_t bytes = keys->vdim * size_of(type), step = keys->value_step * size_of(type);
  for (size_t t = 0; v != k && t < n; t++)
    for (size_t i = 0; i < bytes; i += 64)
      v_prefetch(v + t * step + i); // they arrive while the scores are computed
  scores(type, qs, count, k, n, keys, s);
  for (size_t i = 0; i < count; i++)
    if (seen(&qs[i], start, n) > 0)
      softmax_block(&qs[i], s[i], seen(&qs[i], start, n), keys->scale, keys->vdim);
  size_t i = 0;
  for (; i + 3 <= count; i += 3) {
    size_t common = seen(&qs[i], start, n); // of three: the first is never later than the others
    weigh_all(3, type, qs + i, s + i, v, keys, 0, common);
    for (size_t j = i + 1; j < i + 3; j++)
      weigh_all(1, type, qs + j, s + j, v, keys, common, seen(&qs[j], start, n));
  }
  for (; i < count; i++)
    weigh_all(1, type, qs + i, s + i, v, keys, 0, seen(&qs[i], start, n));
}

// attend_keys takes all queries through n keys that begin at position start.
static void attend_keys(query *qs, size_t count, const char *k, const char *v, size_t start, size_t n, const keys_form *keys) {
  if (keys->type == PIO_BF16)
    attend_keys_of(BF16, qs, count, k, v, start, n, keys);
  else
    attend_keys_of(F32, qs, count, k, v, start, n, keys);
}

// ---- over a paged cache

typedef struct {
  float *y;
  const float *q;
  const char *k, *v;
  const int32_t *positions, *seqs, *tables;
  size_t width; // of a row of tables
  size_t rows, heads, kv_heads, block;
  keys_form keys;
  size_t rows_per_task, heads_per_task; // of those that share a kv head
} attention_args;

// attend takes queries of one sequence through its cache.
static void attend(query *qs, size_t count, size_t most, const int32_t *table, size_t kv_head, const attention_args *a) {
  size_t size = type_size(a->keys.type);
  for (size_t start = 0; start < most;) {
    size_t offset = start % a->block, n = at_most(KEYS, a->block - offset);
    size_t slot = ((size_t)table[start / a->block] * a->kv_heads + kv_head) * a->block + offset;
    attend_keys(qs, count, a->k + slot * a->keys.key_step * size, a->v + slot * a->keys.value_step * size, start,
                at_most(n, most - start), &a->keys);
    start += n;
  }
  for (size_t i = 0; i < count; i++)
    for (size_t d = 0; d < a->keys.vdim; d++)
      qs[i].out[d] /= qs[i].l;
}

static void attention(const void *args, size_t task) {
  const attention_args *a = args;
  size_t group = a->heads / a->kv_heads, parts = ceil_div(group, a->heads_per_task), vdim = a->keys.vdim;
  size_t pieces = ceil_div(a->rows, a->rows_per_task);
  // All rows go through a kv head before the next one's turn, and find its keys and values in the last cache.
  size_t part = task % parts, r = task / parts % pieces * a->rows_per_task, kv_head = task / parts / pieces;
  size_t to = at_most(a->rows, r + a->rows_per_task);
  size_t h0 = part * a->heads_per_task, heads = at_most(a->heads_per_task, group - h0);
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

// Rows and heads that share a pass over the keys save memory traffic; with few of them it is more important that all threads
// work. QUERIES is what a pass takes, 3 what its arithmetic takes at once.
static const char *attend_cache(pio_pool *p, attention_args *a) {
  size_t group = a->heads / a->kv_heads, threads = (size_t)pio_pool_threads(p);
  a->heads_per_task = at_most(QUERIES, group);
  a->rows_per_task = QUERIES / a->heads_per_task;
  while (a->rows_per_task > 1 && ceil_div(a->rows, a->rows_per_task) * a->kv_heads < 4 * threads)
    a->rows_per_task = (a->rows_per_task + 1) / 2;
  while (a->heads_per_task > 3 && ceil_div(a->rows, a->rows_per_task) * a->kv_heads * ceil_div(group, a->heads_per_task) < threads)
    a->heads_per_task = at_least(3, ceil_div(a->heads_per_task, 2));
  pio_pool_run(p, attention, a, ceil_div(a->rows, a->rows_per_task) * a->kv_heads * ceil_div(group, a->heads_per_task));
  return NULL;
}

static const char *run_attention(pio_pool *p, const pio_op *op) {
  const pio_tensor *q = &op->in[0], *k = &op->in[1], *v = &op->in[2], *tables = &op->in[5];
  if (k->type != v->type)
    return "keys and values are of different types; give their caches the same";
  attention_args a = {.y = f32(&op->out[0]), .q = f32(q), .k = (const char *)k->at, .v = (const char *)v->at, .positions = i32(&op->in[3]),
                      .seqs = i32(&op->in[4]), .tables = i32(tables), .width = last(tables), .rows = dim(q, 0), .heads = dim(q, 1),
                      .kv_heads = dim(k, 1), .block = dim(k, 2), .keys = keys_of(op, k, last(v), last(v))};
  return attend_cache(p, &a);
}

// Of latents the first elements are the value.
static const char *run_latent_attention(pio_pool *p, const pio_op *op) {
  const pio_tensor *q = &op->in[0], *c = &op->in[1], *tables = &op->in[4];
  attention_args a = {.y = f32(&op->out[0]), .q = f32(q), .k = (const char *)c->at, .v = (const char *)c->at, .positions = i32(&op->in[2]),
                      .seqs = i32(&op->in[3]), .tables = i32(tables), .width = last(tables), .rows = dim(q, 0), .heads = dim(q, 1),
                      .kv_heads = 1, .block = dim(c, 2), .keys = keys_of(op, c, last(&op->out[0]), last(c))};
  return attend_cache(p, &a);
}

// ---- over a tile: keys and values of each kv head in order, the running state in memory

typedef struct {
  float *acc; // of each row and head: vdim sums, the largest score, the sum of weights
  const float *q;
  const char *k, *v;
  const int32_t *limits;
  size_t rows, heads, kv_heads, n, first;
  keys_form keys;
  size_t rows_per_task;
} tile_args;

static void attend_tile(const void *args, size_t task) {
  const tile_args *a = args;
  size_t pieces = ceil_div(a->rows, a->rows_per_task), kv_head = task / pieces, size = type_size(a->keys.type);
  span rows = part_of(task % pieces, a->rows_per_task, a->rows);
  size_t group = a->heads / a->kv_heads, width = a->keys.vdim + 2, key = a->keys.dim * size, value = a->keys.vdim * size;
  const char *k = a->k + kv_head * a->n * key, *v = a->v + kv_head * a->n * value;
  for (size_t i = rows.from * group; i < rows.to * group;) {
    query qs[QUERIES];
    size_t count = 0, most = 0;
    for (; i < rows.to * group && count < QUERIES; i++) { // in rising order of what they see
      int32_t limit = a->limits[i / group];
      size_t at = i / group * a->heads + kv_head * group + i % group, sees = limit < 0 ? 0 : (size_t)limit + 1;
      if (count > 0 && sees < most)
        break;
      float *out = a->acc + at * width;
      qs[count++] = (query){a->q + at * a->keys.dim, out, sees, out[width - 2], out[width - 1]};
      most = sees;
    }
    for (size_t t = 0; t < a->n && a->first + t < most; t += KEYS)
      attend_keys(qs, count, k + t * key, v + t * value, a->first + t, at_most(at_most(KEYS, a->n - t), most - a->first - t), &a->keys);
    for (size_t j = 0; j < count; j++)
      qs[j].out[width - 2] = qs[j].m, qs[j].out[width - 1] = qs[j].l;
  }
}

static const char *run_attend_tile(pio_pool *p, const pio_op *op) {
  const pio_tensor *q = &op->in[0], *k = &op->in[1], *v = &op->in[2];
  if (k->type != v->type)
    return "keys and values are of different types; give tiles of the same";
  tile_args a = {.acc = f32(&op->out[0]), .q = f32(q), .k = (const char *)k->at, .v = (const char *)v->at, .limits = i32(&op->in[3]),
                 .rows = dim(q, 0), .heads = dim(q, 1), .kv_heads = dim(k, 0), .n = dim(k, 1), .first = (size_t)op->n[0],
                 .keys = keys_of(op, k, last(v), last(v))};
  a.rows_per_task = at_least(1, QUERIES / (a.heads / a.kv_heads));
  pio_pool_run(p, attend_tile, &a, ceil_div(a.rows, a.rows_per_task) * a.kv_heads);
  return NULL;
}

static void attend_start(const void *args, size_t task) {
  const row_args *a = args;
  span rows = part_of(task, a->rows_per_task, a->rows);
  for (size_t r = rows.from; r < rows.to; r++) {
    float *acc = a->y + r * a->n;
    memset(acc, 0, a->n * sizeof(float));
    acc[a->n - 2] = -__builtin_inff();
  }
}

static const char *run_attend_start(pio_pool *p, const pio_op *op) { return by_row(p, op, attend_start); }

// A row that has seen nothing has no weights, and gives zeros.
static void attend_done(const void *args, size_t task) {
  const row_args *a = args;
  span rows = part_of(task, a->rows_per_task, a->rows);
  for (size_t r = rows.from; r < rows.to; r++) {
    const float *sums = a->x + r * (a->n + 2);
    float weights = sums[a->n + 1];
    for (size_t i = 0; i < a->n; i++)
      a->y[r * a->n + i] = weights > 0 ? sums[i] / weights : 0;
  }
}

static const char *run_attend_done(pio_pool *p, const pio_op *op) { return by_row(p, op, attend_done); }

// ---- heads_first: rows of heads as a tile; what all heads share comes behind

static void heads_first(const void *args, size_t task) {
  const row_args *a = args; // its rows are those of all heads
  const pio_tensor *x = &a->op->in[0], *tail = &a->op->in[1];
  size_t rows = dim(x, 0), heads = dim(x, 1), shared = tail->at ? last(tail) : 0, own = a->n - shared;
  span part = part_of(task, a->rows_per_task, a->rows);
  for (size_t i = part.from; i < part.to; i++) {
    size_t h = i / rows, r = i % rows;
    memcpy(a->y + i * a->n, a->x + (r * heads + h) * last(x) + (size_t)a->op->n[0], own * sizeof(float));
    if (shared > 0)
      memcpy(a->y + i * a->n + own, f32(tail) + r * shared, shared * sizeof(float));
  }
}

static const char *run_heads_first(pio_pool *p, const pio_op *op) { return by_row(p, op, heads_first); }

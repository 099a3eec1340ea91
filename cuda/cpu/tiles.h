// tiles.h: attention over a tile: keys and values of each kv head in order, the running softmax in memory; included by template.h.

// What takes queries through a tile that begins at position first, to position most: what a table has.
typedef void tile_of_keys(query *qs, size_t count, const float *k, const float *v, size_t first, size_t most, const keys_form *f, float *panel);

typedef struct {
  float *acc; // of each row and head: vdim sums, the largest score, the sum of weights
  const float *q;
  const char *k, *v;
  const int32_t *limits;
  size_t rows, heads, kv_heads, n, first;
  keys_form keys;
  size_t rows_per_task;
  const pio_pool *pool;
  tile_of_keys *tile; // NULL: keys and values as they are
} tile_args;

INLINE size_t each_of(const tile_args *a) { return a->heads / a->kv_heads; }

INLINE float *acc_at(const tile_args *a, size_t head) { return a->acc + head * (a->keys.vdim + 2); }

// gather_tile takes queries of a kv head from *i on, counted row by row, in rising order of what they see.
static size_t gather_tile(const tile_args *a, query *qs, size_t *heads, size_t *i, size_t to, size_t kv_head, float *room) {
  size_t dim = padded(a->keys.dim), width = padded(a->keys.vdim), count = 0;
  for (; *i < to && count < QUERIES; ++*i) {
    int32_t limit = a->limits[*i / each_of(a)];
    size_t at = *i / each_of(a) * a->heads + kv_head * each_of(a) + *i % each_of(a), sees = limit < 0 ? 0 : (size_t)limit + 1;
    if (count > 0 && sees < qs[count - 1].keys)
      break;
    float *q = room + count * dim, *out = room + QUERIES * dim + count * width, *acc = acc_at(a, at);
    spread(a->keys.type, q, a->q + at * a->keys.dim, a->keys.dim);
    spread(a->keys.type, out, acc, a->keys.vdim);
    heads[count] = at;
    qs[count++] = (query){q, sees, {out, acc[a->keys.vdim], acc[a->keys.vdim + 1]}};
  }
  return count;
}

static void attend_tile(const void *args, size_t task) {
  const tile_args *a = args;
  size_t pieces = ceil_div(a->rows, a->rows_per_task), kv_head = task / pieces, vdim = a->keys.vdim;
  span rows = part_of(task % pieces, a->rows_per_task, a->rows);
  size_t key = row_bytes(a->keys.type, a->keys.dim), value = row_bytes(a->keys.type, vdim);
  const char *k = a->k + kv_head * a->n * key, *v = a->v + kv_head * a->n * value;
  float *room = pio_pool_room(a->pool), *panel = room + QUERIES * (padded(a->keys.dim) + padded(vdim));
  for (size_t i = rows.from * each_of(a); i < rows.to * each_of(a);) {
    query qs[QUERIES];
    size_t heads[QUERIES], count = gather_tile(a, qs, heads, &i, rows.to * each_of(a), kv_head, room), most = qs[count - 1].keys;
    if (a->tile)
      a->tile(qs, count, (const float *)k, (const float *)v, a->first, at_most(most, a->first + a->n), &a->keys, panel);
    for (size_t t = 0; !a->tile && t < a->n && a->first + t < most; t += KEYS)
      attend_keys(qs, count, k + t * key, v + t * value, k + (t + KEYS) * key, a->first + t, at_most(at_most(KEYS, a->n - t), most - a->first - t), &a->keys, panel);
    for (size_t j = 0; j < count; j++) {
      float *acc = acc_at(a, heads[j]);
      collect(a->keys.type, acc, qs[j].is.out, vdim);
      acc[vdim] = qs[j].is.m, acc[vdim + 1] = qs[j].is.l;
    }
  }
}

static const char *run_attend_tile(pio_pool *p, const pio_op *op) {
  const pio_tensor *q = &op->in[0], *k = &op->in[1], *v = &op->in[2];
  if (k->type != v->type)
    return "keys and values are of different types; give tiles of the same";
  tile_args a = {.acc = f32(&op->out[0]), .q = f32(q), .k = (const char *)k->at, .v = (const char *)v->at, .limits = i32(&op->in[3]),
                 .rows = dim(q, 0), .heads = dim(q, 1), .kv_heads = dim(k, 0), .n = dim(k, 1), .first = (size_t)op->n[0],
                 .keys = {k->type, last(k), last(v), last(v), op->f[0]}, .pool = p};
  a.rows_per_task = at_least(1, QUERIES / each_of(&a));
  size_t panel = panel_floats(&a.keys);
  if (op->table->attend_tile && paired(PIO_F32, &a.keys))
    a.tile = (tile_of_keys *)op->table->attend_tile, panel = ((QUERIES + KEYS) * a.keys.dim + 2 * KEYS * a.keys.vdim) / 2;
  size_t room = QUERIES * (padded(a.keys.dim) + padded(a.keys.vdim)) + panel;
  return pio_pool_run_with(p, attend_tile, &a, ceil_div(a.rows, a.rows_per_task) * a.kv_heads, room * sizeof(float)) ? NULL : no_memory;
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

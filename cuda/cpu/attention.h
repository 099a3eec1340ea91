// attention.h: causal attention over a paged cache; included by template.h.
//
// A task is a few rows by heads that share a kv head. A row's keys are in parts of PART positions, each of which has a softmax of its own,
// and what these have come to is added in order of position. Where rows and heads are too few for all threads to work, a task takes only
// some of the parts, and what each has come to waits in memory for the others. So a row's bits do not depend on where tasks are cut.

enum {
  TILED_DIM = 1024, // elements of a key that a table's own attention takes at most
  PART = 512,              // positions: short enough for a long stream to use many threads, long enough for sums to be small beside keys
  WAITING = 8 * 1024 * 1024, // bytes of sums that wait for those of other parts, at most, or those of one row
};

_Static_assert(PART % KEYS == 0, "a block of keys is of one part");

typedef struct attention_args attention_args;

// What takes queries through a part of their keys: attend_part, or what a table has instead.
typedef void part_of_keys(query *qs, size_t count, size_t from, size_t to, size_t end, const int32_t *table, size_t kv_head, const attention_args *a, float *panel);

struct attention_args {
  float *y;
  const float *q;
  const char *k, *v;
  const int32_t *positions, *seqs, *tables;
  size_t width; // of a row of tables
  size_t rows, heads, kv_heads, block;
  keys_form keys;
  size_t rows_per_task, heads_per_task; // of those that share a kv head
  size_t parts, parts_per_task;         // of the longest row
  float *waiting;                       // sums of each row, head and part; NULL where a task has all parts
  const pio_pool *pool;
  part_of_keys *part;
  int order;    // of the elements of queries and outputs: that in which keys of such a type are widened
  size_t panel; // floats that it wants for panels
};

INLINE size_t parts_of(size_t keys) { return ceil_div(keys, PART); }
INLINE size_t cuts_of(const attention_args *a) { return ceil_div(a->parts, a->parts_per_task); }
INLINE size_t pieces_of(const attention_args *a) { return ceil_div(a->rows, a->rows_per_task); }
INLINE size_t shares_of(const attention_args *a) { return ceil_div(a->heads / a->kv_heads, a->heads_per_task); }

// A waiting sum is its values, its largest score and its weights.
INLINE size_t waiting_floats(const attention_args *a) { return padded(a->keys.vdim) + 2; }

INLINE float *waiting_at(const attention_args *a, size_t head, size_t part) {
  return a->waiting + (head * a->parts + part) * waiting_floats(a);
}

INLINE running nothing(float *out, size_t width) {
  memset(out, 0, width * sizeof(float));
  return (running){out, -__builtin_inff(), 0};
}

// group is queries of one sequence that go through its cache together, in rising order of position.
typedef struct {
  query qs[QUERIES];
  size_t at[QUERIES]; // which head of which row
  size_t count, most; // the most keys that one sees
  float *room;        // of the task: queries, sums of all parts, sums of one part, panels
} group;

INLINE size_t group_floats(const attention_args *a) {
  return a->rows_per_task * a->heads_per_task * (padded(a->keys.dim) + 2 * padded(a->keys.vdim)) + a->panel;
}

// give writes what a row's head has attended to.
INLINE void give(const attention_args *a, size_t head, const running *s) {
  float *y = a->y + head * a->keys.vdim;
  collect(a->order, y, s->out, a->keys.vdim);
  for (size_t d = 0; d < a->keys.vdim; d++)
    y[d] /= s->l;
}

// slot_at is where a position is in the cache.
INLINE size_t slot_at(const attention_args *a, const int32_t *table, size_t kv_head, size_t position) {
  return ((size_t)table[position / a->block] * a->kv_heads + kv_head) * a->block + position % a->block;
}

// attend_part takes queries through a part, behind which they go on to end.
static void attend_part(query *qs, size_t count, size_t from, size_t to, size_t end, const int32_t *table, size_t kv_head, const attention_args *a,
                        float *panel) {
  size_t key = row_bytes(a->keys.type, a->keys.dim), value = row_bytes(a->keys.type, a->keys.value_dim);
  for (size_t slot = slot_at(a, table, kv_head, from), n, next; from < to; from += n, slot = next) {
    n = at_most(at_most(KEYS, a->block - from % a->block), to - from);
    next = from + n < end ? slot_at(a, table, kv_head, from + n) : slot;
    attend_keys(qs, count, a->k + slot * key, a->v + slot * value, a->k + next * key, from, n, &a->keys, panel);
  }
}

// attend takes a group through some parts.
static void attend(group *g, span parts, const int32_t *table, size_t kv_head, const attention_args *a) {
  size_t width = padded(a->keys.vdim), first = 0;
  float *all = g->room + g->count * padded(a->keys.dim), *one = all + g->count * width, *panel = one + g->count * width;
  running total[QUERIES];
  for (size_t p = parts.from; p < parts.to && p * PART < g->most; p++) {
    while (g->qs[first].keys <= p * PART)
      first++; // which see no more
    for (size_t i = first; i < g->count; i++)
      g->qs[i].is = nothing(a->waiting ? waiting_at(a, g->at[i], p) : (p == 0 ? all : one) + i * width, width);
    a->part(g->qs + first, g->count - first, p * PART, at_most(g->most, (p + 1) * PART), at_most(g->most, parts.to * PART), table, kv_head, a, panel);
    for (size_t i = first; i < g->count; i++) {
      running *is = &g->qs[i].is;
      if (a->waiting)
        is->out[width] = is->m, is->out[width + 1] = is->l;
      else if (p == 0)
        total[i] = *is;
      else
        merge(&total[i], is, width);
    }
  }
  for (size_t i = 0; !a->waiting && i < g->count; i++)
    give(a, g->at[i], &total[i]);
}

// gather_group takes the heads h0.. of a kv head in rows from *row on, as long as they are of one sequence and find room.
static void gather_group(group *g, const attention_args *a, size_t *row, size_t to, size_t h0, size_t heads) {
  size_t first = *row, width = padded(a->keys.dim);
  g->count = 0;
  for (; *row < to && a->seqs[*row] == a->seqs[first] && g->count + heads <= QUERIES &&
         (*row == first || a->positions[*row] >= a->positions[*row - 1]);
       ++*row)
    for (size_t h = 0; h < heads; h++) {
      size_t at = *row * a->heads + h0 + h;
      float *q = g->room + g->count * width;
      spread(a->order, q, a->q + at * a->keys.dim, a->keys.dim);
      g->most = (size_t)a->positions[*row] + 1;
      g->at[g->count] = at;
      g->qs[g->count++] = (query){.q = q, .keys = g->most};
    }
}

static void attention(const void *args, size_t task) {
  const attention_args *a = args;
  // All rows go through some parts of a kv head before the next ones' turn, and find the keys and values in the last cache.
  size_t shares = shares_of(a), pieces = pieces_of(a), cuts = cuts_of(a), share = task % shares, piece = task / shares % pieces;
  size_t kv_head = task / shares / pieces / cuts, each = a->heads / a->kv_heads;
  span rows = part_of(piece, a->rows_per_task, a->rows), heads = part_of(share, a->heads_per_task, each);
  span parts = part_of(task / shares / pieces % cuts, a->parts_per_task, a->parts);
  group g = {.room = pio_pool_room(a->pool)};
  for (size_t row = rows.from; row < rows.to;) {
    size_t first = row;
    gather_group(&g, a, &row, rows.to, kv_head * each + heads.from, heads.to - heads.from);
    attend(&g, parts, a->tables + (size_t)a->seqs[first] * a->width, kv_head, a);
  }
}

// A task of add_parts is the heads of a row.
static void add_parts(const void *args, size_t row) {
  const attention_args *a = args;
  size_t width = padded(a->keys.vdim);
  for (size_t at = row * a->heads; at < (row + 1) * a->heads; at++) {
    running total = {0};
    for (size_t p = 0; p < parts_of((size_t)a->positions[row] + 1); p++) {
      float *out = waiting_at(a, at, p);
      running is = {out, out[width], out[width + 1]};
      if (p == 0)
        total = is;
      else
        merge(&total, &is, width);
    }
    give(a, at, &total);
  }
}

INLINE size_t tasks_of(const attention_args *a) { return pieces_of(a) * a->kv_heads * shares_of(a); }

// Rows and heads that share a pass over the keys save memory traffic; with few of them it is more important that all threads
// work. QUERIES is what a pass takes, 3 what its arithmetic takes at once.
static void cut_attention(attention_args *a, size_t threads) {
  size_t want = threads == 1 ? 1 : 4 * threads, able = threads == 1 ? 1 : a->parts;
  a->heads_per_task = at_most(QUERIES, a->heads / a->kv_heads);
  a->rows_per_task = QUERIES / a->heads_per_task;
  while (a->rows_per_task > 1 && tasks_of(a) * able < want)
    a->rows_per_task = (a->rows_per_task + 1) / 2;
  while (a->heads_per_task > 3 && tasks_of(a) * able < threads)
    a->heads_per_task = at_least(3, ceil_div(a->heads_per_task, 2));
  a->parts_per_task = tasks_of(a) >= want ? a->parts : at_least(1, tasks_of(a) * a->parts / want);
}

// attend_rows does rows that have room for their sums, if these are to wait.
static const char *attend_rows(pio_pool *p, attention_args *a) {
  if (cuts_of(a) > 1) {
    a->waiting = malloc(a->rows * a->heads * a->parts * waiting_floats(a) * sizeof(float));
    if (!a->waiting)
      return no_memory;
  }
  int ran = pio_pool_run_with(p, attention, a, tasks_of(a) * cuts_of(a), group_floats(a) * sizeof(float));
  if (ran && a->waiting)
    pio_pool_run(p, add_parts, a, a->rows);
  free(a->waiting);
  return ran ? NULL : no_memory;
}

// paired says whether keys and values of a type have a form that a table multiplies as pairs of bf16, if it does.
INLINE int paired(int type, const keys_form *f) { return f->type == type && f->dim % 32 == 0 && f->vdim % 32 == 0 && f->dim <= TILED_DIM; }

static const char *attend_cache(pio_pool *p, const pio_op *op, attention_args *a) {
  size_t rows = a->rows, most = 0;
  a->part = attend_part, a->order = a->keys.type, a->panel = panel_floats(&a->keys);
  if (op->table->attend && paired(PIO_BF16, &a->keys))
    a->part = (part_of_keys *)op->table->attend, a->order = PIO_F32, a->panel = (QUERIES * a->keys.dim + KEYS * a->keys.vdim) / 2;
  for (size_t r = 0; r < rows; r++)
    most = at_least(most, (size_t)a->positions[r] + 1);
  a->pool = p;
  a->parts = parts_of(most);
  cut_attention(a, (size_t)pio_pool_threads(p));
  size_t each = cuts_of(a) == 1 ? rows : at_least(1, WAITING / (a->heads * a->parts * waiting_floats(a) * sizeof(float)));
  const char *why = NULL;
  for (size_t r = 0; r < rows && !why; r += each) {
    attention_args some = *a;
    some.rows = at_most(each, rows - r);
    some.y += r * a->heads * a->keys.vdim, some.q += r * a->heads * a->keys.dim, some.positions += r, some.seqs += r;
    why = attend_rows(p, &some);
  }
  return why;
}

static const char *run_attention(pio_pool *p, const pio_op *op) {
  const pio_tensor *q = &op->in[0], *k = &op->in[1], *v = &op->in[2], *tables = &op->in[5];
  if (k->type != v->type)
    return "keys and values are of different types; give their caches the same";
  attention_args a = {.y = f32(&op->out[0]), .q = f32(q), .k = (const char *)k->at, .v = (const char *)v->at, .positions = i32(&op->in[3]),
                      .seqs = i32(&op->in[4]), .tables = i32(tables), .width = last(tables), .rows = dim(q, 0), .heads = dim(q, 1),
                      .kv_heads = dim(k, 1), .block = dim(k, 2), .keys = {k->type, last(q), last(&op->out[0]), last(&op->out[0]), op->f[0]}};
  return attend_cache(p, op, &a);
}

// Of latents the first elements are the value.
static const char *run_latent_attention(pio_pool *p, const pio_op *op) {
  const pio_tensor *q = &op->in[0], *c = &op->in[1], *tables = &op->in[4];
  attention_args a = {.y = f32(&op->out[0]), .q = f32(q), .k = (const char *)c->at, .v = (const char *)c->at, .positions = i32(&op->in[2]),
                      .seqs = i32(&op->in[3]), .tables = i32(tables), .width = last(tables), .rows = dim(q, 0), .heads = dim(q, 1),
                      .kv_heads = 1, .block = dim(c, 2), .keys = {c->type, last(q), last(&op->out[0]), last(q), op->f[0]}};
  return attend_cache(p, op, &a);
}

// cache.h: rows into a paged cache (blocks, heads, size, dim) and back, in f32, bf16 or codes of 8 bits; included by template.h.

typedef struct {
  const pio_tensor *cache;
  float *y;       // cache_read
  const float *x; // cache_write
  const int32_t *positions, *seqs, *tables;
  size_t width; // of a row of tables
  size_t dim;   // numbers of a head
  size_t rows, seq, first;
  size_t each; // heads that a task has, or rows
} cache_args;

// slot_of is where a position of a sequence has its elements for a head.
INLINE char *slot_of(const cache_args *a, size_t seq, size_t position, size_t head) {
  const pio_tensor *c = a->cache;
  size_t block = (size_t)a->tables[seq * a->width + position / dim(c, 2)];
  return (char *)c->at + ((block * dim(c, 1) + head) * dim(c, 2) + position % dim(c, 2)) * dim(c, 3) * type_size(c->type);
}

// A task of cache_write is some heads of all rows, so that of two rows at one position the last one stays.
static void cache_write(const void *args, size_t task) {
  const cache_args *a = args;
  size_t all = dim(a->cache, 1), n = a->dim;
  span heads = part_of(task, a->each, all);
  for (size_t r = 0; r < a->rows; r++)
    for (size_t h = heads.from; h < heads.to; h++)
      write_row(a->cache->type, slot_of(a, (size_t)a->seqs[r], (size_t)a->positions[r], h), a->x + (r * all + h) * n, n);
}

static const char *run_cache_write(pio_pool *p, const pio_op *op) {
  const pio_tensor *c = &op->out[0], *tables = &op->in[3];
  cache_args a = {.cache = c, .x = f32(&op->in[0]), .positions = i32(&op->in[1]), .seqs = i32(&op->in[2]), .tables = i32(tables),
                  .width = last(tables), .dim = last(&op->in[0]), .rows = dim(&op->in[0], 0)};
  a.each = at_least(1, TASK_BYTES / at_least(1, a.rows * a.dim * sizeof(float)));
  pio_pool_run(p, cache_write, &a, ceil_div(dim(c, 1), a.each));
  return NULL;
}

static void cache_read(const void *args, size_t task) {
  const cache_args *a = args;
  size_t heads = dim(a->cache, 1), n = a->dim;
  span rows = part_of(task, a->each, a->rows);
  for (size_t r = rows.from; r < rows.to; r++)
    for (size_t h = 0; h < heads; h++)
      read_row(a->cache->type, a->y + (r * heads + h) * n, slot_of(a, a->seq, a->first + r, h), n);
}

static const char *run_cache_read(pio_pool *p, const pio_op *op) {
  const pio_tensor *c = &op->in[0], *tables = &op->in[1];
  cache_args a = {.cache = c, .y = f32(&op->out[0]), .tables = i32(tables), .width = last(tables), .dim = last(&op->out[0]),
                  .rows = dim(&op->out[0], 0), .seq = (size_t)op->n[0], .first = (size_t)op->n[1]};
  a.each = at_least(1, TASK_BYTES / at_least(1, dim(c, 1) * a.dim * sizeof(float)));
  pio_pool_run(p, cache_read, &a, ceil_div(a.rows, a.each));
  return NULL;
}

// moves.h: ops that bring rows from one place to another, with elements of 4 bytes; included by template.h.

typedef struct {
  char *y;
  const char *x;
  const int32_t *index;        // where a row of y comes from; NULL: from its own place
  size_t y_row, x_row, width;  // bytes
  size_t rows, rows_per_task;
} move_args;

static void move(const void *args, size_t task) {
  const move_args *a = args;
  span rows = part_of(task, a->rows_per_task, a->rows);
  for (size_t r = rows.from; r < rows.to; r++)
    memcpy(a->y + r * a->y_row, a->x + (a->index ? (size_t)a->index[r] : r) * a->x_row, a->width);
}

static const char *run_moves(pio_pool *p, move_args a) {
  a.rows_per_task = at_least(1, TASK_BYTES / at_least(1, a.width));
  pio_pool_run(p, move, &a, ceil_div(a.rows, a.rows_per_task));
  return NULL;
}

static const char *run_copy(pio_pool *p, const pio_op *op) {
  const pio_tensor *y = &op->out[0], *x = &op->in[0];
  size_t bytes = count(y) * type_size(y->type), row = at_most(TASK_BYTES, bytes), rows = bytes / row;
  memcpy((char *)y->at + rows * row, (const char *)x->at + rows * row, bytes - rows * row);
  return run_moves(p, (move_args){(char *)y->at, (const char *)x->at, NULL, row, row, row, rows, 0});
}

static const char *run_gather(pio_pool *p, const pio_op *op) {
  size_t row = per_row(&op->out[0]) * 4;
  return run_moves(p, (move_args){(char *)op->out[0].at, (const char *)op->in[0].at, i32(&op->in[1]), row, row, row, dim(&op->out[0], 0), 0});
}

static const char *run_columns(pio_pool *p, const pio_op *op) {
  const pio_tensor *y = &op->out[0], *x = &op->in[0];
  return run_moves(p, (move_args){(char *)y->at, (const char *)(f32(x) + op->n[0]), NULL, last(y) * 4, last(x) * 4, last(y) * 4, rows_of(y), 0});
}

static const char *run_put_columns(pio_pool *p, const pio_op *op) {
  const pio_tensor *y = &op->out[0], *x = &op->in[0];
  return run_moves(p, (move_args){(char *)(f32(y) + op->n[0]), (const char *)x->at, NULL, last(y) * 4, last(x) * 4, last(x) * 4, rows_of(x), 0});
}

// ---- embed: rows of a matrix of weights

static void embed(const void *args, size_t task) {
  const row_args *a = args;
  const pio_matrix *table = &a->op->w[0];
  span rows = part_of(task, a->rows_per_task, a->rows);
  for (size_t r = rows.from; r < rows.to; r++)
    layouts[table->layout].widen(table, (size_t)i32(&a->op->in[0])[r], 0, a->n, a->y + r * a->n);
}

static const char *run_embed(pio_pool *p, const pio_op *op) { return by_row(p, op, embed); }

// ---- rows that replace those of another tensor, or are added to them: one after the other, as an index may stand twice

typedef struct {
  float *y;
  const float *rows;
  const int32_t *index;
  size_t count, n, columns_per_task;
  int add;
} index_args;

// A task is some columns of all rows.
static void index_rows(const void *args, size_t task) {
  const index_args *a = args;
  span columns = part_of(task, a->columns_per_task, a->n);
  for (size_t i = 0; i < a->count; i++) {
    float *y = a->y + (size_t)a->index[i] * a->n;
    const float *row = a->rows + i * a->n;
    for (size_t c = columns.from; c < columns.to; c++)
      y[c] = a->add ? y[c] + row[c] : row[c];
  }
}

static const char *run_index(pio_pool *p, const pio_op *op, int add) {
  if (op->out[0].at != op->in[0].at)
    run_copy(p, op);
  index_args a = {f32(&op->out[0]), f32(&op->in[2]), i32(&op->in[1]), count(&op->in[1]), last(&op->out[0]), 0, add};
  a.columns_per_task = ceil_div(ceil_div(SMALL, at_least(1, a.count)), 64) * 64; // whole cache lines
  pio_pool_run(p, index_rows, &a, ceil_div(a.n, a.columns_per_task));
  return NULL;
}

static const char *run_index_copy(pio_pool *p, const pio_op *op) { return run_index(p, op, 0); }
static const char *run_index_add(pio_pool *p, const pio_op *op) { return run_index(p, op, 1); }

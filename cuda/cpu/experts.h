// experts.h: mixtures of experts, of which each row takes a few; included by template.h.
//
// A pair is a row and one of its experts, r*k + j. Pairs are sorted by expert and their rows brought side by side, so that the
// products of all experts are one job, in which an expert without rows costs nothing. What an expert gives goes back to the place
// of its pair, and is added up there in ascending order of experts: a row's bits do not depend on its company.

typedef struct {
  const pio_op *op;
  size_t pairs, k, experts, hidden, inner;
  size_t here; // pairs whose expert is here: the first of those below
  int32_t *pair, *row; // by expert: which pair, and of which row
  int32_t *ends;       // of each expert's pairs
} mixture;

INLINE const pio_matrix *expert_of(const mixture *m, size_t e) { return (const pio_matrix *)m->op->experts + 3 * e; }

// sort_pairs puts those whose expert is not here behind the others, as if they were of one expert more.
static void sort_pairs(mixture *m) {
  const int32_t *index = i32(&m->op->in[1]);
  int32_t *begins = m->ends + 1; // one further on, so that they have become ends when all pairs are in their places
  memset(m->ends, 0, (m->experts + 2) * sizeof *m->ends);
  for (int pass = 0; pass < 2; pass++) {
    for (size_t i = 0; i < m->pairs; i++) {
      size_t e = expert_of(m, (size_t)index[i])->plane[0] ? (size_t)index[i] : m->experts;
      if (pass == 0) {
        begins[e]++;
      } else {
        size_t at = (size_t)m->ends[e]++;
        m->pair[at] = (int32_t)i, m->row[at] = (int32_t)(i / m->k);
      }
    }
    for (size_t e = 0; pass == 0 && e <= m->experts; e++)
      m->ends[e + 1] += m->ends[e];
  }
  m->here = m->experts > 0 ? (size_t)m->ends[m->experts - 1] : 0;
}

// ---- products of all experts

typedef struct {
  matmul_args m;
  pio_task *task;
  size_t first_task;
} part;

typedef struct {
  const part *parts;
  size_t n;
} parts_args;

// matmul_part finds the part that a task is of: the last that begins at or before it.
static void matmul_part(const void *args, size_t task) {
  const parts_args *a = args;
  size_t low = 0, high = a->n;
  while (high - low > 1) {
    size_t middle = (low + high) / 2;
    if (a->parts[middle].first_task <= task)
      low = middle;
    else
      high = middle;
  }
  a->parts[low].task(&a->parts[low].m, task - a->parts[low].first_task);
}

// multiply_all multiplies each expert's rows of x with matrices first to last of it; the results of the second follow those of the
// first for all pairs, and go where to says.
static void multiply_all(pio_pool *p, const mixture *m, part *parts, const float *x, float *y, const int32_t *to, int first, int last) {
  size_t n = 0, tasks = 0, begin = 0;
  for (size_t e = 0; e < m->experts; begin = (size_t)m->ends[e++]) {
    size_t rows = (size_t)m->ends[e] - begin;
    for (int i = first; rows > 0 && i <= last; i++) {
      const pio_matrix *w = expert_of(m, e) + i;
      size_t in = (size_t)w->cols, out = (size_t)w->rows;
      part *part = &parts[n++];
      part->m = (matmul_args){.y = to ? y : y + ((size_t)(i - first) * m->pairs + begin) * out, .x = x + begin * in, .to = to ? to + begin : NULL,
                              .w = w, .rows = rows, .in = in, .out = out};
      part->first_task = tasks;
      tasks += cut_matmul(&part->m, &part->task);
    }
  }
  pio_pool_run(p, matmul_part, &(parts_args){parts, n}, tasks);
}

static void clear_pairs(const void *args, size_t task) {
  const mixture *m = args;
  memset(f32(&m->op->out[1]) + (size_t)m->pair[m->here + task] * m->hidden, 0, m->hidden * sizeof(float));
}

// ---- expert_sum: y[r] = sum over its experts in ascending order of weights[r][j] rows[r*k + j]

typedef struct {
  float *y;
  const float *x, *weights;
  const int32_t *index;
  size_t rows, k, n, rows_per_task, columns_per_task, column_tasks;
} sum_args;

// add_up_rows does N vectors of a row.
INLINE void add_up_rows(const int N, float *y, const float *x, size_t step, const int32_t *order, const float *weights, size_t k) {
  V sum[4];
  UNROLL for (int i = 0; i < N; i++)
    sum[i] = v_zero();
  for (size_t j = 0; j < k; j++) {
    V w = v_set1(weights[order[j]]);
    UNROLL for (int i = 0; i < N; i++)
      sum[i] = v_fma(w, v_load(x + (size_t)order[j] * step + (size_t)i * W), sum[i]);
  }
  UNROLL for (int i = 0; i < N; i++)
    v_store(y + (size_t)i * W, sum[i]);
}

// in_order gives the slots of a row by ascending expert.
INLINE void in_order(int32_t *order, const int32_t *index, size_t k) {
  for (size_t j = 0; j < k; j++) {
    size_t i = j;
    for (; i > 0 && index[order[i - 1]] > index[j]; i--)
      order[i] = order[i - 1];
    order[i] = (int32_t)j;
  }
}

static void sum_pairs(const void *args, size_t task) {
  const sum_args *a = args;
  int32_t order[EXPERTS_MOST];
  span rows = part_of(task / a->column_tasks, a->rows_per_task, a->rows), columns = part_of(task % a->column_tasks, a->columns_per_task, a->n);
  for (size_t r = rows.from; r < rows.to; r++) {
    const float *x = a->x + r * a->k * a->n, *w = a->weights + r * a->k;
    float *y = a->y + r * a->n;
    in_order(order, a->index + r * a->k, a->k);
    size_t c = columns.from;
    for (; c + 4 * W <= columns.to; c += 4 * W)
      add_up_rows(4, y + c, x + c, a->n, order, w, a->k);
    for (; c + W <= columns.to; c += W)
      add_up_rows(1, y + c, x + c, a->n, order, w, a->k);
    if (c == columns.to)
      continue;
    V sum = v_zero();
    for (size_t j = 0; j < a->k; j++)
      sum = v_fma(v_set1(w[order[j]]), v_load_n(x + (size_t)order[j] * a->n + c, columns.to - c), sum);
    v_store_n(y + c, sum, columns.to - c);
  }
}

static const char *add_up_pairs(pio_pool *p, const pio_tensor *y, const pio_tensor *x, const pio_tensor *index, const pio_tensor *weights) {
  sum_args a = {.y = f32(y), .x = f32(x), .weights = f32(weights), .index = i32(index), .rows = dim(index, 0), .k = last(index), .n = last(y)};
  if (a.k > EXPERTS_MOST)
    return "more than 4096 experts of a row";
  a.columns_per_task = at_most(a.n, ceil_div(ceil_div(SMALL, at_least(1, a.k)), 64) * 64); // whole cache lines
  a.rows_per_task = at_least(1, SMALL / at_least(1, a.k * a.columns_per_task));
  a.column_tasks = ceil_div(a.n, a.columns_per_task);
  pio_pool_run(p, sum_pairs, &a, ceil_div(a.rows, a.rows_per_task) * a.column_tasks);
  return NULL;
}

static const char *run_expert_sum(pio_pool *p, const pio_op *op) { return add_up_pairs(p, &op->out[0], &op->in[0], &op->in[1], &op->in[2]); }

// ---- experts

// swiglu_pairs gates one half of what the experts have inside by the other, in place.
static void swiglu_pairs(pio_pool *p, const mixture *m, float *gate) {
  element_args e = {gate, gate, gate + m->pairs * m->inner, m->here * m->inner};
  pio_pool_run(p, swiglu, &e, ceil_div(e.n, SMALL));
}

static const char *run_experts(pio_pool *p, const pio_op *op) {
  const pio_tensor *x = &op->in[0], *index = &op->in[1], *rows = &op->out[1], *inner = &op->out[2];
  mixture m = {.op = op, .pairs = count(index), .k = last(index), .experts = (size_t)op->experts_n, .hidden = last(x), .inner = last(inner)};
  size_t parts = 2 * at_most(m.pairs, m.experts);
  char *room = malloc(parts * sizeof(part) + (2 * m.pairs + m.experts + 2) * sizeof(int32_t));
  if (!room)
    return no_memory;
  m.pair = (int32_t *)(room + parts * sizeof(part)), m.row = m.pair + m.pairs, m.ends = m.row + m.pairs;
  sort_pairs(&m);
  size_t bytes = m.hidden * sizeof(float);
  run_moves(p, (move_args){(char *)rows->at, (const char *)x->at, m.row, bytes, bytes, bytes, m.here, 0});
  multiply_all(p, &m, (part *)room, f32(rows), f32(inner), NULL, 0, 1);
  swiglu_pairs(p, &m, f32(inner));
  pio_pool_run(p, clear_pairs, &m, m.pairs - m.here);
  multiply_all(p, &m, (part *)room, f32(inner), f32(rows), m.pair, 2, 2);
  free(room);
  return op->out[0].at ? add_up_pairs(p, &op->out[0], rows, index, &op->in[2]) : NULL;
}

// experts.h: mixtures of experts, of which each row takes a few; included by template.h.
//
// A pair is a row and one of its experts, r*k + j. Pairs are sorted by expert and their rows brought side by side, so that the
// products of many experts are one job, in which an expert without rows costs nothing. What experts give is added up in ascending order
// of experts: a row's bits do not depend on its company. As many experts go together as there is room for their pairs.

typedef struct {
  const pio_op *op;
  size_t pairs, k, experts, hidden, inner;
  size_t here; // pairs whose expert is here: the first of those below
  size_t room; // pairs that there is room for at once
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

// a run is experts from..to-1, whose pairs are begin..end-1.
typedef struct {
  size_t from, to, begin, end;
} run;

// run_from takes experts from one on, as many as there is room for, but one at least.
static run run_from(const mixture *m, size_t from, size_t begin) {
  run r = {from, from, begin, begin};
  while (r.to < m->experts && (r.to == from || (size_t)m->ends[r.to] - begin <= m->room))
    r.end = (size_t)m->ends[r.to++];
  return r;
}

// forms are the rows of a run in the forms that its experts' layouts take, of which a table has one or two.
typedef struct {
  const pio_layout *of[2];
  char *rows[2];
  const float *x;
  size_t cols;
} forms;

// form_run brings the rows of a run into the form of a layout. Only those of one expert go together.
static char *form_run(pio_pool *p, const mixture *m, run r, const pio_layout *l, const float *x, size_t cols) {
  size_t each = group_of(l), n = 0;
  if (each == 1)
    return form_all(p, l, x, r.end - r.begin, cols, NULL);
  rows_together *groups = malloc((r.end - r.begin + 1) * sizeof *groups); // of one row each, at most
  for (size_t e = r.from, at = r.begin; groups && e < r.to; e++)
    for (size_t end = (size_t)m->ends[e], rows; at < end; at += rows, n++) {
      rows = at_most(each, end - at);
      groups[n] = (rows_together){(int32_t)(at - r.begin), (int32_t)rows};
    }
  char *formed = groups ? form_all(p, l, x, n * each, cols, groups) : NULL;
  free(groups);
  return formed;
}

// formed_by gives an expert's rows in the form of a layout, NULL if it takes them as they are; 0 says that there is no memory. Before them there are
// so many rows, and so many groups of GROUP.
static int formed_by(pio_pool *p, forms *f, const mixture *m, run r, size_t rows, size_t groups, const pio_layout *l, const char **formed) {
  *formed = NULL;
  for (int i = 0; l->form && i < 2; i++) {
    if (!f->of[i])
      f->of[i] = l, f->rows[i] = form_run(p, m, r, l, f->x, f->cols);
    if (f->of[i]->form == l->form) {
      if (f->rows[i])
        *formed = f->rows[i] + (group_of(l) == 1 ? rows : groups * GROUP) * l->form_bytes(f->cols);
      return *formed != NULL;
    }
  }
  return l->form == NULL;
}

// multiply_all multiplies the rows of a run's experts, which x begins with, with matrices first to last of each; the results of the
// second follow those of the first in the room of all pairs, and go where to says.
static const char *multiply_all(pio_pool *p, const mixture *m, run r, part *parts, const float *x, float *y, const int32_t *to, int first, int last) {
  size_t n = 0, tasks = 0, begin = r.begin, groups = 0;
  forms f = {.x = x, .cols = first == 0 ? m->hidden : m->inner};
  const char *why = NULL;
  for (size_t e = r.from; e < r.to; begin = (size_t)m->ends[e++]) {
    size_t rows = (size_t)m->ends[e] - begin, at = begin - r.begin;
    for (int i = first; rows > 0 && i <= last && !why; i++) {
      const pio_matrix *w = expert_of(m, e) + i;
      part *part = &parts[n++];
      part->m = (matmul_args){.x = x + at * f.cols, .w = w, .rows = rows, .in = f.cols, .out = (size_t)w->rows, .cols = {0, f.cols}};
      if (!formed_by(p, &f, m, r, at, groups, layout_of(m->op, w), &part->m.formed))
        why = no_memory;
      if (part->m.formed)
        part->m.formed_bytes = layout_of(m->op, w)->form_bytes(f.cols);
      part->m.y = to ? y : y + ((size_t)(i - first) * m->room + at) * part->m.out, part->m.to = to ? to + at : NULL;
      part->first_task = tasks;
      tasks += cut_matmul(&part->m, layout_of(m->op, w), &part->task);
    }
    groups += ceil_div(rows, GROUP);
  }
  if (!why)
    pio_pool_run(p, matmul_part, &(parts_args){parts, n}, tasks);
  free(f.rows[0]), free(f.rows[1]);
  return why;
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

// inside is what the experts of a run have between their rows and what they give: gate and up, of which one half gates the other.
static const char *inside(pio_pool *p, const mixture *m, run r, part *parts) {
  const pio_tensor *x = &m->op->in[0], *rows = &m->op->out[1], *inner = &m->op->out[2];
  size_t bytes = m->hidden * sizeof(float), pairs = r.end - r.begin;
  float *gate = f32(inner);
  run_moves(p, (move_args){(char *)rows->at, (const char *)x->at, m->row + r.begin, bytes, bytes, bytes, pairs, 0});
  const char *why = multiply_all(p, m, r, parts, f32(rows), gate, NULL, 0, 1);
  element_args e = {gate, gate, gate + m->room * m->inner, pairs * m->inner};
  if (!why)
    pio_pool_run(p, swiglu, &e, ceil_div(e.n, SMALL));
  return why;
}

// all_rows leaves in rows what each pair's expert gives, in the order of the pairs.
static const char *all_rows(pio_pool *p, const mixture *m, part *parts) {
  run all = {0, m->experts, 0, m->here};
  const char *why = inside(p, m, all, parts);
  pio_pool_run(p, clear_pairs, m, m->pairs - m->here);
  return why ? why : multiply_all(p, m, all, parts, f32(&m->op->out[2]), f32(&m->op->out[1]), m->pair, 2, 2);
}

typedef struct {
  const mixture *m;
  run r;
  size_t columns_per_task;
} add_args;

// add_run adds what the experts of a run have given to the rows that they gave it for, some columns of all, one pair after the other.
static void add_run(const void *args, size_t task) {
  const add_args *a = args;
  const mixture *m = a->m;
  span columns = part_of(task, a->columns_per_task, m->hidden);
  const float *weights = f32(&m->op->in[2]);
  for (size_t i = a->r.begin; i < a->r.end; i++) {
    float *y = f32(&m->op->out[0]) + (size_t)m->row[i] * m->hidden;
    const float *x = f32(&m->op->out[1]) + (i - a->r.begin) * m->hidden;
    V w = v_set1(weights[m->pair[i]]);
    size_t c = columns.from, to = columns.to;
    for (; c + W <= to; c += W)
      v_store(y + c, v_fma(w, v_load(x + c), v_load(y + c)));
    if (c < to)
      v_store_n(y + c, v_fma(w, v_load_n(x + c, to - c), v_load_n(y + c, to - c)), to - c);
  }
}

// add_runs adds up what the experts give, run by run.
static const char *add_runs(pio_pool *p, const mixture *m, part *parts) {
  memset(f32(&m->op->out[0]), 0, count(&m->op->out[0]) * sizeof(float));
  for (run r = run_from(m, 0, 0); r.from < m->experts; r = run_from(m, r.to, r.end)) {
    if (r.end == r.begin)
      continue;
    const char *why = inside(p, m, r, parts);
    if (!why)
      why = multiply_all(p, m, r, parts, f32(&m->op->out[2]), f32(&m->op->out[1]), NULL, 2, 2);
    if (why)
      return why;
    add_args a = {m, r, ceil_div(ceil_div(SMALL, r.end - r.begin), 64) * 64}; // whole cache lines
    pio_pool_run(p, add_run, &a, ceil_div(m->hidden, a.columns_per_task));
  }
  return NULL;
}

static const char *run_experts(pio_pool *p, const pio_op *op) {
  const pio_tensor *x = &op->in[0], *index = &op->in[1], *rows = &op->out[1], *inner = &op->out[2];
  mixture m = {.op = op, .pairs = count(index), .k = last(index), .experts = (size_t)op->experts_n, .hidden = last(x), .inner = last(inner), .room = dim(rows, 0)};
  size_t parts = 2 * at_most(m.pairs, m.experts);
  char *room = malloc(parts * sizeof(part) + (2 * m.pairs + m.experts + 2) * sizeof(int32_t));
  if (!room)
    return no_memory;
  m.pair = (int32_t *)(room + parts * sizeof(part)), m.row = m.pair + m.pairs, m.ends = m.row + m.pairs;
  sort_pairs(&m);
  const char *why = NULL;
  size_t most = op->out[0].at ? 0 : m.here;
  for (size_t e = 0, begin = 0; op->out[0].at && e < m.experts; begin = (size_t)m.ends[e++])
    most = at_least(most, (size_t)m.ends[e] - begin);
  if (most > m.room)
    why = "more rows for one expert than there is room for";
  else if (op->out[0].at)
    why = add_runs(p, &m, (part *)room);
  else
    why = all_rows(p, &m, (part *)room);
  free(room);
  return why;
}

// latent.h: the two maps between a head's keys and values and the latents they are made from; included by template.h.
//
// The matrix (heads * group, rank) is read along its rows in both. To values a row is a dot product, as in matmul.h. To queries
// a row is scaled and added: y += x[k] w[k], k by k in order, so that a sum has one order whatever is computed beside it.

enum {
  LATENT_ROWS = 8,      // of w, that are widened at once
  LATENT_COLUMNS = 256, // of a matrix that latent_query reads at once
  LATENT_VALUES = 48,   // that a task of latent_value computes
  RANK_WIDE = 4096,     // elements of a latent, at most, where rows of its matrix are widened before anything is multiplied by them
};

typedef struct {
  float *y;
  const float *x;
  const pio_matrix *w; // (heads * group, rank)
  size_t rows, heads, group, rank;
  size_t dim; // of a head of x, in latent_query
  size_t own; // rows of w that count: the first of a head for latent_query, the last for latent_value
  size_t tasks_per_head;
} latent_args;

// widen_row writes n elements of a row of w from column c on as f32. It asks for those of LATENT_ROWS rows further on.
INLINE void widen_row(int layout, float *to, const latent_args *a, size_t row, size_t c, size_t n) {
  size_t size = size_of(layout);
  if (layout != BF16X16 && !is_codes(layout)) {
    const char *ahead = element_at(layout, a->w, row, c) + LATENT_ROWS * a->rank * size;
    for (size_t b = 0; b < n * size; b += 64)
      v_prefetch(ahead + b);
  }
  widen_elements(layout, a->w, row, c, n, to);
}

// add_rows adds x[0] w[0] + .. + x[K-1] w[K-1] to n elements of y, or begins them.
INLINE void add_rows(const int K, float *y, const float *x, float (*w)[LATENT_COLUMNS], size_t n, int begin) {
  size_t i = 0;
  for (; i + W <= n; i += W) {
    V sum = begin ? v_zero() : v_load(y + i);
    UNROLL for (int k = 0; k < K; k++)
      sum = v_fma(v_set1(x[k]), v_load(w[k] + i), sum);
    v_store(y + i, sum);
  }
  if (i < n) {
    V sum = begin ? v_zero() : v_load_n(y + i, n - i);
    UNROLL for (int k = 0; k < K; k++)
      sum = v_fma(v_set1(x[k]), v_load_n(w[k] + i, n - i), sum);
    v_store_n(y + i, sum, n - i);
  }
}

// query_columns computes n columns of one head from c on, for all rows.
INLINE void query_columns(int layout, const latent_args *a, size_t head, size_t c, size_t n) {
  float w[LATENT_ROWS][LATENT_COLUMNS] __attribute__((aligned(64)));
  size_t width = a->rank + a->dim - a->own;
  for (size_t k = 0; k < a->own; k += LATENT_ROWS) {
    size_t K = a->own - k < LATENT_ROWS ? a->own - k : LATENT_ROWS;
    for (size_t i = 0; i < K; i++)
      widen_row(layout, w[i], a, head * a->group + k + i, c, n);
    for (size_t r = 0; r < a->rows; r++) {
      const float *x = a->x + (r * a->heads + head) * a->dim + k;
      float *y = a->y + (r * a->heads + head) * width + c;
      if (K == LATENT_ROWS)
        add_rows(LATENT_ROWS, y, x, w, n, k == 0);
      else
        for (size_t i = 0; i < K; i++)
          add_rows(1, y, x + i, w + i, n, k + i == 0);
    }
  }
}

// A task of latent_query is some columns of one head, for all rows; the first of a head copies what the query has besides.
INLINE void latent_query(int layout, const latent_args *a, size_t task) {
  size_t head = task / a->tasks_per_head, c = task % a->tasks_per_head * LATENT_COLUMNS, width = a->rank + a->dim - a->own;
  query_columns(layout, a, head, c, at_most(LATENT_COLUMNS, a->rank - c));
  if (c == 0)
    for (size_t r = 0; r < a->rows; r++)
      memcpy(a->y + (r * a->heads + head) * width + a->rank, a->x + (r * a->heads + head) * a->dim + a->own,
             (a->dim - a->own) * sizeof(float));
}

static const char *run_latent_query(pio_pool *p, const pio_op *op) {
  const pio_tensor *q = &op->in[0];
  const pio_matrix *w = &op->w[0];
  latent_args a = {.y = f32(&op->out[0]), .x = f32(q), .w = w, .rows = dim(q, 0), .heads = dim(q, 1), .rank = (size_t)w->cols,
                   .dim = dim(q, 2), .own = (size_t)op->n[0]};
  a.group = (size_t)w->rows / a.heads;
  a.tasks_per_head = at_least(1, ceil_div(a.rank, LATENT_COLUMNS));
  pio_pool_run(p, layouts[w->layout].latent_query, &a, a.heads * a.tasks_per_head);
  return NULL;
}

// latent_dots computes values o..o+C-1 of a head for all rows; rows of w are given in any form that dots reads, and the F behind them fetched.
INLINE void latent_dots(const int C, const int F, int layout, const latent_args *a, const char *const *w, size_t head, size_t o) {
  const char *next = w[0] + (size_t)C * a->rank * size_of(layout);
  const float *x[4];
  float *y[4];
  size_t r = 0, step = a->heads * a->rank;
  for (; r + 4 <= a->rows; r += 4) {
    UNROLL for (size_t i = 0; i < 4; i++)
      x[i] = a->x + (r + i) * step + head * a->rank, y[i] = a->y + ((r + i) * a->heads + head) * a->own + o;
    dots(4, C, F, layout, x, w, next, a->rank, y);
  }
  for (; r < a->rows; r++) {
    x[0] = a->x + r * step + head * a->rank, y[0] = a->y + (r * a->heads + head) * a->own + o;
    dots(1, C, F, layout, x, w, next, a->rank, y);
  }
}

INLINE void latent_values(const int C, int layout, const latent_args *a, size_t head, size_t o) {
  const char *w[4];
  size_t row = (head + 1) * a->group - a->own + o;
  if (!is_plain(layout)) {
    float wide[4][RANK_WIDE];
    UNROLL for (int c = 0; c < C; c++) {
      widen_row(layout, wide[c], a, row + (size_t)c, 0, a->rank);
      w[c] = (const char *)wide[c];
    }
    latent_dots(C, 0, F32, a, w, head, o);
    return;
  }
  UNROLL for (int c = 0; c < C; c++)
    w[c] = element_at(layout, a->w, row + (size_t)c, 0);
  latent_dots(C, C, layout, a, w, head, o);
}

// A task of latent_value is some values of one head, for all rows.
INLINE void latent_value(int layout, const latent_args *a, size_t task) {
  size_t head = task / a->tasks_per_head;
  span values = part_of(task % a->tasks_per_head, LATENT_VALUES, a->own);
  size_t o = values.from;
  for (; o + 3 <= values.to; o += 3)
    latent_values(3, layout, a, head, o);
  for (; o < values.to; o++)
    latent_values(1, layout, a, head, o);
}

static const char *run_latent_value(pio_pool *p, const pio_op *op) {
  const pio_tensor *x = &op->in[0];
  const pio_matrix *w = &op->w[0];
  if (!is_plain(w->layout) && w->cols > RANK_WIDE)
    return "latents of more than 4096 elements, which are too many where their matrix is not in f32, bf16 or f16";
  latent_args a = {.y = f32(&op->out[0]), .x = f32(x), .w = w, .rows = dim(x, 0), .heads = dim(x, 1), .rank = (size_t)w->cols,
                   .own = dim(&op->out[0], 2)};
  a.group = (size_t)w->rows / a.heads;
  a.tasks_per_head = ceil_div(a.own, LATENT_VALUES);
  pio_pool_run(p, layouts[w->layout].latent_value, &a, a.heads * a.tasks_per_head);
  return NULL;
}

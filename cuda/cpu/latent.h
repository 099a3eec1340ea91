// latent.h: the two maps between a head's keys and values and the latents they are made from; included by template.h.
//
// The matrix (heads * group, rank) is read along its rows in both. To values a row is a dot product, as in matmul.h. To queries
// a row is scaled and added: y += x[k] w[k], k by k in order, so that a sum has one order whatever is computed beside it.

enum { LATENT_ROWS = 8 }; // of w, that are widened at once

// widen_row writes n elements of a row of w from column c on as f32. It asks for those of LATENT_ROWS rows further on.
INLINE void widen_row(int type, float *to, const pio_latent_args *a, size_t row, size_t c, size_t n) {
  size_t i = 0, size = width_of(type), ahead = LATENT_ROWS * a->rank * size;
  const char *w = (const char *)a->w + (row * a->rank + c) * size;
  for (size_t b = 0; b < n * size; b += 64)
    v_prefetch(w + ahead + b);
  if (type == PIO_F8) {
    fp8_widen(to, w, factors_of(&a->scale, row, a->rank), c, n);
    return;
  }
  for (; i + W <= n; i += W)
    v_store(to + i, widen(type, w + i * size));
  if (i < n)
    v_store_n(to + i, widen_n(type, w + i * size, n - i), n - i);
}

// add_rows adds x[0] w[0] + .. + x[K-1] w[K-1] to n elements of y, or begins them.
INLINE void add_rows(const int K, float *y, const float *x, float (*w)[PIO_LATENT_COLUMNS], size_t n, int begin) {
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
INLINE void query_columns(int type, const pio_latent_args *a, size_t head, size_t c, size_t n) {
  float w[LATENT_ROWS][PIO_LATENT_COLUMNS] __attribute__((aligned(64)));
  size_t width = a->rank + a->dim - a->own;
  for (size_t k = 0; k < a->own; k += LATENT_ROWS) {
    size_t K = a->own - k < LATENT_ROWS ? a->own - k : LATENT_ROWS;
    for (size_t i = 0; i < K; i++)
      widen_row(type, w[i], a, head * a->group + k + i, c, n);
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

// A task is some columns of one head, for all rows; the first of a head copies what the query has besides.
static void latent_query(const void *args, size_t task) {
  const pio_latent_args *a = args;
  size_t head = task / a->tasks_per_head, c = task % a->tasks_per_head * PIO_LATENT_COLUMNS, width = a->rank + a->dim - a->own;
  size_t n = a->rank - c < PIO_LATENT_COLUMNS ? a->rank - c : PIO_LATENT_COLUMNS;
  switch (a->type) {
  case PIO_BF16:
    query_columns(PIO_BF16, a, head, c, n);
    break;
  case PIO_F16:
    query_columns(PIO_F16, a, head, c, n);
    break;
  case PIO_F8:
    query_columns(PIO_F8, a, head, c, n);
    break;
  default:
    query_columns(PIO_F32, a, head, c, n);
  }
  if (c == 0)
    for (size_t r = 0; r < a->rows; r++)
      memcpy(a->y + (r * a->heads + head) * width + a->rank, a->x + (r * a->heads + head) * a->dim + a->own,
             (a->dim - a->own) * sizeof(float));
}

// latent_dots computes values o..o+C-1 of a head for all rows; rows of w are given in any form that dots reads.
INLINE void latent_dots(const int C, int type, const pio_latent_args *a, const char *const *w, size_t ahead, size_t head, size_t o) {
  const float *x[4];
  float *y[4];
  size_t r = 0, step = a->heads * a->rank;
  for (; r + 4 <= a->rows; r += 4) {
    UNROLL for (size_t i = 0; i < 4; i++)
      x[i] = a->x + (r + i) * step + head * a->rank, y[i] = a->y + ((r + i) * a->heads + head) * a->own + o;
    dots(4, C, type, x, w, ahead, a->rank, y);
  }
  for (; r < a->rows; r++) {
    x[0] = a->x + r * step + head * a->rank, y[0] = a->y + (r * a->heads + head) * a->own + o;
    dots(1, C, type, x, w, ahead, a->rank, y);
  }
}

INLINE void latent_values(const int C, int type, const pio_latent_args *a, size_t head, size_t o) {
  const char *w[4];
  size_t row = (head + 1) * a->group - a->own + o, bytes = a->rank * width_of(type);
  if (type == PIO_F8) {
    float wide[4][PIO_RANK_F8];
    UNROLL for (int c = 0; c < C; c++) {
      widen_row(PIO_F8, wide[c], a, row + (size_t)c, 0, a->rank);
      w[c] = (const char *)wide[c];
    }
    latent_dots(C, PIO_F32, a, w, 0, head, o);
    return;
  }
  UNROLL for (int c = 0; c < C; c++)
    w[c] = (const char *)a->w + (row + (size_t)c) * bytes;
  latent_dots(C, type, a, w, (size_t)C * bytes, head, o);
}

INLINE void values_of(int type, const pio_latent_args *a, size_t head, size_t from, size_t to) {
  size_t o = from;
  for (; o + 3 <= to; o += 3)
    latent_values(3, type, a, head, o);
  for (; o < to; o++)
    latent_values(1, type, a, head, o);
}

// A task is some values of one head, for all rows.
static void latent_value(const void *args, size_t task) {
  const pio_latent_args *a = args;
  size_t head = task / a->tasks_per_head, from = task % a->tasks_per_head * a->per_task;
  size_t to = a->own - from < a->per_task ? a->own : from + a->per_task;
  switch (a->type) {
  case PIO_BF16:
    values_of(PIO_BF16, a, head, from, to);
    break;
  case PIO_F16:
    values_of(PIO_F16, a, head, from, to);
    break;
  case PIO_F8:
    values_of(PIO_F8, a, head, from, to);
    break;
  default:
    values_of(PIO_F32, a, head, from, to);
  }
}

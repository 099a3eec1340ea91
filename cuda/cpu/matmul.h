// matmul.h: y[r][o] = sum over k of x[r][k] w[o][k]; included by template.h.
//
// Both operands are read along k, and every sum is one vector of lanes. With few rows reading the weights is what takes time, so
// they are widened in registers as they come; with many rows it is the arithmetic, so a panel of them is widened once and stays in
// the first-level cache while the rows go by.

enum {
  FEW = 16,               // rows that few takes
  FEW_OUTS = W == 16 ? 4 : 3, // that it takes at once for several rows: as many sums as there are registers for, and fours are added up faster
  ROWS_MANY = 96 * 8 / W, // rows that many works on at once, so that their sums have one size
  OUTS_MANY = 32,         // and outs
  SQUARE = 32,            // of sums that wait
};

typedef struct {
  float *y;
  const float *x;
  const int32_t *to; // where the rows of y go; NULL: one after the other
  const pio_matrix *w;
  const char *formed; // the rows of x in the form that the kernel takes, if that is another
  size_t formed_bytes; // of one
  size_t rows, in, out;
  size_t outs_per_task, out_tasks, rows_per_task;
  int unasked; // the layout's
  int apart;   // outs are too many to stay in a cache until they are read
  span cols;   // that are multiplied,
  float *sums; // and what those before them come to, in squares of SQUARE rows by as many outs, if they are not all
} matmul_args;

INLINE float *y_row(const matmul_args *a, size_t r) { return a->y + (a->to ? (size_t)a->to[r] : r) * a->out; }

#include "matmul_f8.h"

// dots computes R x C sums side by side: x[r], w[c] point at rows of K elements; y[r] at where the C sums go. F rows of as many elements, of
// which next is the first, are fetched meanwhile.
INLINE void dots(const int R, const int C, const int F, int layout, const float *const *x, const char *const *w, const char *next, size_t K,
                 float *const *y) {
  V acc[4][8];
  size_t k = 0, size = step_of(layout) / W; // from an element to the next, vector by vector
  UNROLL for (int r = 0; r < R; r++)
    UNROLL for (int c = 0; c < C; c++)
      acc[r][c] = v_zero();
  for (; k + W <= K; k += W) {
    V xv[4];
    UNROLL for (int r = 0; r < R; r++)
      xv[r] = v_load(x[r] + k);
    UNROLL for (int f = 0; f < F; f++)
      v_prefetch(next + ((size_t)f * K + k) * size);
    UNROLL for (int c = 0; c < C; c++) {
      V wv = widen(layout, w[c] + k * size);
      UNROLL for (int r = 0; r < R; r++)
        acc[r][c] = v_fma(xv[r], wv, acc[r][c]);
    }
  }
  if (k < K)
    UNROLL for (int c = 0; c < C; c++) {
      V wv = widen_n(layout, w[c] + k * size, K - k);
      UNROLL for (int r = 0; r < R; r++)
        acc[r][c] = v_fma(v_load_n(x[r] + k, K - k), wv, acc[r][c]);
    }
  UNROLL for (int r = 0; r < R; r++) {
    int c = 0;
    UNROLL for (; c + 4 <= C; c += 4)
      v_sum4(y[r] + c, acc[r][c], acc[r][c + 1], acc[r][c + 2], acc[r][c + 3]);
    UNROLL for (; c < C; c++)
      y[r][c] = v_sum(acc[r][c]);
  }
}

// ahead_of says how far behind a row of weights lies what is fetched meanwhile: the next C rows.
INLINE size_t ahead_of(int layout, int C, size_t in) { return (size_t)C * in * size_of(layout); }

// dots_at computes outs o..o+C-1 for rows r..r+R-1 and fetches F later ones, of which next is the first.
INLINE void dots_at(const int R, const int C, const int F, int layout, const matmul_args *a, size_t r, size_t o, size_t next) {
  if (is_f8(layout)) {
    fp8_dots_at(R, C, layout, a, r, o);
    return;
  }
  const float *x[4];
  const char *w[8];
  float *y[4];
  UNROLL for (int i = 0; i < R; i++) {
    x[i] = a->x + (r + (size_t)i) * a->in;
    y[i] = y_row(a, r + (size_t)i) + o;
  }
  UNROLL for (int c = 0; c < C; c++)
    w[c] = element_at(layout, a->w, o + (size_t)c, 0);
  dots(R, C, F, layout, x, w, element_at(layout, a->w, next, 0), a->in, y);
}

// outs_for_rows computes C outs for all rows, R at a time, which find the weights in the first-level cache after the first ones. Each time
// a part of the next outs is fetched, F or fewer, so that memory is never idle. Where rows are many the first R have a loop of their own, for
// processors learn by an instruction what it will read.
INLINE void outs_for_rows(const int R, const int C, const int F, int layout, const matmul_args *a, size_t o) {
  size_t r = 0, next = o + (size_t)C;
  if (F == 1)
    dots_at(R, C, F, layout, a, 0, o, next), r = (size_t)R, next++;
  for (; r + (size_t)R <= a->rows; r += (size_t)R, next += (size_t)F)
    dots_at(R, C, F, layout, a, r, o, next);
  if (R > 3 && a->rows - r == 3)
    dots_at(3, C, F, layout, a, r, o, next);
  else if (a->rows - r == 2)
    dots_at(2, C, F, layout, a, r, o, next);
  else if (a->rows - r == 1)
    dots_at(1, C, F, layout, a, r, o, next);
}

// few does a task's outs: eight at a time for a single row, FEW_OUTS for more, so that there are enough sums in flight to
// hide how long one addition takes.
INLINE void few(int layout, const matmul_args *a, size_t task) {
  size_t o = task * a->outs_per_task, to = at_most(a->out, o + a->outs_per_task);
  if (a->rows == 1 && is_f8(layout)) // it is widening that keeps the machine busy
    for (; o + 4 <= to; o += 4)
      dots_at(1, 4, 4, layout, a, 0, o, o + 4);
  else if (a->rows == 1)
    for (; o + 8 <= to; o += 8)
      dots_at(1, 8, 8, layout, a, 0, o, o + 8);
  else if (a->rows <= 4)
    for (; o + FEW_OUTS <= to; o += FEW_OUTS)
      outs_for_rows(4, FEW_OUTS, FEW_OUTS, layout, a, o);
  else if (a->rows <= 8)
    for (; o + FEW_OUTS <= to; o += FEW_OUTS)
      outs_for_rows(4, FEW_OUTS, 2, layout, a, o);
  else
    for (; o + FEW_OUTS <= to; o += FEW_OUTS)
      outs_for_rows(4, FEW_OUTS, 1, layout, a, o);
  for (; o < to; o++)
    outs_for_rows(4, 1, 0, layout, a, o);
}

// With many rows the weights are widened once for a block of them: PANEL outs by DEPTH of k at a time, which stay in the
// first-level cache while the rows go by in threes. Unfinished sums wait in memory as whole vectors.
enum { PANEL = W / 2, DEPTH = 512 }; // tables of longer vectors have more of them

typedef float sums_buffer[ROWS_MANY * OUTS_MANY * W] __attribute__((aligned(64)));

// widen_panel also asks for the panel after this one, a cache line for every 64 bytes.
INLINE void widen_panel(int layout, float *panel, const matmul_args *a, size_t o, size_t C, size_t k0, size_t n) {
  size_t step = step_of(layout), vectors = 64 / size_of(layout) / W;
  for (size_t c = 0; c < C; c++) {
    const char *w = element_at(layout, a->w, o + c, k0);
    float *to = panel + c * DEPTH;
    size_t k = 0;
    if (!is_plain(layout)) {
      if (n % W)
        v_store(to + n - n % W, v_zero()); // behind the last element there are zeros
      widen_elements(layout, a->w, o + c, k0, n, to);
      continue;
    }
    for (size_t next = ahead_of(layout, PANEL, a->in); k + vectors * W <= n; k += vectors * W) {
      v_prefetch(w + next);
      UNROLL for (size_t i = 0; i < vectors; i++, w += step)
        v_store(to + k + i * W, widen(layout, w));
    }
    for (; k + W <= n; k += W, w += step)
      v_store(to + k, widen(layout, w));
    if (k < n)
      v_store(to + k, widen_n(layout, w, n - k));
  }
}

// block goes on with R x C sums through n elements of k.
INLINE void block(const int R, const int C, const float *x, size_t stride, const float *panel, size_t n, int first,
                  float *sums) {
  V acc[3][PANEL];
  UNROLL for (int r = 0; r < R; r++)
    UNROLL for (int c = 0; c < C; c++)
      acc[r][c] = first ? v_zero() : v_load(sums + ((size_t)r * OUTS_MANY + (size_t)c) * W);
  size_t k = 0;
  for (; k + W <= n; k += W) {
    V xv[3];
    UNROLL for (int r = 0; r < R; r++)
      xv[r] = v_load(x + (size_t)r * stride + k);
    UNROLL for (int c = 0; c < C; c++) {
      V wv = held(v_load(panel + c * DEPTH + k));
      UNROLL for (int r = 0; r < R; r++)
        acc[r][c] = v_fma(xv[r], wv, acc[r][c]);
    }
  }
  if (k < n)
    UNROLL for (int c = 0; c < C; c++) {
      V wv = v_load(panel + c * DEPTH + k);
      UNROLL for (int r = 0; r < R; r++)
        acc[r][c] = v_fma(v_load_n(x + (size_t)r * stride + k, n - k), wv, acc[r][c]);
    }
  UNROLL for (int r = 0; r < R; r++)
    UNROLL for (int c = 0; c < C; c++)
      v_store(sums + ((size_t)r * OUTS_MANY + (size_t)c) * W, acc[r][c]);
}

INLINE void rows_by_panel(const int C, const float *x, size_t stride, size_t rows, const float *panel, size_t n,
                          int first, float *sums) {
  size_t r = 0;
  for (; r + 3 <= rows; r += 3)
    block(3, C, x + r * stride, stride, panel, n, first, sums + r * OUTS_MANY * W);
  if (rows - r == 2)
    block(2, C, x + r * stride, stride, panel, n, first, sums + r * OUTS_MANY * W);
  if (rows - r == 1)
    block(1, C, x + r * stride, stride, panel, n, first, sums + r * OUTS_MANY * W);
}

INLINE void add_up(float *y, const float *sums, size_t n) {
  size_t o = 0;
  for (; o + 4 <= n; o += 4)
    v_sum4(y + o, v_load(sums + o * W), v_load(sums + (o + 1) * W), v_load(sums + (o + 2) * W), v_load(sums + (o + 3) * W));
  for (; o < n; o++)
    y[o] = v_sum(v_load(sums + o * W));
}

// A task of many is a block of rows by a block of outs.
INLINE void many(int layout, const matmul_args *a, size_t task) {
  sums_buffer sums;
  float panel[PANEL * DEPTH] __attribute__((aligned(64)));
  size_t r0 = task / a->out_tasks * ROWS_MANY, o0 = task % a->out_tasks * OUTS_MANY;
  size_t rows = at_most(ROWS_MANY, a->rows - r0), outs = at_most(OUTS_MANY, a->out - o0);
  size_t k = 0;
  do { // once at least, so that sums over nothing are zero
    size_t n = at_most(DEPTH, a->in - k);
    const float *x = a->x + r0 * a->in + k;
    size_t o = 0;
    for (; o + PANEL <= outs; o += PANEL) {
      widen_panel(layout, panel, a, o0 + o, PANEL, k, n);
      rows_by_panel(PANEL, x, a->in, rows, panel, n, k == 0, sums + o * W);
    }
    for (; o < outs; o++) {
      widen_panel(layout, panel, a, o0 + o, 1, k, n);
      rows_by_panel(1, x, a->in, rows, panel, n, k == 0, sums + o * W);
    }
    k += DEPTH;
  } while (k < a->in);
  for (size_t r = 0; r < rows; r++)
    add_up(y_row(a, r0 + r) + o0, sums + r * OUTS_MANY * W, outs);
}

// outs_many and rows_many are what a task of a layout's kernel for many rows takes.
INLINE size_t outs_many(const pio_layout *l) { return l->many_outs ? l->many_outs : OUTS_MANY; }

INLINE size_t rows_many(const pio_layout *l, size_t row_bytes) {
  size_t rows = at_least(ROWS_MANY, l->many_rows);
  return l->panel ? at_least(SQUARE, at_most(rows, l->panel / at_least(1, row_bytes) / SQUARE * SQUARE)) : rows;
}

// even_outs is of how many outs a task of few rows is a multiple, so that eights, fours and groups of sixteen come out even, and threes where kernels take
// those: of vectors of eight floats, and of strips of 8-bit ones.
INLINE size_t even_outs(int layout) { return W == 16 && !is_f8(layout) ? 16 : 48; }

// cut_matmul cuts a product into tasks of a kernel that it names; rows are not zero.
static size_t cut_matmul(matmul_args *a, const pio_layout *l, pio_task **task) {
  a->unasked = l->unasked;
  if (l->few && a->rows <= (l->few_rows ? l->few_rows : FEW)) {
    size_t row_bytes = a->in * size_of(a->w->layout), even = even_outs(a->w->layout);
    a->outs_per_task = at_least(even, TASK_BYTES / at_least(1, row_bytes) / even * even);
    *task = l->few;
    return ceil_div(a->out, a->outs_per_task);
  }
  a->outs_per_task = outs_many(l);
  a->out_tasks = ceil_div(a->out, a->outs_per_task);
  a->rows_per_task = rows_many(l, (a->cols.to - a->cols.from) * ceil_div(a->formed_bytes, at_least(1, a->in)));
  *task = l->many;
  return a->out_tasks * ceil_div(a->rows, a->rows_per_task);
}

// ---- rows in the form that kernels take

enum { SPARE = 31, APART = 4 << 20 /* bytes of outs */ };

// Rows that go together: n of them, from the first on.
typedef struct {
  int32_t first, n;
} rows_together;

typedef struct {
  const pio_layout *l;
  char *to;
  const float *x;
  size_t rows, cols, bytes, groups_per_task;
  const rows_together *groups; // NULL: rows one after the other, as many as can
} form_args;

INLINE size_t group_of(const pio_layout *l) { return at_least(1, l->together); }

static void form_rows(const void *args, size_t task) {
  const form_args *a = args;
  size_t each = group_of(a->l);
  span groups = part_of(task, a->groups_per_task, a->groups ? a->rows / each : ceil_div(a->rows, each));
  for (size_t g = groups.from; g < groups.to; g++) {
    size_t first = a->groups ? (size_t)a->groups[g].first : g * each, n = a->groups ? (size_t)a->groups[g].n : at_most(each, a->rows - first);
    a->l->form(a->to + g * each * a->bytes, a->x + first * a->cols, n, a->cols);
  }
}

// formed_size is the room of so many rows. Behind them is some for rows that are read with the last ones, and do not count.
INLINE size_t formed_size(const pio_layout *l, size_t rows, size_t cols) {
  return ceil_div((rows + SPARE) * at_least(1, l->form_bytes(cols)), 64) * 64;
}

// form_into brings rows into the form that a layout's kernels take. If groups says which go together, rows counts the room of all.
static void form_into(pio_pool *p, const pio_layout *l, char *to, const float *x, size_t rows, size_t cols, const rows_together *groups) {
  size_t each = group_of(l);
  form_args a = {l, to, x, rows, cols, l->form_bytes(cols), at_least(1, SMALL / at_least(1, each * cols)), groups};
  pio_pool_run(p, form_rows, &a, ceil_div(ceil_div(rows, each), a.groups_per_task));
}

// form_all does so in memory that the caller frees; NULL if there is none.
static char *form_all(pio_pool *p, const pio_layout *l, const float *x, size_t rows, size_t cols, const rows_together *groups) {
  char *to = aligned_alloc(64, formed_size(l, rows, cols));
  if (to)
    form_into(p, l, to, x, rows, cols, groups);
  return to;
}

// room_of gives room of so many bytes; NULL if there is none.
static void *room_of(pio_room *r, size_t bytes) {
  if (r->bytes < bytes) {
    free(r->at);
    r->at = aligned_alloc(64, ceil_div(bytes, 64) * 64);
    r->bytes = r->at ? bytes : 0;
  }
  return r->at;
}

// form_once does so in room that stays, unless these very rows are there; NULL if there is none.
static char *form_once(pio_pool *p, const pio_layout *l, pio_formed *f, const float *x, size_t rows, size_t cols) {
  if (f->x == (uintptr_t)x && f->rows == rows && f->cols == cols && f->form == (uintptr_t)l->form)
    return f->room.at;
  char *to = room_of(&f->room, formed_size(l, rows, cols));
  f->x = to ? (uintptr_t)x : 0, f->rows = rows, f->cols = cols, f->form = (uintptr_t)l->form;
  if (to)
    form_into(p, l, to, x, rows, cols, NULL);
  return to;
}

// ---- the op

// layout_of is what the op's table has for the layout of a matrix.
INLINE const pio_layout *layout_of(const pio_op *op, const pio_matrix *m) { return &op->table->layouts[m->layout]; }

// by_columns multiplies some columns after the others, as many as leave a task's rows in a cache, where all of them would not.
static const char *by_columns(pio_pool *p, matmul_args *a, const pio_layout *l, pio_room *sums) {
  size_t columns = at_least(1, a->in), bytes = at_least(1, at_most(a->rows, rows_many(l, 0)) * ceil_div(a->formed_bytes, columns));
  if (l->columns && a->rows > at_least(FEW, l->few_rows) && bytes * columns > l->panel) {
    columns = at_least(1, l->panel / bytes / l->columns) * l->columns;
    if (!(a->sums = room_of(sums, ceil_div(a->rows, SQUARE) * ceil_div(a->out, SQUARE) * SQUARE * SQUARE * sizeof(float))))
      return no_memory;
  }
  do { // once at least, so that sums over nothing are zero
    a->cols.to = at_most(a->in, a->cols.from + columns);
    pio_task *task;
    size_t tasks = cut_matmul(a, l, &task);
    pio_pool_run(p, task, a, tasks);
    a->cols.from = a->cols.to;
  } while (a->cols.from < a->in);
  return NULL;
}

static const char *run_matmul(pio_pool *p, const pio_op *op) {
  const pio_matrix *w = &op->w[0];
  const pio_layout *l = layout_of(op, w);
  matmul_args a = {.y = f32(&op->out[0]), .x = f32(&op->in[0]), .w = w, .rows = rows_of(&op->out[0]), .in = (size_t)w->cols,
                   .out = (size_t)w->rows};
  pio_formed *f = (pio_formed *)op->formed;
  if (!op->n[0]) // who adds ops says if the rows are those of the product before
    f->x = 0;
  a.formed = l->form ? form_once(p, l, f, a.x, a.rows, a.in) : NULL;
  if (l->form && !a.formed)
    return no_memory;
  a.formed_bytes = l->form ? l->form_bytes(a.in) : 0;
  a.apart = a.rows * a.out * sizeof(float) > APART && (a.out * sizeof(float) | (uintptr_t)a.y) % 64 == 0;
  return by_columns(p, &a, l, &f->sums);
}

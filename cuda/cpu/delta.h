// delta.h: the gated delta rule and the decay of its state; included by template.h.
//
// A task of the rule is some columns of a value head's matrices, which have nothing to do with each other, for all rows of
// the batch in their order. Rows of a prompt are computed up to 64 at once. With S the state before them, G_i the sum of
// g up to row i of them, and D_ij = e^(G_i - G_j) for j <= i:
//
//	A_ij = β_i (k_i·k_j) D_ij for j < i
//	C_i  = β_i (v_i - e^(G_i) Sᵀk_i) - Σ_j A_ij C_j      what row i adds under its key
//	y_i  = scale (e^(G_i) Sᵀq_i + Σ_j<=i (q_i·k_j) D_ij C_j)
//	S    = e^(G_n) S + Σ_i k_i (e^(G_n - G_i) C_i)ᵀ
//
// so that the matrix is read and written once for all of them, and most of the work is products of matrices that are at
// hand. Every element is a sum in one order, whatever is computed side by side; a chunk begins where a position is
// a multiple of 64, so that batches do not matter.

enum {
  CHUNK = PIO_BLOCK, // rows of a prompt that are computed together
  COLUMNS = 128,     // of a matrix, that a task does
  KEY_MOST = 1024,   // elements of a key head
  SLICE = 4 * W, // columns at once, side by side: rows of a matrix lie so far apart that few would share the first-level cache
  PAD = 16,      // floats between rows of q and k, for the same reason
};

// ---- products: c (rows, SLICE) = keep c + a b, with a (rows, n) at a + row * a_row + t * a_step and b (n, SLICE).

typedef struct {
  const float *a;
  size_t a_row, a_step;
  const float *b;
  size_t n;
} product;

// mix does R rows from row on; a keep of 0 means that c holds nothing yet.
INLINE void mix(const int R, float *c, float keep, const product *p, size_t row) {
  V acc[3][4];
  c += row * SLICE;
  UNROLL for (int r = 0; r < R; r++)
    UNROLL for (int j = 0; j < 4; j++) {
      acc[r][j] = v_zero();
      if (keep != 0)
        acc[r][j] = v_load(c + r * SLICE + j * W) * v_set1(keep);
    }
  const float *a = p->a + row * p->a_row, *b = p->b;
  for (size_t t = 0; t < p->n; t++, a += p->a_step, b += SLICE) {
    V f[3];
    UNROLL for (int r = 0; r < R; r++)
      f[r] = v_set1(a[(size_t)r * p->a_row]);
    UNROLL for (int j = 0; j < 4; j++) {
      V value = v_load(b + j * W);
      UNROLL for (int r = 0; r < R; r++)
        acc[r][j] = v_fma(f[r], value, acc[r][j]);
    }
  }
  UNROLL for (int r = 0; r < R; r++)
    UNROLL for (int j = 0; j < 4; j++)
      v_store(c + r * SLICE + j * W, acc[r][j]);
}

static void mix_all(float *c, size_t rows, float keep, const product *p) {
  size_t r = 0;
  for (; r + 3 <= rows; r += 3)
    mix(3, c, keep, p, r);
  for (; r < rows; r++)
    mix(1, c, keep, p, r);
}

// mix_below is c += a b where a is a triangle: row i stops at column i, or behind it. Rows go in threes: first
// what all three have, then each its own rest, so that a row's sum never sees what comes after it.
static void mix_below(float *c, float (*a)[CHUNK], const float *b, size_t rows, size_t behind) {
  for (size_t i = 0; i < rows; i += 3) {
    size_t together = rows - i < 3 ? rows - i : 3;
    mix_all(c + i * SLICE, together, 1, &(product){a[i], CHUNK, 1, b, i + behind});
    for (size_t r = 1; r < together; r++)
      mix(1, c + (i + r) * SLICE, 1, &(product){a[i + r] + i + behind, 0, 1, b + (i + behind) * SLICE, r}, 0);
  }
}

// ---- the chunked form

// delta_head is what a task works on: rows of a head's inputs, and columns of its outputs and of its matrix in a slot.
typedef struct {
  const float *q, *k, *v, *g, *beta;
  float *y, *s;
  size_t qk_row, v_row, gate_row, s_row; // strides
  size_t dk, cols;
  float scale;
  struct bench *bench;
} delta_head;

// overlaps gives s[i][j] = x_i·k_j for j <= i, and numbers of no account for some others.
static void overlaps(float (*s)[CHUNK], const float *x, const float *k, size_t stride, size_t dk, size_t n) {
  const float *rows[4];
  const char *keys[8];
  float *to[4];
#define PIO_OVERLAPS(R, C)                                                                                             \
  do {                                                                                                                 \
    UNROLL for (int r = 0; r < R; r++) rows[r] = x + (i + (size_t)r) * stride, to[r] = s[i + (size_t)r] + j;           \
    UNROLL for (int c = 0; c < C; c++) keys[c] = (const char *)(k + (j + (size_t)c) * stride);                         \
    dots(R, C, 0, F32, rows, keys, NULL, dk, to);                                                                        \
  } while (0)
#define PIO_OVERLAPS_ALL(R)                                                                                            \
  do {                                                                                                                 \
    size_t j = 0;                                                                                                      \
    for (; j + 4 <= i + R; j += 4)                                                                                     \
      PIO_OVERLAPS(R, 4);                                                                                              \
    for (; j < i + R; j++)                                                                                             \
      PIO_OVERLAPS(R, 1);                                                                                              \
  } while (0)
  size_t i = 0;
  for (; i + 3 <= n; i += 3)
    PIO_OVERLAPS_ALL(3);
  for (; i < n; i++)
    PIO_OVERLAPS_ALL(1);
#undef PIO_OVERLAPS
#undef PIO_OVERLAPS_ALL
}

// triangles holds a chunk's -A, its q·k D and, by row, what depends on G: the sums of g, which are long where their differences
// are short and therefore in double.
typedef struct {
  float a[CHUNK][CHUNK], p[CHUNK][CHUNK];
  float seen[CHUNK], left[CHUNK]; // e^(G_i), e^(G_n - G_i)
  float kept;                     // e^(G_n)
} triangles;

// bench is what a chunk is worked on with, in the pool's room: it is too much for a thread's stack. q and k are its rows (CHUNK,
// dk + PAD), s the columns of the matrix (dk, SLICE) that are at hand, c and y what is added to it and read from it.
typedef struct bench {
  triangles t;
  float c[CHUNK * SLICE] __attribute__((aligned(64))), y[CHUNK * SLICE] __attribute__((aligned(64)));
  float rest[] __attribute__((aligned(64))); // s, q and k
} bench;

static size_t delta_room(size_t dk) { return sizeof(bench) + (dk * SLICE + 2 * CHUNK * (dk + PAD)) * sizeof(float); }

static void decay_all(triangles *t, const delta_head *h, size_t n) {
  double G[CHUNK], sum = 0;
  float d[CHUNK];
  for (size_t i = 0; i < n; i++) {
    G[i] = sum += (double)h->g[i * h->gate_row];
    for (size_t j = 0; j <= i; j++)
      d[j] = (float)(G[i] - G[j]);
    exp_all(d, d, i + 1);
    float beta = h->beta[i * h->gate_row];
    for (size_t j = 0; j < i; j++)
      t->a[i][j] *= -beta * d[j];
    for (size_t j = 0; j <= i; j++)
      t->p[i][j] *= d[j];
  }
  for (size_t i = 0; i < n; i++)
    t->seen[i] = (float)G[i], t->left[i] = (float)(sum - G[i]);
  exp_all(t->seen, t->seen, n);
  exp_all(t->left, t->left, n);
  t->kept = exp_of((float)sum);
}

// slice_in and slice_out move rows of up to SLICE columns; what a row lacks is zeros.
static void slice_in(float *to, const float *from, size_t stride, size_t rows, size_t cols) {
  for (size_t r = 0; r < rows; r++) {
    memcpy(to + r * SLICE, from + r * stride, cols * sizeof(float));
    memset(to + r * SLICE + cols, 0, (SLICE - cols) * sizeof(float));
  }
}

static void slice_out(float *to, const float *from, size_t stride, size_t rows, size_t cols) {
  for (size_t r = 0; r < rows; r++)
    memcpy(to + r * stride, from + r * SLICE, cols * sizeof(float));
}

// fetch asks for rows of up to SLICE columns that will be needed soon: they lie pages apart.
static void fetch(const float *from, size_t stride, size_t rows, size_t cols) {
  for (size_t r = 0; r < rows; r++)
    for (size_t c = 0; c < cols; c += 64 / sizeof *from)
      v_prefetch(from + r * stride + c);
}

// slice takes up to SLICE columns, from d on, through a chunk. q and k have rows of stride; s is room for the columns of the matrix.
static void slice(const delta_head *h, const float *q, const float *k, size_t stride, float *s, size_t d, size_t n) {
  const triangles *t = &h->bench->t;
  float *c = h->bench->c, *y = h->bench->y;
  size_t cols = h->cols - d < SLICE ? h->cols - d : SLICE;
  slice_in(s, h->s + d, h->s_row, h->dk, cols);
  fetch(h->v + d, h->v_row, n, cols);
  fetch(h->y + d, h->v_row, n, cols);
  if (d + SLICE < h->cols)
    fetch(h->s + d + SLICE, h->s_row, h->dk, h->cols - d - SLICE < SLICE ? h->cols - d - SLICE : SLICE);
  mix_all(c, n, 0, &(product){k, stride, 1, s, h->dk});
  mix_all(y, n, 0, &(product){q, stride, 1, s, h->dk});
  float v[SLICE];
  for (size_t i = 0; i < n; i++) {
    slice_in(v, h->v + i * h->v_row + d, 0, 1, cols);
    V beta = v_set1(h->beta[i * h->gate_row]), seen = v_set1(t->seen[i]);
    for (size_t j = 0; j < SLICE; j += W) {
      float *ci = c + i * SLICE + j, *yi = y + i * SLICE + j;
      v_store(ci, beta * (v_load(v + j) - seen * v_load(ci)));
      v_store(yi, seen * v_load(yi));
    }
  }
  mix_below(c, (float(*)[CHUNK])t->a, c, n, 0);
  mix_below(y, (float(*)[CHUNK])t->p, c, n, 1);
  for (size_t i = 0; i < n; i++) {
    scale_row(y + i * SLICE, y + i * SLICE, SLICE, h->scale);
    scale_row(c + i * SLICE, c + i * SLICE, SLICE, t->left[i]);
  }
  mix_all(s, h->dk, t->kept, &(product){k, 1, stride, c, n});
  slice_out(h->y + d, y, h->v_row, n, cols);
  slice_out(h->s + d, s, h->s_row, h->dk, cols);
}

__attribute__((noinline)) static void pack_rows(float *to, size_t stride, const float *from, size_t row, size_t rows, size_t n) {
  for (size_t i = 0; i < rows; i++)
    memcpy(to + i * stride, from + i * row, n * sizeof(float));
}

// chunk takes up to CHUNK rows through the rule together.
static void chunk(const delta_head *h, size_t n) {
  triangles *t = &h->bench->t;
  size_t stride = h->dk + PAD;
  float *s = h->bench->rest, *q = s + h->dk * SLICE, *k = q + CHUNK * stride;
  fetch(h->s, h->s_row, h->dk, h->cols < SLICE ? h->cols : SLICE);
  pack_rows(q, stride, h->q, h->qk_row, n, h->dk);
  pack_rows(k, stride, h->k, h->qk_row, n, h->dk);
  overlaps(t->a, k, k, stride, h->dk, n);
  overlaps(t->p, q, k, stride, h->dk, n);
  decay_all(t, h, n);
  for (size_t d = 0; d < h->cols; d += SLICE)
    slice(h, q, k, stride, s, d, n);
}

// ---- the recurrent form

// recur_at does N vectors of columns: the matrix is read twice and written once.
INLINE void recur_at(const int N, const delta_head *h, size_t d, float keep) {
  V sum[4], fade = v_set1(keep);
  UNROLL for (int j = 0; j < N; j++)
    sum[j] = v_zero();
  for (size_t i = 0; i < h->dk; i++)
    UNROLL for (int j = 0; j < N; j++)
      sum[j] = v_fma(v_set1(h->k[i]), v_load(h->s + i * h->s_row + d + (size_t)j * W), sum[j]);
  V c[4];
  UNROLL for (int j = 0; j < N; j++) {
    c[j] = v_set1(h->beta[0]) * v_fma(v_zero() - fade, sum[j], v_load(h->v + d + (size_t)j * W));
    sum[j] = v_zero();
  }
  for (size_t i = 0; i < h->dk; i++)
    UNROLL for (int j = 0; j < N; j++) {
      float *s = h->s + i * h->s_row + d + (size_t)j * W;
      V now = v_fma(v_set1(h->k[i]), c[j], fade * v_load(s));
      v_store(s, now);
      sum[j] = v_fma(v_set1(h->q[i]), now, sum[j]);
    }
  UNROLL for (int j = 0; j < N; j++)
    v_store(h->y + d + (size_t)j * W, v_set1(h->scale) * sum[j]);
}

static void recur_rest(const delta_head *h, size_t d, size_t n, float keep) {
  V sum = v_zero(), fade = v_set1(keep);
  for (size_t i = 0; i < h->dk; i++)
    sum = v_fma(v_set1(h->k[i]), v_load_n(h->s + i * h->s_row + d, n), sum);
  V c = v_set1(h->beta[0]) * v_fma(v_zero() - fade, sum, v_load_n(h->v + d, n));
  sum = v_zero();
  for (size_t i = 0; i < h->dk; i++) {
    V now = v_fma(v_set1(h->k[i]), c, fade * v_load_n(h->s + i * h->s_row + d, n));
    v_store_n(h->s + i * h->s_row + d, now, n);
    sum = v_fma(v_set1(h->q[i]), now, sum);
  }
  v_store_n(h->y + d, v_set1(h->scale) * sum, n);
}

static void recur(const delta_head *h) {
  float keep = exp_of(h->g[0]);
  size_t d = 0;
  for (; d + 4 * W <= h->cols; d += 4 * W)
    recur_at(4, h, d, keep);
  for (; d + W <= h->cols; d += W)
    recur_at(1, h, d, keep);
  if (d < h->cols)
    recur_rest(h, d, h->cols - d, keep);
}

typedef struct {
  const pio_pool *pool;              // has the room for a chunk
  float *y, *state;                  // (rows, heads, value_dim), (slots, heads, key_dim, value_dim)
  const float *q, *k, *v, *g, *beta; // (rows, key_heads, key_dim) twice, (rows, heads, value_dim), (rows, heads) twice
  const int32_t *positions, *slots, *forms;
  size_t rows, key_heads, heads, key_dim, value_dim;
  float scale;
} delta_args;

// together is how many rows from r on are one chunk: the same sequence's prompt up to the next multiple of CHUNK.
static size_t together(const delta_args *a, size_t r) {
  size_t n = 1;
  if (a->forms[r] != 0)
    return n;
  while (r + n < a->rows && a->forms[r + n] == 0 && a->slots[r + n] == a->slots[r] &&
         a->positions[r + n] == a->positions[r] + (int32_t)n && a->positions[r + n] % CHUNK != 0)
    n++;
  return n;
}

static void delta_rule(const void *args, size_t task) {
  const delta_args *a = args;
  size_t blocks = ceil_div(a->value_dim, COLUMNS), head = task / blocks, d = task % blocks * COLUMNS;
  size_t key = head * a->key_heads / a->heads;
  delta_head h = {.qk_row = a->key_heads * a->key_dim, .v_row = a->heads * a->value_dim, .gate_row = a->heads, .s_row = a->value_dim,
                  .dk = a->key_dim, .cols = a->value_dim - d < COLUMNS ? a->value_dim - d : COLUMNS, .scale = a->scale, .bench = pio_pool_room(a->pool)};
  for (size_t r = 0, n; r < a->rows; r += n) {
    n = together(a, r);
    h.q = a->q + r * h.qk_row + key * a->key_dim, h.k = a->k + r * h.qk_row + key * a->key_dim;
    h.v = a->v + r * h.v_row + head * a->value_dim + d, h.y = a->y + r * h.v_row + head * a->value_dim + d;
    h.g = a->g + r * a->heads + head, h.beta = a->beta + r * a->heads + head;
    h.s = a->state + ((size_t)a->slots[r] * a->heads + head) * a->key_dim * a->value_dim + d;
    if (a->positions[r] == 0)
      for (size_t i = 0; i < h.dk; i++)
        memset(h.s + i * h.s_row, 0, h.cols * sizeof(float));
    if (a->forms[r] == 0)
      chunk(&h, n);
    else
      recur(&h);
  }
}

static const char *run_delta_rule(pio_pool *p, const pio_op *op) {
  const pio_tensor *q = &op->in[0], *v = &op->in[2];
  delta_args a = {.pool = p, .y = f32(&op->out[0]), .state = f32(&op->out[1]), .q = f32(q), .k = f32(&op->in[1]), .v = f32(v),
                  .g = f32(&op->in[3]), .beta = f32(&op->in[4]), .positions = i32(&op->in[5]), .slots = i32(&op->in[6]),
                  .forms = i32(&op->in[7]), .rows = dim(q, 0), .key_heads = dim(q, 1), .heads = dim(v, 1), .key_dim = dim(q, 2),
                  .value_dim = dim(v, 2), .scale = op->f[0]};
  if (a.key_dim > KEY_MOST)
    return "key heads of more than 1024 elements";
  return pio_pool_run_with(p, delta_rule, &a, a.heads * ceil_div(a.value_dim, COLUMNS), delta_room(a.key_dim)) ? NULL : no_memory;
}

// ---- decay: -e^aLog softplus(a + dtBias), a few numbers for each row, in double

static void decay(const void *args, size_t task) {
  const row_args *a = args;
  span rows = part_of(task, a->rows_per_task, a->rows);
  vector log, bias;
  vector_of(&log, &a->op->w[0]), vector_of(&bias, &a->op->w[1]);
  for (size_t r = rows.from; r < rows.to; r++)
    for (size_t c = 0; c < a->n; c += PIECE) {
      const float *l = piece(&log, c, a->n - c), *b = piece(&bias, c, a->n - c);
      for (size_t i = 0; i < at_most(PIECE, a->n - c); i++) {
        double x = (double)a->x[r * a->n + c + i] + (double)b[i];
        double softplus = (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
        a->y[r * a->n + c + i] = (float)(-exp((double)l[i]) * softplus);
      }
    }
}

static const char *run_decay(pio_pool *p, const pio_op *op) { return by_row(p, op, decay); }

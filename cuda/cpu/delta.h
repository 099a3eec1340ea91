// delta.h: the gated delta rule and the convolution before it; included by template.h.
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

enum { CHUNK = PIO_DELTA_CHUNK, COLUMNS = PIO_DELTA_COLUMNS };

// ---- products: c (rows, cols) = keep c + a b, with a (rows, n) at a + row * a_row + t * a_step and b (n, cols).

typedef struct {
  const float *a;
  size_t a_row, a_step;
  const float *b;
  size_t b_row, n;
} product;

// kept is where a sum begins; a keep of 0 means that c holds nothing yet.
INLINE V kept(const float *c, size_t n, float keep) {
  if (keep == 0)
    return v_zero();
  return (n == W ? v_load(c) : v_load_n(c, n)) * v_set1(keep);
}

// mix does R rows and N vectors.
INLINE void mix(const int R, const int N, float *c, size_t c_row, float keep, const product *p, size_t row, size_t d) {
  V acc[3][4];
  UNROLL for (int r = 0; r < R; r++)
    UNROLL for (int j = 0; j < N; j++)
      acc[r][j] = kept(c + (row + (size_t)r) * c_row + d + (size_t)j * W, W, keep);
  const float *a = p->a + row * p->a_row, *b = p->b + d;
  for (size_t t = 0; t < p->n; t++, a += p->a_step, b += p->b_row) {
    V f[3];
    UNROLL for (int r = 0; r < R; r++)
      f[r] = v_set1(a[(size_t)r * p->a_row]);
    UNROLL for (int j = 0; j < N; j++) {
      V value = v_load(b + (size_t)j * W);
      UNROLL for (int r = 0; r < R; r++)
        acc[r][j] = v_fma(f[r], value, acc[r][j]);
    }
  }
  UNROLL for (int r = 0; r < R; r++)
    UNROLL for (int j = 0; j < N; j++)
      v_store(c + (row + (size_t)r) * c_row + d + (size_t)j * W, acc[r][j]);
}

static void mix_rest(float *c, size_t c_row, float keep, const product *p, size_t row, size_t d, size_t n) {
  float *to = c + row * c_row + d;
  V acc = kept(to, n, keep);
  for (size_t t = 0; t < p->n; t++)
    acc = v_fma(v_set1(p->a[row * p->a_row + t * p->a_step]), v_load_n(p->b + t * p->b_row + d, n), acc);
  v_store_n(to, acc, n);
}

static void mix_all(float *c, size_t c_row, size_t rows, size_t cols, float keep, const product *p) {
  size_t d = 0;
  for (; d + 4 * W <= cols; d += 4 * W) {
    size_t r = 0;
    for (; r + 3 <= rows; r += 3)
      mix(3, 4, c, c_row, keep, p, r, d);
    for (; r < rows; r++)
      mix(1, 4, c, c_row, keep, p, r, d);
  }
  for (; d + W <= cols; d += W) {
    size_t r = 0;
    for (; r + 3 <= rows; r += 3)
      mix(3, 1, c, c_row, keep, p, r, d);
    for (; r < rows; r++)
      mix(1, 1, c, c_row, keep, p, r, d);
  }
  if (d < cols)
    for (size_t r = 0; r < rows; r++)
      mix_rest(c, c_row, keep, p, r, d, cols - d);
}

// ---- the chunked form

// head is what a task works on: rows of a head's inputs, and columns of its outputs and of its matrix in a slot.
typedef struct {
  const float *q, *k, *v, *g, *beta;
  float *y, *s;
  size_t qk_row, v_row, gate_row, s_row; // strides
  size_t dk, cols;
  float scale;
} delta_head;

INLINE float exp_of(float x) {
  float e[W];
  v_store(e, v_exp(v_set1(x)));
  return e[0];
}

// decays gives d[j] = e^(G_i - G_j) for j <= i. The sums are long and their differences short: they are in double.
static void decays(float *d, const double *G, size_t i) {
  for (size_t j = 0; j <= i; j++)
    d[j] = (float)(G[i] - G[j]);
  exp_all(d, d, i + 1);
}

// overlaps gives s[i][j] = x_i·k_j for j <= i, and numbers of no account for some others.
static void overlaps(float (*s)[CHUNK], const float *x, const delta_head *h, size_t n) {
  const float *rows[4];
  const char *keys[8];
  float *to[4];
#define PIO_OVERLAPS(R, C)                                                                                             \
  do {                                                                                                                 \
    UNROLL for (int r = 0; r < R; r++) rows[r] = x + (i + (size_t)r) * h->qk_row, to[r] = s[i + (size_t)r] + j;        \
    UNROLL for (int c = 0; c < C; c++) keys[c] = (const char *)(h->k + (j + (size_t)c) * h->qk_row);                   \
    dots(R, C, PIO_F32, rows, keys, 0, h->dk, to);                                                                     \
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

// corrections turns c, which holds Sᵀk_i, into C_i; a holds -A. Rows go in threes: what stands before them is
// taken off together.
static void corrections(float (*c)[COLUMNS], float (*a)[CHUNK], const delta_head *h, const double *G, size_t n) {
  for (size_t i = 0; i < n; i++) {
    float beta = h->beta[i * h->gate_row], seen = beta * exp_of((float)G[i]);
    const float *v = h->v + i * h->v_row;
    size_t d = 0;
    for (; d + W <= h->cols; d += W)
      v_store(c[i] + d, v_fma(v_set1(-seen), v_load(c[i] + d), v_set1(beta) * v_load(v + d)));
    if (d < h->cols)
      v_store_n(c[i] + d, v_fma(v_set1(-seen), v_load_n(c[i] + d, h->cols - d), v_set1(beta) * v_load_n(v + d, h->cols - d)), h->cols - d);
  }
  for (size_t i = 0; i < n; i += 3) {
    size_t rows = n - i < 3 ? n - i : 3;
    mix_all(c[i], COLUMNS, rows, h->cols, 1, &(product){a[i], CHUNK, 1, c[0], COLUMNS, i});
    for (size_t r = 1; r < rows; r++)
      mix_all(c[i + r], COLUMNS, 1, h->cols, 1, &(product){a[i + r] + i, CHUNK, 1, c[i], COLUMNS, r});
  }
}

// chunk takes up to CHUNK rows through the rule together.
static void chunk(const delta_head *h, size_t n) {
  float a[CHUNK][CHUNK] __attribute__((aligned(64))), p[CHUNK][CHUNK] __attribute__((aligned(64)));
  float c[CHUNK][COLUMNS] __attribute__((aligned(64))), d[CHUNK];
  double G[CHUNK], sum = 0;
  overlaps(a, h->k, h, n);
  overlaps(p, h->q, h, n);
  for (size_t i = 0; i < n; i++) {
    G[i] = sum += (double)h->g[i * h->gate_row];
    decays(d, G, i);
    for (size_t j = 0; j < i; j++)
      a[i][j] *= -h->beta[i * h->gate_row] * d[j];
    for (size_t j = 0; j <= i; j++)
      p[i][j] *= h->scale * d[j];
  }
  mix_all(c[0], COLUMNS, n, h->cols, 0, &(product){h->k, h->qk_row, 1, h->s, h->s_row, h->dk});
  corrections(c, a, h, G, n);
  mix_all(h->y, h->v_row, n, h->cols, 0, &(product){h->q, h->qk_row, 1, h->s, h->s_row, h->dk});
  for (size_t i = 0; i < n; i++) {
    float *y = h->y + i * h->v_row;
    scale_row(y, y, h->cols, h->scale * exp_of((float)G[i]));
  }
  for (size_t i = 0; i < n; i += 3) { // as the corrections: first the rows that all three see
    size_t rows = n - i < 3 ? n - i : 3;
    mix_all(h->y + i * h->v_row, h->v_row, rows, h->cols, 1, &(product){p[i], CHUNK, 1, c[0], COLUMNS, i + 1});
    for (size_t r = 1; r < rows; r++)
      mix_all(h->y + (i + r) * h->v_row, h->v_row, 1, h->cols, 1, &(product){p[i + r] + i + 1, CHUNK, 1, c[i + 1], COLUMNS, r});
  }
  for (size_t i = 0; i < n; i++)
    scale_row(c[i], c[i], h->cols, exp_of((float)(sum - G[i])));
  mix_all(h->s, h->s_row, h->dk, h->cols, exp_of((float)sum), &(product){h->k, 1, h->qk_row, c[0], COLUMNS, n});
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

// together is how many rows from r on are one chunk: the same sequence's prompt up to the next multiple of CHUNK.
static size_t together(const pio_delta_args *a, size_t r) {
  size_t n = 1;
  if (a->forms[r] != 0)
    return n;
  while (r + n < a->rows && a->forms[r + n] == 0 && a->slots[r + n] == a->slots[r] &&
         a->positions[r + n] == a->positions[r] + (int32_t)n && a->positions[r + n] % CHUNK != 0)
    n++;
  return n;
}

static void delta_rule(const void *args, size_t task) {
  const pio_delta_args *a = args;
  size_t blocks = (a->value_dim + COLUMNS - 1) / COLUMNS, head = task / blocks, d = task % blocks * COLUMNS;
  size_t key = head * a->key_heads / a->heads;
  delta_head h = {.qk_row = a->key_heads * a->key_dim, .v_row = a->heads * a->value_dim, .gate_row = a->heads, .s_row = a->value_dim,
                  .dk = a->key_dim, .cols = a->value_dim - d < COLUMNS ? a->value_dim - d : COLUMNS, .scale = a->scale};
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

// ---- the convolution

// A task is some channels: their weights are turned so that channels lie side by side, and the last inputs stay in the state.
static void causal_conv(const void *args, size_t task) {
  const pio_conv_args *a = args;
  float plain[PIO_CONV_CHANNELS * PIO_CONV_MOST], w[PIO_CONV_MOST][PIO_CONV_CHANNELS] __attribute__((aligned(64)));
  size_t c0 = task * PIO_CONV_CHANNELS, channels = a->channels - c0 < PIO_CONV_CHANNELS ? a->channels - c0 : PIO_CONV_CHANNELS;
  size_t n = a->n, all = channels * n, size = width_of(a->type), i = 0;
  const char *from = (const char *)a->w + c0 * n * size;
  for (; i + W <= all; i += W)
    v_store(plain + i, widen(a->type, from + i * size));
  if (i < all)
    v_store_n(plain + i, widen_n(a->type, from + i * size, all - i), all - i);
  for (size_t j = 0; j < n; j++)
    for (size_t c = 0; c < channels; c++)
      w[j][c] = plain[c * n + j];
  for (size_t r = 0; r < a->rows; r++) {
    const float *x = a->x + r * a->channels + c0;
    float *y = a->y + r * a->channels + c0, *past = a->state + (size_t)a->slots[r] * (n - 1) * a->channels + c0;
    for (size_t c = 0; c < channels; c += W) {
      size_t m = channels - c < W ? channels - c : W;
      V input = v_load_n(x + c, m), sum = v_zero();
      for (size_t j = 0; j + 1 < n; j++) {
        float *at = past + j * a->channels + c;
        V before = a->positions[r] == 0 ? v_zero() : v_load_n(at, m);
        sum = v_fma(v_load_n(w[j] + c, m), before, sum);
        if (j > 0)
          v_store_n(at - a->channels, before, m);
      }
      if (n > 1)
        v_store_n(past + (n - 2) * a->channels + c, input, m);
      sum = v_fma(v_load_n(w[n - 1] + c, m), input, sum);
      v_store_n(y + c, sum * sigmoid_of(sum), m);
    }
  }
}

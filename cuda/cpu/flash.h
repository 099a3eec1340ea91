// flash.h: queries through keys and values with a running softmax (flash attention: Dao et al., 2022); included by template.h.
//
// Queries, which are rows of one sequence times the heads that share a kv head, go through keys together, block by block, with a running
// maximum m, a running sum l and the output as the running weighted sum: at each block both are scaled by e^(m before - m now). What a
// query computes at a block depends on the block's keys up to its own position alone, so its bits are those it would have by itself.
//
// Elements are taken a pair of vectors at a time, in the order in which they are widened: of bf16 those at even places and then those at
// odd ones, which takes one operation a vector; of codes as they are. Queries are brought into that order once, and outputs out of it at the
// end; both are padded to whole pairs. With few queries keys and values are widened in registers as they come; with more, into panels that stay in the
// first-level cache while the queries go by.

enum {
  QUERIES = W == 16 ? 48 : 24, // at once: threes, and tiles of 16
  KEYS = 64,      // at once, which divide a cache block or are divided by it
  PAIR = 2 * W,   // elements at once
  PANEL_QUERIES = 12, // from which on panels gain more than they cost,
  PANEL_CODES = 6,    // and where keys and values are codes, which take three operations to widen
  PANEL_KEYS = 8,     // of a panel
  SCORE_KEYS = W == 16 ? 8 : 4,  // that three queries take side by side, as many as there are registers for
  WEIGH_PAIRS = W == 16 ? 4 : 2, // of values, and so many pairs
};

// What attention reads of a position: a key of dim elements and a value of vdim, the first of a row of value_dim.
typedef struct {
  int type; // of keys and values: PIO_F32, PIO_BF16 or PIO_Q8ROW
  size_t dim, vdim, value_dim;
  float scale; // of scores
} keys_form;

// running is what a softmax over some keys has come to: the weighted sum of values, padded(vdim) of them, the largest score, and the sum of
// weights.
typedef struct {
  float *out;
  float m, l;
} running;

typedef struct {
  const float *q; // padded(dim) elements
  size_t keys;    // it may see: its position + 1
  running is;        // so far
} query;

// strip is n elements each of keys or values, step bytes from one position to the next. What lies ahead bytes behind each is wanted next,
// and is fetched meanwhile.
typedef struct {
  const char *at;
  size_t step, n, ahead;
} strip;

INLINE size_t padded(size_t n) { return ceil_div(n, PAIR) * PAIR; }

// half is one of the two vectors of the pair that begins at element d of a row.
INLINE V half(int type, const char *row, size_t d, int h) {
  typedef uint32_t bits __attribute__((vector_size(W * 4)));
  if (type == PIO_F32)
    return v_load((const float *)row + d + (size_t)h * W);
  if (type == PIO_Q8ROW)
    return v_i8(number_at(type, row, d) + h * W) * v_set1(factor_of(row, d));
  bits two;
  memcpy(&two, row + 2 * d, sizeof two);
  return h == 0 ? (V)(two << 16) : (V)(two & 0xffff0000u);
}

// fetch_ahead asks for what lies ahead of a pair, where a line of the cache begins with it: in bf16 of two pairs at once. It comes into the second-level
// cache, since nearer it would take the buffers of what is read now; of codes, which take longer to compute with than to read, into the first.
INLINE void fetch_ahead(int type, const strip *s, const char *row, size_t d) {
  const void *p = (const void *)((uintptr_t)number_at(type, row, d) + s->ahead);
  if (d * type_size(type) % 64 == 0) {
    if (type == PIO_Q8ROW)
      v_prefetch(p);
    else
      v_prefetch_far(p);
  }
}

INLINE size_t panels_from(int type) { return type == PIO_Q8ROW ? PANEL_CODES : PANEL_QUERIES; }

// half_n is half of a pair of which the row has n elements.
INLINE V half_n(int type, const char *row, size_t d, int h, size_t n) {
  char full[PAIR * 4] = {0};
  memcpy(full, number_at(type, row, d), n * type_size(type));
  if (type == PIO_Q8ROW)
    return v_i8(full + h * W) * v_set1(factor_of(row, d));
  return half(type, full, 0, h);
}

// place is where element i of a row is in the order of widening.
INLINE size_t place(int type, size_t i) {
  return type == PIO_BF16 ? i / PAIR * PAIR + i % 2 * W + i % PAIR / 2 : i;
}

// spread brings n elements into the order of widening, with zeros behind them; collect takes them out of it.
static void spread(int type, float *to, const float *from, size_t n) {
  memset(to + n / PAIR * PAIR, 0, (padded(n) - n / PAIR * PAIR) * sizeof(float));
  for (size_t i = 0; i < n; i++)
    to[place(type, i)] = from[i];
}

static void collect(int type, float *to, const float *from, size_t n) {
  for (size_t i = 0; i < n; i++)
    to[i] = from[place(type, i)];
}

// widen_strip writes elements d.., whole pairs of them, of keys or values from..to-1 into a panel.
INLINE void widen_strip(int type, float *panel, const strip *x, size_t d, size_t width, size_t from, size_t to) {
  for (size_t t = from; t < to; t++) {
    const char *row = x->at + t * x->step;
    for (size_t i = 0; i < width; i += PAIR) {
      fetch_ahead(type, x, row, d + i);
      UNROLL for (int h = 0; h < 2; h++)
        v_store(panel + (t - from) * width + i + (size_t)h * W,
                d + i + PAIR <= x->n ? half(type, row, d + i, h) : half_n(type, row, d + i, h, x->n - d - i));
    }
  }
}

// ---- scores: s[r][t] = q[r]·k[t]

// score_keys computes R x C of them for keys t.. of a strip.
INLINE void score_keys(const int R, const int C, const int ahead, int type, const query *qs, const strip *k, size_t t, float *const *s) {
  V acc[3][8];
  const char *row[8];
  UNROLL for (int c = 0; c < C; c++)
    row[c] = k->at + (t + (size_t)c) * k->step;
  UNROLL for (int r = 0; r < R; r++)
    UNROLL for (int c = 0; c < C; c++)
      acc[r][c] = v_zero();
  size_t d = 0;
  for (; d + PAIR <= k->n; d += PAIR)
    UNROLL for (int h = 0; h < 2; h++) {
      V x[3];
      UNROLL for (int r = 0; r < R; r++)
        x[r] = v_load(qs[r].q + d + h * W);
      UNROLL for (int c = 0; c < C; c++) {
        if (ahead && h == 0)
          fetch_ahead(type, k, row[c], d);
        V key = half(type, row[c], d, h);
        if (R > 1)
          key = held(key);
        UNROLL for (int r = 0; r < R; r++)
          acc[r][c] = v_fma(x[r], key, acc[r][c]);
      }
    }
  if (d < k->n)
    UNROLL for (int h = 0; h < 2; h++)
      UNROLL for (int c = 0; c < C; c++) {
        V key = half_n(type, row[c], d, h, k->n - d);
        UNROLL for (int r = 0; r < R; r++)
          acc[r][c] = v_fma(v_load(qs[r].q + d + h * W), key, acc[r][c]);
      }
  UNROLL for (int r = 0; r < R; r++) {
    int c = 0;
    UNROLL for (; c + 4 <= C; c += 4)
      v_sum4(s[r] + c, acc[r][c], acc[r][c + 1], acc[r][c + 2], acc[r][c + 3]);
    UNROLL for (; c < C; c++)
      s[r][c] = v_sum(acc[r][c]);
  }
}

// scores_side_by_side gives those of R queries for n keys; s begins at the first one's.
INLINE void scores_side_by_side(const int R, const int C, const int ahead, int type, const query *qs, const strip *k, size_t n, float (*s)[KEYS], size_t first) {
  float *y[3];
  size_t t = 0;
  for (; t + (size_t)C <= n; t += (size_t)C) {
    UNROLL for (int r = 0; r < R; r++)
      y[r] = s[r] + first + t;
    score_keys(R, C, ahead, type, qs, k, t, y);
  }
  for (; t < n; t++) {
    UNROLL for (int r = 0; r < R; r++)
      y[r] = s[r] + first + t;
    score_keys(R, 1, ahead, type, qs, k, t, y);
  }
}

// scores gives those of all queries. The first ones fetch what comes next, if something does.
INLINE void scores(const int ahead, int type, const query *qs, size_t count, const strip *k, size_t n, float (*s)[KEYS], size_t first) {
  size_t i = 0;
  if (ahead && count >= 3)
    scores_side_by_side(3, SCORE_KEYS, 1, type, qs, k, n, s, first), i = 3;
  for (; i + 3 <= count; i += 3)
    scores_side_by_side(3, SCORE_KEYS, 0, type, qs + i, k, n, s + i, first);
  if (count - i == 2)
    scores_side_by_side(2, 4, ahead, type, qs + i, k, n, s + i, first);
  if (count - i == 1)
    scores_side_by_side(1, 8, ahead, type, qs + i, k, n, s + i, first);
}

INLINE void scores_by_panels(int type, const query *qs, size_t count, const strip *k, size_t n, float (*s)[KEYS], float *panel) {
  size_t width = padded(k->n);
  for (size_t t = 0; t < n; t += PANEL_KEYS) {
    size_t to = at_most(n, t + PANEL_KEYS);
    widen_strip(type, panel, k, 0, width, t, to);
    strip p = {(const char *)panel, width * sizeof(float), width, 0};
    scores(0, PIO_F32, qs, count, &p, to - t, s, t);
  }
}

// ---- the running softmax

// softmax_block turns the scores of the first n keys of a block into weights and brings m, l and the output up to date.
INLINE void softmax_block(query *q, float *s, size_t n, float scale, size_t width) {
  V most = v_set1(-__builtin_inff());
  size_t i = 0;
  for (; i + W <= n; i += W) {
    V v = v_load(s + i) * v_set1(scale);
    v_store(s + i, v);
    most = v_max(most, v);
  }
  float m = v_most(most);
  for (; i < n; i++) {
    s[i] *= scale;
    m = m > s[i] ? m : s[i];
  }
  m = q->is.m > m ? q->is.m : m;
  float keep = q->is.m == m ? 1 : q->is.m == -__builtin_inff() ? 0 : exp_of(q->is.m - m);
  V sum = v_zero();
  for (i = 0; i + W <= n; i += W) {
    V e = v_exp(v_load(s + i) - v_set1(m));
    v_store(s + i, e);
    sum += e;
  }
  if (i < n) {
    v_store_n(s + i, v_exp(v_load_n(s + i, n - i) - v_set1(m)), n - i);
    sum += v_load_n(s + i, n - i);
  }
  q->is.l = q->is.l * keep + v_sum(sum);
  q->is.m = m;
  for (size_t d = 0; keep != 1 && d < width; d += W)
    v_store(q->is.out + d, v_load(q->is.out + d) * v_set1(keep));
}

// merge adds what a softmax over later keys has come to.
static void merge(running *a, const running *b, size_t width) {
  float m = a->m > b->m ? a->m : b->m, keep = exp_of(a->m - m), add = exp_of(b->m - m);
  a->l = a->l * keep + b->l * add;
  a->m = m;
  for (size_t d = 0; d < width; d += W)
    v_store(a->out + d, v_fma(v_load(b->out + d), v_set1(add), v_load(a->out + d) * v_set1(keep)));
}

// ---- weighted sums: out[r] += sum of s[r][t] v[t]

// weigh adds keys [from, to) to R outputs, P pairs of them from d on, which are elements at.. of the strip. If n is not 0 the strip has only
// so many of the last pair.
INLINE void weigh(const int R, const int P, const int ahead, int type, query *qs, float (*s)[KEYS], const strip *v, size_t at, size_t d, size_t n, size_t from,
                  size_t to) {
  V acc[3][8];
  UNROLL for (int r = 0; r < R; r++)
    UNROLL for (int j = 0; j < 2 * P; j++)
      acc[r][j] = v_load(qs[r].is.out + d + j * W);
  for (size_t t = from; t < to; t++) {
    const char *row = v->at + t * v->step;
    V weight[3];
    UNROLL for (int r = 0; r < R; r++)
      weight[r] = v_set1(s[r][t]);
    UNROLL for (int j = 0; j < 2 * P; j++) {
      if (ahead && j % 2 == 0)
        fetch_ahead(type, v, row, at + j / 2 * PAIR);
      V value = held(n ? half_n(type, row, at + j / 2 * PAIR, j % 2, n) : half(type, row, at + j / 2 * PAIR, j % 2));
      UNROLL for (int r = 0; r < R; r++)
        acc[r][j] = v_fma(weight[r], value, acc[r][j]);
    }
  }
  UNROLL for (int r = 0; r < R; r++)
    UNROLL for (int j = 0; j < 2 * P; j++)
      v_store(qs[r].is.out + d + j * W, acc[r][j]);
}

INLINE void weigh_all(const int R, const int ahead, int type, query *qs, float (*s)[KEYS], const strip *v, size_t from, size_t to) {
  size_t d = 0;
  for (; (R == 1 || WEIGH_PAIRS == 4) && d + 4 * PAIR <= v->n; d += 4 * PAIR)
    weigh(R, 4, ahead, type, qs, s, v, d, d, 0, from, to);
  for (; d + 2 * PAIR <= v->n; d += 2 * PAIR)
    weigh(R, 2, ahead, type, qs, s, v, d, d, 0, from, to);
  for (; d + PAIR <= v->n; d += PAIR)
    weigh(R, 1, ahead, type, qs, s, v, d, d, 0, from, to);
  if (d < v->n)
    weigh(R, 1, 0, type, qs, s, v, d, d, v->n - d, from, to);
}

INLINE size_t seen(const query *q, size_t start, size_t n) {
  size_t keys = q->keys > start ? q->keys - start : 0;
  return keys < n ? keys : n;
}

// Of queries side by side the first sees no more than the others: what all see they add together, the rest each by itself.
INLINE void weigh_few(const int R, const int ahead, int type, query *qs, float (*s)[KEYS], const strip *v, size_t start, size_t n) {
  size_t common = seen(&qs[0], start, n);
  weigh_all(R, ahead, type, qs, s, v, 0, common);
  for (int r = 1; r < R; r++)
    if (seen(&qs[r], start, n) > common)
      weigh_all(1, 0, type, qs + r, s + r, v, common, seen(&qs[r], start, n));
}

INLINE void weigh_direct(int type, query *qs, size_t count, float (*s)[KEYS], const strip *v, size_t start, size_t n) {
  size_t i = 0;
  if (count >= 3)
    weigh_few(3, 1, type, qs, s, v, start, n), i = 3;
  for (; i + 3 <= count; i += 3)
    weigh_few(3, 0, type, qs + i, s + i, v, start, n);
  if (count - i == 2)
    weigh_few(2, 1, type, qs + i, s + i, v, start, n);
  if (count - i == 1)
    weigh_few(1, 1, type, qs + i, s + i, v, start, n);
}

// weigh_panel adds P pairs, a panel of those of all keys, to elements d.. of all outputs.
INLINE void weigh_panel(const int P, query *qs, size_t count, float (*s)[KEYS], const float *panel, size_t d, size_t start, size_t n) {
  strip v = {(const char *)panel, P * PAIR * sizeof(float), P * PAIR, 0};
  size_t i = 0;
  for (; i + 3 <= count; i += 3) {
    size_t common = seen(&qs[i], start, n);
    weigh(3, P, 0, PIO_F32, qs + i, s + i, &v, 0, d, 0, 0, common);
    for (size_t j = i + 1; j < i + 3; j++)
      if (seen(&qs[j], start, n) > common)
        weigh(1, P, 0, PIO_F32, qs + j, s + j, &v, 0, d, 0, common, seen(&qs[j], start, n));
  }
  for (; i < count; i++)
    weigh(1, P, 0, PIO_F32, qs + i, s + i, &v, 0, d, 0, 0, seen(&qs[i], start, n));
}

INLINE void weigh_by_panels(int type, query *qs, size_t count, float (*s)[KEYS], const strip *v, size_t start, size_t n, float *panel) {
  size_t d = 0;
  for (; WEIGH_PAIRS == 4 && d + 4 * PAIR <= v->n; d += 4 * PAIR) {
    widen_strip(type, panel, v, d, 4 * PAIR, 0, n);
    weigh_panel(4, qs, count, s, panel, d, start, n);
  }
  for (; d + PAIR < v->n; d += 2 * PAIR) {
    widen_strip(type, panel, v, d, 2 * PAIR, 0, n);
    weigh_panel(2, qs, count, s, panel, d, start, n);
  }
  if (d < v->n) {
    widen_strip(type, panel, v, d, PAIR, 0, n);
    weigh_panel(1, qs, count, s, panel, d, start, n);
  }
}

// ---- all of it

// panel_floats is the room that attend_keys wants for panels.
INLINE size_t panel_floats(const keys_form *f) { return at_least(KEYS * WEIGH_PAIRS * PAIR, PANEL_KEYS * padded(f->dim)); }

INLINE void attend_keys_of(int type, query *qs, size_t count, const char *k, const char *v, const char *next, size_t start, size_t n,
                           const keys_form *f, float *panel) {
  float s[QUERIES][KEYS] __attribute__((aligned(64)));
  strip key = {k, row_bytes(type, f->dim), f->dim, (uintptr_t)(v == k ? next : v) - (uintptr_t)k};
  strip value = {v, row_bytes(type, f->value_dim), f->vdim, v == k ? 0 : (uintptr_t)next - (uintptr_t)v};
  if (count >= panels_from(type))
    scores_by_panels(type, qs, count, &key, n, s, panel);
  else
    scores(1, type, qs, count, &key, n, s, 0);
  for (size_t i = 0; i < count; i++)
    if (seen(&qs[i], start, n) > 0)
      softmax_block(&qs[i], s[i], seen(&qs[i], start, n), f->scale, padded(f->vdim));
  if (type != PIO_F32 && count >= panels_from(type))
    weigh_by_panels(type, qs, count, s, &value, start, n, panel);
  else
    weigh_direct(type, qs, count, s, &value, start, n);
}

// attend_keys takes all queries through n keys that begin at position start; next is where the keys after them are.
static void attend_keys(query *qs, size_t count, const char *k, const char *v, const char *next, size_t start, size_t n, const keys_form *f,
                        float *panel) {
  if (f->type == PIO_Q8ROW)
    attend_keys_of(PIO_Q8ROW, qs, count, k, v, next, start, n, f, panel);
  else if (f->type == PIO_BF16)
    attend_keys_of(PIO_BF16, qs, count, k, v, next, start, n, f, panel);
  else
    attend_keys_of(PIO_F32, qs, count, k, v, next, start, n, f, panel);
}

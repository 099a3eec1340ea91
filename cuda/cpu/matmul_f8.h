// matmul_f8.h: the sums of matmul.h for weights of 8-bit floats in scaled blocks, which it includes.

// A tile is R rows of x by C rows of weights.
typedef struct {
  const float *x[4];
  const char *w[8];
  factors f[8];
  V acc[4][8];
} fp8_tile;

// fp8_fast sums the products of all elements but a few at the end, and returns how many it did; 0, and no sums, if something is
// in the way: blocks of an odd width, a huge factor, a weight that is no number.
INLINE size_t fp8_fast(const int R, const int C, int layout, const matmul_args *a, fp8_tile *t) {
  size_t in = a->in, ahead = (size_t)C * in, ins = t->f[0].ins, k = 0;
  M most = m_zero();
  V acc[4][8];
  const float *x[4];
  const char *w[8], *f[8];
  if (ins % (4 * W))
    return 0;
  UNROLL for (int r = 0; r < R; r++)
    x[r] = t->x[r];
  UNROLL for (int c = 0; c < C; c++)
    w[c] = t->w[c], f[c] = t->f[c].at;
  UNROLL for (int r = 0; r < R; r++)
    UNROLL for (int c = 0; c < C; c++)
      acc[r][c] = v_zero();
  for (size_t block = 0; k + 4 * W <= in; block++) {
    size_t end = in - k < ins ? in : k + ins;
    V scale[8];
    UNROLL for (int c = 0; c < C; c++) {
      float one = factor(layout, (factors){f[c], ins}, block);
      if (!fusible(one))
        return 0;
      scale[c] = fused(one);
    }
    for (; k + 4 * W <= end; k += 4 * W)
      UNROLL for (int c = 0; c < C; c++) {
        V v[4];
        v_prefetch(w[c] + k + ahead);
        v_f8_four(w[c] + k, v, &most);
        UNROLL for (size_t i = 0; i < 4; i++) {
          V wv = v[i] * scale[c];
          UNROLL for (int r = 0; r < R; r++)
            acc[r][c] = v_fma(v_load(x[r] + k + i * W), wv, acc[r][c]);
        }
      }
  }
  if (m_nan(most))
    return 0;
  UNROLL for (int r = 0; r < R; r++)
    UNROLL for (int c = 0; c < C; c++)
      t->acc[r][c] = acc[r][c];
  return k;
}

// fp8_dots_at computes outs o..o+C-1 for rows r..r+R-1.
INLINE void fp8_dots_at(const int R, const int C, int layout, const matmul_args *a, size_t r, size_t o) {
  fp8_tile t;
  UNROLL for (int i = 0; i < R; i++)
    UNROLL for (int c = 0; c < C; c++)
      t.acc[i][c] = v_zero();
  UNROLL for (int i = 0; i < R; i++)
    t.x[i] = a->x + (r + (size_t)i) * a->in;
  UNROLL for (int c = 0; c < C; c++) {
    t.w[c] = element_at(layout, a->w, o + (size_t)c, 0);
    t.f[c] = factors_of(layout, a->w, o + (size_t)c);
  }
  size_t k = fp8_fast(R, C, layout, a, &t);
  for (; k < a->in; k += W) {
    size_t n = a->in - k < W ? a->in - k : W;
    UNROLL for (int c = 0; c < C; c++) {
      V wv = widen_n(layout, t.w[c] + k, n) * factors_at(layout, t.f[c], k, n);
      UNROLL for (int i = 0; i < R; i++)
        t.acc[i][c] = v_fma(v_load_n(t.x[i] + k, n), wv, t.acc[i][c]);
    }
  }
  UNROLL for (int i = 0; i < R; i++)
    UNROLL for (int c = 0; c < C; c++)
      y_row(a, r + (size_t)i)[o + (size_t)c] = v_sum(t.acc[i][c]);
}

// fp8.h: weights of 8-bit floats with a factor for each block of outs by ins; included by template.h.
//
// A weight is its element times its factor, rounded to f32, before anything is multiplied by it, so sums are those of the same
// matrix in f32. Lanes are as in matmul.h: element k goes to lane k mod W, whatever the blocks. Blocks as wide as a multiple of
// four vectors, which all published ones are, go fast; others take their factors lane by lane.

// factors are those of one row of weights.
typedef struct {
  const char *at;
  int type;
  size_t ins; // of a block
} factors;

INLINE factors factors_of(const pio_scale *s, size_t out, size_t in) {
  size_t blocks = (in + s->ins - 1) / s->ins;
  return (factors){(const char *)s->factors + out / s->outs * blocks * width_of(s->type), s->type, s->ins};
}

INLINE float factor(factors f, size_t block) {
  uint32_t bits = 0;
  if (f.type == PIO_BF16)
    memcpy((char *)&bits + 2, f.at + block * 2, 2); // little-endian: the upper half
  else
    memcpy(&bits, f.at + block * 4, 4);
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

// factors_at gives the factors of n elements from k on; what stands behind them is for zeros.
INLINE V factors_at(factors f, size_t k, size_t n) {
  if (k / f.ins == (k + n - 1) / f.ins)
    return v_set1(factor(f, k / f.ins));
  float lanes[W] = {0};
  for (size_t i = 0; i < n; i++)
    lanes[i] = factor(f, (k + i) / f.ins);
  return v_load(lanes);
}

// fused is a factor for v_f8_four's elements, which are too small by 2^120: a product with it is rounded once, like the one with
// the factor itself. FUSED_MOST keeps it finite; no published factor comes near.
#define FUSED_MOST 128.0f

INLINE V fused(float factor) { return v_set1(factor) * v_set1(0x1p120f); }
INLINE int fusible(float factor) { return __builtin_fabsf(factor) < FUSED_MOST; }

// fp8_widen_block writes weights of one block as f32 as long as there are whole vectors, and returns how many.
INLINE size_t fp8_widen_block(float *to, const char *w, float factor, size_t n) {
  size_t k = 0;
  M most = m_zero();
  for (V scale = fused(factor); k + 4 * W <= n && fusible(factor); k += 4 * W) {
    V v[4];
    v_f8_four(w + k, v, &most);
    UNROLL for (int i = 0; i < 4; i++)
      v_store(to + k + (size_t)i * W, v[i] * scale);
  }
  for (k = m_nan(most) ? 0 : k; k + W <= n; k += W)
    v_store(to + k, v_f8(w + k) * v_set1(factor));
  return k;
}

// fp8_widen writes n weights of a row as f32, w[0] being its element k0.
INLINE void fp8_widen(float *to, const char *w, factors f, size_t k0, size_t n) {
  size_t k = 0;
  while (f.ins % W == 0 && k + W <= n) {
    size_t block = (k0 + k) / f.ins, end = (block + 1) * f.ins - k0;
    k += fp8_widen_block(to + k, w + k, factor(f, block), (end < n ? end : n) - k);
  }
  for (; k < n; k += W) {
    size_t left = n - k < W ? n - k : W;
    v_store_n(to + k, widen_n(PIO_F8, w + k, left) * factors_at(f, k0 + k, left), left);
  }
}

// A tile is R rows of x by C rows of weights.
typedef struct {
  const float *x[4];
  const char *w[8];
  factors f[8];
  V acc[4][8];
} fp8_tile;

// fp8_fast sums the products of all elements but a few at the end, and returns how many it did; 0, and no sums, if something is
// in the way: blocks of an odd width, a huge factor, a weight that is no number.
INLINE size_t fp8_fast(const int R, const int C, const pio_matmul_args *a, fp8_tile *t) {
  size_t ahead = (size_t)C * a->in, ins = a->scale.ins, k = 0;
  M most = m_zero();
  V acc[4][8];
  if (ins % (4 * W))
    return 0;
  UNROLL for (int r = 0; r < R; r++)
    UNROLL for (int c = 0; c < C; c++)
      acc[r][c] = v_zero();
  for (size_t block = 0; k + 4 * W <= a->in; block++) {
    size_t end = a->in - k < ins ? a->in : k + ins;
    V scale[8];
    UNROLL for (int c = 0; c < C; c++) {
      float one = factor(t->f[c], block);
      if (!fusible(one))
        return 0;
      scale[c] = fused(one);
    }
    for (; k + 4 * W <= end; k += 4 * W)
      UNROLL for (int c = 0; c < C; c++) {
        V v[4];
        v_prefetch(t->w[c] + k + ahead);
        v_f8_four(t->w[c] + k, v, &most);
        UNROLL for (size_t i = 0; i < 4; i++) {
          V wv = v[i] * scale[c];
          UNROLL for (int r = 0; r < R; r++)
            acc[r][c] = v_fma(v_load(t->x[r] + k + i * W), wv, acc[r][c]);
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
INLINE void fp8_dots_at(const int R, const int C, const pio_matmul_args *a, size_t r, size_t o) {
  fp8_tile t;
  UNROLL for (int i = 0; i < R; i++)
    UNROLL for (int c = 0; c < C; c++)
      t.acc[i][c] = v_zero();
  UNROLL for (int i = 0; i < R; i++)
    t.x[i] = a->x + (r + (size_t)i) * a->in;
  UNROLL for (int c = 0; c < C; c++) {
    t.w[c] = (const char *)a->w + (o + (size_t)c) * a->in;
    t.f[c] = factors_of(&a->scale, o + (size_t)c, a->in);
  }
  size_t k = fp8_fast(R, C, a, &t);
  for (; k < a->in; k += W) {
    size_t n = a->in - k < W ? a->in - k : W;
    UNROLL for (int c = 0; c < C; c++) {
      V wv = widen_n(PIO_F8, t.w[c] + k, n) * factors_at(t.f[c], k, n);
      UNROLL for (int i = 0; i < R; i++)
        t.acc[i][c] = v_fma(v_load_n(t.x[i] + k, n), wv, t.acc[i][c]);
    }
  }
  UNROLL for (int i = 0; i < R; i++)
    UNROLL for (int c = 0; c < C; c++)
      a->y[(r + (size_t)i) * a->out + o + (size_t)c] = v_sum(t.acc[i][c]);
}

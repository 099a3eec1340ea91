// fp8.h: weights of 8-bit floats with a factor for each block of outs by ins; included by layouts.h.
//
// A weight is its element times its factor, rounded to f32, before anything is multiplied by it, so sums are those of the same
// matrix in f32. Lanes are as in matmul.h: element k goes to lane k mod W, whatever the blocks. Blocks as wide as a multiple of
// four vectors, which all published ones are, go fast; others take their factors lane by lane.

// factors are those of one row of weights.
typedef struct {
  const char *at;
  size_t ins; // of a block
} factors;

INLINE factors factors_of(int layout, const pio_matrix *m, size_t row) {
  size_t ins = (size_t)m->block_cols, blocks = ceil_div((size_t)m->cols, ins);
  return (factors){(const char *)m->plane[1] + row / (size_t)m->block_rows * blocks * (layout == F8_BF16 ? 2 : 4), ins};
}

INLINE float factor(int layout, factors f, size_t block) {
  uint32_t bits = 0;
  if (layout == F8_BF16)
    memcpy((char *)&bits + 2, f.at + block * 2, 2); // little-endian: the upper half
  else
    memcpy(&bits, f.at + block * 4, 4);
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

// factors_at gives the factors of n elements from k on; what stands behind them is for zeros.
INLINE V factors_at(int layout, factors f, size_t k, size_t n) {
  if (k / f.ins == (k + n - 1) / f.ins)
    return v_set1(factor(layout, f, k / f.ins));
  float lanes[W] = {0};
  for (size_t i = 0; i < n; i++)
    lanes[i] = factor(layout, f, (k + i) / f.ins);
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
INLINE void fp8_widen(int layout, float *to, const char *w, factors f, size_t k0, size_t n) {
  size_t k = 0;
  while (f.ins % W == 0 && k0 % W == 0 && k + W <= n) { // each block is whole vectors
    size_t block = (k0 + k) / f.ins, end = (block + 1) * f.ins - k0;
    k += fp8_widen_block(to + k, w + k, factor(layout, f, block), (end < n ? end : n) - k);
  }
  for (; k < n; k += W) {
    size_t left = n - k < W ? n - k : W;
    v_store_n(to + k, widen_n(layout, w + k, left) * factors_at(layout, f, k0 + k, left), left);
  }
}

// fp8.h: weights of 8-bit floats with a factor for each block of outs by ins; included by template.h.
//
// A weight is its element times its factor, rounded to f32, before anything is multiplied by it, so sums are those of the same
// matrix in f32. Lanes are as in matmul.h: element k goes to lane k mod W, whatever the blocks. Blocks as wide as a multiple
// of W, which all published ones are, have one factor for a whole vector; others take it lane by lane.

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

// factors_at gives the factors of n elements from k on, and zeros.
INLINE V factors_at(factors f, size_t k, size_t n) {
  float lanes[W] = {0};
  for (size_t i = 0; i < n; i++)
    lanes[i] = factor(f, (k + i) / f.ins);
  return v_load(lanes);
}

// fp8_widen writes n weights of a row as f32, w[0] being its element k0.
INLINE void fp8_widen(float *to, const char *w, factors f, size_t k0, size_t n) {
  size_t k = 0;
  while (f.ins % W == 0 && k + W <= n) {
    size_t block = (k0 + k) / f.ins, end = (block + 1) * f.ins - k0;
    V scale = v_set1(factor(f, block));
    for (end = end < n ? end : n; k + W <= end; k += W)
      v_store(to + k, v_f8(w + k) * scale);
  }
  for (; k < n; k += W) {
    size_t left = n - k < W ? n - k : W;
    v_store_n(to + k, widen_n(PIO_F8, w + k, left) * factors_at(f, k0 + k, left), left);
  }
}

// fp8_dots adds R x C products of all whole vectors, each of which lies in one block.
INLINE void fp8_dots(const int R, const int C, const pio_matmul_args *a, const float *const *x, const char *const *w,
                     const factors *f, V acc[4][8]) {
  size_t ahead = (size_t)C * a->in, ins = a->scale.ins;
  for (size_t k = 0, block = 0; k + W <= a->in; block++) {
    size_t end = a->in - k < ins ? a->in : k + ins;
    V scale[8];
    UNROLL for (int c = 0; c < C; c++)
      scale[c] = v_set1(factor(f[c], block));
    for (; k + W <= end; k += W) {
      V xv[4];
      UNROLL for (int r = 0; r < R; r++)
        xv[r] = v_load(x[r] + k);
      UNROLL for (int c = 0; c < C; c++) {
        v_prefetch(w[c] + k + ahead);
        V wv = v_f8(w[c] + k) * scale[c];
        UNROLL for (int r = 0; r < R; r++)
          acc[r][c] = v_fma(xv[r], wv, acc[r][c]);
      }
    }
  }
}

// fp8_dots_at computes outs o..o+C-1 for rows r..r+R-1.
INLINE void fp8_dots_at(const int R, const int C, const pio_matmul_args *a, size_t r, size_t o) {
  const float *x[4];
  const char *w[8];
  factors f[8];
  V acc[4][8];
  UNROLL for (int i = 0; i < R; i++) {
    x[i] = a->x + (r + (size_t)i) * a->in;
    UNROLL for (int c = 0; c < C; c++)
      acc[i][c] = v_zero();
  }
  UNROLL for (int c = 0; c < C; c++) {
    w[c] = (const char *)a->w + (o + (size_t)c) * a->in;
    f[c] = factors_of(&a->scale, o + (size_t)c, a->in);
  }
  size_t k = 0;
  if (a->scale.ins % W == 0) {
    fp8_dots(R, C, a, x, w, f, acc);
    k = a->in - a->in % W;
  }
  for (; k < a->in; k += W) {
    size_t n = a->in - k < W ? a->in - k : W;
    UNROLL for (int c = 0; c < C; c++) {
      V wv = widen_n(PIO_F8, w[c] + k, n) * factors_at(f[c], k, n);
      UNROLL for (int i = 0; i < R; i++)
        acc[i][c] = v_fma(v_load_n(x[i] + k, n), wv, acc[i][c]);
    }
  }
  UNROLL for (int i = 0; i < R; i++)
    UNROLL for (int c = 0; c < C; c++)
      a->y[(r + (size_t)i) * a->out + o + (size_t)c] = v_sum(acc[i][c]);
}

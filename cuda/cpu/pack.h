// pack.h: matrices brought from one layout into another; included by template.h.

enum { PACK_COLUMNS = 256 }; // that are widened at once

// pack_tile rounds n columns of 16 rows to bf16 and lays them in twos.
static void pack_tile(char *to, float (*wide)[PACK_COLUMNS], size_t c, size_t n) {
  for (size_t k = c; k < c + n; k += 2)
    for (size_t r = 0; r < TILE_ROWS; r++, to += 4)
      bf16_round(to, wide[r] + k, 2);
}

// pack_bf16x16 widens what is in any layout and rounds it to bf16, which changes nothing that was bf16. row begins a block.
static void pack_bf16x16(const pio_matrix *to, const pio_matrix *from, size_t row, size_t rows) {
  float wide[TILE_ROWS][PACK_COLUMNS];
  size_t end = row + rows, cols = (size_t)from->cols;
  for (; row < end; row += TILE_ROWS)
    for (size_t c = 0; c < cols; c += PACK_COLUMNS) {
      size_t n = at_most(PACK_COLUMNS, cols - c);
      memset(wide, 0, sizeof wide);
      for (size_t r = 0; r < at_most(TILE_ROWS, end - row); r++)
        layouts[from->layout].widen(from, row + r, c, n, wide[r]);
      for (size_t i = 0; i < n; i += TILE_COLS)
        pack_tile((char *)element_at(BF16X16, to, row, c + i), wide, i, TILE_COLS);
    }
}

// ---- codes

// Eight floats whatever a table's vectors are, so that every table packs alike.
typedef float F8 __attribute__((vector_size(32)));
typedef int32_t I8 __attribute__((vector_size(32)));

// f8_most keeps numbers within least and most. What is none becomes least: there is no code for it.
INLINE F8 f8_most(F8 v, float least, float most) {
  F8 zero = {0};
  I8 low = ~(v >= least), high = v > most;
  v = (F8)((low & (I8)(zero + least)) | (~low & (I8)v));
  return (F8)((high & (I8)(zero + most)) | (~high & (I8)v));
}

// nearest rounds to whole, of two the even one; for what is small.
INLINE F8 nearest(F8 v) { return (v + 12582912.0f) - 12582912.0f; }

// largest is the greatest magnitude of n numbers; what is no number is greatest.
INLINE float largest(const float *x, size_t n) {
  uint32_t most = 0;
  for (size_t i = 0; i < n; i++) {
    uint32_t bits;
    memcpy(&bits, x + i, 4);
    most = (bits & 0x7fffffff) > most ? bits & 0x7fffffff : most;
  }
  float f;
  memcpy(&f, &most, 4);
  return f;
}

// to_bf16 rounds a factor as it will be stored.
INLINE float to_bf16(float f) {
  char half[2];
  bf16_round(half, &f, 1);
  bf16_widen(&f, half, 1);
  return f;
}

// over is 1 / f, or 0 where that says nothing.
INLINE float over(float f) { return __builtin_fabsf(f) > 1e-37f && __builtin_fabsf(f) < 1e37f ? 1 / f : 0; }

// code_eights makes n numbers, a multiple of 8, codes of a step: x / step to the nearest, within least and most. It gives the sum of
// squares of what is lost.
INLINE float code_eights(const float *x, size_t n, float step, float least, float most, int8_t *codes) {
  F8 lost = {0};
  float inverse = over(step);
  for (size_t i = 0; i < n; i += 8) {
    F8 v, c;
    memcpy(&v, x + i, sizeof v);
    c = nearest(f8_most(v * inverse, least, most));
    if (codes)
      for (int j = 0; j < 8; j++)
        codes[i + (size_t)j] = (int8_t)c[j];
    v -= c * step;
    lost += v * v;
  }
  return ((lost[0] + lost[1]) + (lost[2] + lost[3])) + ((lost[4] + lost[5]) + (lost[6] + lost[7]));
}

// code_q8 makes 128 numbers codes of their largest magnitude.
static float code_q8(const float *x, int8_t *codes) {
  float factor = to_bf16(largest(x, COLS) * (1.0f / 127));
  code_eights(x, COLS, factor, -127, 127, codes);
  return factor;
}

// whole_of finds the whole number for 32 numbers that loses least, in the sense of squares, with a factor: among those that cut off the
// largest a little ("optimal MSE": Choukroun et al., "Low-bit Quantization of Neural Networks for Efficient Inference", 2019,
// arXiv:1902.06822).
static int whole_of(const float *x, float factor, float *lost) {
  float exact = largest(x, SUB) / 7 * __builtin_fabsf(over(factor)) + 1.5f;
  int first = exact < 15 ? (int)exact : 15, best = 1;
  *lost = __builtin_inff();
  for (int m = first; m >= 1 && m > first - 4; m--) {
    float l = code_eights(x, SUB, factor * (float)m, -8, 7, NULL);
    if (l < *lost)
      *lost = l, best = m;
  }
  return best;
}

// factor_q4 is that by which the 32 with the largest magnitude have 15. Its sign makes that largest one negative, of which there is one
// code more.
static float factor_q4(const float *x) {
  float most = largest(x, COLS), factor = most * (1.0f / (7 * 15));
  for (int i = 0; i < COLS; i++)
    if (x[i] == most)
      return -factor;
  return factor;
}

// code_q4 makes 128 numbers codes, by that factor or one a tenth below it: twice as many are hardly better.
static float code_q4(const float *x, int8_t *codes, int wholes[SUBS]) {
  float whole = factor_q4(x), best = __builtin_inff(), factor = to_bf16(whole);
  for (int s = 0; s < SUBS; s++)
    wholes[s] = 1;
  for (int i = 0; i < 2; i++) {
    float f = to_bf16(whole * (1 - 0.1f * (float)i)), sum = 0, lost;
    int w[SUBS];
    for (int s = 0; s < SUBS; s++)
      w[s] = whole_of(x + s * SUB, f, &lost), sum += lost;
    if (sum < best) {
      best = sum, factor = f;
      memcpy(wholes, w, sizeof w);
    }
  }
  for (int s = 0; s < SUBS; s++)
    code_eights(x + s * SUB, SUB, factor * (float)wholes[s], -8, 7, codes + s * SUB);
  return factor;
}

// put_q8 and put_q4 write a row's codes and factors into a block of 16 rows.
static void put_q8(uint8_t *codes, uint8_t *factors, size_t row, const float *x) {
  int8_t c[COLS];
  float factor = code_q8(x, c);
  for (int i = 0; i < COLS / 4; i++)
    memcpy(codes + ((size_t)i * GROUP + row) * 4, c + 4 * i, 4);
  bf16_round(factors + 2 * row, &factor, 1);
}

static void put_q4(uint8_t *codes, uint8_t *factors, size_t row, const float *x) {
  int8_t c[COLS];
  int wholes[SUBS];
  float factor = code_q4(x, c, wholes);
  for (size_t i = 0; i < COLS / 2; i++) { // of each 32 columns the first 16 with the others
    size_t sub = i / 16, in = i % 16;
    const int8_t *of = c + sub * SUB + in;
    codes[sub * SUB * GROUP / 2 + (in / 4 * GROUP + row) * 4 + in % 4] = (uint8_t)((of[0] + 8) | (of[16] + 8) << 4);
  }
  bf16_round(factors + 2 * row, &factor, 1);
  for (size_t i = 0; i < SUBS / 2; i++)
    factors[32 + i * GROUP + row] = (uint8_t)(wholes[2 * i] | wholes[2 * i + 1] << 4);
}

// pack_codes widens what is in any layout, 128 columns of a row at a time. row begins a group; rows that there are not are zeros.
INLINE void pack_codes(int layout, const pio_matrix *to, const pio_matrix *from, size_t row, size_t rows) {
  size_t end = row + rows, cols = (size_t)from->cols;
  for (; row < end; row += GROUP) {
    blocks b = blocks_of(layout, to, row / GROUP);
    for (size_t c = 0; c < cols; c += COLS, b.codes += b.code_bytes, b.factors += b.factor_bytes)
      for (size_t r = 0; r < GROUP; r++) {
        float x[COLS] = {0};
        if (row + r < end)
          layouts[from->layout].widen(from, row + r, c, at_most(COLS, cols - c), x);
        (layout == Q8 ? put_q8 : put_q4)((uint8_t *)b.codes, (uint8_t *)b.factors, r, x);
      }
  }
}

static void pack_Q8(const pio_matrix *to, const pio_matrix *from, size_t row, size_t rows) { pack_codes(Q8, to, from, row, rows); }
static void pack_Q4(const pio_matrix *to, const pio_matrix *from, size_t row, size_t rows) { pack_codes(Q4, to, from, row, rows); }

// ---- the op

typedef struct {
  const pio_matrix *to, *from;
  size_t rows_per_task;
} pack_args;

static void pack(const void *args, size_t task) {
  const pack_args *a = args;
  span rows = part_of(task, a->rows_per_task, (size_t)a->to->rows);
  layouts[a->to->layout].pack(a->to, a->from, rows.from, rows.to - rows.from);
}

static const char *run_pack(pio_pool *p, const pio_op *op) {
  pack_args a = {&op->w[0], &op->w[1], 0};
  if (!layouts[a.to->layout].pack)
    return "a matrix in a layout that is only copied, not packed";
  a.rows_per_task = GROUP * at_least(1, TASK_BYTES / at_least(1, (size_t)a.to->cols * GROUP * 2)); // whole blocks of any layout
  pio_pool_run(p, pack, &a, ceil_div((size_t)a.to->rows, a.rows_per_task));
  return NULL;
}

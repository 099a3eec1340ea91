// pack.h: matrices brought from one layout into another; included by template.h.

enum { PACK_COLUMNS = 256 }; // that are widened at once

// pack_tile rounds 32 columns of 16 rows to bf16.
static void pack_tile(char *to, float (*wide)[PACK_COLUMNS], size_t c) {
  for (size_t r = 0; r < TILE_ROWS; r++)
    bf16_round(to + r * TILE_COLS * 2, wide[r] + c, TILE_COLS);
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
        pack_tile((char *)element_at(BF16X16, to, row, c + i), wide, i);
    }
}

// ---- codes
//
// A lane is a row, as it is in a block: W rows go side by side, and every row takes the same steps, so that each table gives the same bytes
// whatever its vectors are. They are told in cuda/spec/pack.go. Packed weights are kept in files: who has this give other bytes changes
// nn.PackedVersion.

INLINE V choose(L mask, V yes, V no) { return (V)((mask & (L)yes) | (~mask & (L)no)); }
INLINE V magnitude(V v) { return (V)((L)v & 0x7fffffff); }

// greater is the greater one of whole numbers.
INLINE L greater(L a, L b) {
  L mask = a > b;
  return (mask & a) | (~mask & b);
}

static const float rounding = 12582912.0f; // 1.5 * 2^23: what it is added to is rounded to whole, of two the even one, and lies in the lowest bits

// to_code is x / step as a whole number in the lowest bits, within least and most. What is no number becomes least: there is no code for it.
INLINE V to_code(V x, V inverse, float least, float most) {
  return v_min(v_max(x * inverse, v_set1(least)), v_set1(most)) + v_set1(rounding);
}

// largest is the greatest magnitude of n numbers; what is no number is greatest.
INLINE V largest(const V *x, size_t n) {
  L most = (L)v_zero();
  for (size_t i = 0; i < n; i++)
    most = greater((L)magnitude(x[i]), most);
  return (V)most;
}

// nearest_bf16 rounds a factor as it will be stored.
INLINE V nearest_bf16(V f) {
  U bits = (U)f, rounded = bits + 0x7fff + (bits >> 16 & 1);
  return choose((bits & 0x7fffffff) > 0x7f800000, (V)((bits & 0xffff0000) | 0x400000), (V)(rounded & 0xffff0000));
}

// over is 1 / f, or 0 where that says nothing.
INLINE V over(V f) {
  V m = magnitude(f);
  return choose((L)(m > v_set1(1e-37f)) & (L)(m < v_set1(1e37f)), v_set1(1) / f, v_zero());
}

// lost_by adds up the squares of what 32 numbers lose by a step, in eight sums.
INLINE V lost_by(const V *x, V step) {
  V sums[8], inverse = over(step);
  for (int i = 0; i < 8; i++)
    sums[i] = v_zero();
  for (int k = 0; k < SUB; k += 8)
    UNROLL for (int i = 0; i < 8; i++) {
      V off = x[k + i] - (to_code(x[k + i], inverse, -8, 7) - v_set1(rounding)) * step;
      sums[i] += off * off;
    }
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

// whole_of finds the whole number for 32 numbers that loses least, in the sense of squares, with a factor: among those that cut off the
// largest a little ("optimal MSE": Choukroun et al., "Low-bit Quantization of Neural Networks for Efficient Inference", 2019,
// arXiv:1902.06822).
static V whole_of(const V *x, V most, V factor, V *lost) {
  V exact = most / v_set1(7) * magnitude(over(factor)) + v_set1(1.5f), best = v_set1(1);
  V first = q_float((Q)__builtin_convertvector(choose(exact < v_set1(15), exact, v_set1(15)), L));
  *lost = v_set1(__builtin_inff());
  for (int i = 0; i < 4; i++) {
    V m = first - v_set1((float)i), l = lost_by(x, factor * m);
    L better = (L)(m >= v_set1(1)) & (L)(l < *lost);
    *lost = choose(better, l, *lost), best = choose(better, m, best);
  }
  return best;
}

// factor_q4 is that by which the 32 with the largest magnitude have 15. Its sign makes that largest one negative, of which there is one
// code more.
INLINE V factor_q4(const V *x, V most) {
  V factor = most * v_set1(1.0f / (7 * 15));
  L top = (L)x[0];
  for (int i = 1; i < COLS; i++)
    top = greater((L)x[i], top);
  return choose((V)top == most, -factor, factor);
}

// put_word writes four bytes of each row.
INLINE void put_word(uint8_t *to, size_t quad, size_t row, U word) { memcpy(to + (quad * GROUP + row) * 4, &word, sizeof word); }

static void put_factor(uint8_t *factors, size_t row, V factor) {
  float f[W];
  v_store(f, factor);
  bf16_round(factors + 2 * row, f, W);
}

// put_q8 and put_q4 make 128 numbers of W rows codes, from a row of a block on.
static void put_q8(uint8_t *codes, uint8_t *factors, size_t row, const V *x) {
  V factor = nearest_bf16(largest(x, COLS) * v_set1(1.0f / 127)), inverse = over(factor);
  for (size_t i = 0; i < COLS; i += 4) {
    U word = (U)v_zero();
    UNROLL for (int j = 0; j < 4; j++)
      word |= ((U)to_code(x[i + (size_t)j], inverse, -127, 127) & 255) << 8 * j;
    put_word(codes, i / 4, row, word);
  }
  put_factor(factors, row, factor);
}

// put_halves writes the codes of 32 columns: the first 16 with the others.
INLINE void put_halves(uint8_t *codes, size_t row, const V *x, V step) {
  V inverse = over(step);
  for (size_t i = 0; i < SUB / 2; i += 4) {
    U word = (U)v_zero();
    UNROLL for (int j = 0; j < 4; j++) {
      word |= ((U)to_code(x[i + (size_t)j], inverse, -8, 7) & 15) << 8 * j;
      word |= ((U)to_code(x[i + 16 + (size_t)j], inverse, -8, 7) & 15) << (8 * j + 4);
    }
    put_word(codes, i / 4, row, word ^ 0x88888888); // each is 8 more
  }
}

// choose_q4 finds the factor and the whole numbers, by that factor or one a tenth below it: twice as many are hardly better.
INLINE V choose_q4(const V *x, V wholes[SUBS]) {
  V most[SUBS], all = v_zero();
  for (int s = 0; s < SUBS; s++) {
    most[s] = largest(x + s * SUB, SUB), wholes[s] = v_set1(1);
    all = (V)greater((L)most[s], (L)all);
  }
  V whole = factor_q4(x, all), factor = nearest_bf16(whole), best = v_set1(__builtin_inff());
  for (int i = 0; i < 2; i++) {
    V f = nearest_bf16(whole * v_set1(1 - 0.1f * (float)i)), sum = v_zero(), w[SUBS], lost;
    for (int s = 0; s < SUBS; s++)
      w[s] = whole_of(x + s * SUB, most[s], f, &lost), sum += lost;
    L better = sum < best;
    best = choose(better, sum, best), factor = choose(better, f, factor);
    for (int s = 0; s < SUBS; s++)
      wholes[s] = choose(better, w[s], wholes[s]);
  }
  return factor;
}

static void put_q4(uint8_t *codes, uint8_t *factors, size_t row, const V *x) {
  V wholes[SUBS], factor = choose_q4(x, wholes);
  for (size_t s = 0; s < SUBS; s++)
    put_halves(codes + s * SUB * GROUP / 2, row, x + s * SUB, factor * wholes[s]);
  put_factor(factors, row, factor);
  for (size_t s = 0; s < SUBS; s += 2) {
    float low[W], high[W];
    v_store(low, wholes[s]), v_store(high, wholes[s + 1]);
    for (size_t r = 0; r < W; r++)
      factors[32 + s / 2 * GROUP + row + r] = (uint8_t)((int)low[r] | (int)high[r] << 4);
  }
}

// Four rows by four columns change places in registers.
typedef float F4 __attribute__((vector_size(16)));
typedef int32_t I4 __attribute__((vector_size(16)));

INLINE void swap_fours(float *to, const float *from) {
  F4 a, b, c, d;
  memcpy(&a, from, 16), memcpy(&b, from + COLS, 16), memcpy(&c, from + 2 * COLS, 16), memcpy(&d, from + 3 * COLS, 16);
  const I4 even = {0, 4, 1, 5}, odd = {2, 6, 3, 7}, first = {0, 1, 4, 5}, last = {2, 3, 6, 7};
  F4 ab = __builtin_shuffle(a, b, even), ab_odd = __builtin_shuffle(a, b, odd), cd = __builtin_shuffle(c, d, even), cd_odd = __builtin_shuffle(c, d, odd);
  a = __builtin_shuffle(ab, cd, first), b = __builtin_shuffle(ab, cd, last);
  c = __builtin_shuffle(ab_odd, cd_odd, first), d = __builtin_shuffle(ab_odd, cd_odd, last);
  memcpy(to, &a, 16), memcpy(to + W, &b, 16), memcpy(to + 2 * W, &c, 16), memcpy(to + 3 * W, &d, 16);
}

// lanes_of widens columns of W rows and gives a row to each lane. What is not there of them is zeros.
static void lanes_of(V x[COLS], const pio_matrix *from, size_t row, size_t end, size_t col) {
  float wide[W * COLS], swapped[COLS * W];
  size_t n = at_most(COLS, (size_t)from->cols - col);
  if (n < COLS || row + W > end)
    memset(wide, 0, sizeof wide);
  for (size_t r = 0; r < W && row + r < end; r++)
    layouts[from->layout].widen(from, row + r, col, n, wide + r * COLS);
  for (size_t c = 0; c < COLS; c += 4)
    for (size_t r = 0; r < W; r += 4)
      swap_fours(swapped + c * W + r, wide + r * COLS + c);
  for (size_t c = 0; c < COLS; c++)
    x[c] = v_load(swapped + c * W);
}

// pack_codes goes through the blocks of matrices in any layout. row begins a group; rows that there are not are zeros.
INLINE void pack_codes(int layout, const pio_matrix *to, const pio_matrix *from, size_t row, size_t rows) {
  size_t end = row + rows, cols = (size_t)from->cols;
  V x[COLS];
  for (; row < end; row += GROUP) {
    blocks b = blocks_of(layout, to, row / GROUP);
    for (size_t c = 0; c < cols; c += COLS, b.codes += b.code_bytes, b.factors += b.factor_bytes)
      for (size_t r = 0; r < GROUP; r += W) {
        lanes_of(x, from, row + r, end, c);
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

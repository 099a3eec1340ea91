// template.h: the ops, once, in terms of the vector primitives of the file that includes it.
//
// What makes rows independent of their company, in every op:
//   - a sum over k or over a head runs through one vector of W lanes from the first element to the last, and its lanes
//     are added in one order at the end, whatever the number of rows and columns computed side by side;
//   - what does not fill a vector is loaded with zeros behind it and takes the same path;
//   - attention goes through the cache block by block from position 0, and adds what parts of 512 positions have come to in their order,
//     for every row alike.
// So blocking, chunks and threads change which sums are computed when, never how.
//
// Each op is in one file, with its operands as its tasks take them, its tasks, and the function of its name (run_add) that has the
// pool do them. What several ops need comes first.

#define UNROLL _Pragma("GCC unroll 16")

#include "bf16.h"
#include "tasks.h"
#include "layouts.h"

// ---- exp

// v_exp is e^x within 2 units of the last place for x in [-87, 88]; below it gives no more than e^-87, above no more than
// e^88, and what is not a number stays so. x = n ln 2 + r, e^x = 2^n e^r, with e^r by its series to r^7 on |r| <= ln2/2.
INLINE V v_exp(V x) {
  x = v_min(v_set1(88.0f), v_max(v_set1(-87.0f), x));
  V n = v_fma(x, v_set1(1.44269504f), v_set1(12582912.0f)) - v_set1(12582912.0f); // 1.5 * 2^23 rounds to whole
  V r = v_fma(n, v_set1(-0.693359375f), x);                                      // ln 2 in two parts: n times the
  r = v_fma(n, v_set1(2.12194440e-4f), r);                                       // first is exact
  V p = v_set1(1.0f / 5040);
  p = v_fma(p, r, v_set1(1.0f / 720));
  p = v_fma(p, r, v_set1(1.0f / 120));
  p = v_fma(p, r, v_set1(1.0f / 24));
  p = v_fma(p, r, v_set1(1.0f / 6));
  p = v_fma(p, r, v_set1(0.5f));
  p = v_fma(p, r, v_set1(1.0f));
  p = v_fma(p, r, v_set1(1.0f));
  return p * v_pow2(n);
}

INLINE float exp_of(float x) {
  float e[W];
  v_store(e, v_exp(v_set1(x)));
  return e[0];
}

static void exp_all(float *y, const float *x, size_t n) {
  size_t i = 0;
  for (; i + W <= n; i += W)
    v_store(y + i, v_exp(v_load(x + i)));
  if (i < n)
    v_store_n(y + i, v_exp(v_load_n(x + i, n - i)), n - i);
}

#include "elements.h"
#include "norms.h"
#include "rotary.h"
#include "moves.h"
#include "matmul.h"
#include "codes.h"
#include "kcodes.h"
#include "rowcodes.h"
#include "cache.h"
#include "flash.h"
#include "attention.h"
#include "tiles.h"
#include "latent.h"
#include "conv.h"
#include "delta.h"
#include "route.h"
#include "experts.h"
#include "sampling.h"
#include "pack.h"

// ---- the speed of the arithmetic alone

double pio_seconds(void);

static double flops(double seconds) {
  V acc[12], x = v_set1(1.0f + 0x1p-20f), w = v_set1(0x1p-10f);
  UNROLL for (int i = 0; i < 12; i++)
    acc[i] = v_set1((float)i);
  double start = pio_seconds(), spent = 0, ops = 0;
  while (spent < seconds) {
    for (int i = 0; i < 20000; i++) {
      UNROLL for (int j = 0; j < 12; j++) {
        acc[j] = v_fma(acc[j], x, w);
      }
      __asm__ volatile("" : "+m"(*(char *)&start)); // a loop the compiler must run
    }
    ops += 20000.0 * 12 * W * 2;
    spent = pio_seconds() - start;
  }
  volatile float keep = 0;
  UNROLL for (int i = 0; i < 12; i++)
    keep += v_sum(acc[i]);
  return ops / spent;
}

// ---- and of reading alone

static void read_all(const void *data, size_t bytes) {
  V sum[4] = {v_zero(), v_zero(), v_zero(), v_zero()};
  for (const char *p = data, *end = p + bytes; p < end; p += 1024)
    UNROLL for (size_t i = 0; i < 1024; i += 64) {
      v_prefetch(p + 2048 + i);
      UNROLL for (size_t j = 0; j < 64 / sizeof(V); j++)
        sum[j % 4] += v_load((const float *)(p + i) + j * W);
    }
  volatile float keep = v_sum(sum[0] + sum[1] + sum[2] + sum[3]);
  (void)keep;
}

// ---- the table: what there is of each layout, and of each op

#define PIO_LAYOUT_KERNELS(LAYOUT, NAME)                                                                               \
  static void widen_##LAYOUT(const pio_matrix *m, size_t row, size_t col, size_t n, float *to) { widen_elements(LAYOUT, m, row, col, n, to); } \
  static void latent_query_##LAYOUT(const void *args, size_t task) { latent_query(LAYOUT, args, task); }               \
  static void latent_value_##LAYOUT(const void *args, size_t task) { latent_value(LAYOUT, args, task); }
PIO_LAYOUTS(PIO_LAYOUT_KERNELS)

#define PIO_STREAM_KERNELS(LAYOUT, NAME)                                                                               \
  static void few_##LAYOUT(const void *args, size_t task) { few(LAYOUT, args, task); }                                 \
  static void many_##LAYOUT(const void *args, size_t task) { many(LAYOUT, args, task); }
PIO_STREAMS(PIO_STREAM_KERNELS)
static void many_BF16X16(const void *args, size_t task) { many(BF16X16, args, task); }

#define PIO_CODES_KERNELS(LAYOUT, NAME)                                                                                \
  static void few_##LAYOUT(const void *args, size_t task) { codes_few(LAYOUT, 0, args, task); }                        \
  static void many_##LAYOUT(const void *args, size_t task) { codes_many(LAYOUT, 0, args, task); }                      \
  static void coded_few_##LAYOUT(const void *args, size_t task) { codes_few(LAYOUT, 1, args, task); }                  \
  static void coded_many_##LAYOUT(const void *args, size_t task) { codes_many(LAYOUT, 1, args, task); }
PIO_CODES(PIO_CODES_KERNELS)

#define PIO_KCODES_KERNELS(LAYOUT, NAME)                                                                               \
  static void few_##LAYOUT(const void *args, size_t task) { k_few(LAYOUT, 0, args, task); }                            \
  static void many_##LAYOUT(const void *args, size_t task) { k_many(LAYOUT, 0, args, task); }                          \
  static void coded_few_##LAYOUT(const void *args, size_t task) { k_few(LAYOUT, 1, args, task); }                      \
  static void coded_many_##LAYOUT(const void *args, size_t task) { k_many(LAYOUT, 1, args, task); }
PIO_KCODES(PIO_KCODES_KERNELS)

#define PIO_LAYOUT_ROW(LAYOUT, NAME, ...)                                                                              \
  [LAYOUT] = {.name = NAME, .widen = widen_##LAYOUT, .latent_query = latent_query_##LAYOUT, .latent_value = latent_value_##LAYOUT, __VA_ARGS__},
#define PIO_STREAM_ROW(LAYOUT, NAME) PIO_LAYOUT_ROW(LAYOUT, NAME, .few = few_##LAYOUT, .many = many_##LAYOUT)
#define PIO_CODES_ROW(LAYOUT, NAME) PIO_LAYOUT_ROW(LAYOUT, NAME, .few = few_##LAYOUT, .many = many_##LAYOUT, .pack = pack_##LAYOUT)
#define PIO_CODED_ROW(LAYOUT, NAME, ...)                                                                               \
  PIO_LAYOUT_ROW(LAYOUT, NAME, .few = coded_few_##LAYOUT, .many = coded_many_##LAYOUT, .pack = pack_##LAYOUT, .form_bytes = coded_bytes, .form = code_rows, __VA_ARGS__)
#define PIO_KCODED_ROW(LAYOUT, NAME, ...)                                                                              \
  PIO_LAYOUT_ROW(LAYOUT, NAME, .few = coded_few_##LAYOUT, .many = coded_many_##LAYOUT, .form_bytes = coded_bytes, .form = code_rows, __VA_ARGS__)
#define PIO_TILES_ROW PIO_LAYOUT_ROW(BF16X16, "bf16x16", .many = many_BF16X16, .pack = pack_bf16x16)
static const pio_layout layouts[LAYOUTS] = {PIO_STREAMS(PIO_STREAM_ROW) PIO_TILES_ROW PIO_CODES(PIO_CODES_ROW) PIO_KCODES(PIO_STREAM_ROW)};
static const pio_layout fast_layouts[LAYOUTS] = {PIO_STREAMS(PIO_STREAM_ROW) PIO_TILES_ROW PIO_CODES(PIO_CODED_ROW) PIO_KCODES(PIO_KCODED_ROW)};

#define PIO_RUN(OP) [PIO_OP_##OP] = run_##OP,
#define PIO_TABLE(NAME, NUMERICS, LIST, ...)                                                                                     \
  {                                                                                                                    \
      .name = NAME,                                                                                              \
      .numerics = NUMERICS,                                                                                            \
      .run = {PIO_OPS(PIO_RUN)},                                                                                       \
      .layouts = LIST,                                                                                                 \
      .layout_count = LAYOUTS,                                                                                         \
      .exp = exp_all,                                                                                                  \
      .flops = flops,                                                                                                  \
      .read = read_all,                                                                                                \
      __VA_ARGS__                                                                                                      \
  }
const pio_kernels TABLE = PIO_TABLE(TABLE_NAME, "exact", layouts);
const pio_kernels FAST_TABLE = PIO_TABLE(TABLE_NAME, "fast", fast_layouts);

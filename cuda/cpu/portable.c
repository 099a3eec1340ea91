// portable.c: the kernel table for any machine. Vectors of 8 floats that the compiler maps to what there is; a multiply
// and an add round twice here, so its bits differ from the tables that fuse them.
#define _GNU_SOURCE
#include "kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { W = 8 };
typedef float V __attribute__((vector_size(32)));
typedef int32_t I __attribute__((vector_size(32)));

#define INLINE static inline __attribute__((always_inline))
#define TABLE pio_portable
#define FAST_TABLE pio_portable_fast
#define TABLE_NAME "portable"

INLINE V v_set1(float f) { return (V){f, f, f, f, f, f, f, f}; }
INLINE V v_zero(void) { return v_set1(0); }

INLINE V v_load(const float *p) {
  V v;
  memcpy(&v, p, sizeof v);
  return v;
}

INLINE void v_store(float *p, V v) { memcpy(p, &v, sizeof v); }

INLINE V v_load_n(const float *p, size_t n) {
  V v = v_zero();
  memcpy(&v, p, n * sizeof(float));
  return v;
}

INLINE void v_store_n(float *p, V v, size_t n) { memcpy(p, &v, n * sizeof(float)); }

INLINE V v_fma(V a, V b, V c) { return a * b + c; }
INLINE V v_select(I mask, V yes, V no) { return (V)((mask & (I)yes) | (~mask & (I)no)); }

// As the instruction does: the second operand if either is not a number.
INLINE V v_max(V a, V b) { return v_select(a > b, a, b); }
INLINE V v_min(V a, V b) { return v_select(a < b, a, b); }

// ((0+1)+(2+3)) + ((4+5)+(6+7)), the order that four sums at once have.
INLINE float v_sum(V v) { return ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7])); }

INLINE void v_sum4(float *y, V a, V b, V c, V d) { y[0] = v_sum(a), y[1] = v_sum(b), y[2] = v_sum(c), y[3] = v_sum(d); }

INLINE float v_most(V v) {
  float m = v[0];
  for (int i = 1; i < W; i++)
    m = m > v[i] ? m : v[i];
  return m;
}

// 2^n for whole n in [-126, 127].
INLINE V v_pow2(V n) { return (V)((__builtin_convertvector(n, I) + 127) << 23); }

INLINE V v_bf16(const void *p) {
  uint16_t h[W];
  memcpy(h, p, sizeof h);
  I v;
  for (int i = 0; i < W; i++)
    v[i] = (int32_t)((uint32_t)h[i] << 16);
  return (V)v;
}

// v_i8 is W bytes with a sign.
INLINE V v_i8(const void *p) {
  int8_t b[W];
  memcpy(b, p, sizeof b);
  V v;
  for (int i = 0; i < W; i++)
    v[i] = (float)b[i];
  return v;
}

INLINE float f16_to_f32(uint16_t h) {
  uint32_t sign = (uint32_t)(h >> 15) << 31, exponent = (h >> 10) & 31, fraction = h & 1023, bits;
  if (exponent == 0) {
    float f = (float)fraction * 0x1p-24f;
    memcpy(&bits, &f, 4);
  } else {
    bits = (exponent == 31 ? 255u << 23 : (exponent + 112) << 23) | fraction << 13;
  }
  bits |= sign;
  float f;
  memcpy(&f, &bits, 4);
  return f;
}

INLINE V v_f16(const void *p) {
  uint16_t h[W];
  memcpy(h, p, sizeof h);
  V v;
  for (int i = 0; i < W; i++)
    v[i] = f16_to_f32(h[i]);
  return v;
}

// The seven bits below the sign are exponent and mantissa; an exponent that is too small by 120 is mended by a product, which
// gives subnormal values as well. What is no number becomes all ones, before and after.
INLINE V v_f8(const void *p) {
  int8_t b[W];
  memcpy(b, p, sizeof b);
  I v;
  for (int i = 0; i < W; i++)
    v[i] = (int32_t)((uint32_t)(int32_t)b[i] << 20);
  return (V)((v & (int32_t)0x87f00000) | ((v & 0x07f00000) == 0x07f00000)) * v_set1(0x1p120f);
}

// Four vectors, too small by 2^120; here they need no note of what is no number.
typedef int M;

INLINE M m_zero(void) { return 0; }
INLINE int m_nan(M most) { return most; }

INLINE void v_f8_four(const void *p, V v[4], M *most) {
  *most = 0;
  for (int i = 0; i < 4; i++)
    v[i] = v_f8((const char *)p + i * W) * v_set1(0x1p-120f);
}

INLINE void v_prefetch(const void *p) { __builtin_prefetch(p); }

// ---- whole numbers: W of 32 bits, of bytes 4 W, of 16 bits 2 W

typedef I Q;
enum { CODED_ROWS = 6 }; // that codes.h takes at once

INLINE Q q_zero(void) { return (Q){0}; }

INLINE Q q_load(const void *p) {
  Q q;
  memcpy(&q, p, sizeof q);
  return q;
}

INLINE V q_float(Q q) { return __builtin_convertvector(q, V); }

// q_quad has four codes in every lane.
INLINE Q q_quad(const int8_t *p) {
  int32_t quad;
  memcpy(&quad, p, 4);
  return q_zero() + quad;
}

INLINE Q q_byte(Q q, int j) { return (q << (24 - 8 * j)) >> 24; }
INLINE Q q_nibble(Q q, int shift) { return (q >> shift) & 15; }

// q_nibbles has the four bits from shift on of W bytes.
INLINE Q q_nibbles(const uint8_t *p, int shift) {
  Q q;
  for (int i = 0; i < W; i++)
    q[i] = p[i] >> shift & 15;
  return q;
}

// Sums of four products of codes, which begin with nothing whatever the sum of x is.
INLINE Q q_dot(Q sums, Q w, Q x) {
  for (int j = 0; j < 4; j++)
    sums += q_byte(w, j) * q_byte(x, j);
  return sums;
}
INLINE Q q8_begin(int32_t sum) { return (void)sum, q_zero(); }
INLINE Q q8_dot(Q sums, Q w, const int8_t *x) { return q_dot(sums, w, q_quad(x)); }

// Codes of 4 bits are too large by 8.
INLINE Q q_low(Q q) { return q & 0x0f0f0f0f; }
INLINE Q q_high(Q q) { return q_low(q >> 4); }
INLINE Q q4_begin(const int16_t sums[2]) { return q_zero() - 8 * (sums[0] + sums[1]); }
INLINE Q q4_dot(Q sums, Q w, const int8_t *x) { return q_dot(sums, w, q_quad(x)); }
INLINE Q q4_times(Q total, Q sums, Q whole) { return total + sums * whole; }

// Those of 6 bits are by 32, and where codes of 4 bits have factors of their own they are left as they are.
INLINE Q q6_begin(const int16_t sums[2]) { return q_zero() - 32 * (sums[0] + sums[1]); }
INLINE Q k_times(Q total, Q sums, Q factor) { return total + sums * factor; }

// q_half is one half of each lane, which has a sign, q_pairs adds the products of both halves.
INLINE Q q_half(Q pairs, int upper) { return (upper ? pairs : pairs << 16) >> 16; }
INLINE Q q_pairs(Q total, Q a, Q b) { return total + q_half(a, 0) * q_half(b, 0) + q_half(a, 1) * q_half(b, 1); }

// q_sums adds 16 codes up, those at k mod 4 = 0, 1 and those at 2, 3.
INLINE void q_sums(int16_t sums[2], const int8_t *codes) {
  sums[0] = sums[1] = 0;
  for (int i = 0; i < 16; i++)
    sums[i % 4 / 2] = (int16_t)(sums[i % 4 / 2] + codes[i]);
}

#include "template.h"

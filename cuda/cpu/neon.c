// neon.c: the kernel tables for 64-bit ARM. Every such machine has NEON; neon_dot.c is this file again with the dot products of bytes of
// ARMv8.2. A vector is one register, of four floats: GCC keeps no longer one in registers.
#define _GNU_SOURCE
#include "kernels.h"

#if defined(__aarch64__)
#include <math.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC push_options
#ifdef PIO_NEON_DOT
#pragma GCC target("arch=armv8.2-a+dotprod")
#define TABLE pio_neon_dot
#define FAST_TABLE pio_neon_dot_fast
#define TABLE_NAME "neon_dot"
#else
#define TABLE pio_neon
#define FAST_TABLE pio_neon_fast
#define TABLE_NAME "neon"
#endif
#include <arm_neon.h>

enum { W = 4 };
typedef float32x4_t V;

#define INLINE static inline __attribute__((always_inline))

INLINE V v_set1(float f) { return vdupq_n_f32(f); }
INLINE V v_zero(void) { return v_set1(0); }
INLINE V v_load(const float *p) { return vld1q_f32(p); }
INLINE void v_store(float *p, V v) { vst1q_f32(p, v); }

// The first two of some lanes go together, and a third by itself.
INLINE V v_load_n(const float *p, size_t n) {
  if (n >= W)
    return v_load(p);
  V v = n >= 2 ? vcombine_f32(vld1_f32(p), vdup_n_f32(0)) : v_zero();
  if (n == 3)
    v = vld1q_lane_f32(p + 2, v, 2);
  return n == 1 ? vld1q_lane_f32(p, v, 0) : v;
}

INLINE void v_store_n(float *p, V v, size_t n) {
  if (n >= W)
    v_store(p, v);
  else if (n >= 2)
    vst1_f32(p, vget_low_f32(v));
  if (n == 3)
    vst1q_lane_f32(p + 2, v, 2);
  if (n == 1)
    vst1q_lane_f32(p, v, 0);
}

INLINE V v_fma(V a, V b, V c) { return vfmaq_f32(c, a, b); }

// The second operand if either is not a number, as v_exp and most_of need it and FMAX would not have it.
INLINE V v_max(V a, V b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
INLINE V v_min(V a, V b) { return vbslq_f32(vcltq_f32(a, b), a, b); }

// Each sum is (0+1) + (2+3).
INLINE float v_sum(V v) { return vaddvq_f32(v); }
INLINE void v_sum4(float *y, V a, V b, V c, V d) { v_store(y, vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d))); }

INLINE float v_most(V v) { return vmaxnmvq_f32(v); }

// 2^n for whole n in [-126, 127].
INLINE V v_pow2(V n) { return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127)), 23)); }

INLINE V v_bf16(const void *p) { return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(p)), 16)); }
INLINE V v_f16(const void *p) { return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p))); }

// four_bytes has four bytes in its lower half.
INLINE uint8x8_t four_bytes(const void *p) {
  uint32_t bytes;
  memcpy(&bytes, p, 4);
  return vreinterpret_u8_u32(vdup_n_u32(bytes));
}

// v_i8 is W bytes with a sign.
INLINE V v_i8(const void *p) { return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u8(four_bytes(p)))))); }

// The seven bits below the sign are exponent and mantissa; an exponent that is too small by 120 is mended by a product, which
// gives subnormal values as well. What is no number becomes all ones, before and after.
INLINE V v_f8(const void *p) {
  int16x4_t halves = vget_low_s16(vshll_n_s8(vreinterpret_s8_u8(four_bytes(p)), 4));
  uint32x4_t v = vreinterpretq_u32_s32(vshll_n_s16(halves, 16)), magnitude = vdupq_n_u32(0x07f00000);
  uint32x4_t nan = vceqq_u32(vandq_u32(v, magnitude), magnitude);
  return vreinterpretq_f32_u32(vorrq_u32(vandq_u32(v, vdupq_n_u32(0x87f00000)), nan)) * v_set1(0x1p120f);
}

// Four vectors at a time. They stay too small by 2^120, and what is no number is only noted: most holds the largest magnitude seen at
// each place, one bit up.
typedef uint8x16_t M;

INLINE M m_zero(void) { return vdupq_n_u8(0); }
INLINE int m_nan(M most) { return vmaxvq_u8(most) == 0xfe; }

INLINE void v_f8_four(const void *p, V v[4], M *most) {
  uint8x16_t b = vld1q_u8(p);
  *most = vmaxq_u8(*most, vaddq_u8(b, b));
  int16x8_t first = vshll_n_s8(vget_low_s8(vreinterpretq_s8_u8(b)), 4), second = vshll_n_s8(vget_high_s8(vreinterpretq_s8_u8(b)), 4);
  int32x4_t kept = vdupq_n_s32((int32_t)0x87f00000);
  v[0] = vreinterpretq_f32_s32(vandq_s32(vshll_n_s16(vget_low_s16(first), 16), kept));
  v[1] = vreinterpretq_f32_s32(vandq_s32(vshll_n_s16(vget_high_s16(first), 16), kept));
  v[2] = vreinterpretq_f32_s32(vandq_s32(vshll_n_s16(vget_low_s16(second), 16), kept));
  v[3] = vreinterpretq_f32_s32(vandq_s32(vshll_n_s16(vget_high_s16(second), 16), kept));
}

INLINE void v_prefetch(const void *p) { __builtin_prefetch(p); }

// ---- whole numbers: W of 32 bits, of bytes 4 W, of 16 bits 2 W

typedef int32x4_t Q;
enum { CODED_ROWS = 8 }; // that codes.h takes at once

INLINE Q q_zero(void) { return vdupq_n_s32(0); }
INLINE Q q_load(const void *p) { return vreinterpretq_s32_u8(vld1q_u8(p)); }
INLINE V q_float(Q q) { return vcvtq_f32_s32(q); }

// q_quad has four codes in every lane.
INLINE Q q_quad(const int8_t *p) {
  int32_t quad;
  memcpy(&quad, p, 4);
  return vdupq_n_s32(quad);
}

INLINE Q q_byte(Q q, int j) { return vshrq_n_s32(vshlq_s32(q, vdupq_n_s32(24 - 8 * j)), 24); }
INLINE Q q_nibble(Q q, int shift) { return vandq_s32(vshlq_s32(q, vdupq_n_s32(-shift)), vdupq_n_s32(15)); }

// q_nibbles has the four bits from shift on of W bytes.
INLINE Q q_nibbles(const uint8_t *p, int shift) {
  return q_nibble(vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(vmovl_u8(four_bytes(p))))), shift);
}

// q_dot adds sums of four products of codes. Without an instruction for that pairs of products go through 16 bits, where they fit, as no
// code is -128.
INLINE Q q_dot(Q sums, Q w, Q x) {
  int8x16_t a = vreinterpretq_s8_s32(w), b = vreinterpretq_s8_s32(x);
#ifdef PIO_NEON_DOT
  return vdotq_s32(sums, a, b);
#else
  return vpadalq_s16(sums, vpaddq_s16(vmull_s8(vget_low_s8(a), vget_low_s8(b)), vmull_high_s8(a, b)));
#endif
}
INLINE Q q8_begin(int32_t sum) { return (void)sum, q_zero(); }
INLINE Q q8_dot(Q sums, Q w, const int8_t *x) { return q_dot(sums, w, q_quad(x)); }

// Codes of 4 bits are too large by 8.
INLINE Q q_low(Q q) { return vandq_s32(q, vdupq_n_s32(0x0f0f0f0f)); }
INLINE Q q_high(Q q) { return vreinterpretq_s32_u8(vshrq_n_u8(vreinterpretq_u8_s32(q), 4)); }
INLINE Q q4_begin(const int16_t sums[2]) { return vdupq_n_s32(-8 * (sums[0] + sums[1])); }
INLINE Q q4_dot(Q sums, Q w, const int8_t *x) { return q_dot(sums, w, q_quad(x)); }
INLINE Q q4_times(Q total, Q sums, Q whole) { return vmlaq_s32(total, sums, whole); }

// Those of 6 bits are by 32, and where codes of 4 bits have factors of their own they are left as they are.
INLINE Q q6_begin(const int16_t sums[2]) { return vdupq_n_s32(-32 * (sums[0] + sums[1])); }
INLINE Q k_times(Q total, Q sums, Q factor) { return vmlaq_s32(total, sums, factor); }

// q_half is one half of each lane, which has a sign, q_pairs adds the products of both halves.
INLINE Q q_half(Q pairs, int upper) { return vshrq_n_s32(upper ? pairs : vshlq_n_s32(pairs, 16), 16); }
INLINE Q q_pairs(Q total, Q a, Q b) { return vmlaq_s32(vmlaq_s32(total, q_half(a, 0), q_half(b, 0)), q_half(a, 1), q_half(b, 1)); }

// q_sums adds 16 codes up, those at k mod 4 = 0, 1 and those at 2, 3.
INLINE void q_sums(int16_t sums[2], const int8_t *codes) {
  int16x8_t pairs = vpaddlq_s8(vld1q_s8(codes));
  sums[0] = vaddv_s16(vget_low_s16(vuzp1q_s16(pairs, pairs)));
  sums[1] = vaddv_s16(vget_low_s16(vuzp2q_s16(pairs, pairs)));
}

#include "template.h"
#pragma GCC pop_options
#endif

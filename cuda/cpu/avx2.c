// avx2.c: the kernel table for x86-64 with AVX2, FMA and F16C (2013 and later).
#define _GNU_SOURCE
#include "kernels.h"

#if defined(__x86_64__)
#include <math.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#include <immintrin.h>

enum { W = 8 };
typedef __m256 V;

#define INLINE static inline __attribute__((always_inline))
#define TABLE pio_avx2
#define FAST_TABLE pio_avx2_fast
#define TABLE_NAME "avx2"

INLINE V v_set1(float f) { return _mm256_set1_ps(f); }
INLINE V v_zero(void) { return _mm256_setzero_ps(); }
INLINE V v_load(const float *p) { return _mm256_loadu_ps(p); }
INLINE void v_store(float *p, V v) { _mm256_storeu_ps(p, v); }

INLINE __m256i first_n(size_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

INLINE V v_load_n(const float *p, size_t n) { return _mm256_maskload_ps(p, first_n(n)); }
INLINE void v_store_n(float *p, V v, size_t n) { _mm256_maskstore_ps(p, first_n(n), v); }
INLINE V v_fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
INLINE V v_max(V a, V b) { return _mm256_max_ps(a, b); }
INLINE V v_min(V a, V b) { return _mm256_min_ps(a, b); }

// Each sum is ((0+1)+(2+3)) + ((4+5)+(6+7)).
INLINE __m128 sums(V a, V b, V c, V d) {
  V s = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
  return _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
}

INLINE float v_sum(V v) { return _mm_cvtss_f32(sums(v, v, v, v)); }
INLINE void v_sum4(float *y, V a, V b, V c, V d) { _mm_storeu_ps(y, sums(a, b, c, d)); }

INLINE float v_most(V v) {
  __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  m = _mm_max_ps(m, _mm_movehl_ps(m, m));
  return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

// 2^n for whole n in [-126, 127].
INLINE V v_pow2(V n) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
}

INLINE V v_bf16(const void *p) {
  __m128i h = _mm_loadu_si128((const __m128i *)p);
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

// v_i8 is W bytes with a sign.
INLINE V v_i8(const void *p) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p))); }

INLINE V v_f16(const void *p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)); }

// The seven bits below the sign are exponent and mantissa; an exponent that is too small by 120 is mended by a product, which
// gives subnormal values as well. What is no number becomes all ones, before and after.
INLINE V v_f8(const void *p) {
  __m256i v = _mm256_slli_epi32(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)), 20);
  __m256i magnitude = _mm256_set1_epi32(0x07f00000);
  __m256i nan = _mm256_cmpeq_epi32(_mm256_and_si256(v, magnitude), magnitude);
  v = _mm256_or_si256(_mm256_and_si256(v, _mm256_set1_epi32((int)0x87f00000)), nan);
  return _mm256_castsi256_ps(v) * _mm256_set1_ps(0x1p120f);
}

// Four vectors at a time: 32 bytes are brought into an order in which each 32 bits hold one element of each vector, and each is
// moved to the place of a float's exponent. They stay too small by 2^120, and what is no number is only noted: most holds the
// largest magnitude seen at each place, one bit up.
typedef __m256i M;

INLINE M m_zero(void) { return _mm256_setzero_si256(); }
INLINE int m_nan(M most) { return _mm256_movemask_epi8(_mm256_cmpeq_epi8(most, _mm256_set1_epi8((char)0xfe))) != 0; }

INLINE void v_f8_four(const void *p, V v[4], M *most) {
  const __m256i transposed = _mm256_setr_epi8(8, 0, 12, 4, 9, 1, 13, 5, 10, 2, 14, 6, 11, 3, 15, 7, //
                                              8, 0, 12, 4, 9, 1, 13, 5, 10, 2, 14, 6, 11, 3, 15, 7);
  __m256i b = _mm256_loadu_si256((const __m256i *)p), kept = _mm256_set1_epi32((int)0x87f00000);
  *most = _mm256_max_epu8(*most, _mm256_add_epi8(b, b));
  b = _mm256_permutevar8x32_epi32(b, _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7));
  b = _mm256_shuffle_epi8(b, transposed); // bytes 16+j, j, 24+j, 8+j from the lowest up
  __m256i first = _mm256_srai_epi16(b, 4), second = _mm256_srai_epi16(_mm256_slli_epi16(b, 8), 4);
  v[0] = _mm256_castsi256_ps(_mm256_and_si256(_mm256_slli_epi32(first, 16), kept));
  v[1] = _mm256_castsi256_ps(_mm256_and_si256(first, kept));
  v[2] = _mm256_castsi256_ps(_mm256_and_si256(_mm256_slli_epi32(second, 16), kept));
  v[3] = _mm256_castsi256_ps(_mm256_and_si256(second, kept));
}

INLINE void v_prefetch(const void *p) { _mm_prefetch((const char *)p, _MM_HINT_T0); }

// ---- whole numbers: W of 32 bits, of bytes 4 W, of 16 bits 2 W

typedef __m256i Q;
enum { CODED_ROWS = 6 }; // that codes.h takes at once

INLINE Q q_zero(void) { return _mm256_setzero_si256(); }
INLINE Q q_load(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
INLINE V q_float(Q q) { return _mm256_cvtepi32_ps(q); }

// q_quad has four codes in every lane.
INLINE Q q_quad(const int8_t *p) {
  int32_t quad;
  memcpy(&quad, p, 4);
  return _mm256_set1_epi32(quad);
}

INLINE Q q_byte(Q q, int j) { return _mm256_srai_epi32(_mm256_slli_epi32(q, 24 - 8 * j), 24); }
INLINE Q q_nibble(Q q, int shift) { return _mm256_and_si256(_mm256_srli_epi32(q, shift), _mm256_set1_epi32(15)); }

// q_nibbles has the four bits from shift on of W bytes.
INLINE Q q_nibbles(const uint8_t *p, int shift) { return q_nibble(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)), shift); }

// one_by_one keeps sums one after the other. Compilers would rather add whole numbers up in pairs, for which all products wait in memory.
INLINE Q one_by_one(Q sums) {
  __asm__("" : "+x"(sums));
  return sums;
}

// Sums of four products of codes of 8 bits, which begin with nothing whatever the sum of x is. Pairs of products fit in 16 bits, as no
// code is -128.
INLINE Q q8_begin(int32_t sum) { return (void)sum, q_zero(); }
INLINE Q q8_dot(Q sums, Q w, const int8_t *x) {
  Q pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(q_quad(x), w));
  return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

// The same of codes of 4 bits, which are too large by 8. Sums of pairs of products go round in 16 bits: in the end those of 32 fit.
INLINE Q q_low(Q q) { return _mm256_and_si256(q, _mm256_set1_epi8(15)); }
INLINE Q q_high(Q q) { return q_low(_mm256_srli_epi16(q, 4)); }
INLINE Q q4_begin(const int16_t sums[2]) {
  int32_t both;
  memcpy(&both, sums, 4);
  return _mm256_sub_epi16(q_zero(), _mm256_slli_epi16(_mm256_set1_epi32(both), 3));
}
INLINE Q q4_dot(Q sums, Q w, const int8_t *x) { return one_by_one(_mm256_add_epi16(sums, _mm256_maddubs_epi16(w, q_quad(x)))); }
INLINE Q q4_times(Q total, Q sums, Q whole) {
  return _mm256_add_epi32(total, _mm256_madd_epi16(sums, _mm256_or_si256(whole, _mm256_slli_epi32(whole, 16))));
}

// Codes of 6 bits are too large by 32. What 16 products with them come to fits in 16 bits twice, and so do 32 with codes of 4 bits that are left as
// large as they are. Both are multiplied by a factor with a sign, a half of a lane.
INLINE Q q6_begin(const int16_t sums[2]) {
  int32_t both;
  memcpy(&both, sums, 4);
  return _mm256_sub_epi16(q_zero(), _mm256_slli_epi16(_mm256_set1_epi32(both), 5));
}
INLINE Q k_times(Q total, Q sums, Q factor) { return q4_times(total, sums, factor); }

// q_half is one half of each lane, as k_times takes it, q_pairs adds the products of both halves.
INLINE Q q_half(Q pairs, int upper) { return upper ? _mm256_srli_epi32(pairs, 16) : _mm256_and_si256(pairs, _mm256_set1_epi32(0xffff)); }
INLINE Q q_pairs(Q total, Q a, Q b) { return _mm256_add_epi32(total, _mm256_madd_epi16(a, b)); }

// q_sums adds 16 codes up, those at k mod 4 = 0, 1 and those at 2, 3.
INLINE void q_sums(int16_t sums[2], const int8_t *codes) {
  __m128i s = _mm_maddubs_epi16(_mm_set1_epi8(1), _mm_loadu_si128((const __m128i *)codes));
  s = _mm_add_epi16(s, _mm_unpackhi_epi64(s, s));
  s = _mm_add_epi16(s, _mm_shuffle_epi32(s, 1));
  int32_t both = _mm_cvtsi128_si32(s);
  memcpy(sums, &both, 4);
}

#include "template.h"
#pragma GCC pop_options
#endif

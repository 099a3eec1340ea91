// avx512.c: the kernel tables for x86-64 with AVX-512 and its dot products of bytes (F, BW, DQ, VL and VNNI: Cascade Lake, Zen 4 and later);
// for fast numerics also with those of bf16 (pairs.h, pairdots.h, pair_flash.h) and with AMX (amx*.h). With PIO_MODEL the instructions are C: model.h.
#define _GNU_SOURCE
#include "kernels.h"

#if defined(__x86_64__)
#include <math.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC push_options
#ifdef PIO_MODEL
#pragma GCC target("avx2,fma,f16c,bmi2")
#include "model.h"
#else
#pragma GCC target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
#include <immintrin.h>
#endif

enum { W = 16 };
typedef __m512 V;

#define INLINE static inline __attribute__((always_inline))
#define TABLE pio_avx512
#define FAST_TABLE pio_avx512_fast
#define TABLE_NAME "avx512"

INLINE V v_set1(float f) { return _mm512_set1_ps(f); }
INLINE V v_zero(void) { return _mm512_setzero_ps(); }
INLINE V v_load(const float *p) { return _mm512_loadu_ps(p); }
INLINE void v_store(float *p, V v) { _mm512_storeu_ps(p, v); }

INLINE __mmask16 first_n(size_t n) { return (__mmask16)_bzhi_u32(0xffff, (unsigned)n); }

INLINE V v_load_n(const float *p, size_t n) { return _mm512_maskz_loadu_ps(first_n(n), p); }
INLINE void v_store_n(float *p, V v, size_t n) { _mm512_mask_storeu_ps(p, first_n(n), v); }
INLINE V v_fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
INLINE V v_max(V a, V b) { return _mm512_max_ps(a, b); }
INLINE V v_min(V a, V b) { return _mm512_min_ps(a, b); }

// Each sum is that of the lanes i + (8+i), of those so added i + (4+i), and then as (0+1) + (2+3): pairs of vectors, then pairs of pairs, are
// brought side by side with one shuffle each, of which a core does one a cycle.
INLINE V swapped_fours(V v) { return _mm512_shuffle_f32x4(v, v, 0xb1); }
INLINE V eights(V a, V b) { return _mm512_mask_blend_ps(0xff00, a, b) + _mm512_shuffle_f32x4(a, b, 0x4e); }

INLINE __m128 sums(V a, V b, V c, V d) {
  V x = eights(a, b), y = eights(c, d);
  V fours = _mm512_mask_blend_ps(0xf0f0, x, y) + swapped_fours(_mm512_mask_blend_ps(0xf0f0, y, x)); // of a, c, b, d
  fours = fours + _mm512_permute_ps(fours, 0xb1);
  fours = fours + _mm512_permute_ps(fours, 0x4e);
  return _mm512_castps512_ps128(_mm512_permutexvar_ps(_mm512_setr_epi32(0, 8, 4, 12, 0, 8, 4, 12, 0, 8, 4, 12, 0, 8, 4, 12), fours));
}

INLINE float v_sum(V v) { return _mm_cvtss_f32(sums(v, v, v, v)); }
INLINE void v_sum4(float *y, V a, V b, V c, V d) { _mm_storeu_ps(y, sums(a, b, c, d)); }

INLINE float v_most(V v) {
  __m256 half = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
  __m128 m = _mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
  m = _mm_max_ps(m, _mm_movehl_ps(m, m));
  return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

// 2^n for whole n in [-126, 127].
INLINE V v_pow2(V n) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23));
}

INLINE V v_bf16(const void *p) {
  __m256i h = _mm256_loadu_si256((const __m256i *)p);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

// v_i8 is W bytes with a sign.
INLINE V v_i8(const void *p) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p))); }

INLINE V v_f16(const void *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)); }

// The seven bits below the sign are exponent and mantissa; an exponent that is too small by 120 is mended by a product, which
// gives subnormal values as well. What is no number becomes all ones, before and after.
INLINE V v_f8(const void *p) {
  __m512i v = _mm512_slli_epi32(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)), 20);
  __m512i magnitude = _mm512_set1_epi32(0x07f00000);
  __mmask16 nan = _mm512_cmpeq_epi32_mask(_mm512_and_si512(v, magnitude), magnitude);
  v = _mm512_mask_set1_epi32(_mm512_and_si512(v, _mm512_set1_epi32((int)0x87f00000)), nan, -1);
  return _mm512_castsi512_ps(v) * _mm512_set1_ps(0x1p120f);
}

// Four vectors at a time: 64 bytes are brought into an order in which each 32 bits hold one element of each vector, and each is
// moved to the place of a float's exponent. They stay too small by 2^120, and what is no number is only noted: most holds the
// largest magnitude seen at each place, one bit up.
typedef __m512i M;

INLINE M m_zero(void) { return _mm512_setzero_si512(); }
INLINE int m_nan(M most) { return _mm512_cmpeq_epi8_mask(most, _mm512_set1_epi8((char)0xfe)) != 0; }

INLINE void v_f8_four(const void *p, V v[4], M *most) {
  const __m512i gathered = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m512i transposed = _mm512_broadcast_i32x4(_mm_setr_epi8(8, 0, 12, 4, 9, 1, 13, 5, 10, 2, 14, 6, 11, 3, 15, 7));
  __m512i b = _mm512_loadu_si512(p), kept = _mm512_set1_epi32((int)0x87f00000);
  *most = _mm512_max_epu8(*most, _mm512_add_epi8(b, b));
  b = _mm512_shuffle_epi8(_mm512_permutexvar_epi32(gathered, b), transposed); // bytes 32+j, j, 48+j, 16+j from the lowest up
  __m512i first = _mm512_srai_epi16(b, 4), second = _mm512_srai_epi16(_mm512_slli_epi16(b, 8), 4);
  v[0] = _mm512_castsi512_ps(_mm512_and_si512(_mm512_slli_epi32(first, 16), kept));
  v[1] = _mm512_castsi512_ps(_mm512_and_si512(first, kept));
  v[2] = _mm512_castsi512_ps(_mm512_and_si512(_mm512_slli_epi32(second, 16), kept));
  v[3] = _mm512_castsi512_ps(_mm512_and_si512(second, kept));
}

INLINE void v_prefetch(const void *p) { _mm_prefetch((const char *)p, _MM_HINT_T0); }

// ---- whole numbers: W of 32 bits, of bytes 4 W, of 16 bits 2 W

typedef __m512i Q;
enum { CODED_ROWS = 12 }; // that codes.h takes at once

INLINE Q q_zero(void) { return _mm512_setzero_si512(); }
INLINE Q q_load(const void *p) { return _mm512_loadu_si512(p); }
INLINE V q_float(Q q) { return _mm512_cvtepi32_ps(q); }

// q_quad has four codes in every lane.
INLINE Q q_quad(const int8_t *p) {
  int32_t quad;
  memcpy(&quad, p, 4);
  return _mm512_set1_epi32(quad);
}

INLINE Q q_byte(Q q, int j) { return _mm512_srai_epi32(_mm512_slli_epi32(q, (unsigned)(24 - 8 * j)), 24); }
INLINE Q q_nibble(Q q, int shift) { return _mm512_and_si512(_mm512_srli_epi32(q, (unsigned)shift), _mm512_set1_epi32(15)); }

// q_nibbles has the four bits from shift on of W bytes.
INLINE Q q_nibbles(const uint8_t *p, int shift) { return q_nibble(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p)), shift); }

// dot_quad adds four products of codes, those of w without a sign. Of the intrinsic of this instruction gcc 12 makes two more that copy the sums.
INLINE Q dot_quad(Q sums, Q w, const int8_t *x) {
#ifdef PIO_MODEL
  return _mm512_dpbusd_epi32(sums, w, q_quad(x));
#else
  __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sums) : "v"(w), "m"(*(const int8_t(*)[4])x));
  return sums;
#endif
}

// Sums of four products of codes of 8 bits: those of w are made too large by 128, so that they have no sign, and sums begin with what that
// adds, in which the sum of x is.
INLINE Q q8_begin(int32_t sum) { return _mm512_set1_epi32(-128 * sum); }
INLINE Q q8_dot(Q sums, Q w, const int8_t *x) { return dot_quad(sums, _mm512_xor_si512(w, _mm512_set1_epi8((char)0x80)), x); }

// Codes of 4 bits, which are too large by 8, become ones of 8 bits that are too large by 128 when they are multiplied by their whole number: at most
// 15 * 15, which no byte hands on to the next. times is a lane's whole number in both of its halves, less what a byte is then to be less by.
#define Q4_TIMES_FIRST
INLINE Q q_low(Q q) { return _mm512_and_si512(q, _mm512_set1_epi8(15)); }
INLINE Q q_high(Q q) { return q_low(_mm512_srli_epi16(q, 4)); }
INLINE Q q4_times_of(Q whole) { return _mm512_or_si512(whole, _mm512_slli_epi32(whole, 16)); }
INLINE Q q4_less_of(Q times) {
  Q eight = _mm512_slli_epi32(times, 3);
  return _mm512_sub_epi8(_mm512_set1_epi8((char)0x80), _mm512_or_si512(eight, _mm512_slli_epi32(eight, 8)));
}
INLINE Q q4_timed(Q codes, Q times, Q less) { return _mm512_add_epi8(_mm512_mullo_epi16(codes, times), less); }
INLINE Q q4_dot(Q sums, Q w, const int8_t *x) { return dot_quad(sums, w, x); }

// Sums of codes of 4 bits begin with what those are too large by.
INLINE Q q4_begin(const int16_t sums[2]) { return _mm512_set1_epi32(-8 * (sums[0] + sums[1])); }
INLINE Q q4_times(Q total, Q sums, Q whole) { return _mm512_add_epi32(total, _mm512_mullo_epi32(sums, whole)); }

// Codes of 6 bits are too large by 32. Sums of 16 products with them do not fit in 16 bits, nor do those of 32 with codes of 4 bits that are left as
// large as they are.
INLINE Q q6_begin(const int16_t sums[2]) { return _mm512_set1_epi32(-32 * (sums[0] + sums[1])); }
INLINE Q k_times(Q total, Q sums, Q factor) { return q4_times(total, sums, factor); }

// q_half is one half of each lane, with its sign, q_pairs adds the products of both halves.
INLINE Q q_half(Q pairs, int upper) { return _mm512_srai_epi32(upper ? pairs : _mm512_slli_epi32(pairs, 16), 16); }
INLINE Q q_pairs(Q total, Q a, Q b) { return _mm512_add_epi32(total, _mm512_madd_epi16(a, b)); }

#ifdef PIO_MODEL
// q_sums adds 16 codes up, those at k mod 4 = 0, 1 and those at 2, 3.
INLINE void q_sums(int16_t sums[2], const int8_t *codes) {
  __m128i s = _mm_maddubs_epi16(_mm_set1_epi8(1), _mm_loadu_si128((const __m128i *)codes));
  s = _mm_add_epi16(s, _mm_unpackhi_epi64(s, s));
  s = _mm_add_epi16(s, _mm_shuffle_epi32(s, 1));
  int32_t both = _mm_cvtsi128_si32(s);
  memcpy(sums, &both, 4);
}
#else
#define Q_CODES // in place of what codes.h has for all

// q_most is the bits of the greatest magnitude of 128 numbers.
INLINE uint32_t q_most(const float *x) {
  __m512i most = _mm512_setzero_si512();
  _Pragma("GCC unroll 8") for (int i = 0; i < 128; i += W)
    most = _mm512_max_epu32(most, _mm512_and_si512(_mm512_loadu_si512(x + i), _mm512_set1_epi32(0x7fffffff)));
  return _mm512_reduce_max_epu32(most);
}

// q_codes makes 128 numbers codes, and adds these up as codes.h has it: by 16, by 32, and, which it gives, all.
INLINE int32_t q_codes(int8_t *code, int16_t *sixteens, int16_t *sums, int16_t *wholes, const float *x, float inverse) {
  const V times = v_set1(inverse), rounding = v_set1(12582912.0f);
  __m512i by[2];
  _Pragma("GCC unroll 2") for (int i = 0; i < 2; i++, x += 64, code += 64) {
    __m128i q[4];
    _Pragma("GCC unroll 4") for (int j = 0; j < 4; j++)
      q[j] = _mm512_cvtepi32_epi8(_mm512_castps_si512(v_load(x + W * j) * times + rounding));
    __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(q[0]), q[1], 1), high = _mm256_inserti128_si256(_mm256_castsi128_si256(q[2]), q[3], 1);
    __m512i all = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
    _mm512_storeu_si512(code, all);
    __m512i pairs = _mm512_maddubs_epi16(_mm512_set1_epi8(1), all);
    pairs = _mm512_add_epi16(pairs, _mm512_shuffle_epi32(pairs, 0x4e));
    by[i] = _mm512_add_epi16(pairs, _mm512_shuffle_epi32(pairs, 0xb1));
  }
  const __m512i firsts = _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 0, 0, 0, 0, 0, 0, 0, 0); // of each 128 bits
  __m256i by16 = _mm512_castsi512_si256(_mm512_permutex2var_epi32(by[0], firsts, by[1]));
  __m128i by32 = _mm256_cvtepi64_epi32(_mm256_add_epi16(by16, _mm256_shuffle_epi32(by16, 0xb1))), whole = _mm_madd_epi16(by32, _mm_set1_epi16(1));
  _mm256_storeu_si256((__m256i *)sixteens, by16);
  _mm_storeu_si128((__m128i *)sums, by32);
  _mm_storel_epi64((__m128i *)wholes, _mm_cvtepi32_epi16(whole));
  whole = _mm_add_epi32(whole, _mm_shuffle_epi32(whole, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(whole, _mm_shuffle_epi32(whole, 0xb1)));
}
#endif

#include "template.h"

// ---- tables for fast numerics that multiply in bf16

#define PIO_REST PIO_STREAM_ROW(F32, "f32") PIO_STREAM_ROW(F16, "f16")

#ifndef PIO_MODEL
#pragma GCC target("avx512bf16")
#endif
#include "pairs.h"
#include "pairdots.h"
#include "lanes.h"
#include "pair_flash.h"
#define PIO_PAIRS_ROW(LAYOUT, NAME)                                                                                    \
  PIO_LAYOUT_ROW(LAYOUT, NAME, .few = pairs_few_##LAYOUT, .many = pairs_many_##LAYOUT, .many_rows = PAIRS_ROWS,        \
                 .form_bytes = pair_bytes, .form = pair_rows)
#define PIO_UNASKED_ROW(LAYOUT, NAME) PIO_CODED_ROW(LAYOUT, NAME, .unasked = 1)
#define PIO_DOTS_ROW(LAYOUT, NAME, ...)                                                                                \
  PIO_LAYOUT_ROW(LAYOUT, NAME, .many = pair_dots_many_##LAYOUT, .many_rows = PAIRS_ROWS, .form_bytes = pair_bytes, .form = pair_rows, __VA_ARGS__)
static const pio_layout pairs_layouts[LAYOUTS] = {PIO_REST PIO_F8S(PIO_PAIRS_ROW) PIO_CODES(PIO_UNASKED_ROW) PIO_KCODES(PIO_KCODED_ROW) PIO_DOTS_ROW(BF16, "bf16", .few = pair_dots_few)
                                                      PIO_DOTS_ROW(BF16X16, "bf16x16", .pack = pack_bf16x16)};
#define PIO_ATTENTION(BY) .attend = (void (*)(void))attend_part_by_##BY, .attend_tile = (void (*)(void))attend_tile_by_##BY
const pio_kernels pio_avx512bf16 = PIO_TABLE("avx512bf16", "fast", pairs_layouts, PIO_ATTENTION(pairs));

#include "amx.h"
#include "amx_quads.h"
#include "amx_pairs.h"
#include "amx_flash.h"
#define PIO_BY_TILES(LAYOUT)                                                                                           \
  .many = tiles_many_##LAYOUT, .many_rows = AMX_ROWS, .many_outs = AMX_OUTS, .panel = AMX_PANEL, .columns = AMX_STRIP, .form_bytes = pair_bytes,   \
  .form = turned_rows, .together = SIDE
#define PIO_BY_TILES_ROW(LAYOUT, NAME) PIO_LAYOUT_ROW(LAYOUT, NAME, PIO_BY_TILES(LAYOUT))
#define PIO_TILED_ROW(LAYOUT, NAME, ...)                                                                               \
  PIO_LAYOUT_ROW(LAYOUT, NAME, .few = coded_few_##LAYOUT, .many = tiled_many_##LAYOUT, .many_rows = AMX_ROWS, .many_outs = AMX_OUTS,             \
                 .panel = AMX_PANEL, .form_bytes = coded_bytes, .form = code_rows, __VA_ARGS__)
#define PIO_TILED_CODES_ROW(LAYOUT, NAME) PIO_TILED_ROW(LAYOUT, NAME, .pack = pack_##LAYOUT, .unasked = 1)
static const pio_layout tiles_layouts[LAYOUTS] = {PIO_REST PIO_F8S(PIO_BY_TILES_ROW) PIO_CODES(PIO_TILED_CODES_ROW) PIO_KCODES(PIO_TILED_ROW)
                                                      PIO_LAYOUT_ROW(BF16, "bf16", PIO_BY_TILES(BF16), .few = tiles_few_BF16, .few_rows = AMX_FEW)
                                                      PIO_LAYOUT_ROW(BF16X16, "bf16x16", PIO_BY_TILES(BF16X16), .few = tiles_few_BF16X16, .pack = pack_bf16x16)};
const pio_kernels pio_amx = PIO_TABLE("amx", "fast", tiles_layouts, PIO_ATTENTION(tiles));
#pragma GCC pop_options
#endif

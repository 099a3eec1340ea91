// model.h: the instructions of AVX-512 and AMX in plain C, as the Software Developer's Manual specifies them, under the names that
// <immintrin.h> gives them. With the build tag pio_model the kernels of avx512.c are compiled against these and run on any machine with
// AVX2: every test of an op then runs through them (make emulate). It is slow, and no part of what is shipped.
//
// What an instruction does with a lane is written out lane by lane where it is not a single operation of C.
#ifndef PIO_MODEL_H
#define PIO_MODEL_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define MODEL static inline __attribute__((always_inline))
#define LANEWISE static __attribute__((noinline, unused)) // what is compiled in a minute, not in ten
#define LANES(N) for (int i = 0; i < (N); i++)

// A register, by the lanes that it has.
typedef union {
  __m512 f;
  __m512i v;
  __m256 half[2];
  __m256i half_i[2];
  float f32[16];
  int8_t i8[64];
  uint8_t u8[64];
  int16_t i16[32];
  uint16_t u16[32];
  int32_t i32[16];
  uint32_t u32[16];
  __m128i quarter[4];
} zmm;

// ---- moves

MODEL __m512 model_set1_ps(float f) { return (__m512){f, f, f, f, f, f, f, f, f, f, f, f, f, f, f, f}; }
MODEL __m512 model_setzero_ps(void) { return model_set1_ps(0); }
MODEL __m512i model_setzero_si512(void) { return (__m512i){0}; }

MODEL __m512i model_set1_epi32(int x) {
  __m256i half = _mm256_set1_epi32(x);
  return ((zmm){.half_i = {half, half}}).v;
}

MODEL __m512i model_set1_epi8(char x) {
  __m256i half = _mm256_set1_epi8(x);
  return ((zmm){.half_i = {half, half}}).v;
}

MODEL __m512i model_set1_epi16(short x) {
  __m256i half = _mm256_set1_epi16(x);
  return ((zmm){.half_i = {half, half}}).v;
}

MODEL __m512i model_setr_epi32(int a, int b, int c, int d, int e, int f, int g, int h, int j, int k, int l, int m, int n, int o, int p, int q) {
  return ((zmm){.i32 = {a, b, c, d, e, f, g, h, j, k, l, m, n, o, p, q}}).v;
}

LANEWISE __m512i model_mask_set1_epi32(__m512i from, __mmask16 mask, int x) {
  zmm r = {.v = from};
  LANES(16) r.i32[i] = mask >> i & 1 ? x : r.i32[i];
  return r.v;
}

MODEL __m512 model_loadu_ps(const void *p) {
  zmm r;
  memcpy(&r, p, sizeof r);
  return r.f;
}

MODEL __m512i model_loadu_si512(const void *p) {
  zmm r;
  memcpy(&r, p, sizeof r);
  return r.v;
}

MODEL void model_storeu_ps(void *p, __m512 v) { memcpy(p, &v, sizeof v); }
MODEL void model_storeu_si512(void *p, __m512i v) { memcpy(p, &v, sizeof v); }

LANEWISE __m512 model_maskz_loadu_ps(__mmask16 mask, const void *p) {
  zmm r = {.v = {0}};
  LANES(16) if (mask >> i & 1) memcpy(&r.f32[i], (const float *)p + i, 4);
  return r.f;
}

LANEWISE __m512 model_maskz_mov_ps(__mmask16 mask, __m512 v) {
  zmm r = {.v = {0}}, x = {.f = v};
  LANES(16) if (mask >> i & 1) r.u32[i] = x.u32[i];
  return r.f;
}

LANEWISE __m512 model_mask_mul_ps(__m512 other, __mmask16 mask, __m512 a, __m512 b) {
  zmm r = {.f = other}, x = {.f = a}, y = {.f = b};
  LANES(16) if (mask >> i & 1) r.f32[i] = x.f32[i] * y.f32[i];
  return r.f;
}

LANEWISE void model_mask_storeu_ps(void *p, __mmask16 mask, __m512 v) {
  zmm r = {.f = v};
  LANES(16) if (mask >> i & 1) memcpy((float *)p + i, &r.f32[i], 4);
}

MODEL __m512 model_castsi512_ps(__m512i v) { return (__m512)v; }
MODEL __m512i model_castps_si512(__m512 v) { return (__m512i)v; }
MODEL __m256 model_castps512_ps256(__m512 v) { return ((zmm){.f = v}).half[0]; }
MODEL __m256 model_extractf32x8_ps(__m512 v, int at) { return ((zmm){.f = v}).half[at]; }
MODEL __m512i model_broadcast_i32x4(__m128i x) { return ((zmm){.quarter = {x, x, x, x}}).v; }

LANEWISE __m512i model_permutexvar_epi32(__m512i index, __m512i from) {
  zmm r, x = {.v = index}, a = {.v = from};
  LANES(16) r.u32[i] = a.u32[x.u32[i] & 15];
  return r.v;
}

LANEWISE __m512i model_maskz_loadu_epi16(__mmask32 mask, const void *p) {
  zmm r = {.v = {0}};
  LANES(32) if (mask >> i & 1) memcpy(&r.u16[i], (const uint16_t *)p + i, 2);
  return r.v;
}

LANEWISE __m256i model_256_maskz_loadu_epi8(__mmask32 mask, const void *p) {
  zmm r = {.v = {0}};
  LANES(32) if (mask >> i & 1) r.u8[i] = ((const uint8_t *)p)[i];
  return r.half_i[0];
}

MODEL __m256i model_cvtepi32_epi16(__m512i a) {
  zmm r, x = {.v = a};
  LANES(16) r.u16[i] = (uint16_t)x.u32[i];
  return r.half_i[0];
}

// The lower or upper halves of quarters, element by element from one and the other.
#define MODEL_UNPACK(NAME, SIZE, UPPER)                                                                                \
  LANEWISE __m512i model_##NAME(__m512i a, __m512i b) {                                                                \
    zmm r, x = {.v = a}, y = {.v = b};                                                                                 \
    for (int q = 0; q < 64; q += 16)                                                                                   \
      for (int i = 0; i < 8; i += SIZE) {                                                                              \
        memcpy(&r.u8[q + 2 * i], &x.u8[q + 8 * UPPER + i], SIZE);                                                      \
        memcpy(&r.u8[q + 2 * i + SIZE], &y.u8[q + 8 * UPPER + i], SIZE);                                               \
      }                                                                                                                \
    return r.v;                                                                                                        \
  }
MODEL_UNPACK(unpacklo_epi16, 2, 0)
MODEL_UNPACK(unpackhi_epi16, 2, 1)
MODEL_UNPACK(unpacklo_epi32, 4, 0)
MODEL_UNPACK(unpackhi_epi32, 4, 1)
MODEL_UNPACK(unpacklo_epi64, 8, 0)
MODEL_UNPACK(unpackhi_epi64, 8, 1)

// Two quarters of one, then two of the other; each two bits say which.
MODEL __m512i model_shuffle_i32x4(__m512i a, __m512i b, int which) {
  zmm x = {.v = a}, y = {.v = b};
  return ((zmm){.quarter = {x.quarter[which & 3], x.quarter[which >> 2 & 3], y.quarter[which >> 4 & 3], y.quarter[which >> 6 & 3]}}).v;
}

MODEL __m128 model_castps512_ps128(__m512 a) { return _mm256_castps256_ps128(((zmm){.f = a}).half[0]); }

MODEL __m512 model_shuffle_f32x4(__m512 a, __m512 b, int which) { return (__m512)model_shuffle_i32x4((__m512i)a, (__m512i)b, which); }

LANEWISE __m512 model_mask_blend_ps(__mmask16 mask, __m512 a, __m512 b) {
  zmm x = {.f = a}, y = {.f = b};
  LANES(16) x.f32[i] = mask >> i & 1 ? y.f32[i] : x.f32[i];
  return x.f;
}

LANEWISE __m512 model_permute_ps(__m512 a, int which) {
  zmm x = {.f = a}, r;
  LANES(16) r.f32[i] = x.f32[i / 4 * 4 + (which >> i % 4 * 2 & 3)];
  return r.f;
}

LANEWISE __m512 model_permutexvar_ps(__m512i from, __m512 a) {
  zmm index = {.v = from}, x = {.f = a}, r;
  LANES(16) r.f32[i] = x.f32[index.i32[i] & 15];
  return r.f;
}

LANEWISE __m512 model_permutex2var_ps(__m512 a, __m512i from, __m512 b) {
  zmm index = {.v = from}, x = {.f = a}, y = {.f = b}, r;
  LANES(16) r.f32[i] = (index.i32[i] & 16 ? y : x).f32[index.i32[i] & 15];
  return r.f;
}

LANEWISE __m512i model_mask_permutexvar_epi16(__m512i otherwise, __mmask32 mask, __m512i index, __m512i from) {
  zmm r = {.v = otherwise}, x = {.v = index}, a = {.v = from};
  LANES(32) r.u16[i] = mask >> i & 1 ? a.u16[x.u16[i] & 31] : r.u16[i];
  return r.v;
}

LANEWISE __m512i model_mask_blend_epi8(__mmask64 mask, __m512i no, __m512i yes) {
  zmm r = {.v = no}, a = {.v = yes};
  LANES(64) r.u8[i] = mask >> i & 1 ? a.u8[i] : r.u8[i];
  return r.v;
}

LANEWISE __m512i model_mask_mov_epi16(__m512i otherwise, __mmask32 mask, __m512i from) {
  zmm r = {.v = otherwise}, a = {.v = from};
  LANES(32) r.u16[i] = mask >> i & 1 ? a.u16[i] : r.u16[i];
  return r.v;
}

// Within each quarter.
LANEWISE __m512i model_shuffle_epi8(__m512i from, __m512i index) {
  zmm r, x = {.v = index}, a = {.v = from};
  LANES(64) r.u8[i] = x.u8[i] & 0x80 ? 0 : a.u8[(i & 0x30) | (x.u8[i] & 15)];
  return r.v;
}

// ---- arithmetic, rounded as MXCSR says: to the nearest

#define MODEL_HALVES(NAME, TYPE, HALF, INSTRUCTION)                                                                    \
  MODEL TYPE model_##NAME(TYPE a, TYPE b) {                                                                            \
    zmm r, x, y;                                                                                                       \
    memcpy(&x, &a, sizeof x), memcpy(&y, &b, sizeof y);                                                                \
    LANES(2) r.HALF[i] = INSTRUCTION(x.HALF[i], y.HALF[i]);                                                            \
    memcpy(&a, &r, sizeof a);                                                                                          \
    return a;                                                                                                          \
  }
MODEL_HALVES(max_ps, __m512, half, _mm256_max_ps)
MODEL_HALVES(min_ps, __m512, half, _mm256_min_ps)
MODEL_HALVES(and_si512, __m512i, half_i, _mm256_and_si256)
MODEL_HALVES(xor_si512, __m512i, half_i, _mm256_xor_si256)
MODEL_HALVES(madd_epi16, __m512i, half_i, _mm256_madd_epi16)
MODEL_HALVES(or_si512, __m512i, half_i, _mm256_or_si256)
MODEL_HALVES(add_epi16, __m512i, half_i, _mm256_add_epi16)
MODEL_HALVES(add_epi32, __m512i, half_i, _mm256_add_epi32)
MODEL_HALVES(add_epi8, __m512i, half_i, _mm256_add_epi8)
MODEL_HALVES(sub_epi8, __m512i, half_i, _mm256_sub_epi8)
MODEL_HALVES(mullo_epi16, __m512i, half_i, _mm256_mullo_epi16)
MODEL_HALVES(mullo_epi32, __m512i, half_i, _mm256_mullo_epi32)
MODEL_HALVES(max_epu8, __m512i, half_i, _mm256_max_epu8)

MODEL __m512 model_fmadd_ps(__m512 a, __m512 b, __m512 c) {
  zmm r, x = {.f = a}, y = {.f = b}, z = {.f = c};
  LANES(2) r.half[i] = _mm256_fmadd_ps(x.half[i], y.half[i], z.half[i]);
  return r.f;
}

#define MODEL_LANES(NAME, N, LANE, VALUE)                                                                              \
  LANEWISE __m512i model_##NAME(__m512i a, unsigned n) {                                                                    \
    zmm r, x = {.v = a};                                                                                               \
    LANES(N) r.LANE[i] = VALUE;                                                                                        \
    return r.v;                                                                                                        \
  }
MODEL_LANES(slli_epi32, 16, u32, x.u32[i] << n)
MODEL_LANES(srai_epi32, 16, i32, x.i32[i] >> n)
MODEL_LANES(srli_epi32, 16, u32, x.u32[i] >> n)
MODEL_LANES(slli_epi16, 32, u16, (uint16_t)(x.u16[i] << n))
MODEL_LANES(srli_epi16, 32, u16, (uint16_t)(x.u16[i] >> n))
MODEL_LANES(srai_epi16, 32, i16, (int16_t)(x.i16[i] >> n))

LANEWISE __mmask16 model_cmpeq_epi32_mask(__m512i a, __m512i b) {
  zmm x = {.v = a}, y = {.v = b};
  unsigned mask = 0;
  LANES(16) mask |= (unsigned)(x.i32[i] == y.i32[i]) << i;
  return (__mmask16)mask;
}

LANEWISE __mmask16 model_cmplt_epi32_mask(__m512i a, __m512i b) {
  zmm x = {.v = a}, y = {.v = b};
  unsigned mask = 0;
  LANES(16) mask |= (unsigned)(x.i32[i] < y.i32[i]) << i;
  return (__mmask16)mask;
}

LANEWISE __mmask32 model_cmpeq_epi16_mask(__m512i a, __m512i b) {
  zmm x = {.v = a}, y = {.v = b};
  unsigned mask = 0;
  LANES(32) mask |= (unsigned)(x.u16[i] == y.u16[i]) << i;
  return mask;
}

LANEWISE __mmask32 model_cmplt_epu16_mask(__m512i a, __m512i b) {
  zmm x = {.v = a}, y = {.v = b};
  unsigned mask = 0;
  LANES(32) mask |= (unsigned)(x.u16[i] < y.u16[i]) << i;
  return mask;
}

LANEWISE __mmask64 model_cmpeq_epi8_mask(__m512i a, __m512i b) {
  zmm x = {.v = a}, y = {.v = b};
  uint64_t mask = 0;
  LANES(64) mask |= (uint64_t)(x.i8[i] == y.i8[i]) << i;
  return mask;
}

// ---- conversions

MODEL __m512i model_cvtps_epi32(__m512 a) {
  zmm r, x = {.f = a};
  LANES(2) r.half_i[i] = _mm256_cvtps_epi32(x.half[i]);
  return r.v;
}

LANEWISE __m512i model_cvtepu16_epi32(__m256i a) {
  zmm r;
  uint16_t x[16];
  memcpy(x, &a, sizeof x);
  LANES(16) r.u32[i] = x[i];
  return r.v;
}

LANEWISE __m512i model_cvtepu8_epi16(__m256i a) {
  zmm r;
  uint8_t x[32];
  memcpy(x, &a, sizeof x);
  LANES(32) r.u16[i] = x[i];
  return r.v;
}

LANEWISE __m512i model_cvtepi8_epi32(__m128i a) {
  zmm r;
  int8_t x[16];
  memcpy(x, &a, sizeof x);
  LANES(16) r.i32[i] = x[i];
  return r.v;
}

MODEL __m512 model_cvtph_ps(__m256i a) {
  zmm r;
  r.half[0] = _mm256_cvtph_ps(_mm256_castsi256_si128(a)), r.half[1] = _mm256_cvtph_ps(_mm256_extracti128_si256(a, 1));
  return r.f;
}

LANEWISE __m512i model_cvtepu8_epi32(__m128i a) {
  zmm r;
  uint8_t x[16];
  memcpy(x, &a, sizeof x);
  LANES(16) r.u32[i] = x[i];
  return r.v;
}

MODEL __m512 model_cvtepi32_ps(__m512i a) {
  zmm r, x = {.v = a};
  LANES(2) r.half[i] = _mm256_cvtepi32_ps(x.half_i[i]);
  return r.f;
}

// ---- dot products

// A bf16 as a float; one that is subnormal counts as zero, as does a sum that would be.
MODEL float model_bf16(uint16_t half) {
  uint32_t bits = (uint32_t)half << 16;
  float f;
  if ((half & 0x7f80) == 0)
    bits &= 0x80000000;
  memcpy(&f, &bits, 4);
  return f;
}

MODEL float model_flushed(float f) { return __builtin_fabsf(f) < 0x1p-126f ? __builtin_copysignf(0, f) : f; }

// To bf16, to the nearest, of two the even one; what is subnormal becomes zero, and no number a quiet one. The lower halves are of the second operand.
MODEL uint16_t model_to_bf16(uint32_t bits) {
  if ((bits & 0x7f800000) == 0)
    return (uint16_t)(bits >> 16 & 0x8000);
  if ((bits & 0x7fffffff) > 0x7f800000)
    return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

LANEWISE __m512bh model_cvtne2ps_pbh(__m512 high, __m512 low) {
  zmm r, x = {.f = high}, y = {.f = low};
  __m512bh to;
  LANES(16) r.u16[i] = model_to_bf16(y.u32[i]), r.u16[16 + i] = model_to_bf16(x.u32[i]);
  memcpy(&to, &r, sizeof to);
  return to;
}

// A sum and a product of bf16, rounded once.
MODEL float model_step(float sum, uint16_t a, uint16_t b) {
  return model_flushed(__builtin_fmaf(model_bf16(a), model_bf16(b), model_flushed(sum)));
}

// VDPBF16PS: the second of each pair, then the first.
LANEWISE __m512 model_dpbf16_ps(__m512 sums, __m512bh a, __m512bh b) {
  zmm r = {.f = sums}, x, y;
  memcpy(&x, &a, sizeof x), memcpy(&y, &b, sizeof y);
  LANES(16) r.f32[i] = model_step(model_step(r.f32[i], x.u16[2 * i + 1], y.u16[2 * i + 1]), x.u16[2 * i], y.u16[2 * i]);
  return r.f;
}

// Of bytes without a sign by bytes with one, four products to a sum that goes round.
LANEWISE __m512i model_dpbusd_epi32(__m512i sums, __m512i a, __m512i b) {
  zmm r = {.v = sums}, x = {.v = a}, y = {.v = b};
  LANES(16) for (int j = 4 * i; j < 4 * i + 4; j++) r.u32[i] += (uint32_t)((int)x.u8[j] * (int)y.i8[j]);
  return r.v;
}

#include "model_amx.h"

// ---- under the names of the instructions, some of which are macros

#undef _mm512_set1_ps
#define _mm512_set1_ps model_set1_ps
#undef _mm512_setzero_ps
#define _mm512_setzero_ps model_setzero_ps
#undef _mm512_setzero_si512
#define _mm512_setzero_si512 model_setzero_si512
#undef _mm512_set1_epi32
#define _mm512_set1_epi32 model_set1_epi32
#undef _mm512_set1_epi8
#define _mm512_set1_epi8 model_set1_epi8
#undef _mm512_setr_epi32
#define _mm512_setr_epi32 model_setr_epi32
#undef _mm512_mask_set1_epi32
#define _mm512_mask_set1_epi32 model_mask_set1_epi32
#undef _mm512_loadu_ps
#define _mm512_loadu_ps model_loadu_ps
#undef _mm512_loadu_si512
#define _mm512_loadu_si512 model_loadu_si512
#undef _mm512_storeu_ps
#define _mm512_storeu_ps model_storeu_ps
#undef _mm512_storeu_si512
#define _mm512_storeu_si512 model_storeu_si512
#undef _mm512_maskz_loadu_ps
#define _mm512_maskz_loadu_ps model_maskz_loadu_ps
#undef _mm512_mask_storeu_ps
#define _mm512_mask_storeu_ps model_mask_storeu_ps
#undef _mm512_castsi512_ps
#define _mm512_castsi512_ps model_castsi512_ps
#undef _mm512_castps_si512
#define _mm512_castps_si512 model_castps_si512
#undef _mm512_castps512_ps256
#define _mm512_castps512_ps256 model_castps512_ps256
#undef _mm512_extractf32x8_ps
#define _mm512_extractf32x8_ps model_extractf32x8_ps
#undef _mm512_broadcast_i32x4
#define _mm512_broadcast_i32x4 model_broadcast_i32x4
#undef _mm512_permutexvar_epi32
#define _mm512_permutexvar_epi32 model_permutexvar_epi32
#undef _mm512_shuffle_epi8
#define _mm512_shuffle_epi8 model_shuffle_epi8
#undef _mm512_max_ps
#define _mm512_max_ps model_max_ps
#undef _mm512_min_ps
#define _mm512_min_ps model_min_ps
#undef _mm512_and_si512
#define _mm512_and_si512 model_and_si512
#undef _mm512_xor_si512
#define _mm512_xor_si512 model_xor_si512
#undef _mm512_madd_epi16
#define _mm512_madd_epi16 model_madd_epi16
#undef _mm512_add_epi32
#define _mm512_add_epi32 model_add_epi32
#undef _mm512_sub_epi8
#define _mm512_sub_epi8 model_sub_epi8
#undef _mm512_mullo_epi16
#define _mm512_mullo_epi16 model_mullo_epi16
#undef _mm512_mullo_epi32
#define _mm512_mullo_epi32 model_mullo_epi32
#undef _mm512_mask_blend_epi8
#define _mm512_mask_blend_epi8 model_mask_blend_epi8
#undef _mm512_add_epi8
#define _mm512_add_epi8 model_add_epi8
#undef _mm512_max_epu8
#define _mm512_max_epu8 model_max_epu8
#undef _mm512_fmadd_ps
#define _mm512_fmadd_ps model_fmadd_ps
#undef _mm512_slli_epi32
#define _mm512_slli_epi32 model_slli_epi32
#undef _mm512_srai_epi32
#define _mm512_srai_epi32 model_srai_epi32
#undef _mm512_maskz_mov_ps
#define _mm512_maskz_mov_ps model_maskz_mov_ps
#undef _mm512_mask_mul_ps
#define _mm512_mask_mul_ps model_mask_mul_ps
#undef _mm512_cmplt_epi32_mask
#define _mm512_cmplt_epi32_mask model_cmplt_epi32_mask
#undef _mm512_cvtne2ps_pbh
#define _mm512_cvtne2ps_pbh model_cvtne2ps_pbh
#undef _mm512_stream_si512
#define _mm512_stream_si512(P, V) model_storeu_si512(P, V)
#undef _mm512_srli_epi32
#define _mm512_srli_epi32 model_srli_epi32
#undef _mm512_srli_epi16
#define _mm512_srli_epi16 model_srli_epi16
#undef _mm512_slli_epi16
#define _mm512_slli_epi16 model_slli_epi16
#undef _mm512_srai_epi16
#define _mm512_srai_epi16 model_srai_epi16
#undef _mm512_cmpeq_epi32_mask
#define _mm512_cmpeq_epi32_mask model_cmpeq_epi32_mask
#undef _mm512_cmpeq_epi8_mask
#define _mm512_cmpeq_epi8_mask model_cmpeq_epi8_mask
#undef _mm512_cvtps_epi32
#define _mm512_cvtps_epi32 model_cvtps_epi32
#undef _mm512_cvtepu16_epi32
#define _mm512_cvtepu16_epi32 model_cvtepu16_epi32
#undef _mm512_cvtepi8_epi32
#define _mm512_cvtepi8_epi32 model_cvtepi8_epi32
#undef _mm512_cvtepu8_epi32
#define _mm512_cvtepu8_epi32 model_cvtepu8_epi32
#undef _mm512_cvtepi32_ps
#define _mm512_cvtepi32_ps model_cvtepi32_ps
#undef _mm512_dpbusd_epi32
#define _mm512_dpbusd_epi32 model_dpbusd_epi32
#undef _mm512_cvtph_ps
#define _mm512_cvtph_ps model_cvtph_ps
#undef _mm512_maskz_loadu_epi16
#define _mm512_maskz_loadu_epi16 model_maskz_loadu_epi16
#undef _mm512_cvtepi32_epi16
#define _mm512_cvtepi32_epi16 model_cvtepi32_epi16
#undef _mm512_unpacklo_epi16
#define _mm512_unpacklo_epi16 model_unpacklo_epi16
#undef _mm512_unpackhi_epi16
#define _mm512_unpackhi_epi16 model_unpackhi_epi16
#undef _mm512_unpacklo_epi32
#define _mm512_unpacklo_epi32 model_unpacklo_epi32
#undef _mm512_unpackhi_epi32
#define _mm512_unpackhi_epi32 model_unpackhi_epi32
#undef _mm512_unpacklo_epi64
#define _mm512_unpacklo_epi64 model_unpacklo_epi64
#undef _mm512_unpackhi_epi64
#define _mm512_unpackhi_epi64 model_unpackhi_epi64
#undef _mm512_castps512_ps128
#define _mm512_castps512_ps128 model_castps512_ps128
#undef _mm512_shuffle_f32x4
#define _mm512_shuffle_f32x4 model_shuffle_f32x4
#undef _mm512_mask_blend_ps
#define _mm512_mask_blend_ps model_mask_blend_ps
#undef _mm512_permute_ps
#define _mm512_permute_ps model_permute_ps
#undef _mm512_permutex2var_ps
#define _mm512_permutex2var_ps model_permutex2var_ps
#undef _mm512_permutexvar_ps
#define _mm512_permutexvar_ps model_permutexvar_ps
#undef _mm512_shuffle_i32x4
#define _mm512_shuffle_i32x4 model_shuffle_i32x4
#undef _mm512_mask_permutexvar_epi16
#define _mm512_mask_permutexvar_epi16 model_mask_permutexvar_epi16
#undef _mm512_mask_mov_epi16
#define _mm512_mask_mov_epi16 model_mask_mov_epi16
#undef _mm512_set1_epi16
#define _mm512_set1_epi16 model_set1_epi16
#undef _mm512_or_si512
#define _mm512_or_si512 model_or_si512
#undef _mm512_add_epi16
#define _mm512_add_epi16 model_add_epi16
#undef _mm512_cmpeq_epi16_mask
#define _mm512_cmpeq_epi16_mask model_cmpeq_epi16_mask
#undef _mm512_cmplt_epu16_mask
#define _mm512_cmplt_epu16_mask model_cmplt_epu16_mask
#undef _mm512_cvtepu8_epi16
#define _mm512_cvtepu8_epi16 model_cvtepu8_epi16
#undef _mm512_dpbf16_ps
#define _mm512_dpbf16_ps model_dpbf16_ps
#undef _mm256_maskz_loadu_epi8
#define _mm256_maskz_loadu_epi8 model_256_maskz_loadu_epi8

#endif

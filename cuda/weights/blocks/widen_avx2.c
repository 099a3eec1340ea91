// widen_avx2.c: the loops of widen.h for x86-64 with AVX2.
#include "widen.h"

#if defined(__x86_64__)
#include <string.h>

#pragma GCC push_options
#pragma GCC target("avx2")
#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))
#define TABLE pio_widen_avx2

typedef uint8_t U __attribute__((vector_size(16)));
typedef __m256 F;

INLINE F get(const float *p) { return _mm256_loadu_ps(p); }
INLINE void put(float *p, F v) { _mm256_storeu_ps(p, v); }

// eight and eight_unsigned make numbers of bytes.
INLINE F eight(const int8_t *c) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)c))); }
INLINE F eight_unsigned(const uint8_t *c) { return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)c))); }

// look_up has for codes of 4 bits what a table does.
INLINE U look_up(U codes, const int8_t *table) { return (U)_mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)table), (__m128i)codes); }

#include "widen_template.h"
#pragma GCC pop_options
#endif

// avx2.c: the kernel table for x86-64 with AVX2.
//
// A weight has 23 bits and a sum of products 31, which no fast multiply takes; in halves of 16 bits two instructions that
// multiply and add 16 pairs do. `across` keeps two rows in the two lanes of a register, so the weights are broadcasts from
// memory and only the pixels are shuffled; `down` needs no shuffle that the packing at the end does not undo.
#define _GNU_SOURCE
#include "resize.h"

#if defined(__x86_64__)
#include <string.h>

#pragma GCC push_options
#pragma GCC target("avx2")
#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))

INLINE __m256i pair(const int16_t *w) {
  int32_t v;
  memcpy(&v, w, sizeof v);
  return _mm256_set1_epi32(v);
}

typedef struct {
  __m256i hi, lo;
} sums;

// Adds what two neighbouring pixels or rows give; v is their values in turn, 16 bits each.
INLINE void add(sums *s, __m256i v, __m256i hi, __m256i lo) {
  s->hi = _mm256_add_epi32(s->hi, _mm256_madd_epi16(v, hi));
  s->lo = _mm256_add_epi32(s->lo, _mm256_madd_epi16(v, lo));
}

INLINE __m256i rounded(sums s) {
  __m256i v = _mm256_add_epi32(_mm256_slli_epi32(s.hi, PIC_LOW_BITS), s.lo);
  return _mm256_srai_epi32(_mm256_add_epi32(v, _mm256_set1_epi32(1 << (PIC_PRECISION - 1))), PIC_PRECISION);
}

INLINE __m256i two_rows(const uint8_t *a, const uint8_t *b) {
  __m256i v = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)a));
  return _mm256_inserti128_si256(v, _mm_loadu_si128((const __m128i *)b), 1);
}

// A pixel is stored as four bytes where the next one overwrites the fourth, and as three at the end of a row.
INLINE void store(uint8_t *to, int pixel, int last) { memcpy(to, &pixel, last ? 3 : 4); }

static void across(uint8_t *const *to, const uint8_t *const *from, size_t wide, const pic_axis *x) {
  // (r0 r1 g0 g1 b0 b1 - -) of pixels 0, 1 and of pixels 2, 3, widened to 16 bits
  const __m256i first = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1));
  const __m256i second = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1));
  const uint8_t *f0 = from[0], *f1 = from[1], *f2 = from[2], *f3 = from[3];
  uint8_t *t0 = to[0], *t1 = to[1], *t2 = to[2], *t3 = to[3];
  for (size_t i = 0; i < wide; i++) {
    const int16_t *w = x->weights + i * x->stride * 2;
    size_t at = 3 * (size_t)x->start[i], end = at + 3 * (size_t)x->count[i];
    sums a = {_mm256_setzero_si256(), _mm256_setzero_si256()}, b = a;
    for (; at < end; at += 12, w += 8) {
      __m256i hi0 = pair(w), lo0 = pair(w + 2), hi1 = pair(w + 4), lo1 = pair(w + 6);
      __m256i u = two_rows(f0 + at, f1 + at), v = two_rows(f2 + at, f3 + at);
      add(&a, _mm256_shuffle_epi8(u, first), hi0, lo0);
      add(&b, _mm256_shuffle_epi8(v, first), hi0, lo0);
      add(&a, _mm256_shuffle_epi8(u, second), hi1, lo1);
      add(&b, _mm256_shuffle_epi8(v, second), hi1, lo1);
    }
    __m256i p = _mm256_packs_epi32(rounded(a), rounded(b)); // rows 0 2 | 1 3
    p = _mm256_packus_epi16(p, p);
    __m128i even = _mm256_castsi256_si128(p), odd = _mm256_extracti128_si256(p, 1);
    int last = i + 1 == wide;
    store(t0 + 3 * i, _mm_cvtsi128_si32(even), last);
    store(t1 + 3 * i, _mm_cvtsi128_si32(odd), last);
    store(t2 + 3 * i, _mm_extract_epi32(even, 1), last);
    store(t3 + 3 * i, _mm_extract_epi32(odd, 1), last);
  }
}

// Makes columns at..at+31.
INLINE void columns(uint8_t *to, const uint8_t *const *from, size_t at, const int16_t *w, size_t pairs) {
  const __m256i zero = _mm256_setzero_si256();
  sums s[4] = {{zero, zero}, {zero, zero}, {zero, zero}, {zero, zero}};
  for (size_t p = 0; p < pairs; p++) {
    __m256i hi = pair(w + 4 * p), lo = pair(w + 4 * p + 2);
    __m256i a = _mm256_loadu_si256((const __m256i *)(from[2 * p] + at));
    __m256i b = _mm256_loadu_si256((const __m256i *)(from[2 * p + 1] + at));
    __m256i l = _mm256_unpacklo_epi8(a, b), h = _mm256_unpackhi_epi8(a, b);
    add(&s[0], _mm256_unpacklo_epi8(l, zero), hi, lo);
    add(&s[1], _mm256_unpackhi_epi8(l, zero), hi, lo);
    add(&s[2], _mm256_unpacklo_epi8(h, zero), hi, lo);
    add(&s[3], _mm256_unpackhi_epi8(h, zero), hi, lo);
  }
  __m256i l = _mm256_packs_epi32(rounded(s[0]), rounded(s[1]));
  __m256i h = _mm256_packs_epi32(rounded(s[2]), rounded(s[3]));
  _mm256_storeu_si256((__m256i *)(to + at), _mm256_packus_epi16(l, h));
}

static void down(uint8_t *to, const uint8_t *const *from, size_t bytes, const int16_t *weights, size_t pairs) {
  extern const pic_kernels pic_portable;
  if (bytes < 32) {
    pic_portable.down(to, from, bytes, weights, pairs);
    return;
  }
  size_t at = 0;
  for (; at + 32 <= bytes; at += 32)
    columns(to, from, at, weights, pairs);
  if (at < bytes) // the last columns once more with those before them
    columns(to, from, bytes - 32, weights, pairs);
}

const pic_kernels pic_avx2 = {.name = "avx2", .across = across, .down = down};
#pragma GCC pop_options
#endif

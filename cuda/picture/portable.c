// portable.c: the kernel table for any machine.
#define _GNU_SOURCE
#include "resize.h"

enum { COLUMNS = 64, HALF = 1 << (PIC_PRECISION - 1) };

static uint8_t byte_of(int32_t sum) {
  int32_t v = (sum + HALF) >> PIC_PRECISION;
  return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

// Weight t of a row of weights.
static int32_t weight(const int16_t *w, size_t t) {
  const int16_t *pair = w + t / 2 * 4 + t % 2;
  return pair[0] * (1 << PIC_LOW_BITS) + pair[2];
}

static void across_one(uint8_t *to, const uint8_t *from, size_t wide, const pic_axis *x) {
  for (size_t i = 0; i < wide; i++, to += 3) {
    const uint8_t *p = from + 3 * (size_t)x->start[i];
    const int16_t *w = x->weights + i * x->stride * 2;
    int32_t r = 0, g = 0, b = 0;
    for (int32_t t = 0; t < x->count[i]; t++, p += 3) {
      int32_t k = weight(w, (size_t)t);
      r += k * p[0], g += k * p[1], b += k * p[2];
    }
    to[0] = byte_of(r), to[1] = byte_of(g), to[2] = byte_of(b);
  }
}

static void across(uint8_t *const *to, const uint8_t *const *from, size_t wide, const pic_axis *x) {
  for (int i = 0; i < PIC_ROWS; i++)
    if (i == 0 || to[i] != to[0])
      across_one(to[i], from[i], wide, x);
}

static void down(uint8_t *to, const uint8_t *const *from, size_t bytes, const int16_t *weights, size_t pairs) {
  for (size_t at = 0; at < bytes; at += COLUMNS) {
    size_t n = bytes - at < COLUMNS ? bytes - at : COLUMNS;
    int32_t sums[COLUMNS] = {0};
    for (size_t t = 0; t < 2 * pairs; t++) {
      int32_t k = weight(weights, t);
      const uint8_t *p = from[t] + at;
      for (size_t c = 0; c < n; c++)
        sums[c] += k * p[c];
    }
    for (size_t c = 0; c < n; c++)
      to[at + c] = byte_of(sums[c]);
  }
}

const pic_kernels pic_portable = {.name = "portable", .across = across, .down = down};

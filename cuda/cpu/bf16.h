// bf16.h: bf16 and f32, for activations and caches in bf16: the upper half of an f32, rounded to the nearest, of two the even one.
#ifndef PIO_BF16_H
#define PIO_BF16_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline void bf16_widen(float *to, const void *from, size_t n) {
  for (size_t i = 0; i < n; i++) {
    uint16_t half;
    memcpy(&half, (const char *)from + 2 * i, 2);
    uint32_t bits = (uint32_t)half << 16;
    memcpy(to + i, &bits, 4);
  }
}

static inline void bf16_round(void *to, const float *from, size_t n) {
  for (size_t i = 0; i < n; i++) {
    uint32_t bits;
    memcpy(&bits, from + i, 4);
    uint32_t nan = bits >> 16 | 0x40, rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    uint16_t half = (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? nan : rounded);
    memcpy((char *)to + 2 * i, &half, 2);
  }
}

#endif

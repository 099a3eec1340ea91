// widen_portable.c: the loops of widen.h for any machine.
#include "widen.h"

#include <string.h>
#if defined(__aarch64__)
#include <arm_neon.h>
#endif

#define INLINE static inline __attribute__((always_inline))
#define TABLE pio_widen_portable

typedef uint8_t U __attribute__((vector_size(16)));
typedef float F __attribute__((vector_size(32)));

INLINE F get(const float *p) {
  F v;
  memcpy(&v, p, sizeof v);
  return v;
}

INLINE void put(float *p, F v) { memcpy(p, &v, sizeof v); }

// eight and eight_unsigned make numbers of bytes.
INLINE F eight(const int8_t *c) { return (F){c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]}; }
INLINE F eight_unsigned(const uint8_t *c) { return (F){c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]}; }

// look_up has for codes of 4 bits what a table does.
INLINE U look_up(U codes, const int8_t *table) {
#if defined(__aarch64__)
  return (U)vqtbl1q_s8(vld1q_s8(table), (uint8x16_t)codes);
#else
  for (int i = 0; i < 16; i++)
    codes[i] = (uint8_t)table[codes[i]];
  return codes;
#endif
}

#include "widen_template.h"

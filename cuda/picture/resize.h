// resize.h: the two passes of a resize, and what Go calls.
//
// A pixel's value is a sum of products of bytes and weights of 2^-22, in 32-bit whole numbers that never overflow, so the
// order of the sum is free and every table gives the same bits. Rows stream through: the rows that the vertical pass reads
// are made shortly before in a ring that stays in the cache, and no whole picture lies between the two passes.
//
// Weights come as halves that 16-bit multiplies can take: a weight is hi * 2^11 + lo with 0 <= lo < 2^11, and two
// neighbouring weights are {hi, hi, lo, lo}. What a row reads past its end is multiplied by zero.
#ifndef PIO_PICTURE_RESIZE_H
#define PIO_PICTURE_RESIZE_H

#include <stddef.h>
#include <stdint.h>

enum {
  PIC_LOW_BITS = 11,
  PIC_PRECISION = 22,
  PIC_ROWS = 4, // rows that `across` makes at once
  PIC_PAD = 16, // bytes behind a row that `across` may read, and a row of the ring has
};

// One axis: pixel i is made of count[i] pixels from start[i] on. NULL in start: this axis keeps its size.
typedef struct {
  const int32_t *start, *count;
  const int16_t *weights; // (made pixels, stride) in pairs as above
  size_t stride;          // a multiple of 4, no less than any count
} pic_axis;

typedef struct {
  const char *name;
  // across makes `wide` pixels in each of PIC_ROWS rows; pointers may repeat.
  void (*across)(uint8_t *const *to, const uint8_t *const *from, size_t wide, const pic_axis *x);
  // down makes one row of `bytes` bytes from 2*pairs rows.
  void (*down)(uint8_t *to, const uint8_t *const *from, size_t bytes, const int16_t *weights, size_t pairs);
} pic_kernels;

typedef struct {
  uint8_t *dst;       // (to_high, to_wide, 3)
  const uint8_t *src; // (high, wide, 3)
  size_t wide, high, to_wide, to_high;
  pic_axis x, y;
  int down_first; // the vertical pass comes first
} pic_job;

// The tables this machine can run, best first; NULL after the last.
const pic_kernels *pic_kernels_at(int i);

// Makes the rows first <= row < end of dst. -1: no memory.
int pic_resize(const pic_kernels *t, const pic_job *j, size_t first, size_t end);

#endif

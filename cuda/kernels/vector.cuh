// vector.cuh: elements of tensors and of vectors of weights, four at a time where they lie so that one access has them.
#pragma once

#include "prelude.cuh"

#ifdef PIO_SIM
#define NO_UNROLL
#else
#define NO_UNROLL _Pragma("nounroll")
#endif

struct __attribute__((aligned(16))) four { float x[4]; };
struct __attribute__((aligned(8))) halves4 { unsigned lower, upper; };

// in_fours says whether n elements, and with them every row of n, can be taken four at a time: none is left over and the address allows it.
// The arithmetic is the same either way.
DEVICE bool in_fours(const pio_tensor &t, long long n) { return n % 4 == 0 && t.at % (t.type == PIO_F32 ? 16 : 8) == 0; }

DEVICE four widen4(halves4 h) { return {{bf16_lower(h.lower), bf16_upper(h.lower), bf16_lower(h.upper), bf16_upper(h.upper)}}; }

// load4 reads elements i .. i + 3, of which the first n are there; whole: all four, aligned.
DEVICE four load4(const pio_tensor &t, long long i, bool whole, long long n) {
  if (whole)
    return t.type == PIO_F32 ? *(const four *)(at<float>(t) + i) : widen4(*(const halves4 *)(at<unsigned short>(t) + i));
  four v = {};
  UNROLL for (int j = 0; j < 4; j++)
    if (j < n)
      v.x[j] = load(t, i + j);
  return v;
}

DEVICE void store4(const pio_tensor &t, long long i, four v, bool whole, long long n) {
  if (whole) {
    if (t.type == PIO_F32)
      *(four *)(at<float>(t) + i) = v;
    else
      *(halves4 *)(at<unsigned short>(t) + i) = {pack_bf16(v.x[0], v.x[1]), pack_bf16(v.x[2], v.x[3])};
    return;
  }
  UNROLL for (int j = 0; j < 4; j++)
    if (j < n)
      store(t, i + j, v.x[j]);
}

// weight is element i of a vector of weights, which is plain: in f32, bf16 or f16.
DEVICE float weight(const pio_matrix &m, long long i) {
  if (m.layout == PIO_L_F32)
    return plane<float>(m, 0)[i];
  unsigned short half = plane<unsigned short>(m, 0)[i];
  return m.layout == PIO_L_BF16 ? bf16_f32(half) : f16_f32(half);
}

DEVICE bool weights_in_fours(const pio_matrix &m) { return m.cols % 4 == 0 && m.plane[0] % (m.layout == PIO_L_F32 ? 16 : 8) == 0; }

DEVICE four weight4(const pio_matrix &m, long long i, bool whole, long long n) {
  if (whole && m.layout == PIO_L_F32)
    return *(const four *)(plane<float>(m, 0) + i);
  if (whole && m.layout == PIO_L_BF16)
    return widen4(*(const halves4 *)(plane<unsigned short>(m, 0) + i));
  four v = {};
  UNROLL for (int j = 0; j < 4; j++)
    if (j < n)
      v.x[j] = weight(m, i + j);
  return v;
}

// squares sums the squares of what a thread's elements of a row are from some number on: of n from begin on those at 4 rank, +1, +2, +3, then those
// 4 size further on, and so forth. Every norm has this order.
DEVICE float squares(const pio_tensor &x, long long begin, long long n, int rank, int size, bool whole, float from) {
  float sum = 0;
  for (long long i = rank * 4; i < n; i += size * 4) {
    four v = load4(x, begin + i, whole, n - i);
    UNROLL for (int j = 0; j < 4; j++) {
      float d = i + j < n ? plus(v.x[j], -from) : 0.0f;
      sum = fused(d, d, sum);
    }
  }
  return sum;
}

// unit_row divides a row that begins at an element of both by its length, of which a team has the square: to x / sqrt(squares + eps).
DEVICE void unit_row(const pio_tensor &y, const pio_tensor &x, long long begin, long long n, int rank, int size, float squares, float eps, bool all) {
  float inv = 1.0f / square_root(plus(squares, eps));
  for (long long i = rank * 4; i < n; i += size * 4) {
    four v = load4(x, begin + i, all, n - i);
    UNROLL for (int j = 0; j < 4; j++) v.x[j] = times(v.x[j], inv);
    store4(y, begin + i, v, all, n - i);
  }
}

// exp_of is exponential of any number: 0 and infinity where the result has no other.
DEVICE float exp_of(float x) { return exponential(x > 150.0f ? 150.0f : x < -150.0f ? -150.0f : x); }

// gated is silu(gate) up.
DEVICE float gated(float gate, float up) { return times(gate / plus(1.0f, exp_of(-gate)), up); }

DEVICE float sigmoid(float x) { return 1.0f / plus(1.0f, exp_of(-x)); }

// cache.cuh: how a warp writes 64 numbers of a row's head to a paged cache.
#pragma once

#include "pages.cuh"

// code_group makes up to 64 numbers a factor and codes, two of a lane: to the nearest, of two the even one; the largest is 127. Of numbers
// below 2^-120 all codes are 0. What is infinite or no number makes the factor so.
DEVICE void code_group(char *to, const pio_tensor &x, long long from, int n) {
  float v[2];
  unsigned most = 0;
  UNROLL for (int j = 0; j < 2; j++) {
    int i = 2 * lane() + j;
    v[j] = i < n ? load(x, from + i) : 0.0f;
    unsigned magnitude = f32_bits(v[j]) & 0x7fffffffu;
    most = magnitude > most ? magnitude : most;
  }
  UNROLL for (int m = 16; m > 0; m /= 2) {
    unsigned other = shuffle_xor(most, m);
    most = other > most ? other : most;
  }
  float largest = bits_f32(most), inverse = most < 0x03800000u ? 0.0f : 127.0f / largest;
  unsigned factor = f32_bits(times(largest, 1.0f / 127));
  if (lane() < 4)
    to[lane()] = (char)(factor >> 8 * lane());
  UNROLL for (int j = 0; j < 2; j++) { // 1.5 2^23: what is rounded to whole lies in the lowest bits
    int i = 2 * lane() + j;
    if (i < n)
      to[4 + i] = (char)(f32_bits(plus(times(v[j], inverse), 12582912.0f)) & 0xff);
  }
}

// write_group writes a group of a head's numbers, which begin at an element of x, where the cache has a position of a sequence.
DEVICE void write_group(const pio_tensor &cache, const int *table, int position, int head, const pio_tensor &x, long long begin, int dim, int group) {
  int n = dim - group * ROW_GROUP;
  long long from = begin + group * ROW_GROUP;
  char *to = at<char>(cache) + slot_of(cache, table, position, head) * row_bytes(cache.type, dim) + row_bytes(cache.type, group * ROW_GROUP);
  n = n < ROW_GROUP ? n : ROW_GROUP;
  if (cache.type == PIO_Q8ROW) {
    code_group(to, x, from, n);
    return;
  }
  UNROLL for (int j = 0; j < 2; j++) {
    int i = lane() + 32 * j;
    if (i < n && cache.type == PIO_F32)
      ((float *)to)[i] = load(x, from + i);
    else if (i < n)
      ((unsigned short *)to)[i] = f32_bf16(load(x, from + i));
  }
}

// table_of is that of a row's sequence.
DEVICE const int *table_of(const pio_tensor &tables, const pio_tensor &seqs, long long row) { return at<int>(tables) + (long long)at<int>(seqs)[row] * tables.dim[1]; }

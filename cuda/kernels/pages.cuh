// pages.cuh: rows of a paged cache (blocks, heads, size, row), in f32, bf16 or codes of 8 bits (cuda.Q8Row).
//
// Of each 64 numbers such a row of codes has a factor in f32 and then a code for each, -127 to 127; the last may be fewer. A number is its
// code times the factor, rounded to f32.
#pragma once

#include "vector.cuh"

enum { ROW_GROUP = 64 };

// row_bytes is what n numbers of a row take; number_at where number i of a row is, of codes its code; factor_at where its factor.
DEVICE long long row_bytes(int type, long long n) {
  return type == PIO_F32 ? n * 4 : type == PIO_BF16 ? n * 2 : n + (n + ROW_GROUP - 1) / ROW_GROUP * 4;
}
DEVICE const char *number_at(int type, const char *row, long long i) {
  return row + (type == PIO_F32 ? i * 4 : type == PIO_BF16 ? i * 2 : i + (i / ROW_GROUP + 1) * 4);
}

// bytes_f32 reads an f32 at any address.
DEVICE float bytes_f32(const char *p) {
  const unsigned char *b = (const unsigned char *)p;
  return bits_f32(b[0] | b[1] << 8 | b[2] << 16 | (unsigned)b[3] << 24);
}

// number is number i of a row.
DEVICE float number(int type, const char *row, long long i) {
  const char *p = number_at(type, row, i);
  if (type == PIO_F32)
    return *(const float *)p;
  if (type == PIO_BF16)
    return bf16_f32(*(const unsigned short *)p);
  return times((float)*(const signed char *)p, bytes_f32(row + i / ROW_GROUP * (ROW_GROUP + 4)));
}

// slot_of is which row of a cache has a position of a sequence whose table this is, for a head.
DEVICE long long slot_of(const pio_tensor &cache, const int *table, int position, int head) {
  int size = cache.dim[2];
  long long block = size == PIO_BLOCK ? table[position / PIO_BLOCK] : table[position / size];
  return (block * cache.dim[1] + head) * size + (size == PIO_BLOCK ? position % PIO_BLOCK : position % size);
}

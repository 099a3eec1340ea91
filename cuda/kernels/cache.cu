// cache.cu: rows into a paged cache and back. Rows of one batch have each a position of its own.
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

// A warp has 64 numbers of a row's head after another.
KERNEL(cache_write, 128, 8) {
  const pio_tensor &cache = op.out[0], &x = op.in[0];
  int heads = x.dim[1], dim = x.dim[2], groups = (dim + ROW_GROUP - 1) / ROW_GROUP;
  long long unit = (long long)block_x() * (threads_x() / 32) + warp();
  if (unit >= (long long)x.dim[0] * heads * groups)
    return;
  int group = (int)(unit % groups), head = (int)(unit / groups % heads), n = dim - group * ROW_GROUP;
  long long row = unit / groups / heads, from = (row * heads + head) * dim + group * ROW_GROUP;
  const int *table = at<int>(op.in[3]) + (long long)at<int>(op.in[2])[row] * op.in[3].dim[1];
  char *to = at<char>(cache) + slot_of(cache, table, at<int>(op.in[1])[row], head) * row_bytes(cache.type, dim) + row_bytes(cache.type, group * ROW_GROUP);
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

// A thread has one number.
KERNEL(cache_read, 256, 4) {
  const pio_tensor &y = op.out[0], &cache = op.in[0];
  int heads = y.dim[1], dim = y.dim[2];
  long long i = (long long)block_x() * threads_x() + thread_x();
  if (i >= length(y))
    return;
  int head = (int)(i / dim % heads), position = op.n[1] + (int)(i / dim / heads);
  const int *table = at<int>(op.in[1]) + (long long)op.n[0] * op.in[1].dim[1];
  store(y, i, number(cache.type, at<char>(cache) + slot_of(cache, table, position, head) * row_bytes(cache.type, dim), i % dim));
}

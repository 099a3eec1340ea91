// cache.cu: rows into a paged cache and back. Rows of one batch have each a position of its own.
#include "cache.cuh"

// A warp has 64 numbers of a row's head after another.
KERNEL(cache_write, 128, 8) {
  const pio_tensor &x = op.in[0];
  int heads = x.dim[1], dim = x.dim[2], groups = (dim + ROW_GROUP - 1) / ROW_GROUP;
  long long unit = (long long)block_x() * (threads_x() / 32) + warp();
  if (unit >= (long long)x.dim[0] * heads * groups)
    return;
  int group = (int)(unit % groups), head = (int)(unit / groups % heads);
  long long row = unit / groups / heads;
  write_group(op.out[0], table_of(op.in[3], op.in[2], row), at<int>(op.in[1])[row], head, x, (row * heads + head) * dim, dim, group);
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

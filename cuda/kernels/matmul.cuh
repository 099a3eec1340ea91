// matmul.cuh: y[r][o] = sum over k of x[r][k] w[o][k] on tensor cores.
//
// matmul_few_* is for at most 16 rows a block: a decoded token's product is as fast as its weights come from memory. matmul_many_* is for
// more, in tiles that all of a block's warps share. Both give the same bits (product.cuh). Where one block does not have all slices of its
// outs they meet in matmul_add.
//
// matmul_pair_* is for two products of the same few rows with matrices of one shape, and may have one gate the other: three launches would
// take longer than the weights of a small model.
//
// Each layout is a file, matmul_*.cu, since a driver compiles whole files, and a model needs one or two.
#pragma once

#include "product.cuh"
#include "vector.cuh"

// p: chunks of a slice, tiles of a block, slices of a block, slices, rows of a block, where in scratch slices go, in units of 256 bytes
template <int LAYOUT, int PARTS> DEVICE void matmul_few(const pio_op &op) {
  using W = Weights<LAYOUT>;
  Few f;
  f.w[0] = f.w[1] = op.w[0];
  int all = op.p[3], rows = op.in[0].dim[0], first = (int)block_z() * op.p[4], cols = op.w[0].cols, outs = op.w[0].rows;
  f.matrices = 1, f.tile = (int)block_x() * op.p[1], f.tiles = smaller(op.p[1], divided(outs, W::OUTS) - f.tile);
  f.slice = (int)block_y() * op.p[2], f.slices = smaller(op.p[2], all - f.slice), f.chunks_of_slice = op.p[0];
  f.rows = smaller(op.p[4], rows - first);
  const float *x = at<const float>(op.in[0]) + (long long)first * cols;
  const float *sums = few<W, PARTS>(f, dynamic_shared(), [&](int row) { return x + (long long)row * cols; });
  float *y = at<float>(op.out[0]), *apart = (float *)(op.scratch + (unsigned long long)op.p[5] * 256);
  int width = f.tiles * W::OUTS;
  for (int i = (int)thread_x(); i < f.rows * width; i += (int)threads_x()) {
    int row = i / width, tile = i % width / W::OUTS, in = i % W::OUTS, out = f.tile * W::OUTS + i % width;
    if (out >= outs)
      continue;
    if (f.slices == all) {
      y[(long long)(first + row) * outs + out] = few_sum<W>(f, sums, 0, tile, row, in);
      continue;
    }
    for (int s = 0; s < f.slices; s++)
      apart[((long long)(f.slice + s) * rows + first + row) * outs + out] = sums[((tile * f.slices + s) * f.rows + row) * W::OUTS + in];
  }
}

// p: chunks of a slice, tiles of a block, slices, rows of a block. The third result, if there is one, is what the second has gated by the first.
template <int LAYOUT, int PARTS> DEVICE void matmul_pair(const pio_op &op) {
  using W = Weights<LAYOUT>;
  Few f;
  f.w[0] = op.w[0], f.w[1] = op.w[1];
  int rows = op.in[0].dim[0], first = (int)block_z() * op.p[3], cols = op.w[0].cols, outs = op.w[0].rows;
  f.matrices = 2, f.tile = (int)block_x() * op.p[1], f.tiles = smaller(op.p[1], divided(outs, W::OUTS) - f.tile);
  f.slice = 0, f.slices = op.p[2], f.chunks_of_slice = op.p[0];
  f.rows = smaller(op.p[3], rows - first);
  const float *x = at<const float>(op.in[0]) + (long long)first * cols;
  const float *sums = few<W, PARTS>(f, dynamic_shared(), [&](int row) { return x + (long long)row * cols; });
  int width = f.tiles * W::OUTS;
  for (int i = (int)thread_x(); i < f.rows * width; i += (int)threads_x()) {
    int row = i / width, tile = i % width / W::OUTS, in = i % W::OUTS, out = f.tile * W::OUTS + i % width;
    if (out >= outs)
      continue;
    long long to = (long long)(first + row) * outs + out;
    float one = few_sum<W>(f, sums, 0, tile, row, in), other = few_sum<W>(f, sums, 1, tile, row, in);
    at<float>(op.out[0])[to] = one, at<float>(op.out[1])[to] = other;
    if (op.outs == 3)
      at<float>(op.out[2])[to] = gated(one, other);
  }
}

// p: chunks of a slice, slices of a block, slices, where in scratch slices go, in units of 256 bytes
template <class S> DEVICE void matmul_many(const pio_op &op) {
  const pio_matrix &w = op.w[0];
  int rows = op.in[0].dim[0], row0 = (int)block_x() * S::BM, out0 = (int)block_y() * S::BN, all = op.p[2], outs = w.rows;
  Range range = {(int)block_z() * op.p[1], 0, op.p[0]};
  range.slices = smaller(op.p[1], all - range.slice);
  bool apart = range.slices < all;
  float *y = apart ? (float *)(op.scratch + (unsigned long long)op.p[3] * 256) : at<float>(op.out[0]);
  Parts x = {(const char *)op.scratch, rows, divided(w.cols, CHUNK)};
  Sums<S> sum;
  clear(sum);
  auto row = [&](int r) { return (long long)(row0 + r < rows ? row0 + r : -1); };
  many<S>(x, &w, out0, range, row, [&](int slice, const Sums<S> &sums, int first, int out) {
    add_slice(sum, sums);
    if (!apart && slice + 1 < all)
      return;
    float *to = y + (apart ? (long long)slice * rows * outs : 0);
    each_sum<S>(first, out, [&](int r, int o, int g, int t, int j, int i) {
      if (row0 + r < rows && out0 + o < outs)
        to[(long long)(row0 + r) * outs + out0 + o] = sum.of[0][g][t][j][i];
    });
    clear(sum);
  });
}

template <int LAYOUT> using Exact = Shape<Weights<LAYOUT>, 3, 1, 64, 64, 32, 32, 2>;
template <int LAYOUT> using Small = Shape<Weights<LAYOUT>, 1, 1, 64, 64, 32, 32, 3>;
template <int LAYOUT> using Large = Shape<Weights<LAYOUT>, 1, 1, 128, 128, 64, 32, 3>;

// THREADS and BLOCKS of few rows in fast numerics, and how many in exact ones: as many warps as registers allow, each with chunks on their way.
#define MATMUL(NAME, LAYOUT, THREADS, BLOCKS, EXACT)                                                                                                       \
  KERNEL(matmul_few_##NAME##_exact, THREADS, EXACT) { matmul_few<LAYOUT, 3>(op); }                                                                 \
  KERNEL(matmul_few_##NAME##_fast, THREADS, BLOCKS) { matmul_few<LAYOUT, 1>(op); }                                                             \
  KERNEL(matmul_pair_##NAME##_exact, 256, 2) { matmul_pair<LAYOUT, 3>(op); }                                                               \
  KERNEL(matmul_pair_##NAME##_fast, 256, 2) { matmul_pair<LAYOUT, 1>(op); }                                                                \
  KERNEL(matmul_many_##NAME##_exact, 128, 1) { matmul_many<Exact<LAYOUT>>(op); }                                                           \
  KERNEL(matmul_many_##NAME##_small, 128, 2) { matmul_many<Small<LAYOUT>>(op); }

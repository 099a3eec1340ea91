// matmul.cuh: y[r][o] = sum over k of x[r][k] w[o][k] on tensor cores.
//
// matmul_few_* is for at most 16 rows a block: a decoded token's product is as fast as its weights come from memory. matmul_many_* is for
// more, in tiles that all of a block's warps share. Both give the same bits (product.cuh). Where one block does not have all slices of its
// outs they meet in matmul_add.
//
// Launches take as long as the weights of a small model. So what is added to a product of few rows is added there; matmul_beside_* has rows that are
// normed on their way, if they are to be, and up to three matrices beside each other; matmul_pair_* has two of one shape, the product with one gating
// that with the other; matmul_route_* are a router's logits, and perhaps a second product, after which the last block chooses each row's experts.
// Of queries, keys and values beside each other the last block to have some of a head does with it what heads.cu does.
//
// Each layout is a file, matmul_*.cu, since a driver compiles whole files, and a model needs one or two.
#pragma once

#include "heads.cuh"
#include "last.cuh"
#include "product.cuh"
#include "route.cuh"
#include "vector.cuh"

// ---- rows that a norm makes of others, on their way

// norm_factors leaves what each of a block's rows is multiplied by at room[32 row]: 1 / sqrt(mean of its squares + eps), summed as the team of op.n[0]
// threads does it that has such a row in norms.cu.
DEVICE void norm_factors(float *room, const pio_op &op, int first, int rows) {
  int cols = op.in[0].dim[1], warps = op.n[0] / 32;
  bool whole = in_fours(op.in[0], cols);
  for (int i = (int)warp(); i < rows * warps; i += (int)threads_x() / 32) {
    int row = i / warps, of = i % warps;
    float sum = warp_sum(squares(op.in[0], (long long)(first + row) * cols, cols, of * 32 + (int)lane(), op.n[0], whole, 0.0f));
    if (lane() == 0)
      room[row * 32 + of] = sum;
  }
  barrier();
  for (int row = (int)warp(); row < rows; row += (int)threads_x() / 32) {
    float sum = warp_sum((int)lane() < warps ? room[row * 32 + lane()] : 0.0f);
    if (lane() == 0)
      room[row * 32] = 1.0f / square_root(plus(sum / (float)cols, op.f[0]));
  }
  barrier();
}

// norm_eight norms columns k.. of a row, of which n are there. If it is told to, the block writes them to where the result of the norm is.
DEVICE void norm_eight(float v[8], const pio_op &op, float factor, long long row, int k, int n, bool tells) {
  const pio_matrix &w = op.w[3];
  int cols = op.in[0].dim[1];
  bool whole = weights_in_fours(w), all = in_fours(op.out[3], cols);
  UNROLL for (int h = 0; h < 8; h += 4) {
    four y, by = weight4(w, k + h, whole && h < n, n - h);
    UNROLL for (int j = 0; j < 4; j++) v[h + j] = y.x[j] = h + j < n ? times(times(v[h + j], factor), plus(op.f[1], by.x[j])) : 0.0f;
    if (tells && h < n)
      store4(op.out[3], row * cols + k + h, y, all, n - h);
  }
}

// products computes f for rows from first on, which are those of the op or, where it may have a norm and has, what that makes of them.
template <class W, int PARTS, bool NORMS> DEVICE const float *products(const pio_op &op, const Few &f, int first) {
  int cols = op.w[0].cols;
  const float *x = at<const float>(op.in[0]) + (long long)first * cols;
  float *factors = nullptr;
  return few<W, PARTS>(
    f, dynamic_shared(), [&](int row) { return x + (long long)row * cols; },
    [&](float *room) {
      if (NORMS && op.out[3].at)
        norm_factors(factors = room, op, first, f.rows);
    },
    [&](float *v, int row, int k, int n) {
      if (NORMS && op.out[3].at)
        norm_eight(v, op, factors[row * 32], first + row, k, n, block_x() == 0);
    });
}

// ---- few rows. w: up to three matrices beside each other; [3] the norm's. out: a product each; [3] what the norm makes of rows; [4] the product and in[1]
// added, or the first two with one gating the other, or as n[1] says. f: eps, plus of the norm; n: threads of its team
//
// Where n[1] is PIO_LAST_HEADS out[0..2] that have three dimensions are heads. out[5..]: queries normed, turned; keys normed, turned; caches of keys, of values.
// in[2..]: angles, positions, seqs, tables. w[4], [5]: norms of queries, of keys. n[2..]: as of rotate; p[5]: numbers of a warp's room for a head

// p: chunks of a slice, tiles of a block, slices of a block, slices, rows of a block, where in scratch slices go, in units of 256 bytes: only one
// matrix has them there
enum { ALONE, BESIDE, ROUTES };
template <int LAYOUT, int PARTS, int HOW> DEVICE void matmul_few(const pio_op &op) {
  using W = Weights<LAYOUT>;
  Few f;
  f.w[0] = op.w[0], f.w[1] = op.w[1], f.w[2] = HOW == ROUTES ? pio_matrix{} : op.w[2];
  int all = op.p[3], rows = op.in[0].dim[0], first = (int)block_z() * op.p[4];
  if (HOW != ALONE)
    of_beside<W>(f, (int)block_x() * op.p[1], op.p[1]);
  else
    of_one<W>(f, (int)block_x() * op.p[1], op.p[1]);
  f.slice = (int)block_y() * op.p[2], f.slices = smaller(op.p[2], all - f.slice), f.chunks_of_slice = op.p[0];
  f.rows = smaller(op.p[4], rows - first);
  const float *sums = products<W, PARTS, HOW != ALONE>(op, f, first);
  float *apart = (float *)(op.scratch + (unsigned long long)op.p[5] * 256);
  int width = f.tiles * W::OUTS;
  for (int i = (int)thread_x(); i < f.rows * width; i += (int)threads_x()) {
    int row = i / width, tile = i % width / W::OUTS, in = i % W::OUTS, out = tile_of(f, tile) * W::OUTS + in;
    bool second = is_second(f, tile), third = HOW != ROUTES && is_third(f, tile);
    int outs = third ? op.w[2].rows : second ? op.w[1].rows : op.w[0].rows;
    if (out >= outs)
      continue;
    long long to = (long long)(first + row) * outs + out;
    if (f.slices == all) {
      float y = few_sum<W>(f, sums, tile, row, in);
      ((float *)(third ? op.out[2].at : second ? op.out[1].at : op.out[0].at))[to] = y;
      if (HOW == ROUTES ? op.out[4].at && second : op.out[4].at && (op.n[1] != PIO_LAST_SIGMOID || (op.w[2].plane[0] ? third : second)))
        at<float>(op.out[4])[to] = HOW == ROUTES ? sigmoid(y) : last_of_product(op, y, first + row, to);
      continue;
    }
    for (int s = 0; s < f.slices; s++)
      apart[(long long)(f.slice + s) * rows * outs + to] = sums[((tile * f.slices + s) * f.rows + row) * W::OUTS + in];
  }
}

// heads_if_last does with each head that the block has some of, and no block after it, what becomes of it.
template <class W> DEVICE void heads_if_last(const pio_op &op) {
  int *last = (int *)dynamic_shared(), tile = (int)block_x() * op.p[1], rows = op.in[0].dim[0];
  int counter = 0, heads = 0;
  // count counts the block's outs of heads of one kind. It gives which head is the first, less those of the kinds before that the block has some of.
  auto count = [&](const pio_tensor &y, int outs) {
    int from = (tile > 0 ? tile : 0) * W::OUTS, to = smaller(outs, (tile + op.p[1]) * W::OUTS), dim = y.dim[2], before = heads, first = from / dim - before;
    if (y.nd == 3 && from < to)
      heads += (to - 1) / dim - from / dim + 1;
    ROLLED for (int i = before + (int)thread_x(); i < heads; i += (int)threads_x()) {
      int begin = (first + i) * dim;
      last[i] = last_to_come(op, counter + first + i, smaller(to, begin + dim) - (from > begin ? from : begin), dim);
    }
    counter += y.nd == 3 ? y.dim[1] : 0, tile -= divided(outs, W::OUTS);
    return first;
  };
  barrier(); // all have written, and read what lies where they are told
  int queries = count(op.out[0], op.w[0].rows), before_keys = heads, keys = count(op.out[1], op.w[1].rows), before_values = heads;
  int values = count(op.out[2], op.w[2].rows);
  barrier();
  float *room = (float *)(last + divided(op.p[1] * W::OUTS, 4) * 4) + (int)warp() * op.p[5];
  ROLLED for (int i = (int)warp(); i < heads * rows; i += (int)threads_x() / 32) {
    int head = i / rows, kind = head < before_keys ? 0 : head < before_values ? 1 : 2;
    if (!last[head])
      continue;
    Kind k = kind_of(kind, op.out[0], op.out[1], op.out[2], {op.out[5], op.out[6], op.out[7], op.out[8], op.out[9], op.out[10]}, op.w[4], op.w[5]);
    through(k, {op.in[2], op.in[3], op.in[4], op.in[5], op.f[0], op.f[1], op.n[2], op.n[3]}, room, i % rows, head + one_of(kind, queries, keys, values));
    warp_barrier(); // before the next head takes its room
  }
}

template <int LAYOUT, int PARTS> DEVICE void matmul_beside(const pio_op &op) {
  matmul_few<LAYOUT, PARTS, BESIDE>(op);
  if (op.n[1] == PIO_LAST_HEADS)
    heads_if_last<Weights<LAYOUT>>(op);
}

// The same of a router's matrix, and perhaps another, of whose product out[4] is the sigmoid; and each row's experts, out[2], and their weights, out[5], chosen
// by a warp of the last block. w[2]: the bias. n[1]: PIO_ROUTES and more, k above it; n[2]: groups, in the upper half those that are left; n[3], n[4]: epsilon and
// scale, as bits.
template <int LAYOUT, int PARTS> DEVICE void matmul_route(const pio_op &op) {
  matmul_few<LAYOUT, PARTS, ROUTES>(op);
  if (!last_of(op, 0, (int)blocks_x()))
    return;
  int n = op.w[0].rows, how = op.n[1], groups = op.n[2] & 0xffff;
  Routing r = {op.out[0], op.w[2], n, how >> PIO_ROUTES_K, groups, op.n[2] >> 16 & 0xffff, (how & PIO_ROUTES_SIGMOID) != 0, (how & PIO_ROUTES_NORMALIZE) != 0,
               bits_f32((unsigned)op.n[3]), bits_f32((unsigned)op.n[4]), op.out[2], op.out[5]};
  float *room = (float *)dynamic_shared() + 4 + (int)warp() * routing_floats(n, groups); // behind what last_of tells
  ROLLED for (int row = (int)warp(); row < op.in[0].dim[0]; row += (int)threads_x() / 32) {
    route_row(r, row, room);
    warp_barrier();
  }
}

// p: chunks of a slice, tiles of a block, slices, rows of a block
template <int LAYOUT, int PARTS> DEVICE void matmul_pair(const pio_op &op) {
  using W = Weights<LAYOUT>;
  Few f;
  f.w[0] = op.w[0], f.w[1] = op.w[1];
  int rows = op.in[0].dim[0], first = (int)block_z() * op.p[3], outs = op.w[0].rows;
  of_pair<W>(f, (int)block_x() * op.p[1], op.p[1]);
  f.slice = 0, f.slices = op.p[2], f.chunks_of_slice = op.p[0];
  f.rows = smaller(op.p[3], rows - first);
  const float *sums = products<W, PARTS, true>(op, f, first);
  int width = f.tiles * W::OUTS;
  for (int i = (int)thread_x(); i < f.rows * width; i += (int)threads_x()) {
    int row = i / width, tile = i % width / W::OUTS, in = i % W::OUTS, out = f.tile * W::OUTS + i % width;
    if (out >= outs)
      continue;
    long long to = (long long)(first + row) * outs + out;
    float one = few_sum<W>(f, sums, tile, row, in), other = few_sum<W>(f, sums, f.tiles + tile, row, in);
    at<float>(op.out[0])[to] = one, at<float>(op.out[1])[to] = other, at<float>(op.out[4])[to] = gated(one, other);
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
  KERNEL(matmul_few_##NAME##_exact, THREADS, EXACT) { matmul_few<LAYOUT, 3, ALONE>(op); }                                                  \
  KERNEL(matmul_few_##NAME##_fast, THREADS, BLOCKS) { matmul_few<LAYOUT, 1, ALONE>(op); }                                                  \
  KERNEL(matmul_beside_##NAME##_exact, 256, 2) { matmul_beside<LAYOUT, 3>(op); }                                                             \
  KERNEL(matmul_beside_##NAME##_fast, 256, 2) { matmul_beside<LAYOUT, 1>(op); }                                                              \
  KERNEL(matmul_pair_##NAME##_exact, 256, 2) { matmul_pair<LAYOUT, 3>(op); }                                                               \
  KERNEL(matmul_pair_##NAME##_fast, 256, 2) { matmul_pair<LAYOUT, 1>(op); }                                                                \
  KERNEL(matmul_many_##NAME##_exact, 128, 1) { matmul_many<Exact<LAYOUT>>(op); }                                                           \
  KERNEL(matmul_many_##NAME##_small, 128, 2) { matmul_many<Small<LAYOUT>>(op); }

// experts.cuh: mixtures of experts, of which each row takes a few: down(silu(gate x) up x), times the row's weights, in ascending order of
// experts.
//
// A pair is a row and one of its experts, r k + j. With few pairs (experts_few_*, experts_down_few_*) there is a block for each pair and
// some outs; the first pair of an expert computes for all rows that go there, so that its weights are read once, and the blocks of the
// others have nothing to do. With many (experts_many_*, experts_down_many_*) pairs are sorted by expert first, into tiles of rows. Both give
// a row the same bits (product.cuh).
//
// Each layout is a file, experts_*.cu; what lies between the products, and what no tile fits, is in experts.cu.
#pragma once

#include "last.cuh"
#include "product.cuh"
#include "vector.cuh"

DEVICE const pio_matrix *expert(const pio_op &op, int e) { return (const pio_matrix *)op.experts + 3ll * e; }
DEVICE bool is_here(const pio_op &op, int e) { return expert(op, e)->plane[0] != 0; }
DEVICE int pairs_of(const pio_op &op) { return op.in[1].dim[0] * op.in[1].dim[1]; }

// Where what is inside of experts and what they give lies: in an operand, or so many times 256 bytes into scratch.
DEVICE float *place_of(const pio_op &op, const pio_tensor &t, int p) { return p < 0 ? at<float>(t) : (float *)(op.scratch + (unsigned long long)p * 256); }

// Sorted is pairs by expert, and the tiles that their rows are cut into.
struct Sorted {
  int *begin;  // of each expert's pairs, and of what is behind the last one's
  int *tile;   // the first of each expert, and how many there are
  int *expert; // of a tile
  int *pair;
};

// sorted_at: most is how many tiles there can be.
DEVICE Sorted sorted_at(const pio_op &op, int p, int most) {
  int *at = (int *)(op.scratch + (unsigned long long)p * 256), n = op.experts_n + 1;
  return {at, at + n, at + 2 * n, at + 2 * n + most};
}

enum { TILE_ROWS = 64 };
DEVICE int tiles_most(const pio_op &op) { return pairs_of(op) / TILE_ROWS + smaller(op.experts_n, pairs_of(op)); }

// ---- few pairs

enum { FEW_PAIRS = 256 };

// members lists the pairs of the expert of one of them, if that is the first, and gives their number, or else 0. list is shared.
DEVICE int members(const pio_op &op, int pair, int *list) {
  const int *index = at<const int>(op.in[1]);
  int e = index[pair], all = pairs_of(op), n = 0;
  for (int i = 0; i < all; i += 32) {
    int p = i + (int)lane();
    unsigned same = ballot(p < all && index[p < all ? p : 0] == e);
    if (n == 0 && same && i + __builtin_ctz(same) != pair)
      return 0;
    if (warp() == 0 && (same >> lane() & 1))
      list[n + __builtin_popcount(same & ((1u << lane()) - 1))] = p;
    n += __builtin_popcount(same);
  }
  barrier();
  return n;
}

// each_group runs few for groups of at most so many of a list's rows; put(sums, f, list) is what becomes of each.
template <class W, int PARTS, class X, class Put> DEVICE void each_group(Few f, int most, const int *list, int n, X x, Put put) {
  for (int first = 0; first < n; first += most) {
    f.rows = smaller(most, n - first);
    const int *rows = list + first;
    const float *sums = few<W, PARTS>(f, dynamic_shared() + FEW_PAIRS * 4, [&](int r) { return x(rows[r]); }, [](float *) {}, [](float *, int, int, int) {});
    int width = f.tiles * W::OUTS;
    for (int i = (int)thread_x(); i < f.rows * width; i += (int)threads_x()) {
      int out = f.tile * W::OUTS + i % width;
      if (out < f.w[0].rows)
        put(f, sums, rows[i / width], i / width, i % width / W::OUTS, i % W::OUTS, out);
    }
  }
}

DEVICE void begin_few(Few &f, const pio_op &op, int slices) { f.slice = 0, f.slices = slices, f.chunks_of_slice = op.p[0]; }

// p: chunks of a slice, tiles of a block, rows at once, slices, where inner goes
template <int LAYOUT, int PARTS> DEVICE void experts_few(const pio_op &op) {
  using W = Weights<LAYOUT>;
  int *list = (int *)dynamic_shared(); // in front of what few needs
  int pair = (int)block_y(), e = at<const int>(op.in[1])[pair], k = op.in[1].dim[1];
  if (!is_here(op, e))
    return;
  Few f;
  f.w[0] = expert(op, e)[0], f.w[1] = expert(op, e)[1];
  of_pair<W>(f, (int)block_x() * op.p[1], op.p[1]);
  begin_few(f, op, op.p[3]);
  const float *x = at<const float>(op.in[0]);
  float *inner = place_of(op, op.out[2], op.p[4]);
  int n = members(op, pair, list), cols = f.w[0].cols, outs = f.w[0].rows;
  each_group<W, PARTS>(f, op.p[2], list, n, [&](int p) { return x + (long long)(p / k) * cols; },
    [&](const Few &f, const float *sums, int p, int row, int tile, int in, int out) {
      inner[(long long)p * outs + out] = gated(few_sum<W>(f, sums, tile, row, in), few_sum<W>(f, sums, f.tiles + tile, row, in));
    });
}

// sum_row adds up column c of a row's pairs, which are brought in order, and writes it, and sums with it. p: where rows are, as expert_sum has it
DEVICE void sum_row(const pio_op &op, int p, const int *order, int row, int c) {
  enum { AHEAD = 4 };
  int k = op.in[1].dim[1], n = op.out[0].dim[1];
  const float *rows = (p == -2 ? at<const float>(op.in[0]) : place_of(op, op.out[1], p)) + (long long)row * k * n + c;
  const float *weights = at<const float>(op.in[2]) + (long long)row * k;
  float y = 0.0f;
  ROLLED for (int j = 0; j < k; j += AHEAD) { // so many are asked for at once
    float later[AHEAD];
    UNROLL for (int i = 0; i < AHEAD; i++) later[i] = j + i < k ? rows[(long long)order[j + i] * n] : 0.0f;
    UNROLL for (int i = 0; i < AHEAD; i++)
      if (j + i < k)
        y = fused(weights[order[j + i]], later[i], y);
  }
  long long to = (long long)row * n + c;
  at<float>(op.out[0])[to] = y;
  UNROLL for (int i = 3; i < 5; i++) // what is added to it, and to that
    if (op.out[i].at)
      at<float>(op.out[i])[to] = y = plus(at<float>(op.in[i])[to], y);
}

// in_order brings a row's pairs into ascending order of experts.
DEVICE void in_order(int *order, const pio_op &op, int row) {
  int k = op.in[1].dim[1];
  const int *index = at<const int>(op.in[1]) + (long long)row * k;
  barrier(); // what was there has been read
  ROLLED for (int j = (int)thread_x(); j < k; j += (int)threads_x()) {
    int before = 0;
    ROLLED for (int i = 0; i < k; i++) before += index[i] < index[j] || (index[i] == index[j] && i < j);
    order[before] = j;
  }
  barrier();
}

// sum_if_last has the last of the pairs' blocks add up the block's columns of all rows.
DEVICE void sum_if_last(const pio_op &op, int p, int width) {
  if (!last_of(op, (int)block_x(), (int)blocks_y()))
    return;
  int *order = (int *)dynamic_shared(), first = (int)block_x() * width;
  ROLLED for (int row = 0; row < op.in[1].dim[0]; row++) {
    in_order(order, op, row);
    ROLLED for (int c = first + (int)thread_x(); c < first + width && c < op.out[0].dim[1]; c += (int)threads_x()) sum_row(op, p, order, row, c);
  }
}

// p: chunks of a slice, tiles of a block, rows at once, slices, where inner is, where rows go
template <int LAYOUT, int PARTS> DEVICE void down_few(const pio_op &op) {
  using W = Weights<LAYOUT>;
  int *list = (int *)dynamic_shared(); // in front of what few needs
  int pair = (int)block_y(), e = at<const int>(op.in[1])[pair];
  float *y = place_of(op, op.out[1], op.p[5]);
  if (!is_here(op, e)) {
    int outs = op.out[1].dim[1], first = (int)block_x() * op.p[1] * W::OUTS;
    for (int i = (int)thread_x(); i < op.p[1] * W::OUTS && first + i < outs; i += (int)threads_x()) y[(long long)pair * outs + first + i] = 0.0f;
    return;
  }
  Few f;
  f.w[0] = expert(op, e)[2];
  of_one<W>(f, (int)block_x() * op.p[1], op.p[1]);
  begin_few(f, op, op.p[3] & (PIO_LAST_SUMS - 1));
  const float *inner = place_of(op, op.out[2], op.p[4]);
  int n = members(op, pair, list), cols = f.w[0].cols, outs = f.w[0].rows;
  each_group<W, PARTS>(f, op.p[2], list, n, [&](int p) { return inner + (long long)p * cols; },
    [&](const Few &f, const float *sums, int p, int row, int tile, int in, int out) { y[(long long)p * outs + out] = few_sum<W>(f, sums, tile, row, in); });
}

// The same, and the sum of a row's pairs if p[3] says so.
template <int LAYOUT, int PARTS> DEVICE void experts_down_few(const pio_op &op) {
  down_few<LAYOUT, PARTS>(op);
  if (op.p[3] & PIO_LAST_SUMS)
    sum_if_last(op, op.p[5], op.p[1] * Weights<LAYOUT>::OUTS);
}

// ---- many pairs

// A Tile is a block's rows: those of sorted pairs from first on, all of one expert.
struct Tile { int expert, first, rows; };

DEVICE bool tile_of(Tile &t, const pio_op &op, const Sorted &s) {
  int at = (int)block_y();
  if (at >= s.tile[op.experts_n])
    return false;
  t.expert = s.expert[at];
  t.first = s.begin[t.expert] + (at - s.tile[t.expert]) * TILE_ROWS;
  t.rows = smaller(TILE_ROWS, s.begin[t.expert + 1] - t.first);
  return true;
}

// p: chunks of a slice, slices, where sorted is, where inner goes; rows of x in parts begin scratch
template <class S> DEVICE void experts_many(const pio_op &op) {
  Sorted sorted = sorted_at(op, op.p[2], tiles_most(op));
  Tile tile;
  if (!tile_of(tile, op, sorted))
    return;
  pio_matrix w[2] = {expert(op, tile.expert)[0], expert(op, tile.expert)[1]};
  int out0 = (int)block_x() * S::BN, k = op.in[1].dim[1], outs = w[0].rows, slices = op.p[1];
  float *inner = place_of(op, op.out[2], op.p[3]);
  Parts x = {(const char *)op.scratch, op.in[0].dim[0], divided(w[0].cols, CHUNK)};
  Sums<S> sum;
  clear(sum);
  auto row = [&](int r) { return (long long)(r < tile.rows ? sorted.pair[tile.first + r] / k : -1); };
  many<S>(x, w, out0, Range{0, slices, op.p[0]}, row, [&](int slice, const Sums<S> &sums, int first, int out) {
    add_slice(sum, sums);
    if (slice + 1 < slices)
      return;
    each_sum<S>(first, out, [&](int r, int o, int g, int t, int j, int i) {
      if (r < tile.rows && out0 + o < outs)
        inner[(long long)(tile.first + r) * outs + out0 + o] = gated(sum.of[0][g][t][j][i], sum.of[1][g][t][j][i]);
    });
  });
}

// p: chunks of a slice, slices, where sorted is, where inner is in parts, where rows go
template <class S> DEVICE void experts_down_many(const pio_op &op) {
  Sorted sorted = sorted_at(op, op.p[2], tiles_most(op));
  Tile tile;
  if (!tile_of(tile, op, sorted))
    return;
  pio_matrix w = expert(op, tile.expert)[2];
  int out0 = (int)block_x() * S::BN, outs = w.rows, slices = op.p[1];
  float *y = place_of(op, op.out[1], op.p[4]);
  Parts x = {(const char *)(op.scratch + (unsigned long long)op.p[3] * 256), pairs_of(op), divided(w.cols, CHUNK)};
  Sums<S> sum;
  clear(sum);
  auto row = [&](int r) { return (long long)(r < tile.rows ? tile.first + r : -1); };
  many<S>(x, &w, out0, Range{0, slices, op.p[0]}, row, [&](int slice, const Sums<S> &sums, int first, int out) {
    add_slice(sum, sums);
    if (slice + 1 < slices)
      return;
    each_sum<S>(first, out, [&](int r, int o, int g, int t, int j, int i) {
      if (r < tile.rows && out0 + o < outs)
        y[(long long)sorted.pair[tile.first + r] * outs + out0 + o] = sum.of[0][g][t][j][i];
    });
  });
}

template <int LAYOUT> using Inside = Shape<Weights<LAYOUT>, 1, 2, TILE_ROWS, 32, 32, 16, 3>;
template <int LAYOUT> using InsideExact = Shape<Weights<LAYOUT>, 3, 2, TILE_ROWS, 32, 32, 16, 2>;
template <int LAYOUT> using Down = Shape<Weights<LAYOUT>, 1, 1, TILE_ROWS, 64, 32, 32, 3>;
template <int LAYOUT> using DownExact = Shape<Weights<LAYOUT>, 3, 1, TILE_ROWS, 64, 32, 32, 2>;

// EXACT is how many blocks of gate and up in exact numerics a multiprocessor holds: two, where their registers are not spilled for it.
#define EXPERTS(NAME, LAYOUT, EXACT)                                                                                                              \
  KERNEL(experts_few_##NAME##_exact, 256, EXACT) { experts_few<LAYOUT, 3>(op); }                                                               \
  KERNEL(experts_few_##NAME##_fast, 256, 2) { experts_few<LAYOUT, 1>(op); }                                                                \
  KERNEL(experts_down_few_##NAME##_exact, 256, 2) { experts_down_few<LAYOUT, 3>(op); }                                                     \
  KERNEL(experts_down_few_##NAME##_fast, 256, 2) { experts_down_few<LAYOUT, 1>(op); }                                                      \
  KERNEL(experts_many_##NAME##_exact, 128, 1) { experts_many<InsideExact<LAYOUT>>(op); }                                                   \
  KERNEL(experts_many_##NAME##_fast, 128, 2) { experts_many<Inside<LAYOUT>>(op); }                                                         \
  KERNEL(experts_down_many_##NAME##_exact, 128, 1) { experts_down_many<DownExact<LAYOUT>>(op); }                                           \
  KERNEL(experts_down_many_##NAME##_fast, 128, 2) { experts_down_many<Down<LAYOUT>>(op); }

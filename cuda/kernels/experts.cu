// experts.cu: what mixtures need beside their products on tensor cores (experts.cuh): pairs sorted by expert, rows brought into parts, the sum;
// and experts_plain and experts_down_plain for what no tile fits.
#include "experts.cuh"

DEVICE int sum_below(int v) { // of the lanes up to this one
  UNROLL for (int d = 1; d < 32; d *= 2) {
    int o = shuffle(v, (int)lane() - d);
    v += (int)lane() >= d ? o : 0;
  }
  return v;
}

// experts_count says how many pairs each expert has, where they begin and in which tiles they are. One block; p: where sorted goes
KERNEL(experts_count, 1024, 1) {
  int *count = (int *)dynamic_shared(), all = pairs_of(op), n = op.experts_n;
  Sorted to = sorted_at(op, op.p[0], tiles_most(op));
  for (int e = (int)thread_x(); e < n; e += (int)threads_x()) count[e] = 0;
  barrier();
  for (int i = (int)thread_x(); i < all; i += (int)threads_x()) {
    int e = at<const int>(op.in[1])[i];
    if (is_here(op, e))
      atomic_add(count + e, 1);
  }
  barrier();
  int pairs = 0, tiles = 0;
  for (int first = 0; warp() == 0 && first < n; first += 32) {
    int e = first + (int)lane(), own = e < n ? count[e] : 0, cut = divided(own, TILE_ROWS);
    int before = pairs + sum_below(own) - own, tiles_before = tiles + sum_below(cut) - cut;
    if (e < n)
      to.begin[e] = before, to.tile[e] = tiles_before;
    for (int t = 0; t < cut; t++) to.expert[tiles_before + t] = e;
    pairs = shuffle(before + own, 31), tiles = shuffle(tiles_before + cut, 31);
  }
  if (thread_x() == 0)
    to.begin[n] = pairs, to.tile[n] = tiles;
}

// experts_place has a warp for each expert, which looks for its pairs. p: where sorted is
KERNEL(experts_place, 256, 4) {
  int e = (int)(block_x() * 8 + warp()), all = pairs_of(op);
  Sorted to = sorted_at(op, op.p[0], tiles_most(op));
  if (e >= op.experts_n)
    return;
  int at_pair = to.begin[e], end = to.begin[e + 1];
  const int *index = at<const int>(op.in[1]);
  for (int i = 0; i < all && at_pair < end; i += 32) {
    int p = i + (int)lane();
    unsigned same = ballot(p < all && index[p < all ? p : 0] == e);
    if (same >> lane() & 1)
      to.pair[at_pair + __builtin_popcount(same & ((1u << lane()) - 1))] = p;
    at_pair += __builtin_popcount(same);
  }
}

// experts_split brings what is inside into parts. p: order of columns, parts, where inner is, where they go
KERNEL(experts_split, 256, 4) {
  long long i = (long long)block_x() * threads_x() + thread_x();
  const float *inner = place_of(op, op.out[2], op.p[2]);
  char *to = (char *)(op.scratch + (unsigned long long)op.p[3] * 256);
  if (op.p[1] == 1)
    split_rows<1>(to, inner, pairs_of(op), op.out[2].dim[2], op.p[0], i);
  else
    split_rows<3>(to, inner, pairs_of(op), op.out[2].dim[2], op.p[0], i);
}

// experts_absent makes rows of experts that are not here zeros. p: where rows go
KERNEL(experts_absent, 256, 4) {
  int pair = (int)block_x(), n = op.out[1].dim[1];
  if (is_here(op, at<const int>(op.in[1])[pair]))
    return;
  for (int i = (int)thread_x(); i < n; i += (int)threads_x()) place_of(op, op.out[1], op.p[0])[(long long)pair * n + i] = 0.0f;
}

// ---- what no tile fits: a warp for an out of a pair

// p: where inner goes
KERNEL(experts_plain, 256, 4) {
  int pair = (int)block_x(), e = at<const int>(op.in[1])[pair], out = (int)(block_y() * 8 + warp());
  const pio_matrix *w = expert(op, e);
  if (!is_here(op, e) || out >= w[0].rows)
    return;
  const float *x = at<const float>(op.in[0]) + (long long)(pair / op.in[1].dim[1]) * w[0].cols;
  float gate[1], up[1];
  plain_dots(gate, w[0], out, x, 0, 1);
  plain_dots(up, w[1], out, x, 0, 1);
  if (lane() == 0)
    place_of(op, op.out[2], op.p[0])[(long long)pair * w[0].rows + out] = gated(gate[0], up[0]);
}

// p: where inner is, where rows go
KERNEL(experts_down_plain, 256, 4) {
  int pair = (int)block_x(), e = at<const int>(op.in[1])[pair], out = (int)(block_y() * 8 + warp());
  if (out >= op.out[1].dim[1])
    return;
  float y[1] = {0.0f};
  const pio_matrix &w = expert(op, e)[2];
  if (is_here(op, e))
    plain_dots(y, w, out, place_of(op, op.out[2], op.p[0]) + (long long)pair * w.cols, 0, 1);
  if (lane() == 0)
    place_of(op, op.out[1], op.p[1])[(long long)pair * op.out[1].dim[1] + out] = y[0];
}

// ---- the sum

// expert_sum has a thread for an element of y, and of sums with it; a row's pairs are brought in order first. p: where rows are: -2 in the first operand, -1 in
// the second result, or in scratch
KERNEL(expert_sum, 256, 4) {
  int row = (int)block_y(), c = (int)(block_x() * threads_x() + thread_x()), *order = (int *)dynamic_shared();
  in_order(order, op, row);
  if (c < op.out[0].dim[1])
    sum_row(op, op.p[0], order, row, c);
}

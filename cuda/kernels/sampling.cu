// sampling.cu: what a sampler wants to know of rows of logits. Blocks have pieces of a row; others join what these give.
//
// Elements of a row are ordered as integers, so that whoever compares them first makes no difference: the larger the better, of equals the one
// that comes first, what is no number last.
#include "vector.cuh"

typedef unsigned long long rank_t;

DEVICE rank_t rank_of(float x, int i) {
  unsigned bits = f32_bits(plus(x, 0.0f)), upper = 0; // -0 is 0
  if (x == x)
    upper = bits >> 31 ? ~bits : bits | 0x80000000u;
  return (rank_t)upper << 32 | (unsigned)~i;
}
DEVICE int place_of(rank_t rank) { return (int)~(unsigned)rank; }
DEVICE rank_t shuffle_rank(rank_t r, int mask) {
  unsigned upper = shuffle_xor((unsigned)(r >> 32), mask), lower = shuffle_xor((unsigned)r, mask);
  return (rank_t)upper << 32 | lower;
}

// ---- argmax

// best is the best element of some, and whether any of them is no number.
struct best { rank_t rank; unsigned odd, unused; };

DEVICE best better(best a, best b) { return {a.rank > b.rank ? a.rank : b.rank, a.odd | b.odd, 0}; }
DEVICE best warp_best(best b) {
  UNROLL for (int m = 16; m > 0; m /= 2) b = better(b, {shuffle_rank(b.rank, m), shuffle_xor(b.odd, m), 0});
  return b;
}

DEVICE void chosen(const pio_op &op, int row, best b) {
  int i = place_of(b.rank);
  at<int>(op.out[0])[row] = i;
  if (op.out[1].at)
    store(op.out[1], row, b.odd ? bits_f32(0x7fc00000u) : load(op.in[0], (long long)row * op.in[0].dim[1] + i));
}

enum { LOGITS = 4096 }; // of a piece; plan_sampling.go knows it

KERNEL(argmax, 256, 4) {
  const pio_tensor &x = op.in[0];
  int n = x.dim[1], row = block_y(), from = block_x() * LOGITS;
  bool whole = in_fours(x, n);
  best b = {0, 0, 0};
  UNROLL for (int j = 0; j < LOGITS / 1024; j++) {
    int i = from + j * 1024 + thread_x() * 4;
    if (i >= n)
      continue;
    four v = load4(x, (long long)row * n + i, whole, n - i);
    UNROLL for (int e = 0; e < 4; e++)
      if (i + e < n)
        b = better(b, {rank_of(v.x[e], i + e), v.x[e] != v.x[e], 0});
  }
  SHARED best of_warps[8];
  b = warp_best(b);
  if (lane() == 0)
    of_warps[warp()] = b;
  barrier();
  if (warp() > 0)
    return;
  b = warp_best(lane() < 8 ? of_warps[lane()] : best{0, 0, 0});
  if (lane() > 0)
    return;
  if (blocks_x() == 1)
    chosen(op, row, b);
  else
    ((best *)op.scratch)[(long long)row * blocks_x() + block_x()] = b;
}

// argmax_join has a warp for each row, of p[0] pieces.
KERNEL(argmax_join, 32, 8) {
  int row = block_x();
  best b = {0, 0, 0};
  for (int i = lane(); i < op.p[0]; i += 32) b = better(b, ((const best *)op.scratch)[(long long)row * op.p[0] + i]);
  b = warp_best(b);
  if (lane() == 0)
    chosen(op, row, b);
}

// ---- top_k: a block sorts some ranks and keeps the best

// order sorts 2^bits ranks, the best first (Batcher's bitonic sort, 1968).
DEVICE void order(rank_t *ranks, int bits) {
  int n = 1 << bits;
  for (int size = 2; size <= n; size *= 2)
    for (int step = size / 2; step > 0; step /= 2) {
      barrier();
      for (int i = thread_x(); i < n / 2; i += threads_x()) {
        int a = i / step * step * 2 + i % step, b = a + step;
        bool falls = (a & size) == 0;
        rank_t x = ranks[a], y = ranks[b];
        if ((x < y) == falls)
          ranks[a] = y, ranks[b] = x;
      }
    }
  barrier();
}

// p[0] lists of p[1] ranks of a row, or its logits if that is 0, become as many as there are blocks, each of p[2] lists or of 2^p[3] logits. Lists
// are in the first half of the scratch memory or (p[4]) in the second, and go to the other; the last one gives the result.
KERNEL(top_k, 512, 1) {
  const pio_tensor &x = op.in[0];
  rank_t *ranks = (rank_t *)dynamic_shared();
  int n = x.dim[1], row = block_y(), rows = x.dim[0], lists = op.p[0], k = op.p[1], all = 1 << op.p[3];
  long long half = (long long)rows * ((n + all - 1) / all) * k;
  rank_t *waiting = (rank_t *)op.scratch, *from = waiting + (op.p[4] ? half : 0), *to = waiting + (op.p[4] ? 0 : half);
  for (int i = thread_x(); i < all; i += threads_x()) {
    rank_t r = 0; // worse than any
    if (!lists) {
      int at = block_x() * all + i;
      if (at < n)
        r = rank_of(load(x, (long long)row * n + at), at);
    } else if (i < op.p[2] * k && (int)block_x() * op.p[2] + i / k < lists)
      r = from[((long long)row * lists + block_x() * op.p[2]) * k + i];
    ranks[i] = r;
  }
  order(ranks, op.p[3]);
  for (int i = thread_x(); i < k; i += threads_x()) {
    rank_t r = i < all ? ranks[i] : 0;
    if (blocks_x() > 1) {
      to[((long long)row * blocks_x() + block_x()) * k + i] = r;
      continue;
    }
    long long at_k = (long long)row * k + i;
    at<int>(op.out[0])[at_k] = place_of(r);
    store(op.out[1], at_k, load(x, (long long)row * n + place_of(r)));
  }
}

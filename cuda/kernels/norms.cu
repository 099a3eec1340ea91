// norms.cu: rows divided by something that all of a row's elements make.
//
// A row has a team of threads: a warp if it is short, else a block, of a size that its length alone fixes. A thread sums its elements (squares of
// vector.cuh); the sums of a warp are added by halves, those of warps likewise. Products of few rows and heads.cu, which norm rows on their way, keep
// that order.
#include "vector.cuh"

enum { SHORT = 512 }; // elements of a row that a warp has; plan_norms.go knows it

// team is the threads of a row.
struct team {
  long long row, rows, n;
  int rank, size;
  bool alone; // a warp
};

DEVICE team team_of(const pio_tensor &y, long long n) {
  team t;
  t.n = n;
  t.rows = length(y) / n;
  t.alone = n <= SHORT;
  t.rank = t.alone ? lane() : thread_x();
  t.size = t.alone ? 32 : threads_x();
  t.row = t.alone ? (long long)block_x() * (threads_x() / 32) + warp() : block_x();
  return t;
}

// all_sum adds a number of each thread of the team: all get the same.
DEVICE float all_sum(const team &t, float v) {
  v = warp_sum(v);
  if (t.alone)
    return v;
  SHARED float sums[32];
  barrier(); // an earlier sum has been read
  if (lane() == 0)
    sums[warp()] = v;
  barrier();
  return warp_sum(lane() < threads_x() / 32 ? sums[lane()] : 0.0f);
}

DEVICE float all_squares(const team &t, const pio_tensor &x, bool whole, float from) {
  return all_sum(t, squares(x, t.row * t.n, t.n, t.rank, t.size, whole, from));
}

// rms_row norms a row of x to y; then(i, v, n) is what becomes of four elements, of which n are there.
template <class Then> DEVICE void rms_row(const team &t, const pio_op &op, const pio_tensor &y, const pio_tensor &x, Then then) {
  bool whole = in_fours(x, t.n), all = whole && in_fours(y, t.n) && weights_in_fours(op.w[0]);
  float inv = 1.0f / square_root(plus(all_squares(t, x, whole, 0.0f) / (float)t.n, op.f[0]));
  for (long long i = t.rank * 4; i < t.n; i += t.size * 4) {
    four v = load4(x, t.row * t.n + i, all, t.n - i), w = weight4(op.w[0], i, all, t.n - i);
    UNROLL for (int j = 0; j < 4; j++) v.x[j] = times(times(v.x[j], inv), plus(op.f[1], w.x[j]));
    store4(y, t.row * t.n + i, v, all, t.n - i);
    then(t.row * t.n + i, v, t.n - i);
  }
}

KERNEL(rmsnorm, 1024, 1) {
  team t = team_of(op.out[0], op.w[0].cols);
  if (t.row < t.rows)
    rms_row(t, op, op.out[0], op.in[0], [](long long, four, long long) {});
}

// rmsnorm_gates norms rows of in[1] to out[1], and has those of in[0] gate them.
KERNEL(rmsnorm_gates, 1024, 1) {
  team t = team_of(op.out[0], op.w[0].cols);
  if (t.row >= t.rows)
    return;
  bool gates = in_fours(op.in[0], t.n) && in_fours(op.out[0], t.n);
  rms_row(t, op, op.out[1], op.in[1], [&](long long at, four v, long long n) {
    four g = load4(op.in[0], at, gates, n);
    UNROLL for (int j = 0; j < 4; j++) v.x[j] = gated(g.x[j], v.x[j]);
    store4(op.out[0], at, v, gates, n);
  });
}

// Two tensors have a row of blocks each.
KERNEL(l2norm, 1024, 1) {
  const pio_tensor &x = block_y() ? op.in[1] : op.in[0], &y = block_y() ? op.out[1] : op.out[0];
  team t = team_of(y, op.p[0]);
  if (t.row >= t.rows)
    return;
  bool whole = in_fours(x, t.n);
  unit_row(y, x, t.row * t.n, t.n, t.rank, t.size, all_squares(t, x, whole, 0.0f), op.f[0], whole && in_fours(y, t.n));
}

KERNEL(layernorm, 1024, 1) {
  team t = team_of(op.out[0], op.w[0].cols);
  if (t.row >= t.rows)
    return;
  bool whole = in_fours(op.in[0], t.n), all = whole && in_fours(op.out[0], t.n) && weights_in_fours(op.w[0]) && weights_in_fours(op.w[1]);
  float sum = 0;
  for (long long i = t.rank * 4; i < t.n; i += t.size * 4) {
    four v = load4(op.in[0], t.row * t.n + i, whole, t.n - i);
    UNROLL for (int j = 0; j < 4; j++) sum = plus(sum, v.x[j]);
  }
  float mean = all_sum(t, sum) / (float)t.n;
  float inv = 1.0f / square_root(plus(all_squares(t, op.in[0], whole, mean) / (float)t.n, op.f[0]));
  for (long long i = t.rank * 4; i < t.n; i += t.size * 4) {
    four v = load4(op.in[0], t.row * t.n + i, all, t.n - i), w = weight4(op.w[0], i, all, t.n - i), b = weight4(op.w[1], i, all, t.n - i);
    UNROLL for (int j = 0; j < 4; j++) v.x[j] = fused(times(plus(v.x[j], -mean), inv), w.x[j], b.x[j]);
    store4(op.out[0], t.row * t.n + i, v, all, t.n - i);
  }
}

// tile.cu: attention over keys and values that come in tiles (kv heads, keys, numbers). Between tiles the running softmax of a row's head is in
// memory: sums of values, then m and l. In fast numerics m is of scores times log2 e.
#include "exact.cuh"
#include "flash.cuh"

KERNEL(attend_start, 256, 4) {
  long long i = (long long)block_x() * threads_x() + thread_x(), n = op.out[0].dim[2];
  if (i < length(op.out[0]))
    at<float>(op.out[0])[i] = i % n == n - 2 ? NO_SCORE : 0.0f;
}

// A row that has seen nothing has no weights, and gives zeros.
KERNEL(attend_done, 256, 4) {
  long long i = (long long)block_x() * threads_x() + thread_x(), n = op.out[0].dim[2];
  if (i >= length(op.out[0]))
    return;
  const float *sums = at<float>(op.in[0]) + i / n * (n + 2);
  store(op.out[0], i, sums[n + 1] > 0 || sums[n + 1] != sums[n + 1] ? sums[i % n] / sums[n + 1] : 0.0f);
}

// seen_by is how many keys of those from position first on a row sees, none if the pair has none.
DEVICE int seen_by(const pio_op &op, const queries &q, int pair, float *&acc) {
  int row, head, step = op.out[0].dim[2];
  acc = at<float>(op.out[0]);
  if (!head_of(q, pair, row, head))
    return 0;
  acc += ((long long)row * q.heads + head) * step;
  int sees = at<int>(op.in[3])[row] + 1 - op.n[0], keys = op.in[1].dim[1];
  return sees < keys ? sees : keys;
}

// most_of is how many of a tile's keys any of the block's rows sees.
DEVICE int most_of(const pio_op &op, const queries &q) {
  int most = 0;
  for (int r = q.first; r < q.end; r++) {
    int sees = at<int>(op.in[3])[r] + 1 - op.n[0];
    most = sees > most ? sees : most;
  }
  return most < op.in[1].dim[1] ? most : op.in[1].dim[1];
}

DEVICE queries tile_queries(const pio_op &op, int pairs) {
  int per = pairs / op.p[0], rows = op.in[0].dim[0], first = block_z() * per;
  return queries_of(op, op.in[1].dim[0], first, first + per < rows ? first + per : rows);
}

template <int V> DEVICE void tile_exact(const pio_op &op) {
  queries q = tile_queries(op, PAIRS);
  source k = laid(op.in[1], q.kv_head, op.n[0]), v = laid(op.in[2], q.kv_head, op.n[0]);
  bench b = bench_of(k.n);
  exact_queries(b, q, op.in[0]);
  float *acc;
  int sees = seen_by(op, q, thread_x() / 16, acc), most = most_of(op, q);
  exact_running<V> s;
  begin(s);
  if (sees > 0) {
    exact_values<V>(v.n, [&](int d, int i, int j) { s.o[i][j] = acc[d]; });
    s.m = acc[v.n], s.l = acc[v.n + 1];
  }
  for (int t = 0; t < most; t += KEYS) exact_keys(s, b, k, v, op.n[0] + t, most - t < KEYS ? most - t : KEYS, sees - t, op.f[0]);
  if (sees > 0) {
    exact_values<V>(v.n, [&](int d, int i, int j) { acc[d] = s.o[i][j]; });
    if (thread_x() % 16 == 0)
      acc[v.n] = s.m, acc[v.n + 1] = s.l;
  }
}

KERNEL(attend_tile_exact_64, 256, 2) { tile_exact<1>(op); }
KERNEL(attend_tile_exact_128, 256, 2) { tile_exact<2>(op); }
KERNEL(attend_tile_exact_256, 256, 1) { tile_exact<4>(op); }
KERNEL(attend_tile_exact_512, 256, 1) { tile_exact<8>(op); }

// A block has 64 pairs, a warp 16 of them; two tiles of 64 keys are in shared memory, as in prompt.cu.
template <int D> DEVICE void tile_fast(const pio_op &op) {
  enum { TILE = KEYS * D * 2, BLOCK_PAIRS = 64, N = warp_of<D>::NUMBERS };
  char *queries_at = dynamic_shared(), *tiles_at = queries_at + BLOCK_PAIRS * D * 2;
  queries q = tile_queries(op, BLOCK_PAIRS);
  int first = op.n[0], most = most_of(op, q), pair0 = warp() % 4 * PAIRS, g = lane() / 4, d0 = warp() / 4 * N * 8 + 2 * (lane() % 4), sees[2];
  if (most == 0)
    return;
  source k = laid(op.in[1], q.kv_head, first), v = laid(op.in[2], q.kv_head, first);
  stage_queries<D>(queries_at, q, op.in[0], BLOCK_PAIRS);
  stage<D, false>(tiles_at, k, first, most);
  stage<D, false>(tiles_at + TILE, v, first, most);
  float o[N][4], *acc[2], *stats = (float *)(tiles_at + 4 * TILE);
  softmax is;
  UNROLL for (int r = 0; r < 2; r++) {
    sees[r] = seen_by(op, q, pair0 + g + 8 * r, acc[r]);
    is.m[r] = NO_SCORE, is.l[r] = 0;
    if (sees[r] > 0)
      is.m[r] = acc[r][v.n], is.l[r] = acc[r][v.n + 1];
    UNROLL for (int n = 0; n < N; n++)
      UNROLL for (int e = 0; e < 2; e++) o[n][2 * r + e] = sees[r] > 0 && d0 + 8 * n + e < v.n ? acc[r][d0 + 8 * n + e] : 0.0f;
  }
  int tiles = (most + KEYS - 1) / KEYS;
  for (int j = 0; j < tiles; j++) {
    char *here = tiles_at + j % 2 * (2 * TILE), *next = tiles_at + (j + 1) % 2 * (2 * TILE);
    if (j + 1 < tiles) {
      stage<D, false>(next, k, first + (j + 1) * KEYS, most - (j + 1) * KEYS);
      stage<D, false>(next + TILE, v, first + (j + 1) * KEYS, most - (j + 1) * KEYS);
    }
    barrier();
    int now[2] = {sees[0] - j * KEYS, sees[1] - j * KEYS};
    take_tile<D>(o, is, queries_at, here, here + TILE, stats, now, op.f[0] * 1.44269504f);
    barrier();
  }
  UNROLL for (int r = 0; r < 2; r++)
    if (sees[r] > 0) {
      UNROLL for (int n = 0; n < N; n++)
        UNROLL for (int e = 0; e < 2; e++)
          if (d0 + 8 * n + e < v.n)
            acc[r][d0 + 8 * n + e] = o[n][2 * r + e];
      if (d0 == 0)
        acc[r][v.n] = is.m[r], acc[r][v.n + 1] = is.l[r];
    }
}

KERNEL(attend_tile_64, 128, 3) { tile_fast<64>(op); }
KERNEL(attend_tile_128, 128, 2) { tile_fast<128>(op); }
KERNEL(attend_tile_256, 256, 1) { tile_fast<256>(op); }

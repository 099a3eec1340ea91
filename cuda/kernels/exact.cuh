// exact.cuh: queries through keys with products of f32, sums in one order. A block has 16 pairs and 256 threads, 16 for each pair: of a tile's
// scores thread c has those of keys c, c + 16, c + 32, c + 48, of each 64 values four.
#pragma once

#include "attend.cuh"

enum { EXACT_STEP = 68 }; // floats of a row of a tile in shared memory: rows 16 lanes apart begin in banks of their own

// bench is a block's shared memory: queries (16, dim), a tile's 64 x 64 numbers that are at hand, weights (16, 64).
struct bench {
  float *q, *tile, *weights;
  int dim; // of queries, padded to 64
};

DEVICE bench bench_of(int dim) {
  float *at = (float *)dynamic_shared();
  int padded = (dim + 63) / 64 * 64;
  return {at + (KEYS + PAIRS) * EXACT_STEP, at, at + KEYS * EXACT_STEP, padded};
}

// exact_running is a softmax so far: of a thread the sums of its values.
template <int V> struct exact_running {
  float o[V][4], m, l;
};

template <int V> DEVICE void begin(exact_running<V> &s) {
  UNROLL for (int v = 0; v < V; v++)
    UNROLL for (int j = 0; j < 4; j++) s.o[v][j] = 0;
  s.m = NO_SCORE, s.l = 0;
}

// fetch brings numbers d .. d + 63 of n keys from a position on; zeros for what is not there.
DEVICE void fetch(float *tile, const source &s, int position, int n, int d) {
  barrier(); // what was there has been read
  for (int i = thread_x(); i < KEYS * 16; i += threads_x()) {
    int key = i / 16, c = i % 16 * 4;
    four v = {};
    if (key < n && d + c < s.n)
      v = numbers4(s, row_at(s, position + key), d + c);
    *(four *)(tile + key * EXACT_STEP + c) = v;
  }
  barrier();
}

// exact_keys takes a block's queries through n keys; the thread's pair sees so many of them.
template <int V> DEVICE void exact_keys(exact_running<V> &s, const bench &b, const source &k, const source &v, int position, int n, int sees, float scale) {
  int pair = thread_x() / 16, c = thread_x() % 16;
  float x[4] = {};
  for (int d0 = 0; d0 < k.n; d0 += 64) {
    fetch(b.tile, k, position, n, d0);
    for (int d = 0; d < 64; d += 4) {
      four q = *(const four *)(b.q + pair * b.dim + d0 + d);
      UNROLL for (int j = 0; j < 4; j++) {
        four key = *(const four *)(b.tile + (c + 16 * j) * EXACT_STEP + d);
        UNROLL for (int e = 0; e < 4; e++) x[j] = fused(q.x[e], key.x[e], x[j]);
      }
    }
  }
  float most = s.m, sum = 0;
  UNROLL for (int j = 0; j < 4; j++) {
    x[j] = times(x[j], scale);
    most = c + 16 * j < sees && x[j] > most ? x[j] : most;
  }
  UNROLL for (int mask = 8; mask > 0; mask /= 2) {
    float other = shuffle_xor(most, mask);
    most = other > most ? other : most;
  }
  float from = most == NO_SCORE ? 0.0f : most, keep = s.m == most ? 1.0f : exact_scores::weight(plus(s.m, -from));
  UNROLL for (int j = 0; j < 4; j++) {
    float w = c + 16 * j < sees ? exact_scores::weight(plus(x[j], -from)) : 0.0f;
    b.weights[pair * EXACT_STEP + c + 16 * j] = w;
    sum = plus(sum, w);
  }
  UNROLL for (int mask = 1; mask < 16; mask *= 2) sum = plus(sum, shuffle_xor(sum, mask));
  s.m = most, s.l = fused(s.l, keep, sum);
  warp_barrier(); // the weights are this warp's
  UNROLL for (int i = 0; i < V; i++) {
    if (i * 64 >= v.n)
      break;
    fetch(b.tile, v, position, n, i * 64);
    UNROLL for (int j = 0; j < 4; j++) s.o[i][j] = times(s.o[i][j], keep);
    for (int key = 0; key < n; key += 4) {
      four w = *(const four *)(b.weights + pair * EXACT_STEP + key);
      UNROLL for (int e = 0; e < 4; e++) {
        four value = *(const four *)(b.tile + (key + e) * EXACT_STEP + 4 * c);
        UNROLL for (int j = 0; j < 4; j++) s.o[i][j] = fused(w.x[e], value.x[j], s.o[i][j]);
      }
    }
  }
}

// exact_queries brings a block's queries to where they are at hand.
DEVICE void exact_queries(const bench &b, const queries &q, const pio_tensor &x) {
  int dim = x.dim[2], row, head;
  barrier();
  for (int i = thread_x(); i < PAIRS * b.dim; i += threads_x()) {
    int pair = i / b.dim, d = i % b.dim;
    bool is = head_of(q, pair, row, head);
    b.q[i] = is && d < dim ? load(x, ((long long)row * q.heads + head) * dim + d) : 0.0f;
  }
}

// exact_values calls f(number, value) of each of the thread's n values.
template <int V, class F> DEVICE void exact_values(int n, F f) {
  UNROLL for (int i = 0; i < V; i++)
    UNROLL for (int j = 0; j < 4; j++) {
      int d = i * 64 + thread_x() % 16 * 4 + j;
      if (d < n)
        f(d, i, j);
    }
}

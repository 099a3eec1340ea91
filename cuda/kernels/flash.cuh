// flash.cuh: queries through keys on tensor cores, with numbers rounded to bf16 and sums in f32.
//
// Of an mma the 16 rows are pairs, the 8 columns keys (of scores) or numbers of values. A score adds its products 32 numbers at a time, each 32
// by two mma: lane t of a key takes numbers 8t .. 8t + 7, 16 bytes, of which the first mma has four and the second the others. Sums of values
// add 16 keys at a time in their order. Whoever computes a score or a sum, alone or in a prompt, does so by these same instructions.
#pragma once

#include "attend.cuh"

struct __attribute__((aligned(16))) chunk { unsigned x[4]; }; // eight numbers of bf16

// Rows of bf16 in shared memory lie one behind the other, their chunks of 16 bytes in an order that each row has: what the lanes of an mma want
// at once, two rows with four chunks each or eight rows with one, is then in different banks.
DEVICE int turned(int row) { return (row & 1) << 2 | (row & 2) | (row >> 2 & 1); }
template <int D> DEVICE char *chunk_at(char *rows, int row, int c) { return rows + row * (D * 2) + ((c ^ turned(row)) << 4); }

// numbers8 are numbers i .. i + 7 of a row, rounded.
DEVICE chunk numbers8(const source &s, const char *row, int i) {
  four a = numbers4(s, row, i), b = numbers4(s, row, i + 4);
  return {{pack_bf16(a.x[0], a.x[1]), pack_bf16(a.x[2], a.x[3]), pack_bf16(b.x[0], b.x[1]), pack_bf16(b.x[2], b.x[3])}};
}

// rows_from is where the rows from a position on are: together, if a block of the cache has all of a tile.
struct rows_from {
  const char *first; // 0: each by itself
  int position;
};
DEVICE rows_from rows_at(const source &s, int position) {
  return {!s.table || s.size % KEYS == 0 ? row_at(s, position) : 0, position};
}
DEVICE const char *row_of(const source &s, const rows_from &r, int i) { return r.first ? r.first + i * s.step : row_at(s, r.position + i); }

// stage brings n keys from a position on to shared memory, as D numbers in bf16; zeros for what is not there. PLAIN rows are in bf16 and
// whole chunks, and come while the threads go on; the caller commits.
template <int D, bool PLAIN> DEVICE void stage(char *to, const source &s, int position, int n) {
  rows_from r = rows_at(s, position);
  NO_UNROLL for (int i = thread_x(); i < KEYS * (D / 8); i += threads_x()) {
    int key = i / (D / 8), c = i % (D / 8);
    bool on = key < n && c * 8 < s.n;
    char *at = chunk_at<D>(to, key, c);
    if (PLAIN)
      copy16_async(at, on ? row_of(s, r, key) + c * 16 : s.at, on);
    else if (on)
      *(chunk *)at = numbers8(s, row_of(s, r, key), c * 8);
    else
      *(chunk *)at = chunk{};
  }
}

// stage_queries brings so many pairs.
template <int D> DEVICE void stage_queries(char *to, const queries &q, const pio_tensor &x, int pairs) {
  int dim = x.dim[2], row, head;
  source s = {at<char>(x), 0, row_bytes(x.type, dim), x.type, dim, 0, 0, 0, 0};
  NO_UNROLL for (int i = thread_x(); i < pairs * (D / 8); i += threads_x()) {
    int pair = i / (D / 8), c = i % (D / 8);
    chunk v = {};
    if (head_of(q, pair, row, head) && c * 8 < dim)
      v = numbers8(s, s.at + ((long long)row * q.heads + head) * s.step, c * 8);
    *(chunk *)chunk_at<D>(to, pair, c) = v;
  }
}

// ---- a warp's mma

// multiply adds the products of 32 numbers of 16 queries, of which the lane has a chunk of row g and one of row g + 8, and 8 keys; mma_known is to follow.
DEVICE void multiply(float s[4], const chunk &lower, const chunk &upper, const chunk &key) {
  unsigned a[4] = {lower.x[0], upper.x[0], lower.x[1], upper.x[1]}, b[4] = {lower.x[2], upper.x[2], lower.x[3], upper.x[3]};
  mma_bf16_later(s, a, key.x);
  mma_bf16_later(s, b, key.x + 2);
}

// scores gives those of 16 queries and N times 8 keys.
template <int D, int N> DEVICE void scores(float s[N][4], char *q, char *k) {
  int g = lane() / 4, t = lane() % 4;
  UNROLL for (int i = 0; i < N; i++)
    UNROLL for (int j = 0; j < 4; j++) s[i][j] = 0;
  NO_UNROLL for (int c0 = t; c0 < D / 8; c0 += 8) // registers for more there are not
    UNROLL for (int c = c0; c < c0 + 8; c += 4) {
      chunk lower = *(const chunk *)chunk_at<D>(q, g, c), upper = *(const chunk *)chunk_at<D>(q, g + 8, c);
      UNROLL for (int i = 0; i < N; i++) multiply(s[i], lower, upper, *(const chunk *)chunk_at<D>(k, 8 * i + g, c));
    }
  mma_known();
}

// soften makes scores of a tile's 64 keys weights, of which rows g and g + 8 see so many, and brings m and l up to date. What was summed before
// is to be multiplied by keep. Of a row lane t sums the weights of keys 8i + 2t, + 1 for i = 0 .. 3 and for i = 4 .. 7; then lanes add up, and
// then these halves.
struct softmax {
  float m[2], l[2];
};
DEVICE void soften(float s[8][4], softmax &is, const int sees[2], float scale, float keep[2]) {
  int t = lane() % 4;
  UNROLL for (int r = 0; r < 2; r++) {
    float most = is.m[r], half[2] = {};
    UNROLL for (int i = 0; i < 8; i++)
      UNROLL for (int e = 0; e < 2; e++) {
        float x = times(s[i][2 * r + e], scale);
        x = 8 * i + 2 * t + e < sees[r] ? x : NO_SCORE;
        s[i][2 * r + e] = x;
        most = x > most ? x : most;
      }
    UNROLL for (int mask = 1; mask < 4; mask *= 2) {
      float other = shuffle_xor(most, mask);
      most = other > most ? other : most;
    }
    float from = most == NO_SCORE ? 0.0f : most;
    keep[r] = exp2_fast(plus(is.m[r], -from));
    UNROLL for (int i = 0; i < 8; i++)
      UNROLL for (int e = 0; e < 2; e++) {
        float w = exp2_fast(plus(s[i][2 * r + e], -from));
        s[i][2 * r + e] = w;
        half[i / 4] = plus(half[i / 4], w);
      }
    UNROLL for (int h = 0; h < 2; h++)
      UNROLL for (int mask = 1; mask < 4; mask *= 2) half[h] = plus(half[h], shuffle_xor(half[h], mask));
    is.m[r] = most, is.l[r] = fused(is.l[r], keep[r], plus(half[0], half[1]));
  }
}

// weigh adds a tile's values, weighted.
template <int D> DEVICE void weigh(float o[D / 8][4], const float s[8][4], const float keep[2], char *v) {
  int key = lane() % 16, side = lane() / 16;
  if (ballot(keep[0] != 1.0f || keep[1] != 1.0f)) {
    UNROLL for (int n = 0; n < D / 8; n++)
      UNROLL for (int j = 0; j < 4; j++) o[n][j] = times(o[n][j], keep[j / 2]);
  }
  UNROLL for (int k = 0; k < 4; k++) {
    unsigned a[4] = {pack_bf16(s[2 * k][0], s[2 * k][1]), pack_bf16(s[2 * k][2], s[2 * k][3]), pack_bf16(s[2 * k + 1][0], s[2 * k + 1][1]),
                     pack_bf16(s[2 * k + 1][2], s[2 * k + 1][3])};
    UNROLL for (int n = 0; n < D / 8; n += 2) {
      unsigned b[4];
      ldmatrix_x4_trans(b, chunk_at<D>(v, 16 * k + key, n + side));
      mma_bf16_later(o[n], a, b);
      mma_bf16_later(o[n + 1], a, b + 2);
    }
  }
  mma_known();
}

// ---- heads of 256: two warps have 16 pairs, each the scores of 32 of a tile's keys and half of the values' numbers

enum { WIDE = 256, STATS_BYTES = 2 * 2 * 64 * 4 };

// wide_tile is scores, soften and weigh of such a warp, the side'th of its pairs. What warps tell each other is in stats, weights come where the
// keys were; the block meets twice.
DEVICE void wide_tile(float o[WIDE / 16][4], softmax &is, char *q, char *k, char *v, float *stats, const int sees[2], float scale) {
  int g = lane() / 4, t = lane() % 4, side = warp() / 4, pair0 = warp() % 4 * PAIRS;
  float s[4][4], most[2], keep[2], *sums = stats + 128;
  scores<WIDE, 4>(s, q + pair0 * (WIDE * 2), k + side * (KEYS / 2 * WIDE * 2));
  UNROLL for (int r = 0; r < 2; r++) {
    most[r] = NO_SCORE;
    UNROLL for (int i = 0; i < 4; i++)
      UNROLL for (int e = 0; e < 2; e++) {
        float x = times(s[i][2 * r + e], scale);
        x = side * (KEYS / 2) + 8 * i + 2 * t + e < sees[r] ? x : NO_SCORE;
        s[i][2 * r + e] = x;
        most[r] = x > most[r] ? x : most[r];
      }
    UNROLL for (int mask = 1; mask < 4; mask *= 2) {
      float other = shuffle_xor(most[r], mask);
      most[r] = other > most[r] ? other : most[r];
    }
    if (t == 0)
      stats[side * 64 + pair0 + g + 8 * r] = most[r];
  }
  barrier();
  UNROLL for (int r = 0; r < 2; r++) {
    int pair = pair0 + g + 8 * r;
    float other = stats[(1 - side) * 64 + pair], half = 0;
    most[r] = other > most[r] ? other : most[r];
    most[r] = is.m[r] > most[r] ? is.m[r] : most[r];
    float from = most[r] == NO_SCORE ? 0.0f : most[r];
    keep[r] = exp2_fast(plus(is.m[r], -from));
    UNROLL for (int i = 0; i < 4; i++) {
      float a = exp2_fast(plus(s[i][2 * r], -from)), b = exp2_fast(plus(s[i][2 * r + 1], -from));
      half = plus(plus(half, a), b);
      *(unsigned *)(chunk_at<KEYS>(k, pair, 4 * side + i) + 4 * t) = pack_bf16(a, b);
    }
    UNROLL for (int mask = 1; mask < 4; mask *= 2) half = plus(half, shuffle_xor(half, mask));
    if (t == 0)
      sums[side * 64 + pair] = half;
  }
  barrier();
  UNROLL for (int r = 0; r < 2; r++) {
    int pair = pair0 + g + 8 * r;
    is.m[r] = most[r], is.l[r] = fused(is.l[r], keep[r], plus(sums[pair], sums[64 + pair]));
  }
  UNROLL for (int n = 0; n < WIDE / 16; n++)
    UNROLL for (int j = 0; j < 4; j++) o[n][j] = times(o[n][j], keep[j / 2]);
  UNROLL for (int c = 0; c < 4; c++) {
    unsigned a[4], b[4];
    ldmatrix_x4(a, chunk_at<KEYS>(k, pair0 + lane() % 16, 2 * c + lane() / 16));
    UNROLL for (int n = 0; n < WIDE / 16; n += 2) {
      ldmatrix_x4_trans(b, chunk_at<WIDE>(v, 16 * c + lane() % 16, side * (WIDE / 16) + n + lane() / 16));
      mma_bf16_later(o[n], a, b);
      mma_bf16_later(o[n + 1], a, b + 2);
    }
  }
  mma_known();
}

// numbers_of is how many numbers of the values a warp has, eight of each.
template <int D> struct warp_of {
  enum { SIDES = D == WIDE ? 2 : 1, NUMBERS = D / 8 / SIDES };
};

// take_tile takes a warp's 16 pairs, from pair0 on, through a tile. Of the block's 64 pairs or WIDE ones two warps have 16.
template <int D> DEVICE void take_tile(float o[warp_of<D>::NUMBERS][4], softmax &is, char *q, char *k, char *v, float *stats, const int sees[2], float scale) {
  if constexpr (D == WIDE)
    wide_tile(o, is, q, k, v, stats, sees, scale);
  else {
    float s[8][4], keep[2];
    scores<D, 8>(s, q + warp() * PAIRS * (D * 2), k);
    soften(s, is, sees, scale, keep);
    weigh<D>(o, s, keep, v);
  }
}

// store2 writes numbers i and i + 1 of a row of n, if they are there; in_twos: two at a time.
struct __attribute__((aligned(8))) two { float a, b; };
DEVICE bool in_twos(const pio_tensor &y, int n) { return y.type == PIO_F32 && n % 2 == 0 && y.at % 8 == 0; }
DEVICE void store2(const pio_tensor &y, long long row, int n, int i, float a, float b, bool in_twos) {
  long long at_i = row * n + i;
  if (i < n && in_twos)
    *(two *)(at<float>(y) + at_i) = {a, b};
  else {
    if (i < n)
      store(y, at_i, a);
    if (i + 1 < n)
      store(y, at_i + 1, b);
  }
}

// ---- one row through a part: its pairs' scores wait in shared memory, since each warp has some keys and then some numbers of the values

enum {
  SCORE_STEP = 8 * (KEYS + 8) + 4, // floats from one pair's scores to the next: rows begin in different banks
  SCORE_TILE = KEYS + 8,           // and from one tile's
};

// waits is what pairs have of a part: scores, then weights in bf16 in their place; by what sums are multiplied before each tile; m and l.
struct waits {
  float *scores, *keep, *is;
};
enum { WAITS_BYTES = (PAIRS * SCORE_STEP + PAIRS * 8 + PAIRS * 2) * 4 };

DEVICE waits waits_at(char *at) {
  float *scores = (float *)at;
  return {scores, scores + PAIRS * SCORE_STEP, scores + PAIRS * SCORE_STEP + PAIRS * 8};
}

// put_scores writes those of 8 keys, the first of which is number first of the part.
DEVICE void put_scores(const waits &w, const float s[4], int first, float scale) {
  int g = lane() / 4, t = lane() % 4, at = first / KEYS * SCORE_TILE + first % KEYS + 2 * t;
  UNROLL for (int j = 0; j < 4; j++) w.scores[(g + j / 2 * 8) * SCORE_STEP + at + j % 2] = times(s[j], scale);
}

// soften_pair is soften for the tiles of a part at once: of a pair, lane 4j + t is lane t of tile j. The maxima so far are those that soften
// would have met.
DEVICE void soften_pair(const waits &w, int pair, int keys) {
  int j = lane() / 4, t = lane() % 4;
  float x[16], most = NO_SCORE, half[2] = {};
  float *row = w.scores + pair * SCORE_STEP;
  UNROLL for (int i = 0; i < 16; i++) {
    int key = i / 2 * 8 + 2 * t + i % 2;
    x[i] = j * KEYS + key < keys ? row[j * SCORE_TILE + key] : NO_SCORE;
    most = x[i] > most ? x[i] : most;
  }
  UNROLL for (int mask = 1; mask < 4; mask *= 2) {
    float other = shuffle_xor(most, mask);
    most = other > most ? other : most;
  }
  UNROLL for (int off = 4; off < 32; off *= 2) { // of earlier tiles
    float other = shuffle(most, (int)lane() - off);
    most = (int)lane() >= off && other > most ? other : most;
  }
  float before = shuffle(most, (int)lane() - 4), from = most == NO_SCORE ? 0.0f : most;
  float keep = exp2_fast(plus(j == 0 ? NO_SCORE : before, -from));
  warp_barrier(); // all scores have been read
  UNROLL for (int i = 0; i < 16; i += 2) {
    float a = exp2_fast(plus(x[i], -from)), b = exp2_fast(plus(x[i + 1], -from));
    half[i / 8] = plus(plus(half[i / 8], a), b);
    ((unsigned *)row)[(j * KEYS + i * 4 + 2 * t) / 2] = pack_bf16(a, b);
  }
  UNROLL for (int h = 0; h < 2; h++)
    UNROLL for (int mask = 1; mask < 4; mask *= 2) half[h] = plus(half[h], shuffle_xor(half[h], mask));
  float l = 0, sum = plus(half[0], half[1]);
  UNROLL for (int i = 0; i < 8; i++) l = fused(l, shuffle(keep, 4 * i), shuffle(sum, 4 * i));
  if (t == 0)
    w.keep[pair * 8 + j] = keep;
  if (lane() == 31)
    w.is[pair * 2] = most, w.is[pair * 2 + 1] = l;
}

// weigh_tile adds tile j's values to N times 8 numbers, the first of which are chunk first of the values.
template <int D, int N> DEVICE void weigh_tile(float o[N][4], const waits &w, int j, char *v, int first) {
  int g = lane() / 4, key = lane() % 16, side = lane() / 16;
  float keep[2] = {w.keep[g * 8 + j], w.keep[(g + 8) * 8 + j]};
  UNROLL for (int n = 0; n < N; n++)
    UNROLL for (int i = 0; i < 4; i++) o[n][i] = times(o[n][i], keep[i / 2]);
  const char *weights = (const char *)(w.scores + key * SCORE_STEP) + j * KEYS * 2 + side * 16;
  UNROLL for (int k = 0; k < 4; k += 2) {
    unsigned a[2][4], b[4];
    ldmatrix_x4(a[0], weights + k * 32);
    ldmatrix_x4(a[1], weights + k * 32 + 32);
    if (N == 1) { // of 32 keys at once
      ldmatrix_x4_trans(b, chunk_at<D>(v, 16 * k + lane(), first));
      mma_bf16_later(o[0], a[0], b);
      mma_bf16_later(o[0], a[1], b + 2);
      continue;
    }
    UNROLL for (int i = 0; i < 2; i++)
      UNROLL for (int n = 0; n + 1 < N; n += 2) {
        ldmatrix_x4_trans(b, chunk_at<D>(v, 16 * (k + i) + key, first + n + side));
        mma_bf16_later(o[n], a[i], b);
        mma_bf16_later(o[n + 1], a[i], b + 2);
      }
  }
  mma_known();
}

// part_sums is what a warp has of a part, or of all so far: N times 8 numbers of the values of rows g and g + 8.
template <int N> struct part_sums {
  float o[N][4], m[2], l[2];
};

template <int N> DEVICE void begin(part_sums<N> &s) {
  UNROLL for (int n = 0; n < N; n++)
    UNROLL for (int i = 0; i < 4; i++) s.o[n][i] = 0;
  UNROLL for (int r = 0; r < 2; r++) s.m[r] = NO_SCORE, s.l[r] = 0;
}

// add_part adds a later part.
template <int N> DEVICE void add_part(part_sums<N> &all, const part_sums<N> &one) {
  float keep[2], add[2];
  UNROLL for (int r = 0; r < 2; r++) join<fast_scores>(all.m[r], all.l[r], one.m[r], one.l[r], keep[r], add[r]);
  UNROLL for (int n = 0; n < N; n++)
    UNROLL for (int i = 0; i < 4; i++) all.o[n][i] = joined(all.o[n][i], keep[i / 2], one.o[n][i], add[i / 2]);
}

// let_wait writes what a part has come to; sums are those of numbers first .. of n. The warp's pairs are pair0 and those behind it.
template <int N> DEVICE void let_wait(const pio_op &op, const part_sums<N> &s, const queries &q, int pair0, int part, int first, int n) {
  int g = lane() / 4, t = lane() % 4, row, head;
  UNROLL for (int r = 0; r < 2; r++)
    if (head_of(q, pair0 + g + 8 * r, row, head)) {
      float *at = (float *)op.scratch + (((long long)row * q.heads + head) * op.p[4] + part) * waiting_step(n) + first + 2 * t;
      UNROLL for (int i = 0; i < N; i++) // behind numbers there is room for more
        if (first + 8 * i + 2 * t < n)
          *(two *)(at + 8 * i) = {s.o[i][2 * r], s.o[i][2 * r + 1]};
      if (first == 0 && t == 0)
        *(two *)(at + waiting_step(n) - 4) = {s.m[r], s.l[r]};
    }
}

// give writes what all parts have come to.
template <int N> DEVICE void give(const pio_op &op, const part_sums<N> &s, const queries &q, int pair0, int first, int n) {
  int g = lane() / 4, t = lane() % 4, row, head;
  bool twos = in_twos(op.out[0], n);
  UNROLL for (int r = 0; r < 2; r++)
    if (head_of(q, pair0 + g + 8 * r, row, head)) {
      float inverse = 1.0f / s.l[r];
      UNROLL for (int i = 0; i < N; i++)
        store2(op.out[0], (long long)row * q.heads + head, n, first + 8 * i + 2 * t, times(s.o[i][2 * r], inverse), times(s.o[i][2 * r + 1], inverse), twos);
    }
}

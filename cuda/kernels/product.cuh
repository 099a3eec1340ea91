// product.cuh: y[r][o] = sum over k of x[r][k] w[o][k] on tensor cores, by the same instructions in the same order whether rows are few or
// many, so that a row's bits do not depend on its company.
//
// The order: columns are cut into slices of whole chunks, which the shape of the weights fixes (slices in plan_weights.go). In a slice
// step follows step; in a step part of x follows part, in it part of w follows part, in it the two products of 16 columns, each added to
// the sums by mma. Where a layout has factors these sums begin anew with each chunk, and what a chunk gives is added, times its factor and
// rounded once, to the slice's. Slices are added in ascending order to a sum that begins with zero.
//
// In mma activations are a, 16 rows, and weights are b, 8 outs: outs are cut finer than rows are, and a single row of y needs many places
// to be computed at.
//
// An f32 of x is the sum of three bf16, which together have its 24 bits (exact); or rounded to one (fast).
#pragma once

#include "vector.cuh"
#include "weights.cuh"

// What rows are split into for PARTS: the upper halves of what is left, or the nearest. In what is infinite or no number nothing is left.
template <int PARTS> DEVICE void split_pair(unsigned parts[PARTS], float x, float y) {
  if (PARTS == 1) {
    parts[0] = pack_bf16(x, y);
    return;
  }
  UNROLL for (int p = 0; p < PARTS; p++) {
    unsigned a = f32_bits(x), b = f32_bits(y);
    bool finite_x = (a & 0x7f800000u) != 0x7f800000u, finite_y = (b & 0x7f800000u) != 0x7f800000u;
    a |= a << 9 && !finite_x ? 0x400000u : 0, b |= b << 9 && !finite_y ? 0x400000u : 0; // no number stays none without its lower half
    parts[p] = a >> 16 | (b & 0xffff0000u);
    x = finite_x ? x - bf16_lower(parts[p]) : 0.0f;
    y = finite_y ? y - bf16_upper(parts[p]) : 0.0f;
  }
}

// eight reads x[0..7], zeros from n on.
DEVICE void eight(float v[8], const float *x, int n) {
  if (n >= 8 && (unsigned long long)x % 16 == 0) {
    piece a = *(const piece *)x, b = *(const piece *)(x + 4);
    v[0] = bits_f32(a.x), v[1] = bits_f32(a.y), v[2] = bits_f32(a.z), v[3] = bits_f32(a.w);
    v[4] = bits_f32(b.x), v[5] = bits_f32(b.y), v[6] = bits_f32(b.z), v[7] = bits_f32(b.w);
    return;
  }
  UNROLL for (int i = 0; i < 8; i++) v[i] = i < n ? x[i] : 0.0f;
}

// runs_of_eight says where the order has the pairs of columns 8e..: put(step, t, j, first, n) is given n of them from one on, which are pairs
// j.. of a step's lane t, of which the first product takes two and the second two.
template <class Put> DEVICE void runs_of_eight(int order, int e, Put put) {
  if (order == QUADS) {
    put(e / 4, e % 2 * 2, e % 4 / 2 * 2, 0, 2);
    put(e / 4, e % 2 * 2 + 1, e % 4 / 2 * 2, 2, 2);
  } else if (order == SIXTEENS) {
    put(e / 8 * 2 + e % 2, e % 8 / 2, 0, 0, 4);
  } else {
    put(e / 4, e % 4, 0, 0, 4);
  }
}

// split_eight splits eight numbers into parts of four pairs.
template <int PARTS> DEVICE void split_eight(unsigned parts[PARTS][4], const float v[8]) {
  UNROLL for (int j = 0; j < 4; j++) {
    unsigned pair[PARTS];
    split_pair<PARTS>(pair, v[2 * j], v[2 * j + 1]);
    UNROLL for (int p = 0; p < PARTS; p++) parts[p][j] = pair[p];
  }
}

// multiply adds the products of a step with a part of 16 rows to the sums of a layout's tiles: first and second are a of each. They are known
// after mma_known.
template <class W> DEVICE void multiply(float sums[W::TILES][4], const unsigned first[4], const unsigned second[4], const unsigned b[W::TILES][W::PARTS][4]) {
  UNROLL for (int j = 0; j < W::TILES; j++)
    UNROLL for (int p = 0; p < W::PARTS; p++) {
      mma_bf16_later(sums[j], first, b[j][p]);
      mma_bf16_later(sums[j], second, b[j][p] + 2);
    }
}

template <int N> DEVICE void clear(float (&a)[N][4]) {
  UNROLL for (int j = 0; j < N; j++)
    UNROLL for (int i = 0; i < 4; i++) a[j][i] = 0.0f;
}

// ---- few rows: weights go straight from memory to registers, as many at a time as fill the time until they come

// Few is what a block computes: all slices of its range, of some tiles, for at most 16 rows. The tiles are of one matrix; or of a pair of one shape,
// the same of both; or of up to three with as many columns, counted through from the first one's to the last one's.
struct Few {
  pio_matrix w[3];
  int matrices;
  int tile, tiles; // the first, and how many, of one of a pair
  int all;         // of the block
  int second, third; // from which of the block's tiles on they are the second matrix's, the third's
  int first;         // which of its own tiles the second one's is
  int slice, slices, chunks_of_slice;
  int rows;
};

// of_one, of_pair and of_beside set what tiles a block has, from tile on: those of w[0], of the first two, of as many as there are.
template <class W> DEVICE void of_one(Few &f, int tile, int most) {
  f.matrices = 1, f.tile = tile, f.all = f.tiles = smaller(most, divided(f.w[0].rows, W::OUTS) - tile);
  f.second = f.third = f.first = 0;
}
template <class W> DEVICE void of_pair(Few &f, int tile, int most) {
  of_one<W>(f, tile, most);
  f.matrices = 2, f.all = 2 * f.tiles, f.second = f.tiles, f.first = tile;
}
template <class W> DEVICE void of_beside(Few &f, int tile, int most) {
  int second = divided(f.w[0].rows, W::OUTS), third = second + divided(f.w[1].rows, W::OUTS), end = third + divided(f.w[2].rows, W::OUTS);
  f.matrices = 3, f.tile = tile, f.all = f.tiles = smaller(most, end - tile);
  f.second = second - tile, f.third = third - tile, f.first = 0;
}

// Walk is where a warp is, of units that are a slice of a tile each: slices first, tiles of the second matrix behind those of the first.
struct Walk { int unit, tile, slice, chunk, end; };
// Stride is how far a warp's next unit is, as division by slices gives it.
struct Stride { int units, tiles, slices; };

DEVICE bool walks(const Walk &at, const Few &f) { return at.unit < f.all * f.slices; }
DEVICE bool is_third(const Few &f, int tile) { return f.matrices > 2 && tile >= f.third; }
DEVICE bool is_second(const Few &f, int tile) { return f.matrices > 1 && tile >= f.second && !is_third(f, tile); }
// tile_of is which of its matrix's tiles one of the block's is.
DEVICE int tile_of(const Few &f, int tile) { return is_third(f, tile) ? tile - f.third : is_second(f, tile) ? f.first + tile - f.second : f.tile + tile; }
DEVICE pio_matrix matrix_of(const Few &f, int tile) {
  pio_matrix m = f.w[0];
  bool second = is_second(f, tile), third = is_third(f, tile);
  if (second || third) {
    m.plane[0] = third ? f.w[2].plane[0] : f.w[1].plane[0], m.plane[1] = third ? f.w[2].plane[1] : f.w[1].plane[1];
    m.rows = third ? f.w[2].rows : f.w[1].rows;
  }
  return m;
}

DEVICE void begin(Walk &at, const Few &f) {
  at.chunk = (f.slice + at.slice) * f.chunks_of_slice;
  at.end = smaller(at.chunk + f.chunks_of_slice, divided(f.w[0].cols, CHUNK));
}
// next goes on to a warp's next unit, when the chunks of one are at their end.
DEVICE void next(Walk &at, const Few &f, const Stride &by) {
  at.unit += by.units, at.tile += by.tiles, at.slice += by.slices;
  if (at.slice >= f.slices)
    at.slice -= f.slices, at.tile++;
  begin(at, f);
}

// Shared memory: a chunk's zeros, for rows that are not there; rows of activations, step by step, and behind each 64 bytes that nobody uses; and
// then each unit's sums, rows by outs. A row's 64 bytes of a step are as ldmatrix takes them: 16 are pair 0 of the four t, the next pair 1, and so
// on; these four places are moved by how many pairs of rows are before. So eight rows, which are an odd number of 64 bytes apart, lie in all banks.
template <int PARTS> DEVICE int few_chunk_bytes() { return STEPS_OF_CHUNK * PARTS * 64; }
template <int PARTS> DEVICE int few_row(const Few &f, int row) { return few_chunk_bytes<PARTS>() + row * (f.slices * f.chunks_of_slice * few_chunk_bytes<PARTS>() + 64); }

// lane_turn is where in a step of its row a lane's 16 bytes are, which it gives ldmatrix for the first product; those for the second are two
// places on: the same with 32 the other way. lane_place counts from the first of 16 rows of 64 bytes.
DEVICE int lane_turn() { return ((int)lane() / 16 ^ (int)lane() % 8 / 2) * 16; }
DEVICE int lane_place() { return (int)lane() % 16 * 64 + lane_turn(); }

// put_eight puts the pairs of columns 8e.. of a row where ldmatrix takes them from: at(part, step) begins the row's 64 bytes.
template <int PARTS, class At> DEVICE void put_eight(const unsigned parts[PARTS][4], int order, int e, int turn, At at) {
  UNROLL for (int p = 0; p < PARTS; p++)
    runs_of_eight(order, e, [&](int step, int t, int j, int first, int n) {
      unsigned *to = at(p, step);
      UNROLL for (int i = 0; i < 4; i++)
        if (i < n)
          to[((j + i) ^ turn) * 4 + t] = parts[p][(first + i) % 4];
    });
}

// stage_few brings the block's columns of rows to shared memory: x(r) is where one begins, and make(v, r, k, n) makes of eight numbers from column k
// on, of which n are there, those that are multiplied.
template <class W, int PARTS, class X, class Make> DEVICE void stage_few(const Few &f, char *rows, X x, Make make) {
  int first = f.slice * f.chunks_of_slice * CHUNK, eights = f.slices * f.chunks_of_slice * (CHUNK / 8);
  for (int i = (int)thread_x(); i < few_chunk_bytes<PARTS>() / 4; i += (int)threads_x()) ((unsigned *)rows)[i] = 0;
  for (int i = (int)thread_x(); i < f.rows * eights; i += (int)threads_x()) {
    int row = i / eights, e = i % eights, k = first + 8 * e;
    float v[8];
    eight(v, x(row) + k, f.w[0].cols - k);
    make(v, row, k, f.w[0].cols - k);
    unsigned parts[PARTS][4];
    split_eight<PARTS>(parts, v);
    put_eight<PARTS>(parts, W::ORDER, e, row / 2 % 4, [&](int p, int step) { return (unsigned *)(rows + few_row<PARTS>(f, row) + (step * PARTS + p) * 64); });
  }
}

// few_chunk adds a chunk to a slice's sums.
template <class W, int PARTS> DEVICE void few_chunk(float total[W::TILES][4], const typename W::Chunk &c, const Few &f, const char *rows, const Walk &at) {
  float sums[W::TILES][4];
  clear(sums);
  // Where the lane's row is not there it gives the zeros again and again.
  int row = (int)lane() % 16;
  const char *first_at = rows + lane_turn(), *second_at = rows + (lane_turn() ^ 32);
  if (row < f.rows) {
    int from = few_row<PARTS>(f, row) + (at.chunk - f.slice * f.chunks_of_slice) * few_chunk_bytes<PARTS>();
    first_at += from, second_at += from;
  }
  UNROLL for (int s = 0; s < STEPS_OF_CHUNK; s++) {
    unsigned b[W::TILES][W::PARTS][4];
    W::step(b, c, s);
    UNROLL for (int p = 0; p < PARTS; p++) {
      unsigned first[4], second[4];
      ldmatrix_x4_two(first, first_at + (s * PARTS + p) * 64, second, second_at + (s * PARTS + p) * 64);
      multiply<W>(W::SCALED ? sums : total, first, second, b);
    }
  }
  mma_known();
  if (!W::SCALED)
    return;
  float factors[W::TILES][2];
  W::factors(factors, c);
  UNROLL for (int j = 0; j < W::TILES; j++)
    UNROLL for (int i = 0; i < 4; i++) total[j][i] = fused(sums[j][i], factors[j][i % 2], total[j][i]);
}

template <class W> DEVICE void few_store(const float total[W::TILES][4], float *sums, const Few &f, const Walk &at) {
  int row = (int)lane() / 4;
  float *to = sums + (at.unit * f.rows + row) * W::OUTS;
  UNROLL for (int half = 0; half < 2; half++)
    if (row + half * 8 < f.rows)
      W::put(to + half * 8 * W::OUTS, total, 2 * half);
}

// few_begin sets a reader before a unit, if there is one.
template <class W> DEVICE void few_begin(typename W::Reader &reader, const Few &f, const Walk &at) {
  if (walks(at, f))
    W::begin(reader, matrix_of(f, at.tile), tile_of(f, at.tile), at.chunk);
}

// few_load reads the next chunk, if there is one.
template <class W> DEVICE void few_load(typename W::Chunk &c, typename W::Reader &reader, const Few &f, Walk &ahead, const Stride &by) {
  if (!walks(ahead, f))
    return;
  W::load(c, reader, f.w[0]);
  if (++ahead.chunk == ahead.end) {
    next(ahead, f, by);
    few_begin<W>(reader, f, ahead);
  }
}

// few computes all units, and leaves each one's sums in shared memory: rows by outs, one unit behind the other. begun(room) is called by all threads
// when the first weights are on their way and before rows are read, with what is behind the sums.
template <class W, int PARTS, class X, class Begun, class Make> DEVICE const float *few(const Few &f, char *rows, X x, Begun begun, Make make) {
  float *sums = (float *)(rows + few_row<PARTS>(f, f.rows)), total[W::TILES][4];
  typename W::Chunk ring[W::DEPTH];
  int warps = (int)threads_x() / 32;
  Stride by = {warps, warps / f.slices, warps % f.slices};
  Walk at = {(int)warp(), (int)warp() / f.slices, (int)warp() % f.slices, 0, 0};
  begin(at, f);
  Walk ahead = at;
  typename W::Reader reader = {};
  few_begin<W>(reader, f, ahead);
  UNROLL for (int d = 0; d < W::DEPTH; d++) few_load<W>(ring[d], reader, f, ahead, by);
  begun(sums + f.all * f.slices * f.rows * W::OUTS);
  stage_few<W, PARTS>(f, rows, x, make);
  barrier();
  clear(total);
  while (walks(at, f)) {
    UNROLL for (int d = 0; d < W::DEPTH; d++) {
      if (!walks(at, f))
        continue;
      few_chunk<W, PARTS>(total, ring[d], f, rows, at);
      few_load<W>(ring[d], reader, f, ahead, by);
      if (++at.chunk == at.end) {
        few_store<W>(total, sums, f, at);
        clear(total);
        next(at, f, by);
      }
    }
  }
  barrier();
  return sums;
}

// few_sum adds the slices of an out of one of the block's tiles up.
template <class W> DEVICE float few_sum(const Few &f, const float *sums, int tile, int row, int out) {
  float y = 0.0f;
  for (int s = 0; s < f.slices; s++) y = plus(y, sums[((tile * f.slices + s) * f.rows + row) * W::OUTS + out]);
  return y;
}

// ---- many rows: tiles of rows and outs in shared memory, which the next ones are copied to meanwhile

// Rows in parts lie in memory as split_rows left them: part by part, row by row, a row's columns step by step, zeros up to a whole chunk. Of
// a step's 64 bytes the first 16 are pair 0 of the four t, the next pair 1, and so on, as ldmatrix takes them.
struct Parts {
  const char *at;
  long long rows; // of a part
  int chunks;
};

// A Shape is how a block's products are cut: BM rows by BN outs of each of MATRICES, over warps of WM rows by WN outs of each. A stage is a
// part STAGES_OF_CHUNK of a chunk; STAGES are in shared memory.
template <class LAYOUT, int PARTS_, int MATRICES_, int BM_, int BN_, int WM_, int WN_, int STAGES_> struct Shape {
  using W = LAYOUT;
  enum { PARTS = PARTS_, MATRICES = MATRICES_, BM = BM_, BN = BN_, WM = WM_, WN = WN_, STAGES = STAGES_ };
  enum { THREADS = BM / WM * (BN / WN) * 32, MT = WM / 16, GROUPS = WN / W::OUTS, NT = GROUPS * W::TILES };
  enum { A = BM * CHUNK * 2 * PARTS, B = BN / W::OUTS * W::STAGE, STAGE = A + MATRICES * B, SHARED_BYTES = STAGE * STAGES };
};

// Sources is where a thread of a block finds what it copies: of rows of activations and of weights.
template <class S> struct Sources {
  Rows<S::BM, S::THREADS> rows;
  typename S::W::template Source<S::BN, S::THREADS> weights[S::MATRICES];
};

// sources_of: row(i) is where row i of the block lies among those of x, negative if there is none; first is the first out.
template <class S, class Row> DEVICE void sources_of(Sources<S> &s, const Parts &x, const pio_matrix *w, int first, Row row) {
  s.rows.on = 0;
  UNROLL for (int i = 0; i < Rows<S::BM, S::THREADS>::EACH; i++) {
    long long at = row(Rows<S::BM, S::THREADS>::row(i));
    Rows<S::BM, S::THREADS>::set(s.rows, i, x.at + (at < 0 ? 0 : at) * x.chunks * (CHUNK * 2), at >= 0);
  }
  UNROLL for (int m = 0; m < S::MATRICES; m++) s.weights[m].begin(s.weights[m], w[m], first);
}

// stage_many begins to copy a chunk.
template <class S> DEVICE void stage_many(char *to, const Sources<S> &s, const Parts &x, const pio_matrix *w, int chunk) {
  UNROLL for (int i = 0; i < STEPS_OF_CHUNK * S::PARTS; i++)
    Rows<S::BM, S::THREADS>::template copy_part<true>(to + i * S::BM * 64, s.rows, (i % S::PARTS * x.rows * x.chunks + chunk) * (CHUNK * 2) + i / S::PARTS * 64, true);
  UNROLL for (int m = 0; m < S::MATRICES; m++) s.weights[m].copy(to + S::A + m * S::B, s.weights[m], w[m], chunk);
}

template <class S> struct Sums { float of[S::MATRICES][S::GROUPS][S::MT][S::W::TILES][4]; };

template <class S> DEVICE void clear(Sums<S> &sums) {
  UNROLL for (int m = 0; m < S::MATRICES; m++)
    UNROLL for (int g = 0; g < S::GROUPS; g++)
      UNROLL for (int t = 0; t < S::MT; t++) clear(sums.of[m][g][t]);
}

// many_chunk adds the products of a chunk in shared memory to a warp's sums.
template <class S> DEVICE void many_chunk(Sums<S> &sums, const char *from, int row, int out) {
  using W = typename S::W;
  int mine = lane_place();
  ROLLED for (int s = 0; s < STEPS_OF_CHUNK; s++) {
    unsigned b[S::MATRICES][S::GROUPS][W::TILES][W::PARTS][4];
    UNROLL for (int m = 0; m < S::MATRICES; m++)
      UNROLL for (int g = 0; g < S::GROUPS; g++)
        W::template staged<S::BN>(b[m][g], from + S::A + m * S::B, out + g * W::OUTS, s);
    UNROLL for (int p = 0; p < S::PARTS; p++)
      UNROLL for (int t = 0; t < S::MT; t++) {
        const char *at = from + ((s * S::PARTS + p) * S::BM + row + t * 16) * 64;
        unsigned first[4], second[4];
        ldmatrix_x4_two(first, at + mine, second, at + (mine ^ 32));
        UNROLL for (int m = 0; m < S::MATRICES; m++)
          UNROLL for (int g = 0; g < S::GROUPS; g++) multiply<W>(sums.of[m][g][t], first, second, b[m][g]);
      }
  }
  mma_known();
}

// add_scaled adds a chunk's sums times their factors to a slice's, and clears them.
template <class S> DEVICE void add_scaled(Sums<S> &total, Sums<S> &sums, const char *from, const pio_matrix *w, int first, int out, int chunk) {
  using W = typename S::W;
  UNROLL for (int m = 0; m < S::MATRICES; m++)
    UNROLL for (int g = 0; g < S::GROUPS; g++) {
      float f[W::TILES][2];
      W::template staged_factors<S::BN>(f, from + S::A + m * S::B, w[m], out + g * W::OUTS, first + out + g * W::OUTS, chunk);
      UNROLL for (int t = 0; t < S::MT; t++)
        UNROLL for (int j = 0; j < W::TILES; j++)
          UNROLL for (int i = 0; i < 4; i++) total.of[m][g][t][j][i] = fused(sums.of[m][g][t][j][i], f[j][i % 2], total.of[m][g][t][j][i]);
    }
  clear(sums);
}

template <class S> DEVICE void add_slice(Sums<S> &y, const Sums<S> &slice) {
  UNROLL for (int m = 0; m < S::MATRICES; m++)
    UNROLL for (int g = 0; g < S::GROUPS; g++)
      UNROLL for (int t = 0; t < S::MT; t++)
        UNROLL for (int j = 0; j < S::W::TILES; j++)
          UNROLL for (int i = 0; i < 4; i++) y.of[m][g][t][j][i] = plus(y.of[m][g][t][j][i], slice.of[m][g][t][j][i]);
}

// Range is the slices that a block computes.
struct Range { int slice, slices, chunks_of_slice; };

// many computes a block's products over its slices. done(slice, sums, row, out) is told each slice's sums; row and out are the first of
// the warp's in the block.
template <class S, class Row, class Done> DEVICE void many(const Parts &x, const pio_matrix *w, int first, Range range, Row row, Done done) {
  using W = typename S::W;
  char *shared = dynamic_shared();
  int wm = (int)warp() % (S::BM / S::WM) * S::WM, wn = (int)warp() / (S::BM / S::WM) * S::WN;
  int begin = range.slice * range.chunks_of_slice, end = smaller(begin + range.slices * range.chunks_of_slice, x.chunks), slice = range.slice;
  Sums<S> total, sums;
  Sources<S> sources;
  sources_of(sources, x, w, first, row);
  clear(total), clear(sums);
  UNROLL for (int i = 0; i < S::STAGES - 1; i++) {
    if (begin + i < end)
      stage_many(shared + i * S::STAGE, sources, x, w, begin + i);
    copy_async_commit();
  }
  int now = 0;
  for (int chunk = begin; chunk < end; chunk++) {
    copy_async_wait<S::STAGES - 2>();
    barrier();
    int ahead = chunk + S::STAGES - 1, to = now == 0 ? S::STAGES - 1 : now - 1;
    if (ahead < end)
      stage_many(shared + to * S::STAGE, sources, x, w, ahead);
    copy_async_commit();
    const char *from = shared + now * S::STAGE;
    many_chunk(W::SCALED ? sums : total, from, wm, wn);
    if (W::SCALED)
      add_scaled(total, sums, from, w, first, wn, chunk);
    if (chunk + 1 == end || chunk + 1 == (slice + 1) * range.chunks_of_slice) {
      done(slice++, total, wm, wn);
      clear(total);
    }
    now = now + 1 == S::STAGES ? 0 : now + 1;
  }
}

// each_sum gives put(row, out, sums, t, m..) all places of a warp's sums: row and out count from the block's first.
template <class S, class Put> DEVICE void each_sum(int row, int out, Put put) {
  using W = typename S::W;
  UNROLL for (int g = 0; g < S::GROUPS; g++)
    UNROLL for (int t = 0; t < S::MT; t++)
      UNROLL for (int j = 0; j < W::TILES; j++)
        UNROLL for (int i = 0; i < 4; i++)
          put(row + t * 16 + (int)lane() / 4 + i / 2 * 8, out + g * W::OUTS + W::out(j, 2 * (int)(lane() % 4) + i % 2), g, t, j, i);
}

// split_rows brings rows of cols columns into parts, of which each has room for all rows up to whole chunks: eight columns of a row a
// thread. i counts them.
template <int PARTS> DEVICE void split_rows(char *to, const float *x, long long rows, int cols, int order, long long i) {
  int chunks = divided(cols, CHUNK), eights = chunks * (CHUNK / 8), e = (int)(i % eights);
  long long row = i / eights;
  if (row >= rows)
    return;
  float v[8];
  eight(v, x + row * cols + 8 * e, cols - 8 * e);
  unsigned parts[PARTS][4];
  split_eight<PARTS>(parts, v);
  put_eight<PARTS>(parts, order, e, 0, [&](int p, int step) { return (unsigned *)(to + (p * rows + row) * chunks * (CHUNK * 2) + step * 64); });
}

// ---- an element by itself

DEVICE float f8_f32(unsigned b) {
  unsigned magnitude = b & 0x7fu;
  float v = times(bits_f32(magnitude << 20), 0x1p120f);
  return bits_f32((magnitude == 0x7fu ? 0x7fc00000u : f32_bits(v)) | (b & 0x80u) << 24);
}

DEVICE float code_element(const pio_matrix &m, int row, int col) {
  long long block = (long long)(row / 16) * divided(m.cols, CHUNK) + col / CHUNK;
  int r = row % 16, c = col % CHUNK;
  if (m.layout == PIO_L_Q8)
    return times((float)plane<signed char>(m, 0)[block * 2048 + (c / 4 * 16 + r) * 4 + c % 4], bf16_f32(plane<unsigned short>(m, 1)[block * 16 + r]));
  int sub = c / 32, in = c % 32, pair = plane<unsigned char>(m, 0)[block * 1024 + sub * 256 + (in % 16 / 4 * 16 + r) * 4 + in % 4];
  int whole = plane<unsigned char>(m, 1)[block * 64 + 32 + sub / 2 * 16 + r] >> sub % 2 * 4 & 15;
  return times((float)(((pair >> in / 16 * 4 & 15) - 8) * whole), bf16_f32(plane<unsigned short>(m, 1)[block * 32 + r]));
}

// element is one weight in f32.
DEVICE float element(const pio_matrix &m, int row, int col) {
  long long i = (long long)row * m.cols + col;
  switch (m.layout) {
  case PIO_L_F32:
    return plane<float>(m, 0)[i];
  case PIO_L_BF16:
    return bf16_f32(plane<unsigned short>(m, 0)[i]);
  case PIO_L_F16:
    return f16_f32(plane<unsigned short>(m, 0)[i]);
  case PIO_L_F8_F32:
  case PIO_L_F8_BF16: {
    long long f = (long long)(row / m.block_rows) * divided(m.cols, m.block_cols) + col / m.block_cols;
    float w = f8_f32(plane<unsigned char>(m, 0)[i]);
    return times(w, m.layout == PIO_L_F8_F32 ? plane<float>(m, 1)[f] : bf16_f32(plane<unsigned short>(m, 1)[f]));
  }
  default:
    return code_element(m, row, col);
  }
}

// plain_dots is the products of a row of weights with rows of x, ROWS at most, which are step apart, by a warp in f32: a lane has every
// 32nd column, and lanes are added up at the end. Every lane has the sums.
enum { PLAIN_ROWS = 8 };
template <int ROWS> DEVICE void plain_dots(float (&y)[ROWS], const pio_matrix &m, int out, const float *x, long long step, int rows) {
  UNROLL for (int r = 0; r < ROWS; r++) y[r] = 0.0f;
  for (int k = (int)lane(); k < m.cols; k += 32) {
    float w = element(m, out, k);
    UNROLL for (int r = 0; r < ROWS; r++)
      if (r < rows)
        y[r] = fused(x[r * step + k], w, y[r]);
  }
  UNROLL for (int r = 0; r < ROWS; r++) y[r] = warp_sum(y[r]);
}

// ---- what else becomes of a product

// last_of_product is what out[4] of products has of one of a row, which is element i there.
DEVICE float last_of_product(const pio_op &op, float y, int row, long long i) {
  switch (op.n[1]) {
  case PIO_LAST_SIGMOID: return sigmoid(y);
  case PIO_LAST_SCALED: return times(y, at<float>(op.in[1])[row]);
  default: return plus(at<float>(op.in[1])[i], y);
  }
}

// warpgroups.cuh: y[r][o] = sum over k of x[r][k] w[o][k] for many rows on Hopper. Weights and rows come to shared memory by the copy engine,
// which one warp keeps busy (TMA); two warpgroups multiply, each 64 outs by all ROWS rows of a tile (wgmma).
//
// Weights are a, from registers, as rows of 16 outs a warp; rows of activations are b, as split_rows leaves them (product.cuh). So outs are
// wgmma's rows and rows are its columns, and a product's 16 columns are those of mma_bf16 in every other kernel, in their order: slices, chunks,
// steps, parts and products follow one another as product.cuh says. That both instructions give the same sums of the same 16 products is what
// cuda/gpu makes sure of on the machine that it runs on before it plans any of this.
//
// A stage is half a chunk: of 128 outs two tiles of 32 columns, 64 bytes an out, as Halves::Source lays them; and of each part of x a tile of 64
// columns, swizzled. A block goes on with the next tile of y, the copies for which begin while it writes the last.
#pragma once

#include "hopper.cuh"
#include "product.cuh"

enum { WARPGROUP = 128, WIDE_OUTS = 2 * WARPGROUP / 2, HALF_CHUNK = CHUNK / 2 };

// Wide is how it is cut: ROWS of a tile, in PARTS.
template <int PARTS_, int ROWS_, int STAGES_> struct Wide {
  enum { PARTS = PARTS_, ROWS = ROWS_, STAGES = STAGES_, FLOATS = ROWS / 2 };
  enum { W = WIDE_OUTS * HALF_CHUNK * 2, X = ROWS * HALF_CHUNK * 2, STAGE = W + PARTS * X };
  enum { ALIGNED = 1024, SHARED_BYTES = ALIGNED + STAGES * STAGE + 2 * STAGES * 8 };
};

// Ring is where a warp is in the stages, and in which phase of their barriers.
template <class S> struct Ring {
  char *stages;
  int stage;
  unsigned phase;
};
template <class S> DEVICE Ring<S> ring() {
  char *shared = dynamic_shared();
  Ring<S> r = {shared + (S::ALIGNED - shared_address(shared) % S::ALIGNED) % S::ALIGNED, 0, 0};
  return r;
}
template <class S> DEVICE mbarrier *full(const Ring<S> &r, int stage) { return (mbarrier *)(r.stages + S::STAGES * S::STAGE) + stage; }
template <class S> DEVICE mbarrier *empty(const Ring<S> &r, int stage) { return full(r, stage) + S::STAGES; }
template <class S> DEVICE void next(Ring<S> &r) {
  if (++r.stage == S::STAGES)
    r.stage = 0, r.phase ^= 1;
}

// Piece of y: rows and outs from a first on, and the slices that are summed for it.
struct WideTile {
  int row, out;
  Range range;
  int chunks; // in all
};

// p: chunks of a slice, slices of a block, slices, where in scratch slices go, in units of 256 bytes, tiles of rows, of outs
DEVICE WideTile wide_tile(const pio_op &op, int rows, int i) {
  WideTile t;
  t.row = i % op.p[4] * rows, t.out = i / op.p[4] % op.p[5] * WIDE_OUTS;
  t.range.slice = i / op.p[4] / op.p[5] * op.p[1], t.range.slices = smaller(op.p[1], op.p[2] - t.range.slice), t.range.chunks_of_slice = op.p[0];
  t.chunks = divided(op.w[0].cols, CHUNK);
  return t;
}
DEVICE int wide_tiles(const pio_op &op) { return op.p[4] * op.p[5] * divided(op.p[2], op.p[1]); }
DEVICE int first_chunk(const WideTile &t, int slice) { return smaller((t.range.slice + slice) * t.range.chunks_of_slice, t.chunks); }

// wide_copies is the warp that has everything copied. The first map is of weights, the second of rows in parts.
template <class S> DEVICE void wide_copies(const pio_op &op, const pio_map *map) {
  Ring<S> r = ring<S>();
  int rows = op.in[0].dim[0], all = wide_tiles(op);
  for (int i = (int)block_x(); i < all; i += (int)blocks_x()) {
    WideTile t = wide_tile(op, S::ROWS, i);
    for (int half = 2 * first_chunk(t, 0), end = 2 * first_chunk(t, t.range.slices); half < end; half++, next(r)) {
      mbarrier_wait(empty(r, r.stage), r.phase ^ 1);
      if (lane() == 0) {
        char *to = r.stages + r.stage * S::STAGE;
        mbarrier *b = full(r, r.stage);
        mbarrier_expect(b, S::STAGE);
        UNROLL for (int s = 0; s < 2; s++) copy_tile(to + s * (S::W / 2), map[0], half * HALF_CHUNK + s * (HALF_CHUNK / 2), t.out, b);
        UNROLL for (int p = 0; p < S::PARTS; p++) copy_tile(to + S::W + p * S::X, map[1], half * HALF_CHUNK, p * rows + t.row, b);
      }
      warp_barrier();
    }
  }
}

// wide_slice adds the products of a slice to sums.
template <class S> DEVICE void wide_slice(float (&sums)[S::FLOATS], Ring<S> &r, int halves) {
  int out = (int)(thread_x() / WARPGROUP - 1) * (WIDE_OUTS / 2) + (int)(warp() % 4) * 16 + (int)lane() / 4, before = -1;
  for (int half = 0; half < halves; half++) {
    const char *from = r.stages + r.stage * S::STAGE;
    mbarrier_wait(full(r, r.stage), r.phase);
    unsigned long long x = swizzled128(from + S::W);
    unsigned a[2][8];
    UNROLL for (int s = 0; s < 2; s++) {
      const piece *w = (const piece *)(from + s * (S::W / 2)) + out * 4 + lane() % 4;
      piece lower = w[0], upper = w[8 * 4];
      a[s][0] = lower.x, a[s][1] = upper.x, a[s][2] = lower.y, a[s][3] = upper.y;
      a[s][4] = lower.z, a[s][5] = upper.z, a[s][6] = lower.w, a[s][7] = upper.w;
      warpgroup_fence(sums, a[s]);
      UNROLL for (int p = 0; p < S::PARTS; p++)
        UNROLL for (int i = 0; i < 2; i++) warpgroup_product(sums, a[s] + 4 * i, x + (unsigned long long)(p * S::X + s * 64 + i * 32) / 16);
      warpgroup_commit();
      warpgroup_wait<1>(sums);
      if (s == 0 && before >= 0 && lane() == 0)
        mbarrier_arrive(empty(r, before)); // its last products are done
    }
    before = r.stage;
    next(r);
  }
  warpgroup_wait<0>(sums);
  if (before >= 0 && lane() == 0)
    mbarrier_arrive(empty(r, before));
}

template <int N> DEVICE void clear(float (&a)[N]) {
  UNROLL for (int i = 0; i < N; i++) a[i] = 0.0f;
}

// wide_store writes a warp's sums: neighbouring lanes have neighbouring outs, eight of them, 32 bytes of a row. It goes on from eight rows to the next: a
// compiler that sees all places at once keeps them in registers, which sums need.
template <class S> DEVICE void wide_store(float *y, const float (&sums)[S::FLOATS], const WideTile &t, int rows, int outs) {
  int out = late(t.out) + (int)(thread_x() / WARPGROUP - 1) * (WIDE_OUTS / 2) + (int)(warp() % 4) * 16 + (int)lane() / 4;
  int row = late(t.row) + 2 * (int)(lane() % 4), left = rows - row;
  float *to = y + (long long)row * outs + out;
  UNROLL for (int i = 0; i < S::FLOATS; i += 4) {
    UNROLL for (int j = 0; j < 4; j++)
      if (i / 4 * 8 + j % 2 < left && out + j / 2 * 8 < outs)
        to[j % 2 * (long long)outs + j / 2 * 8] = sums[i + j];
    to = late(to + 8ll * outs);
  }
}

// wide_products is a warpgroup that multiplies.
template <class S> DEVICE void wide_products(const pio_op &op) {
  Ring<S> r = ring<S>();
  int rows = op.in[0].dim[0], outs = op.w[0].rows, all = wide_tiles(op);
  for (int i = (int)block_x(); i < all; i += (int)blocks_x()) {
    WideTile t = wide_tile(op, S::ROWS, i);
    bool apart = t.range.slices < op.p[2];
    float *y = apart ? (float *)(op.scratch + (unsigned long long)op.p[3] * 256) : at<float>(op.out[0]);
    float total[S::FLOATS], sums[S::FLOATS];
    clear(total);
    for (int s = 0; s < t.range.slices; s++) {
      clear(sums);
      wide_slice<S>(sums, r, 2 * (first_chunk(t, s + 1) - first_chunk(t, s)));
      if (apart)
        wide_store<S>(y + (long long)(t.range.slice + s) * rows * outs, sums, t, rows, outs);
      UNROLL for (int k = 0; k < S::FLOATS; k++) total[k] = plus(total[k], sums[k]);
    }
    if (!apart)
      wide_store<S>(y, total, t, rows, outs);
  }
}

// matmul_wide: the first warpgroup copies, and gives its registers to those that have sums.
template <class S> DEVICE void matmul_wide(const pio_op &op, const pio_map *map) {
  Ring<S> r = ring<S>();
  if (thread_x() == 0) {
    UNROLL for (int i = 0; i < S::STAGES; i++) {
      mbarrier_init(full(r, i), 1);
      mbarrier_init(empty(r, i), 2 * WARPGROUP / 32);
    }
    async_fence();
  }
  barrier();
  if (thread_x() < WARPGROUP) {
    registers_give<24>();
    if (warp() == 0)
      wide_copies<S>(op, map);
  } else {
    registers_take<240>();
    wide_products<S>(op);
  }
}

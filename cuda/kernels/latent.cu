// latent.cu: attention over latents, one key for all heads whose first numbers are the value, in fast numerics. A block has a row, up to 16 of
// its heads, and parts of 128 positions, all of which it brings to shared memory at once: keys and values are the same rows there.
#include "flash.cuh"

enum {
  LATENT = 576,       // numbers of a key, at most
  LATENT_PART = 128,  // positions
  LATENT_VALUES = 64, // numbers of the values that a warp has: 512 in all
};

// latent_scores leaves those of a part's keys to wait. A warp has 8 keys of each tile.
DEVICE void latent_scores(const waits &w, char *q, char *rows, int dim, int keys, float scale) {
  int g = lane() / 4, t = lane() % 4, first = warp() * 8;
  float s[2][4] = {};
  NO_UNROLL for (int c = t; c * 8 < dim + t * 8; c += 4) {
    chunk lower = *(const chunk *)chunk_at<LATENT>(q, g, c), upper = *(const chunk *)chunk_at<LATENT>(q, g + 8, c);
    UNROLL for (int i = 0; i < 2; i++)
      if (first + i * KEYS < keys)
        multiply(s[i], lower, upper, *(const chunk *)chunk_at<LATENT>(rows, first + i * KEYS + g, c));
  }
  mma_known();
  UNROLL for (int i = 0; i < 2; i++)
    if (first + i * KEYS < keys)
      put_scores(w, s[i], first + i * KEYS, scale);
}

template <bool PLAIN> DEVICE void latent_rows(const pio_op &op) {
  enum { TILE = KEYS * LATENT * 2, SUMS = LATENT_VALUES / 8 };
  const pio_tensor &x = op.in[0], &cache = op.in[1], &tables = op.in[4];
  waits w = waits_at(dynamic_shared());
  char *queries_at = dynamic_shared() + WAITS_BYTES, *rows = queries_at + PAIRS * LATENT * 2;
  int row = block_z(), dim = x.dim[2], vdim = op.out[0].dim[2], all_keys = at<int>(op.in[2])[row] + 1;
  queries q = queries_of(op, 1, row, row + 1);
  source k = cached(cache, at<int>(tables) + (long long)at<int>(op.in[3])[row] * tables.dim[1], 0, dim, dim);
  stage_queries<LATENT>(queries_at, q, x, PAIRS);
  part_sums<SUMS> all, one;
  begin(all);
  for (int p = block_x() * op.p[3]; p < ((int)block_x() + 1) * op.p[3] && p * LATENT_PART < all_keys; p++) {
    int position = p * LATENT_PART, keys = all_keys - position < LATENT_PART ? all_keys - position : LATENT_PART;
    barrier(); // what an earlier part left has been read
    for (int j = 0; j * KEYS < keys; j++) stage<LATENT, PLAIN>(rows + j * TILE, k, position + j * KEYS, keys - j * KEYS);
    copy_async_commit();
    copy_async_wait<0>();
    barrier();
    latent_scores(w, queries_at, rows, dim, keys, op.f[0] * 1.44269504f);
    barrier();
    for (int pair = warp() * 2; pair < (int)warp() * 2 + 2; pair++)
      if (pair < q.per)
        soften_pair(w, pair, keys);
    barrier();
    begin(one);
    for (int j = 0; j * KEYS < keys; j++) weigh_tile<LATENT, SUMS>(one.o, w, j, rows + j * TILE, warp() * SUMS);
    UNROLL for (int r = 0; r < 2; r++) one.m[r] = w.is[(lane() / 4 + 8 * r) * 2], one.l[r] = w.is[(lane() / 4 + 8 * r) * 2 + 1];
    if (blocks_x() > 1)
      let_wait(op, one, q, 0, p, warp() * LATENT_VALUES, vdim);
    else
      add_part(all, one);
  }
  if (blocks_x() == 1)
    give(op, all, q, 0, warp() * LATENT_VALUES, vdim);
  join_if_last(op, q, at<int>(op.in[2]));
}

KERNEL(latent_attention, 256, 1) { latent_rows<true>(op); }
KERNEL(latent_attention_any, 256, 1) { latent_rows<false>(op); }

// heads.cu: what becomes of heads, or of latents, between the products that make them and attention, in one launch: queries and keys are normed and turned, keys
// and values are written to their caches (heads.cuh). A warp has a head of a row.
//
// out: queries normed, turned; keys normed, turned; caches of keys, of values. in: queries, keys, values, angles, positions, seqs, tables. w: norms of
// queries, of keys. f: eps, plus. n: as of rotate.
#include "heads.cuh"

enum { WARPS = 4, LONGEST_LATENT = 1024 }; // as join_heads.go and join_latent.go say

KERNEL(heads, 128, 8) {
  SHARED __attribute__((aligned(16))) float room[WARPS][LONGEST];
  int queries = op.in[0].dim[1], keys = op.in[1].at ? op.in[1].dim[1] : 0, values = op.in[2].at ? op.in[2].dim[1] : 0, all = queries + keys + values;
  long long unit = (long long)block_x() * WARPS + warp(), row = unit / all;
  int i = (int)(unit % all);
  if (row >= op.in[0].dim[0])
    return;
  int kind = i < queries ? 0 : i < queries + keys ? 1 : 2;
  Kind k = kind_of(kind, op.in[0], op.in[1], op.in[2], {op.out[0], op.out[1], op.out[2], op.out[3], op.out[4], op.out[5]}, op.w[0], op.w[1]);
  through(k, {op.in[3], op.in[4], op.in[5], op.in[6], op.f[0], op.f[1], op.n[0], op.n[1]}, room[warp()], row, i - one_of(kind, 0, queries, queries + keys));
}

// latent_row is what becomes of a row of latent attention: of in[0] two parts of columns, out[0] and [1]; the first normed, out[2]; the second turned, out[3];
// both side by side, out[4], and in the cache, out[5]. Each is what columns, rmsnorm, rotate, put_columns and cache_write do, and from the third on may be left
// out. A warp has a row. in: rows, angles, positions, seqs, tables. n: the first column of each part, from and style of rotate, how many are put side by side.
KERNEL(latent_row, 128, 8) {
  SHARED __attribute__((aligned(16))) float rows[WARPS][LONGEST_LATENT];
  long long row = (long long)block_x() * WARPS + warp();
  const pio_tensor &x = op.in[0];
  if (row >= x.dim[0])
    return;
  int n = op.out[0].dim[op.out[0].nd - 1], shared = op.out[1].dim[op.out[1].nd - 1], step = x.dim[x.nd - 1];
  float *at_row = rows[warp()];
  const pio_tensor latent = {(unsigned long long)at_row, PIO_F32, 1, {n, 1, 1, 1}}, key = {(unsigned long long)(at_row + n), PIO_F32, 1, {shared, 1, 1, 1}};
  // tell writes numbers from .. to of the row to where a result has them.
  auto tell = [&](const pio_tensor &y, int from, int to, int step) {
    warp_barrier();
    for (int i = (int)lane(); from + i < to; i += 32) store(y, row * step + i, at_row[from + i]);
    warp_barrier();
  };
  for (int i = (int)lane(); i < n + shared; i += 32) at_row[i] = load(x, row * step + (i < n ? op.n[0] + i : op.n[1] + i - n));
  tell(op.out[0], 0, n, n);
  tell(op.out[1], n, n + shared, shared);
  normed(latent, n, op.w[0], op.f[0], op.f[1]);
  tell(op.out[2], 0, n, n);
  if (op.out[3].at) {
    turning t = turning_of(op.in[1], shared, op.n[2], op.n[3]);
    for (int unit = (int)lane(); unit < t.units; unit += 32) turn_unit(t, key, key, 0, op.in[1], row, unit);
    tell(op.out[3], n, n + shared, shared);
  }
  if (op.out[4].at)
    tell(op.out[4], 0, op.n[4] > 1 ? n + shared : n, n + shared);
  const pio_tensor all = {latent.at, PIO_F32, 1, {n + shared, 1, 1, 1}};
  if (op.out[5].at)
    for (int group = 0; group * ROW_GROUP < n + shared; group++)
      write_group(op.out[5], table_of(op.in[4], op.in[3], row), at<int>(op.in[2])[row], 0, all, 0, n + shared, group);
}

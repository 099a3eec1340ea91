// decode.cu: attention of single rows over a paged cache, in fast numerics. A block has a row, up to 16 of the heads that share a kv head, and
// parts of 512 positions.
//
// Keys are read once, by one warp each, straight to where an mma wants them; scores wait in shared memory for the part's softmax; then each
// warp has some of the values' numbers, whose tiles have come to shared memory meanwhile.
#include "flash.cuh"

enum { RING = 64 * 1024 }; // bytes of values on their way
template <int D> DEVICE int ring_tiles() { return RING / (KEYS * D * 2) < 8 ? RING / (KEYS * D * 2) : 8; }

// key_chunk is chunk c of a key.
template <bool PLAIN> DEVICE chunk key_chunk(const source &k, const char *row, int c) {
  if (c * 8 >= k.n)
    return chunk{};
  if (!PLAIN)
    return numbers8(k, row, c * 8);
  words4 w = load_once16(row + c * 16);
  return {{w.x, w.y, w.z, w.w}};
}

// part_scores leaves those of a part's keys to wait. A warp has 8 keys, then 8 of those 64 further on.
template <int D, bool PLAIN> DEVICE void part_scores(const waits &w, const chunk q[2][D / 32], const source &k, int position, int keys, float scale) {
  int g = lane() / 4, t = lane() % 4;
  NO_UNROLL for (int first = warp() * 8; first < keys; first += KEYS) {
    const char *row = row_at(k, position + (first + g < keys ? first + g : keys - 1));
    chunk key[D / 32];
    float s[4] = {};
    UNROLL for (int c = 0; c < D / 32; c++) key[c] = key_chunk<PLAIN>(k, row, 4 * c + t);
    UNROLL for (int c = 0; c < D / 32; c++) multiply(s, q[0][c], q[1][c], key[c]);
    mma_known();
    put_scores(w, s, first, scale);
  }
}

// part_values takes the values of a part by; those of the first tiles are on their way.
template <int D, bool PLAIN> DEVICE void part_values(part_sums<D / 64> &s, const waits &w, char *ring, const source &v, int position, int keys) {
  int tiles = (keys + KEYS - 1) / KEYS, held = ring_tiles<D>();
  for (int j = 0; j < tiles; j++) {
    if (tiles > held || j == 0) {
      copy_async_wait<0>();
      barrier();
    }
    weigh_tile<D, D / 64>(s.o, w, j, ring + j % held * (KEYS * D * 2), warp() * (D / 64));
    if (tiles > held) {
      barrier();
      if (j + held < tiles)
        stage<D, PLAIN>(ring + j % held * (KEYS * D * 2), v, position + (j + held) * KEYS, keys - (j + held) * KEYS);
      copy_async_commit();
    }
  }
}

template <int D, bool PLAIN> DEVICE void decode_row(const pio_op &op, int row) {
  const pio_tensor &x = op.in[0], &kc = op.in[1], &vc = op.in[2], &tables = op.in[5];
  waits w = waits_at(dynamic_shared());
  char *ring = dynamic_shared() + WAITS_BYTES;
  int vdim = op.out[0].dim[2], dim = x.dim[2], all_keys = at<int>(op.in[3])[row] + 1, held = ring_tiles<D>(), per = op.p[2];
  const int *table = at<int>(tables) + (long long)at<int>(op.in[4])[row] * tables.dim[1];
  queries q = queries_of(op, kc.dim[1], row, row + 1);
  source k = cached(kc, table, q.kv_head, dim, dim), v = cached(vc, table, q.kv_head, vdim, vdim);
  chunk mine[2][D / 32];
  barrier(); // an earlier row's have been read
  stage_queries<D>(dynamic_shared() + WAITS_BYTES + RING, q, x, PAIRS);
  barrier();
  UNROLL for (int r = 0; r < 2; r++)
    UNROLL for (int c = 0; c < D / 32; c++)
      mine[r][c] = *(const chunk *)chunk_at<D>(dynamic_shared() + WAITS_BYTES + RING, lane() / 4 + 8 * r, 4 * c + lane() % 4);
  part_sums<D / 64> all, one;
  begin(all);
  for (int p = block_x() * op.p[3]; p < ((int)block_x() + 1) * op.p[3] && p * per < all_keys; p++) {
    int position = p * per, keys = all_keys - position < per ? all_keys - position : per;
    barrier(); // what an earlier part left has been read
    for (int j = 0; j < held && j * KEYS < keys; j++)
      stage<D, PLAIN>(ring + j * (KEYS * D * 2), v, position + j * KEYS, keys - j * KEYS);
    copy_async_commit();
    part_scores<D, PLAIN>(w, mine, k, position, keys, op.f[0] * 1.44269504f);
    barrier();
    for (int pair = warp() * 2; pair < (int)warp() * 2 + 2; pair++)
      if (pair < q.per)
        soften_pair(w, pair, keys);
    begin(one);
    part_values<D, PLAIN>(one, w, ring, v, position, keys);
    UNROLL for (int r = 0; r < 2; r++) one.m[r] = w.is[(lane() / 4 + 8 * r) * 2], one.l[r] = w.is[(lane() / 4 + 8 * r) * 2 + 1];
    if (blocks_x() > 1)
      let_wait(op, one, q, 0, p, warp() * (D / 8), vdim);
    else
      add_part(all, one);
  }
  if (blocks_x() == 1)
    give(op, all, q, 0, warp() * (D / 8), vdim);
  if constexpr (D != 128)
    join_if_last(op, q, at<int>(op.in[3]));
}

// p[5] is 1: a block has the rows of a sequence that none of the same are beside, of which there are few; else one row.
template <int D, bool PLAIN> DEVICE void decode(const pio_op &op) {
  const int *seqs = at<int>(op.in[4]);
  int rows = op.p[5] == 1 ? op.in[0].dim[0] : 1;
  for (int base = 0; base < rows; base += 32) { // every warp looks for itself, and all find the same
    int r = base + (int)lane();
    bool is = op.p[5] == 1 ? r < rows && seqs[r < rows ? r : 0] == (int)block_z() && alone(seqs, rows, r) : lane() == 0;
    for (unsigned found = ballot(is); found; found &= found - 1)
      decode_row<D, PLAIN>(op, op.p[5] == 1 ? base + __builtin_ctz(found) : (int)block_z());
  }
  if constexpr (D == 128) // here, where a block has one row, so that Hopper and Blackwell spill nothing in the loop over parts
    join_if_last(op, queries_of(op, op.in[1].dim[1], (int)block_z(), (int)block_z() + 1), at<int>(op.in[3]));
}

KERNEL(attention_decode_64, 256, 2) { decode<64, true>(op); }
KERNEL(attention_decode_128, 256, 2) { decode<128, true>(op); }
KERNEL(attention_decode_256, 256, 1) { decode<256, true>(op); }
KERNEL(attention_decode_any_64, 256, 1) { decode<64, false>(op); }
KERNEL(attention_decode_any_128, 256, 1) { decode<128, false>(op); }
KERNEL(attention_decode_any_256, 256, 1) { decode<256, false>(op); }

// prompt.cu: attention of many rows over a paged cache, in fast numerics. A block has 64 pairs of a row and a head that share a kv head, a warp
// (of heads of 256, two) 16 of them, and all goes through the keys together: two tiles in shared memory, one on its way while the other is used.
#include "flash.cuh"

enum {
  PROMPT_PAIRS = 64,
  PART_TILES = 8, // of a part
};

// end_part adds what a part has come to. The sums of earlier ones wait in memory, where only this thread looks.
template <int N> DEVICE void end_part(float o[N][4], softmax &is, softmax &all, float *wait, bool first, bool last) {
  float keep[2], add[2];
  UNROLL for (int r = 0; r < 2; r++) {
    join<fast_scores>(all.m[r], all.l[r], is.m[r], is.l[r], keep[r], add[r]);
    is.m[r] = NO_SCORE, is.l[r] = 0;
  }
  UNROLL for (int n = 0; n < N; n++) {
    four *at = (four *)wait + (long long)n * threads_x(), before = {};
    if (!first)
      before = *at;
    UNROLL for (int i = 0; i < 4; i++) before.x[i] = joined(before.x[i], keep[i / 2], o[n][i], add[i / 2]);
    if (!last)
      *at = before;
    UNROLL for (int i = 0; i < 4; i++) o[n][i] = last ? before.x[i] : 0.0f;
  }
}

// prompt_rows does a block's rows of one sequence. Where blocks share the parts of rows, what each has come to waits for another kernel.
template <int D, bool PLAIN, bool SHARED_PARTS> DEVICE void prompt_rows(const pio_op &op, const queries &q, const source &k, const source &v, const int *positions) {
  enum { TILE = KEYS * D * 2, N = warp_of<D>::NUMBERS };
  char *queries_at = dynamic_shared(), *tiles_at = queries_at + PROMPT_PAIRS * D * 2;
  float *stats = (float *)(tiles_at + 4 * TILE);
  int most = 0, keys[2], pair0 = warp() % 4 * PAIRS, first = warp() / 4 * N * 8, share = (op.p[4] + (int)blocks_x() - 1) / (int)blocks_x() * PART_TILES;
  for (int r = q.first; r < q.end; r++)
    most = positions[r] >= most ? positions[r] + 1 : most;
  UNROLL for (int r = 0; r < 2; r++) {
    int row, head;
    keys[r] = head_of(q, pair0 + lane() / 4 + 8 * r, row, head) ? positions[row] + 1 : 0;
  }
  int tiles = (most + KEYS - 1) / KEYS, from = block_x() * share, to = from + share < tiles ? from + share : tiles;
  if (from >= to)
    return;
  float *wait = (float *)(op.scratch + (unsigned long long)op.p[3] * 256) +
                (((long long)block_z() * blocks_y() + block_y()) * threads_x() * N + thread_x()) * 4;
  part_sums<N> sums; // its m and l are those of all parts
  softmax is, all;
  begin(sums);
  UNROLL for (int r = 0; r < 2; r++) is.m[r] = all.m[r] = NO_SCORE, is.l[r] = all.l[r] = 0;
  barrier(); // what other rows left has been read
  stage_queries<D>(queries_at, q, op.in[0], PROMPT_PAIRS);
  stage<D, PLAIN>(tiles_at, k, from * KEYS, most - from * KEYS);
  stage<D, PLAIN>(tiles_at + TILE, v, from * KEYS, most - from * KEYS);
  copy_async_commit();
  for (int j = from; j < to; j++) {
    char *here = tiles_at + (j - from) % 2 * (2 * TILE), *next = tiles_at + (j - from + 1) % 2 * (2 * TILE);
    if (j + 1 < to) {
      stage<D, PLAIN>(next, k, (j + 1) * KEYS, most - (j + 1) * KEYS);
      stage<D, PLAIN>(next + TILE, v, (j + 1) * KEYS, most - (j + 1) * KEYS);
    }
    copy_async_commit();
    copy_async_wait<1>();
    barrier();
    int sees[2] = {keys[0] - j * KEYS, keys[1] - j * KEYS};
    take_tile<D>(sums.o, is, queries_at, here, here + TILE, stats, sees, op.f[0] * 1.44269504f);
    if ((j + 1) % PART_TILES == 0 || j + 1 == to) {
      if (SHARED_PARTS) {
        UNROLL for (int r = 0; r < 2; r++) sums.m[r] = is.m[r], sums.l[r] = is.l[r];
        let_wait(op, sums, q, pair0, j / PART_TILES, first, v.n);
        begin(sums);
        UNROLL for (int r = 0; r < 2; r++) is.m[r] = NO_SCORE, is.l[r] = 0;
      } else
        end_part<N>(sums.o, is, all, wait, j < PART_TILES, j + 1 == to);
    }
    barrier();
  }
  if (SHARED_PARTS)
    return;
  UNROLL for (int r = 0; r < 2; r++) sums.l[r] = all.l[r];
  give(op, sums, q, pair0, first, v.n);
}

// Rows of a block may be of several sequences. p[5]: those that none of the same are beside are another kernel's. p[3]: where in scratch memory
// sums of parts wait that a block adds up, in units of 256 bytes.
template <int D, bool PLAIN, bool SHARED_PARTS> DEVICE void prompt(const pio_op &op) {
  const pio_tensor &kc = op.in[1], &vc = op.in[2], &tables = op.in[5];
  const int *positions = at<int>(op.in[3]), *seqs = at<int>(op.in[4]);
  int per = PROMPT_PAIRS / op.p[0], rows = op.in[0].dim[0], first = block_z() * per, end = first + per < rows ? first + per : rows;
  int dim = op.in[0].dim[2], vdim = op.out[0].dim[2];
  while (first < end) {
    int to = first + 1;
    while (to < end && seqs[to] == seqs[first])
      to++;
    queries q = queries_of(op, kc.dim[1], first, to);
    const int *table = at<int>(tables) + (long long)seqs[first] * tables.dim[1];
    if (!op.p[5] || !alone(seqs, rows, first))
      prompt_rows<D, PLAIN, SHARED_PARTS>(op, q, cached(kc, table, q.kv_head, dim, dim), cached(vc, table, q.kv_head, vdim, vdim), positions);
    first = to;
  }
}

KERNEL(attention_prompt_64, 128, 2) { prompt<64, true, false>(op); }
KERNEL(attention_prompt_128, 128, 2) { prompt<128, true, false>(op); }
KERNEL(attention_prompt_256, 256, 1) { prompt<256, true, false>(op); }
KERNEL(attention_prompt_any_64, 128, 2) { prompt<64, false, false>(op); }
KERNEL(attention_prompt_any_128, 128, 1) { prompt<128, false, false>(op); }
KERNEL(attention_prompt_any_256, 256, 1) { prompt<256, false, false>(op); }
KERNEL(attention_prompt_parts_64, 128, 2) { prompt<64, true, true>(op); }
KERNEL(attention_prompt_parts_128, 128, 2) { prompt<128, true, true>(op); }
KERNEL(attention_prompt_parts_256, 256, 1) { prompt<256, true, true>(op); }
KERNEL(attention_prompt_parts_any_64, 128, 2) { prompt<64, false, true>(op); }
KERNEL(attention_prompt_parts_any_128, 128, 1) { prompt<128, false, true>(op); }
KERNEL(attention_prompt_parts_any_256, 256, 1) { prompt<256, false, true>(op); }

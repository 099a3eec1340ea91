// attention.cu: causal attention over a paged cache, in exact numerics, and what has both numerics: adding parts up.
//
// A block has 16 pairs of a row and a head that share a kv head, and some parts of their positions. Where rows are too few for all
// multiprocessors, each part has a block, and a second kernel adds what they have come to.
#include "exact.cuh"

// exact_rows does a block's rows of one sequence. p[2] is how many positions a part has, p[3] how many parts a block, p[4] how many parts there
// are at most; if a block has them all, nothing waits.
template <int V> DEVICE void exact_rows(const pio_op &op, const queries &q, const source &k, const source &v, const int *positions) {
  bench b = bench_of(k.n);
  exact_queries(b, q, op.in[0]);
  int part_n = op.p[2], row, head, pair = thread_x() / 16, most = 0, keys = 0;
  for (int r = q.first; r < q.end; r++)
    most = positions[r] >= most ? positions[r] + 1 : most;
  bool is = head_of(q, pair, row, head);
  if (is)
    keys = positions[row] + 1;
  long long pair_at = (long long)row * q.heads + head;
  int from = block_x() * op.p[3], to = from + op.p[3];
  exact_running<V> all, one;
  begin(all);
  for (int p = from; p < to && p * part_n < most; p++) {
    int end = most < (p + 1) * part_n ? most : (p + 1) * part_n;
    begin(one);
    for (int t = p * part_n; t < end; t += KEYS)
      exact_keys(one, b, k, v, t, end - t < KEYS ? end - t : KEYS, keys - t, op.f[0]);
    if (blocks_x() > 1) {
      float *wait = (float *)op.scratch + (pair_at * op.p[4] + p) * waiting_step(v.n);
      if (is && p * part_n < keys) {
        exact_values<V>(v.n, [&](int d, int i, int j) { wait[d] = one.o[i][j]; });
        if (thread_x() % 16 == 0)
          wait[waiting_step(v.n) - 4] = one.m, wait[waiting_step(v.n) - 3] = one.l;
      }
    } else {
      float keep, add;
      join<exact_scores>(all.m, all.l, one.m, one.l, keep, add);
      UNROLL for (int i = 0; i < V; i++)
        UNROLL for (int j = 0; j < 4; j++) all.o[i][j] = joined(all.o[i][j], keep, one.o[i][j], add);
    }
  }
  if (is && blocks_x() == 1) {
    float inverse = 1.0f / all.l;
    exact_values<V>(v.n, [&](int d, int i, int j) { store(op.out[0], pair_at * v.n + d, times(all.o[i][j], inverse)); });
  }
}

// A block's rows may be of several sequences: those of each go through its keys together.
template <int V> DEVICE void attention_exact(const pio_op &op, bool latent) {
  const pio_tensor &kc = op.in[1], &vc = latent ? op.in[1] : op.in[2];
  const int *positions = at<int>(op.in[latent ? 2 : 3]), *seqs = at<int>(op.in[latent ? 3 : 4]);
  const pio_tensor &tables = op.in[latent ? 4 : 5];
  int per = PAIRS / op.p[0], rows = op.in[0].dim[0], first = block_z() * per, end = first + per < rows ? first + per : rows;
  int dim = op.in[0].dim[2], vdim = op.out[0].dim[2];
  while (first < end) {
    int to = first + 1;
    while (to < end && seqs[to] == seqs[first])
      to++;
    queries q = queries_of(op, kc.dim[1], first, to);
    const int *table = at<int>(tables) + (long long)seqs[first] * tables.dim[1];
    exact_rows<V>(op, q, cached(kc, table, q.kv_head, dim, dim), cached(vc, table, q.kv_head, latent ? dim : vdim, vdim), positions);
    first = to;
  }
}

KERNEL(attention_exact_64, 256, 2) { attention_exact<1>(op, false); }
KERNEL(attention_exact_128, 256, 2) { attention_exact<2>(op, false); }
KERNEL(attention_exact_256, 256, 1) { attention_exact<4>(op, false); }
KERNEL(attention_exact_512, 256, 1) { attention_exact<8>(op, false); }
KERNEL(latent_attention_exact, 256, 1) { attention_exact<8>(op, true); }

// join_parts adds what the parts of a row's head have come to, in a launch of its own; p[2] is how many positions a part has,
// p[5]: only rows that no other of their sequence is beside. A warp has a row's head.
template <class S> DEVICE void join_parts(const pio_op &op, int positions_at) {
  const int *positions = at<int>(op.in[positions_at]), *seqs = at<int>(op.in[positions_at + 1]);
  int rows = op.out[0].dim[0], heads = op.out[0].dim[1];
  long long pair = (long long)block_x() * (threads_x() / 32) + warp();
  int row = (int)(pair / heads);
  if (row < rows && (!op.p[5] || alone(seqs, rows, row)))
    join_pair<S, 8>(op, pair, positions[row] / op.p[2] + 1);
}

KERNEL(attention_join_exact, 128, 4) { join_parts<exact_scores>(op, 3); }
KERNEL(attention_join_fast, 128, 4) { join_parts<fast_scores>(op, 3); }
KERNEL(latent_attention_join_exact, 128, 4) { join_parts<exact_scores>(op, 2); }
KERNEL(latent_attention_join_fast, 128, 4) { join_parts<fast_scores>(op, 2); }

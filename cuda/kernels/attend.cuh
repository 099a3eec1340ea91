// attend.cuh: what every kernel of attention has in common: which queries a block has, where keys are, how softmaxes over some keys become
// one.
//
// Keys go by in tiles of 64 with a running softmax (flash attention: Dao et al., 2022): a maximum m, a sum l of weights, and the weighted sum
// of values. A row's positions are in parts, each with a softmax of its own; what these have come to is added in order of position, by one
// formula, whether one block goes through all parts or each has a block. So a row's bits depend on its own keys alone.
#pragma once

#include "last.cuh"
#include "pages.cuh"

enum {
  KEYS = PIO_BLOCK, // of a tile
  PAIRS = 16,       // of a row and one of the heads that share a kv head, that go through keys together: the rows of a tensor core's tile
};

#define NO_SCORE (-__builtin_inff())

// source is where the keys or values of a head are: in a cache, or as they come, from position first on.
struct source {
  const char *at;
  const int *table; // 0: they lie one after the other
  long long step;   // bytes of a row
  int type, n;      // numbers of it that count
  int size, heads, head, first;
};

DEVICE const char *row_at(const source &s, int position) {
  if (!s.table)
    return s.at + (long long)(position - s.first) * s.step;
  long long block = s.size == PIO_BLOCK ? s.table[position / PIO_BLOCK] : s.table[position / s.size];
  return s.at + ((block * s.heads + s.head) * s.size + (s.size == PIO_BLOCK ? position % PIO_BLOCK : position % s.size)) * s.step;
}

// cached is the source of a cache's head, of which rows have dim numbers and the first n count.
DEVICE source cached(const pio_tensor &c, const int *table, int head, int dim, int n) {
  return {at<char>(c), table, row_bytes(c.type, dim), c.type, n, c.dim[2], c.dim[1], head, 0};
}

// laid is the source of a tile (heads, keys, n).
DEVICE source laid(const pio_tensor &t, int head, int first) {
  long long step = row_bytes(t.type, t.dim[2]);
  return {at<char>(t) + head * (long long)t.dim[1] * step, 0, step, t.type, t.dim[2], 0, 0, 0, first};
}

// numbers4 are numbers i .. i + 3 of a row, zeros behind its end.
DEVICE four numbers4(const source &s, const char *row, int i) {
  if (s.type == PIO_F32 && i + 4 <= s.n && (unsigned long long)row % 16 == 0)
    return *(const four *)(row + i * 4);
  if (s.type == PIO_BF16 && i + 4 <= s.n && (unsigned long long)row % 8 == 0)
    return widen4(*(const halves4 *)(row + i * 2));
  four v = {};
  UNROLL for (int j = 0; j < 4; j++)
    if (i + j < s.n)
      v.x[j] = number(s.type, row, i + j);
  return v;
}

// ---- softmaxes over some keys

// Scores of exact numerics are those of the model, e^x some units in the last place from right; those of fast numerics are times log2 e, and
// weights the machine's powers of 2.
struct exact_scores {
  DEVICE float weight(float x) { return x < -87.0f ? 0.0f : exponential(x); }
};
struct fast_scores {
  DEVICE float weight(float x) { return exp2_fast(x); }
};

// join is what two softmaxes are multiplied by to become one, whose m and l are then the first's. One that has seen nothing changes nothing.
template <class S> DEVICE void join(float &m, float &l, float later_m, float later_l, float &keep, float &add) {
  float most = later_m > m ? later_m : m;
  keep = m == most ? 1.0f : m == NO_SCORE ? 0.0f : S::weight(plus(m, -most));
  add = later_m == most ? 1.0f : later_m == NO_SCORE ? 0.0f : S::weight(plus(later_m, -most));
  if (later_m == NO_SCORE && !(later_l != later_l))
    keep = 1.0f, add = 0.0f;
  m = most;
  l = fused(later_l, add, times(l, keep));
}
DEVICE float joined(float sum, float keep, float later, float add) { return fused(later, add, times(sum, keep)); }

// What parts have come to waits in memory: sums of values, then m and l, for each row, head and part. In the end sums are multiplied by 1 / l.
DEVICE int waiting_step(int n) { return (n + 3) / 4 * 4 + 4; }

// ---- queries

// queries are the pairs of a block: heads of one kv head in rows that follow each other. p[0] how many heads of a kv head a block has, p[1]
// how many blocks share a kv head.
struct queries {
  int first, end;           // rows
  int kv_head, share, each; // heads of a kv head
  int per, heads;           // heads of a block; all
};

DEVICE queries queries_of(const pio_op &op, int kv_heads, int first, int end) {
  int heads = op.in[0].dim[1], shares = op.p[1];
  return {first, end, (int)block_y() / shares, (int)block_y() % shares, heads / kv_heads, op.p[0], heads};
}

// head_of gives the row and the head of a pair; false if it has none.
DEVICE bool head_of(const queries &q, int pair, int &row, int &head) {
  int h = q.share * q.per + pair % q.per;
  row = q.first + pair / q.per;
  head = q.kv_head * q.each + h;
  return h < q.each && row < q.end;
}

// ---- parts that blocks share

// join_pair adds what the parts of a row's head have come to. A warp does it, a lane has four values, and asks for AHEAD parts at once. p[4] is how many
// parts there are at most.
template <class S, int AHEAD> DEVICE void join_pair(const pio_op &op, long long pair, int parts) {
  int n = op.out[0].dim[2], step = waiting_step(n);
  const float *wait = (const float *)op.scratch + pair * op.p[4] * step;
  ROLLED for (int d = lane() * 4; d < n; d += 128) {
    four sums = {};
    float m = NO_SCORE, l = 0;
    ROLLED for (int p0 = 0; p0 < parts; p0 += AHEAD) {
      four later[AHEAD];
      float ms[AHEAD], ls[AHEAD];
      UNROLL for (int i = 0; i < AHEAD; i++) {
        const float *at = wait + (long long)(p0 + i) * step;
        later[i] = four{};
        ms[i] = NO_SCORE, ls[i] = 0;
        if (p0 + i < parts)
          later[i] = *(const four *)(at + d), ms[i] = at[step - 4], ls[i] = at[step - 3];
      }
      UNROLL for (int i = 0; i < AHEAD; i++)
        if (p0 + i < parts) {
          float keep, add;
          join<S>(m, l, ms[i], ls[i], keep, add);
          UNROLL for (int j = 0; j < 4; j++) sums.x[j] = joined(sums.x[j], keep, later[i].x[j], add);
        }
    }
    float inverse = 1.0f / l;
    UNROLL for (int j = 0; j < 4; j++) sums.x[j] = times(sums.x[j], inverse);
    store4(op.out[0], pair * n + d, sums, in_fours(op.out[0], n), n - d);
  }
}

// join_if_last has the last of the blocks that share their rows' parts add them up, if p[5] says so: PIO_LAST_JOINS. Fast numerics alone have it.
DEVICE void join_if_last(const pio_op &op, const queries &q, const int *positions) {
  if (op.p[5] != PIO_LAST_JOINS || !last_of(op, (int)(block_z() * blocks_y() + block_y()), (int)blocks_x()))
    return;
  int row, head;
  ROLLED for (int pair = (int)warp(); pair < PAIRS; pair += (int)threads_x() / 32)
    if (head_of(q, pair, row, head))
      join_pair<fast_scores, 2>(op, (long long)row * q.heads + head, positions[row] / op.p[2] + 1);
}

// alone says whether neither row beside a row is of its sequence.
DEVICE bool alone(const int *seqs, int rows, int r) {
  return (r == 0 || seqs[r - 1] != seqs[r]) && (r + 1 == rows || seqs[r + 1] != seqs[r]);
}

// delta.cu: the gated delta rule and the decay of its state.
//
// The columns of a head's matrix have nothing to do with each other: a block has 32 of them, for all rows of a sequence in their order. Rows of a
// prompt are computed up to 64 at once, from one multiple of 64 positions to the next. With S the state before them, G_i the sum of g up to row
// i of them, and D_ij = e^(G_i - G_j) for j <= i:
//
//	A_ij = beta_i (k_i . k_j) D_ij for j < i, T = (1 + A)^-1, P_ij = (q_i . k_j) D_ij for j <= i
//	C    = T R, R_i = beta_i (v_i - e^(G_i) S^T k_i)           what row i adds under its key is C_i
//	y_i  = scale (e^(G_i) S^T q_i + sum of P_ij C_j over j <= i)
//	S    = e^(G_n) S + sum of k_i (e^(G_n - G_i) C_i)^T
//
// T and P do not depend on S: delta_chunks makes them for all chunks side by side, delta_rule goes from chunk to chunk. All sums are those of
// f32 in rising order. A chunk of one row has its numbers from delta_rule, so that rows that follow a prompt need no other kernel.
#include "chains.cuh"

enum {
  CHUNK = PIO_BLOCK,
  COLUMNS = 32,    // of a block
  STEP = 68,       // floats of a row of 64 in shared memory
  WORDS = 2 * CHUNK + 4, // of a row's head in scratch: T_i, P_i, e^(G_i), e^(G_n - G_i), e^(G_n)
};

// delta is the operands.
struct delta {
  const pio_tensor &q, &k, &v, &g, &beta;
  const int *positions, *slots, *forms;
  int rows, key_heads, heads, dim, value;
};
DEVICE delta delta_of(const pio_op &op) {
  return {op.in[0], op.in[1], op.in[2], op.in[3], op.in[4], at<int>(op.in[5]), at<int>(op.in[6]), at<int>(op.in[7]),
          op.in[0].dim[0], op.in[0].dim[1], op.in[2].dim[1], op.in[0].dim[2], op.in[2].dim[2]};
}
DEVICE long long key_row(const delta &d, int row, int head) { return ((long long)row * d.key_heads + (long long)head * d.key_heads / d.heads) * d.dim; }
DEVICE float *words_of(const pio_op &op, const delta &d, int row, int head) { return (float *)op.scratch + ((long long)row * d.heads + head) * WORDS; }

// goes_on says whether row r is of the chunk of the row before it.
DEVICE bool goes_on(const delta &d, int r) {
  return r > 0 && r < d.rows && d.forms[r] == 0 && d.forms[r - 1] == 0 && d.slots[r] == d.slots[r - 1] && d.positions[r] == d.positions[r - 1] + 1 &&
         d.positions[r] % CHUNK != 0;
}

// chunk_rows is how many rows from r on are a chunk.
DEVICE int chunk_rows(const delta &d, int r) {
  int n = 1;
  for (int base = 0; base < CHUNK; base += 32) {
    unsigned ends = ballot(!goes_on(d, r + base + (int)lane() + 1));
    n = base + 1 + (ends ? __builtin_ctz(ends) : 32);
    if (ends)
      break;
  }
  return n < CHUNK ? n : CHUNK;
}

// panel brings numbers from .. from + 63 of n rows of a key head to shared memory, zeros for what is not there.
DEVICE void panel(float *to, const delta &d, const pio_tensor &x, int row, int head, int n, int from) {
  bool whole = in_fours(x, d.dim);
  for (int i = thread_x(); i < CHUNK * 16; i += threads_x()) {
    int r = i / 16, c = from + i % 16 * 4;
    four v = {};
    if (r < n && c < d.dim)
      v = load4(x, key_row(d, row + r, head) + c, whole, d.dim - c);
    *(four *)(to + r * STEP + i % 16 * 4) = v;
  }
}

// ---- T and P

// overlaps adds products of 4 x 4 rows, 16 apart.
DEVICE void overlaps(float s[4][4], const float *x, const float *k) {
  for (int d = 0; d < 64; d += 4) {
    four a[4], b[4];
    UNROLL for (int i = 0; i < 4; i++) a[i] = *(const four *)(x + i * 16 * STEP + d), b[i] = *(const four *)(k + i * 16 * STEP + d);
    UNROLL for (int e = 0; e < 4; e++)
      UNROLL for (int i = 0; i < 4; i++)
        UNROLL for (int j = 0; j < 4; j++) s[i][j] = fused(a[i].x[e], b[j].x[e], s[i][j]);
  }
}

// invert makes T of A, a row after the other. Four threads have a column.
DEVICE void invert(float *t, const float *a, int n) {
  int c = thread_x() / 4, part = thread_x() % 4;
  for (int i = 0; i < n; i++) {
    float sum = 0;
    for (int j = part; j < i; j += 4) sum = fused(a[i * STEP + j], t[j * STEP + c], sum);
    sum = plus(sum, shuffle_xor(sum, 1));
    sum = plus(sum, shuffle_xor(sum, 2));
    if (part == 0)
      t[i * STEP + c] = plus(i == c ? 1.0f : 0.0f, -sum);
    warp_barrier(); // the column is this warp's
  }
}

// A block has a head of the chunk that begins at a row, if one does.
KERNEL(delta_chunks, 256, 2) {
  delta d = delta_of(op);
  int row = block_x(), head = block_y();
  if (d.forms[row] != 0 || goes_on(d, row))
    return;
  int n = chunk_rows(d, row), ti = thread_x() / 16, tj = thread_x() % 16;
  if (n == 1)
    return;
  float *k = (float *)dynamic_shared(), *q = k + CHUNK * STEP;
  double *sums = (double *)(q + CHUNK * STEP); // long where their differences are short, and therefore in double
  float a[4][4] = {}, p[4][4] = {};
  for (int from = 0; from < d.dim; from += 64) {
    barrier();
    panel(k, d, d.k, row, head, n, from);
    panel(q, d, d.q, row, head, n, from);
    barrier();
    overlaps(a, k + ti * STEP, k + tj * STEP);
    overlaps(p, q + ti * STEP, k + tj * STEP);
  }
  if (thread_x() < CHUNK) {
    double sum = 0;
    for (int i = 0; i <= (int)thread_x() && i < n; i++) sum += (double)load(d.g, (long long)(row + i) * d.heads + head);
    sums[thread_x()] = sum;
  }
  barrier();
  UNROLL for (int x = 0; x < 4; x++)
    UNROLL for (int y = 0; y < 4; y++) {
      int i = ti + 16 * x, j = tj + 16 * y;
      float fade = j <= i ? exp_of((float)(sums[i] - sums[j])) : 0.0f;
      float beta = i < n ? load(d.beta, (long long)(row + i) * d.heads + head) : 0.0f;
      k[i * STEP + j] = j < i ? times(times(a[x][y], fade), beta) : 0.0f;
      if (i < n)
        words_of(op, d, row + i, head)[CHUNK + j] = j <= i ? times(p[x][y], fade) : 0.0f;
    }
  barrier();
  invert(q, k, n);
  barrier();
  for (int i = thread_x(); i < n * CHUNK; i += threads_x()) words_of(op, d, row + i / CHUNK, head)[i % CHUNK] = q[i / CHUNK * STEP + i % CHUNK];
  if ((int)thread_x() < n) {
    float *w = words_of(op, d, row + thread_x(), head) + 2 * CHUNK;
    w[0] = exp_of((float)sums[thread_x()]), w[1] = exp_of((float)(sums[n - 1] - sums[thread_x()])), w[2] = exp_of((float)sums[n - 1]);
  }
}

// ---- one row after another

// matrix is a block's columns of a head's matrix.
struct matrix {
  float *at;
  int first, n, step; // columns; elements of a row
};

// in_columns says whether a block has 32 columns that can be taken four at a time.
DEVICE bool in_columns(const matrix &m) { return m.step % 4 == 0 && m.n == COLUMNS; }

DEVICE four matrix4(const matrix &m, int i, int c, bool whole) {
  const float *p = m.at + (long long)i * m.step + c;
  if (whole)
    return *(const four *)p;
  four v = {};
  UNROLL for (int j = 0; j < 4; j++)
    if (c + j < m.n)
      v.x[j] = p[j];
  return v;
}
DEVICE void matrix4_is(const matrix &m, int i, int c, four v, bool whole) {
  float *p = m.at + (long long)i * m.step + c;
  if (whole) {
    *(four *)p = v;
    return;
  }
  UNROLL for (int j = 0; j < 4; j++)
    if (c + j < m.n)
      p[j] = v.x[j];
}

// across adds what 32 threads have of four columns each: four in a warp, then eight warps. room is of 8 x 32 floats.
DEVICE four across(four v, float *room) {
  UNROLL for (int j = 0; j < 4; j++) {
    v.x[j] = plus(v.x[j], shuffle_xor(v.x[j], 8));
    v.x[j] = plus(v.x[j], shuffle_xor(v.x[j], 16));
  }
  barrier(); // earlier sums have been read
  if (lane() < 8)
    *(four *)(room + warp() * COLUMNS + lane() * 4) = v;
  barrier();
  four sum = *(const four *)(room + lane() % 8 * 4);
  for (int w = 1; w < 8; w++) {
    four o = *(const four *)(room + w * COLUMNS + lane() % 8 * 4);
    UNROLL for (int j = 0; j < 4; j++) sum.x[j] = plus(sum.x[j], o.x[j]);
  }
  return sum;
}

// rows4 are four rows of the matrix and the numbers of k and q beside them, asked for at once: rows i, + 32, + 64, + 96.
struct rows4 {
  four s[4];
  float k[4], q[4];
};
template <bool WHOLE> DEVICE rows4 rows4_at(const delta &d, const matrix &m, long long key, int i, int c, bool fresh) {
  rows4 r;
  UNROLL for (int u = 0; u < 4; u++) {
    bool is = i + 32 * u < d.dim;
    int at = is ? i + 32 * u : 0;
    r.s[u] = is && !fresh ? matrix4(m, at, c, WHOLE) : four{};
    r.k[u] = is ? load(d.k, key + at) : 0.0f;
    r.q[u] = is ? load(d.q, key + at) : 0.0f;
  }
  return r;
}

// recur does a row. Of the matrix thread t has columns 4 (t % 8) .. + 3 of rows t / 8, + 32, and so forth.
template <bool WHOLE> DEVICE void recur(const pio_op &op, const delta &d, const matrix &m, int row, int head) {
  int c = thread_x() % 8 * 4, first = thread_x() / 8;
  float *room = (float *)dynamic_shared();
  bool fresh = d.positions[row] == 0;
  long long key = key_row(d, row, head), gate = (long long)row * d.heads + head;
  float fade = exp_of(load(d.g, gate)), beta = load(d.beta, gate);
  four seen = {}, out = {}, add;
  for (int i = first; i < d.dim; i += 128) {
    rows4 r = rows4_at<WHOLE>(d, m, key, i, c, fresh);
    UNROLL for (int u = 0; u < 4; u++)
      UNROLL for (int j = 0; j < 4; j++) seen.x[j] = fused(r.k[u], r.s[u].x[j], seen.x[j]);
  }
  seen = across(seen, room);
  UNROLL for (int j = 0; j < 4; j++) {
    float v = c + j < m.n ? load(d.v, gate * d.value + m.first + c + j) : 0.0f;
    add.x[j] = times(beta, fused(-fade, seen.x[j], v));
  }
  for (int i = first; i < d.dim; i += 128) {
    rows4 r = rows4_at<WHOLE>(d, m, key, i, c, fresh);
    UNROLL for (int u = 0; u < 4; u++) {
      UNROLL for (int j = 0; j < 4; j++) {
        r.s[u].x[j] = fused(r.k[u], add.x[j], times(fade, r.s[u].x[j]));
        out.x[j] = fused(r.q[u], r.s[u].x[j], out.x[j]);
      }
      if (i + 32 * u < d.dim)
        matrix4_is(m, i + 32 * u, c, r.s[u], WHOLE);
    }
  }
  out = across(out, room);
  if (first == 0)
    UNROLL for (int j = 0; j < 4; j++)
      if (c + j < m.n)
        store(op.out[0], gate * d.value + m.first + c + j, times(op.f[0], out.x[j]));
}

// ---- a chunk

// bench is what a chunk is worked on with, in shared memory: T and P, panels of k and q, R and C (64, COLUMNS), of which C comes where q was, and
// the matrix (dim, COLUMNS).
struct bench { float *t, *p, *k, *q, *r, *c, *s; };
DEVICE bench bench_of() {
  float *at = (float *)dynamic_shared();
  float *r = at + 4 * CHUNK * STEP;
  return {at, at + CHUNK * STEP, at + 2 * CHUNK * STEP, at + 3 * CHUNK * STEP, r, at + 3 * CHUNK * STEP, r + CHUNK * COLUMNS};
}

// read_by adds what four rows of a panel read of four columns of the matrix.
DEVICE void read_by(float s[4][4], const float *x, const float *m) {
  for (int d = 0; d < 64; d += 4) {
    four a[4];
    UNROLL for (int i = 0; i < 4; i++) a[i] = *(const four *)(x + i * STEP + d);
    UNROLL for (int e = 0; e < 4; e++) {
      four b = *(const four *)(m + (d + e) * COLUMNS);
      UNROLL for (int i = 0; i < 4; i++)
        UNROLL for (int j = 0; j < 4; j++) s[i][j] = fused(a[i].x[e], b.x[j], s[i][j]);
    }
  }
}

// below adds a row of a triangle times four columns: numbers 0 .. i.
DEVICE four below(four sum, const float *t, const float *c, int i) {
  for (int j = 0; j <= i; j++) {
    four v = *(const four *)(c + j * COLUMNS);
    UNROLL for (int e = 0; e < 4; e++) sum.x[e] = fused(t[j], v.x[e], sum.x[e]);
  }
  return sum;
}

// alone makes the words of a chunk of one row, as delta_chunks would, in shared memory behind all else.
DEVICE const float *alone(const delta &d, int row, int head, float *to) {
  for (int i = thread_x(); i < CHUNK; i += threads_x()) to[i] = i == 0 ? 1.0f : 0.0f, to[CHUNK + i] = 0;
  barrier();
  if (thread_x() == 0) {
    long long key = key_row(d, row, head);
    float p = 0;
    for (int i = 0; i < d.dim; i++) p = fused(load(d.q, key + i), load(d.k, key + i), p);
    float kept = exp_of(load(d.g, (long long)row * d.heads + head)), whole = exp_of(0.0f);
    to[CHUNK] = times(p, whole), to[2 * CHUNK] = kept, to[2 * CHUNK + 1] = whole, to[2 * CHUNK + 2] = kept;
  }
  barrier();
  return to;
}

DEVICE void chunk_columns(const pio_op &op, const delta &d, const matrix &m, int row, int n, int head) {
  bench b = bench_of();
  int by = thread_x() / 128, i0 = thread_x() % 128 / 8 * 4, c = thread_x() % 8 * 4; // half of the threads have k, half q
  bool fresh = d.positions[row] == 0, whole = in_columns(m);
  int padded = (d.dim + 63) / 64 * 64;
  const float *words = n > 1 ? words_of(op, d, row, head) : alone(d, row, head, b.s + padded * COLUMNS);
  long long next = (long long)d.heads * WORDS; // of the next row
  for (int i = thread_x(); i < padded * 8; i += threads_x()) *(four *)(b.s + i * 4) = i / 8 < d.dim && !fresh ? matrix4(m, i / 8, i % 8 * 4, whole) : four{};
  for (int i = thread_x(); i < CHUNK * CHUNK; i += threads_x()) {
    const float *w = words + i / CHUNK * next + i % CHUNK;
    b.t[i / CHUNK * STEP + i % CHUNK] = i / CHUNK < n ? w[0] : 0.0f;
    b.p[i / CHUNK * STEP + i % CHUNK] = i / CHUNK < n ? w[CHUNK] : 0.0f;
  }
  float s[4][4] = {};
  for (int from = 0; from < d.dim; from += 64) {
    barrier();
    panel(b.k, d, d.k, row, head, n, from);
    panel(b.q, d, d.q, row, head, n, from);
    barrier();
    read_by(s, (by ? b.q : b.k) + i0 * STEP, b.s + from * COLUMNS + c);
  }
  if (!by)
    UNROLL for (int i = 0; i < 4; i++) {
      long long gate = (long long)(row + i0 + i) * d.heads + head;
      four r = {};
      if (i0 + i < n) {
        float beta = load(d.beta, gate), seen = words[(i0 + i) * next + 2 * CHUNK];
        UNROLL for (int j = 0; j < 4; j++) {
          float v = c + j < m.n ? load(d.v, gate * d.value + m.first + c + j) : 0.0f;
          r.x[j] = times(beta, fused(-seen, s[i][j], v));
        }
      }
      *(four *)(b.r + (i0 + i) * COLUMNS + c) = r;
    }
  barrier();
  UNROLL for (int e = 0; e < 2; e++) { // T is zero where its rows end
    int i = thread_x() / 8 * 2 + e;
    *(four *)(b.c + i * COLUMNS + c) = below(four{}, b.t + i * STEP, b.r + c, i);
  }
  barrier();
  if (by)
    UNROLL for (int i = 0; i < 4; i++) {
      if (i0 + i >= n)
        continue;
      float seen = words[(i0 + i) * next + 2 * CHUNK];
      four y = below({{times(seen, s[i][0]), times(seen, s[i][1]), times(seen, s[i][2]), times(seen, s[i][3])}}, b.p + (i0 + i) * STEP, b.c + c, i0 + i);
      UNROLL for (int j = 0; j < 4; j++)
        if (c + j < m.n)
          store(op.out[0], ((long long)(row + i0 + i) * d.heads + head) * d.value + m.first + c + j, times(op.f[0], y.x[j]));
    }
  for (int i = thread_x(); i < CHUNK * 8; i += threads_x()) { // R has been read
    float left = i / 8 < n ? words[i / 8 * next + 2 * CHUNK + 1] : 0.0f;
    four v = *(const four *)(b.c + i * 4);
    UNROLL for (int j = 0; j < 4; j++) v.x[j] = times(v.x[j], left);
    *(four *)(b.r + i * 4) = v;
  }
  float kept = words[2 * CHUNK + 2];
  for (int from = 0; from < d.dim; from += 64) {
    barrier();
    panel(b.k, d, d.k, row, head, n, from);
    barrier();
    UNROLL for (int e = 0; e < 2; e++) {
      int i = thread_x() / 8 * 2 + e;
      four v = *(const four *)(b.s + (from + i) * COLUMNS + c);
      UNROLL for (int j = 0; j < 4; j++) v.x[j] = times(kept, v.x[j]);
      for (int r = 0; r < n; r++) {
        four add = *(const four *)(b.r + r * COLUMNS + c);
        float k = b.k[r * STEP + i];
        UNROLL for (int j = 0; j < 4; j++) v.x[j] = fused(k, add.x[j], v.x[j]);
      }
      if (from + i < d.dim)
        matrix4_is(m, from + i, c, v, whole);
    }
  }
}

// A block has 32 columns of a head's matrix in one slot. p[0]: slots have blocks each.
KERNEL(delta_rule, 256, 1) {
  delta d = delta_of(op);
  int head = block_y(), first = block_x() * COLUMNS;
  chain ch = chain_of(d.slots, d.rows, block_z(), op.p[0]);
  matrix m = {at<float>(op.out[1]) + ((long long)ch.slot * d.heads + head) * d.dim * d.value + first, first,
              d.value - first < COLUMNS ? d.value - first : COLUMNS, d.value};
  for (int row = ch.at; row < d.rows;) {
    int n = d.forms[row] == 0 ? chunk_rows(d, row) : 0;
    if (n > 0)
      chunk_columns(op, d, m, row, n, head);
    else if (in_columns(m))
      recur<true>(op, d, m, row, head);
    else
      recur<false>(op, d, m, row, head);
    barrier(); // the next row reads what others have written
    row = row_from(d.slots, row + (n > 0 ? n : 1), d.rows, ch.slot);
  }
}

// ---- decay: -e^aLog softplus(a + dtBias), a few numbers for each row, in double

// exp_double is e^x to some 2^-45: 2^k times a series in what is left.
DEVICE double exp_double(double x) {
  if (x != x)
    return x;
  x = x < -700.0 ? -700.0 : x > 700.0 ? 700.0 : x;
  double shifted = __builtin_fma(x, 1.4426950408889634, 6755399441055744.0), k = shifted - 6755399441055744.0;
  double r = __builtin_fma(-k, 0.6931471805599453, x), e = 1.0;
  r = __builtin_fma(-k, 2.3190468138462996e-17, r);
  for (int i = 13; i > 0; i--) e = __builtin_fma(e * r, 1.0 / i, 1.0);
  return e * __builtin_bit_cast(double, (unsigned long long)(1023 + (int)k) << 52);
}

// log1p_double is ln(1 + x) for x from 0 to 1: twice the inverse hyperbolic tangent of s = x / (2 + x), which is at most 1/3.
DEVICE double log1p_double(double x) {
  double s = x / (2.0 + x), z = s * s, sum = 0;
  for (int i = 29; i > 0; i -= 2) sum = __builtin_fma(sum, z, 1.0 / i);
  return 2.0 * s * sum;
}

// decay_of is that of a head.
DEVICE float decay_of(const pio_op &op, float a, int head) {
  double x = (double)a + (double)weight(op.w[1], head);
  double softplus = (x < 0 ? 0.0 : x) + log1p_double(exp_double(x < 0 ? x : -x));
  return (float)(-exp_double((double)weight(op.w[0], head)) * softplus);
}

KERNEL(decay, 128, 4) {
  long long i = (long long)block_x() * threads_x() + thread_x();
  if (i < length(op.out[0]))
    store(op.out[0], i, decay_of(op, load(op.in[0], i), (int)(i % op.w[0].cols)));
}

// delta_gates is what a row's gates are made of: from in[0] two parts of columns, out[2] and [3] (n is the first column of each), the decay of the second, and
// in out[1], if it is there, the sigmoid of the first. Further rows of blocks bring in[1] and in[2] to length 1, a warp a row.
KERNEL(delta_gates, 128, 4) {
  if (block_y() > 0) {
    const pio_tensor &x = block_y() == 1 ? op.in[1] : op.in[2], &y = block_y() == 1 ? op.out[4] : op.out[5];
    long long n = x.dim[x.nd - 1], row = (long long)block_x() * (threads_x() / 32) + warp();
    bool whole = in_fours(x, n);
    if (row < length(x) / n)
      unit_row(y, x, row * n, n, (int)lane(), 32, warp_sum(squares(x, row * n, n, (int)lane(), 32, whole, 0.0f)), op.f[0], whole && in_fours(y, n));
    return;
  }
  const pio_tensor &x = op.in[0], &part = op.out[2];
  long long i = (long long)block_x() * threads_x() + thread_x(), width = part.dim[part.nd - 1];
  if (i >= length(part))
    return;
  long long row = i / width * x.dim[x.nd - 1] + i % width;
  float b = load(x, row + op.n[0]), a = load(x, row + op.n[1]);
  store(op.out[2], i, b);
  store(op.out[3], i, a);
  store(op.out[0], i, decay_of(op, a, (int)(i % op.w[0].cols)));
  if (op.out[1].at)
    store(op.out[1], i, sigmoid(b));
}

// latent_weights.cu: the two maps between a head's keys and values and the latents they are made from. Their matrix (heads · group, rank)
// is multiplied by few rows, in f32 whatever the numerics are: what counts is how fast it is read.
#include "product.cuh"

enum { LATENT_ROWS = 8, LATENT_WARPS = 8, LATENT_COLUMNS = 64 };

// query_pairs adds k's begin..end-1 to the sums of two columns, for weights in bf16 whose two lie together; AHEAD of them are asked for at
// once. query_any does the same for all others.
DEVICE void query_pairs(float y[LATENT_ROWS][2], const unsigned short *w, int step, const float *x, int own, int begin, int end) {
  enum { AHEAD = 8 };
  for (int k = begin; k < end; k += AHEAD) {
    unsigned pair[AHEAD];
    UNROLL for (int i = 0; i < AHEAD; i++) pair[i] = k + i < end ? load_once4(w + (long long)(k + i) * step) : 0;
    UNROLL for (int i = 0; i < AHEAD; i++)
      if (k + i < end)
        UNROLL for (int r = 0; r < LATENT_ROWS; r++) {
          y[r][0] = fused(x[r * own + k + i], bf16_lower(pair[i]), y[r][0]);
          y[r][1] = fused(x[r * own + k + i], bf16_upper(pair[i]), y[r][1]);
        }
  }
}
DEVICE void query_any(float y[LATENT_ROWS][2], const pio_matrix &m, int row, int col, const float *x, int own, int begin, int end) {
  for (int k = begin; k < end; k++)
    UNROLL for (int i = 0; i < 2; i++) {
      float w = col + i < m.cols ? element(m, row + k, col + i) : 0.0f;
      UNROLL for (int r = 0; r < LATENT_ROWS; r++) y[r][i] = fused(x[r * own + k], w, y[r][i]);
    }
}

// latent_query: y[r][h][c] = sum over k of q[r][h][k] w[h group + k][c], and then what q[r][h] has besides. A block has 64 columns of a head and 8
// rows. Each warp adds up an eighth of k, in ascending order, and the warps' sums are added in ascending order.
KERNEL(latent_query, 256, 2) {
  const pio_tensor &q = op.in[0];
  const pio_matrix &m = op.w[0];
  int head = (int)block_y(), heads = q.dim[1], dim = q.dim[2], own = op.n[0], rank = m.cols, group = m.rows / heads, width = rank + dim - own;
  int first = (int)block_z() * LATENT_ROWS, rows = smaller(LATENT_ROWS, q.dim[0] - first), col = (int)block_x() * LATENT_COLUMNS + 2 * (int)lane();
  float *x = (float *)dynamic_shared(), *sums = x + LATENT_ROWS * own;
  for (int i = (int)thread_x(); i < LATENT_ROWS * own; i += LATENT_WARPS * 32)
    x[i] = i / own < rows ? at<float>(q)[((long long)(first + i / own) * heads + head) * dim + i % own] : 0.0f;
  barrier();
  float y[LATENT_ROWS][2];
  UNROLL for (int r = 0; r < LATENT_ROWS; r++) y[r][0] = y[r][1] = 0.0f;
  int each = divided(own, LATENT_WARPS), end = smaller(own, ((int)warp() + 1) * each);
  int begin = smaller(end, (int)warp() * each);
  if (m.layout == PIO_L_BF16 && rank % 2 == 0 && col < rank)
    query_pairs(y, plane<unsigned short>(m, 0) + (long long)head * group * rank + col, rank, x, own, begin, end);
  else
    query_any(y, m, head * group, col, x, own, begin, end);
  UNROLL for (int r = 0; r < LATENT_ROWS; r++)
    UNROLL for (int i = 0; i < 2; i++) sums[((int)warp() * LATENT_ROWS + r) * LATENT_COLUMNS + 2 * (int)lane() + i] = y[r][i];
  barrier();
  for (int i = (int)thread_x(); i < rows * LATENT_COLUMNS; i += LATENT_WARPS * 32) {
    int r = i / LATENT_COLUMNS, c = (int)block_x() * LATENT_COLUMNS + i % LATENT_COLUMNS;
    float sum = 0.0f;
    for (int w = 0; w < LATENT_WARPS; w++) sum = plus(sum, sums[w * LATENT_ROWS * LATENT_COLUMNS + i]);
    if (c < rank)
      at<float>(op.out[0])[((long long)(first + r) * heads + head) * width + c] = sum;
  }
  for (int i = (int)thread_x(); block_x() == 0 && i < rows * (dim - own); i += LATENT_WARPS * 32) {
    long long at_head = (long long)(first + i / (dim - own)) * heads + head;
    at<float>(op.out[0])[at_head * width + rank + i % (dim - own)] = at<float>(q)[at_head * dim + own + i % (dim - own)];
  }
}

// latent_value: y[r][h][j] = sum over c of w[h group + group - values + j][c] x[r][h][c]. A warp has a value of a head and 8 rows; a lane has
// columns 8 l .. 8 l + 7 of each 256, and lanes are added up at the end.
KERNEL(latent_value, 256, 2) {
  const pio_tensor &x = op.in[0];
  const pio_matrix &m = op.w[0];
  int heads = x.dim[1], rank = m.cols, values = op.out[0].dim[2], head = (int)block_y(), value = (int)(block_x() * LATENT_WARPS + warp());
  int first = (int)block_z() * LATENT_ROWS, rows = smaller(LATENT_ROWS, x.dim[0] - first), row = (head + 1) * (m.rows / heads) - values + value;
  if (value >= values)
    return;
  bool whole = m.layout == PIO_L_BF16 && rank % 8 == 0;
  float y[LATENT_ROWS];
  UNROLL for (int r = 0; r < LATENT_ROWS; r++) y[r] = 0.0f;
  for (int k = 8 * (int)lane(); k < rank; k += 256) {
    float w[8], v[8];
    if (whole) {
      words4 p = load_once16(plane<unsigned short>(m, 0) + (long long)row * rank + k);
      w[0] = bf16_lower(p.x), w[1] = bf16_upper(p.x), w[2] = bf16_lower(p.y), w[3] = bf16_upper(p.y);
      w[4] = bf16_lower(p.z), w[5] = bf16_upper(p.z), w[6] = bf16_lower(p.w), w[7] = bf16_upper(p.w);
    } else {
      UNROLL for (int i = 0; i < 8; i++) w[i] = k + i < rank ? element(m, row, k + i) : 0.0f;
    }
    UNROLL for (int r = 0; r < LATENT_ROWS; r++)
      if (r < rows) {
        eight(v, at<float>(x) + ((long long)(first + r) * heads + head) * rank + k, rank - k);
        UNROLL for (int i = 0; i < 8; i++) y[r] = fused(v[i], w[i], y[r]);
      }
  }
  UNROLL for (int r = 0; r < LATENT_ROWS; r++) {
    float sum = warp_sum(y[r]);
    if (r < rows && lane() == 0)
      at<float>(op.out[0])[((long long)(first + r) * heads + head) * values + value] = sum;
  }
}

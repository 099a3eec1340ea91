// matmul.cu: what products with weights need beside those on tensor cores (matmul.cuh): rows brought into parts before, slices added after;
// and matmul_plain for what no tile fits: weights in f32, rows that are not aligned.
#include "product.cuh"

// matmul_split brings rows into parts, at the start of scratch. p: order of columns, parts
KERNEL(matmul_split, 256, 4) {
  const pio_tensor &x = op.in[0];
  long long i = (long long)block_x() * threads_x() + thread_x();
  if (op.p[1] == 1)
    split_rows<1>((char *)op.scratch, at<float>(x), x.dim[0], x.dim[1], op.p[0], i);
  else
    split_rows<3>((char *)op.scratch, at<float>(x), x.dim[0], x.dim[1], op.p[0], i);
}

// matmul_add adds up slices that lie in scratch, and does what else becomes of their sum. p: slices, where in units of 256 bytes
KERNEL(matmul_add, 256, 4) {
  long long all = length(op.out[0]), i = (long long)block_x() * threads_x() + thread_x();
  if (i >= all)
    return;
  const float *apart = (const float *)(op.scratch + (unsigned long long)op.p[1] * 256);
  float y = 0.0f;
  for (int s = 0; s < op.p[0]; s++) y = plus(y, apart[s * all + i]);
  at<float>(op.out[0])[i] = y;
  if (op.out[4].at)
    at<float>(op.out[4])[i] = last_of_product(op, y, (int)(i / op.w[0].rows), i);
}

// matmul_plain has a warp for an out and PLAIN_ROWS rows.
KERNEL(matmul_plain, 256, 4) {
  const pio_matrix &w = op.w[0];
  int out = (int)(block_x() * 8 + warp()), first = (int)block_y() * PLAIN_ROWS, rows = smaller(PLAIN_ROWS, op.in[0].dim[0] - first);
  if (out >= w.rows)
    return;
  float y[PLAIN_ROWS];
  plain_dots(y, w, out, at<float>(op.in[0]) + (long long)first * w.cols, w.cols, rows);
  UNROLL for (int r = 0; r < PLAIN_ROWS; r++)
    if (r < rows && lane() == 0)
      at<float>(op.out[0])[(long long)(first + r) * w.rows + out] = y[r];
}

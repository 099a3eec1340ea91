// embed.cu: y[r] = w[tokens[r]], widened to f32. A thread has one element: tables are in any layout, and little is read.
#include "product.cuh"

KERNEL(embed, 256, 4) {
  long long i = (long long)block_x() * threads_x() + thread_x();
  int cols = op.w[0].cols;
  if (i < length(op.out[0]))
    at<float>(op.out[0])[i] = element(op.w[0], at<int>(op.in[0])[i / cols], (int)(i % cols));
}

// primitives.cu: each thing that the prelude has, by itself, for the tests of the software machine.
#include "prelude.cuh"

// in (n), out (blocks): a block's sum, by shuffles and shared memory. 256 threads.
KERNEL(p_sum, 256, 1) {
  SHARED float part[8];
  long long i = (long long)block_x() * threads_x() + thread_x();
  float v = warp_sum(i < length(op.in[0]) ? load(op.in[0], i) : 0.0f);
  if (lane() == 0)
    part[warp()] = v;
  barrier();
  v = 0;
  for (int w = 0; w < 8; w++) v += part[w];
  if (thread_x() == 0)
    store(op.out[0], block_x(), v);
}

// out (16, 8) f32 = in[0] (16, 16) by in[1] (8, 16) transposed, or by in[1] (16, 8) if p[0], both bf16, by way of shared memory. One warp.
KERNEL(p_product, 32, 1) {
  SHARED __attribute__((aligned(16))) unsigned short a[16 * 16], b[16 * 8];
  copy16_async(a + 8 * lane(), at<unsigned short>(op.in[0]) + 8 * lane());
  if (lane() < 16)
    copy16_async(b + 8 * lane(), at<unsigned short>(op.in[1]) + 8 * lane());
  copy_async_commit();
  copy_async_wait<0>();
  warp_barrier();
  unsigned x[4], y[4];
  float d[4] = {0, 0, 0, 0};
  ldmatrix_x4(x, a + lane() % 16 * 16 + lane() / 16 * 8);
  if (op.p[0])
    ldmatrix_x4_trans(y, b + lane() % 16 * 8);
  else
    ldmatrix_x4(y, b + lane() % 8 * 16 + lane() / 8 % 2 * 8);
  mma_bf16(d, x, y);
  float *o = at<float>(op.out[0]) + lane() / 4 * 8 + lane() % 4 * 2;
  o[0] = d[0], o[1] = d[1], o[64] = d[2], o[65] = d[3];
}

// out (32) i32: the ballot of odd lanes, with the first p[0] lanes returned before.
KERNEL(p_ballot, 32, 1) {
  if ((int)lane() < op.p[0])
    return;
  at<int>(op.out[0])[lane()] = (int)ballot(lane() & 1);
}

// out (threads) i32: how many threads had come to the barrier when each came out of it; half of the last warp has returned.
KERNEL(p_return, 256, 1) {
  SHARED int come;
  if (thread_x() >= threads_x() - 16)
    return;
  if (thread_x() == 0)
    come = 0;
  barrier();
  atomic_add(&come, 1);
  barrier();
  at<int>(op.out[0])[thread_x()] = come;
}

// out (n) f32 from in (n): numbers by the machine's arithmetic. p[0] says which.
KERNEL(p_arithmetic, 256, 1) {
  for (long long i = thread_x(); i < length(op.in[0]); i += threads_x()) {
    float x = load(op.in[0], i), y = 0;
    switch (op.p[0]) {
    case 0: y = exponential(x); break;
    case 1: y = tanh_fast(x); break;
    case 2: y = log2_fast(x); break;
    case 3: y = bf16_f32(f32_bf16(x)); break;
    case 4: y = square_root(x); break;
    case 5: y = f16_f32((unsigned short)x); break;
    }
    store(op.out[0], i, y);
  }
}

// For measuring: p[0] shuffles; barriers; products.
KERNEL(p_shuffles, 256, 1) {
  float v = (float)thread_x();
  for (int i = 0; i < op.p[0]; i++) v = plus(shuffle_xor(v, 1), 1.0f);
  if (v < 0)
    store(op.out[0], 0, v);
}
KERNEL(p_barriers, 256, 1) {
  for (int i = 0; i < op.p[0]; i++) barrier();
}
KERNEL(p_products, 256, 1) {
  float d[4] = {0, 0, 0, 0};
  unsigned a[4] = {1, 2, 3, 4}, b[2] = {5, 6};
  for (int i = 0; i < op.p[0]; i++) mma_bf16(d, a, b);
  if (d[0] < 0)
    store(op.out[0], 0, d[0]);
}

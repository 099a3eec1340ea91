// planted.cu: kernels that are right with p[0] = 0 and have one mistake each with p[0] = 1: what the software machine must find.
#include "prelude.cuh"

// out (256) = in (256) in reverse, by way of shared memory. Planted: no barrier between writing and reading it.
KERNEL(planted_barrier, 256, 1) {
  SHARED float s[256];
  s[thread_x()] = load(op.in[0], thread_x());
  if (!op.p[0])
    barrier();
  store(op.out[0], thread_x(), s[255 - thread_x()]);
}

// The same inside a warp. Planted: lanes are taken to go in step.
KERNEL(planted_warp_barrier, 32, 1) {
  SHARED float s[32];
  s[lane()] = load(op.in[0], lane());
  if (!op.p[0])
    warp_barrier();
  store(op.out[0], lane(), s[31 - lane()]);
}

// out (256) = in (256) by an asynchronous copy. Planted: it is not waited for.
KERNEL(planted_copy_wait, 64, 1) {
  float *s = (float *)dynamic_shared();
  copy16_async(s + 4 * thread_x(), at<float>(op.in[0]) + 4 * thread_x());
  copy_async_commit();
  if (!op.p[0])
    copy_async_wait<0>();
  barrier();
  for (int i = 0; i < 4; i++) store(op.out[0], i * 64 + thread_x(), s[255 - (i * 64 + thread_x())]);
}

// out (64) = sums over in (steps, 64), tiles of which go through two buffers. Planted: the barrier is missing after which a buffer may be
// filled again, which only a copy that is made at once shows.
KERNEL(planted_second_barrier, 64, 1) {
  float *s = (float *)dynamic_shared(), sum = 0;
  int steps = op.in[0].dim[0];
  if (thread_x() < 16)
    copy16_async(s + 4 * thread_x(), at<float>(op.in[0]) + 4 * thread_x());
  copy_async_commit();
  for (int k = 0; k < steps; k++) {
    if (thread_x() < 16 && k + 1 < steps)
      copy16_async(s + (k + 1) % 2 * 64 + 4 * thread_x(), at<float>(op.in[0]) + (k + 1) * 64 + 4 * thread_x());
    copy_async_commit();
    copy_async_wait<1>();
    barrier();
    sum += s[k % 2 * 64 + 63 - thread_x()];
    if (!op.p[0])
      barrier();
  }
  store(op.out[0], thread_x(), sum);
}

// out (32) = neighbours' numbers. Planted: only half of the lanes ask.
KERNEL(planted_shuffle, 32, 1) {
  float v = load(op.in[0], lane());
  if (!op.p[0] || lane() < 16)
    v = shuffle_xor(v, 1);
  warp_barrier();
  store(op.out[0], lane(), v);
}

// Planted: a barrier that half of a warp comes to.
KERNEL(planted_divergent_barrier, 64, 1) {
  if (!op.p[0] || lane() < 16)
    barrier();
  float v = warp_sum(load(op.in[0], thread_x()));
  store(op.out[0], thread_x(), v);
}

// out (n) = in (n). Planted: the thread after the last writes too.
KERNEL(planted_bounds, 256, 1) {
  if ((int)thread_x() < op.in[0].dim[0] + op.p[0])
    at<float>(op.out[0])[thread_x()] = at<float>(op.in[0])[thread_x() < 3 ? thread_x() : 3];
}

// The same, far away. Planted: an index that is a million too large.
KERNEL(planted_far, 256, 1) {
  if ((int)thread_x() < op.in[0].dim[0])
    at<float>(op.out[0])[thread_x()] = at<float>(op.in[0])[thread_x() + (op.p[0] ? 1000000 : 0)];
}

// Planted: 16 bytes are asked for at an address of 4.
KERNEL(planted_alignment, 32, 1) {
  words4 w = load_once16(at<float>(op.in[0]) + op.p[0]);
  at<int>(op.out[0])[lane()] = (int)w.x;
}

// Planted: a lane that has returned is asked.
KERNEL(planted_returned, 32, 1) {
  if (op.p[0] && lane() == 5)
    return;
  store(op.out[0], lane(), shuffle_xor(load(op.in[0], lane()), 4));
}

// Planted: more of the dynamic shared memory is written than the launch has.
KERNEL(planted_shared, 64, 1) {
  float *s = (float *)dynamic_shared();
  s[thread_x() + (op.p[0] ? 1 : 0)] = load(op.in[0], thread_x());
  barrier();
  store(op.out[0], thread_x(), s[63 - thread_x() + (op.p[0] ? 1 : 0)]);
}

// out (128) = 16 x 8 sums of products of ones. Planted: they are not waited for.
KERNEL(planted_known, 32, 1) {
  float d[4] = {0, 0, 0, 0};
  unsigned one[4] = {0x3f803f80u, 0x3f803f80u, 0x3f803f80u, 0x3f803f80u};
  mma_bf16_later(d, one, one), mma_bf16_later(d, one, one);
  if (!op.p[0])
    mma_known();
  for (int i = 0; i < 4; i++) store(op.out[0], 4 * lane() + i, d[i]);
}

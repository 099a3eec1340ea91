// elementwise.cu: ops whose elements are computed each by itself. A thread has one.
#include "prelude.cuh"

#define EACH(i, t) long long i = (long long)block_x() * threads_x() + thread_x(); if (i >= length(t)) return

KERNEL(add, 256, 4) {
  EACH(i, op.out[0]);
  store(op.out[0], i, load(op.in[0], i) + load(op.in[1], i));
}

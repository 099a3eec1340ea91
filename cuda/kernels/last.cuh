// last.cuh: what one of several blocks does once all have done their part, in the same launch: the one that comes last.
#pragma once

#include "prelude.cuh"

// last_of says whether the block is the last to come here of so many that share a counter. What the others wrote before is there for it then, and the
// counter is 0 again, as it is between launches. All threads of the block ask; dynamic shared memory is written over.
DEVICE bool last_of(const pio_op &op, int counter, int blocks) {
  int *count = (int *)op.scratch - PIO_COUNTERS + counter, *told = (int *)dynamic_shared();
  barrier(); // all have written, and read what lies where they are told
  if (thread_x() == 0) {
    fence();
    bool last = atomic_add(count, 1) == blocks - 1;
    if (last)
      *count = 0;
    fence();
    *told = last;
  }
  barrier();
  return *told != 0;
}

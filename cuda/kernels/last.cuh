// last.cuh: what one of several blocks does once all have done their part, in the same launch: the one that comes last.
#pragma once

#include "prelude.cuh"

// last_to_come adds to a counter, and says whether it has come to all then. What those who added before have written is there for the thread, which has seen its own
// block's threads write. The counter is 0 again, as it is between launches.
DEVICE bool last_to_come(const pio_op &op, int counter, int more, int all) {
  int *count = (int *)op.scratch - PIO_COUNTERS + counter;
  fence();
  bool last = atomic_add(count, more) == all - more;
  if (last)
    *count = 0;
  fence();
  return last;
}

// last_of says whether the block is the last to come here of so many that share a counter. What the others wrote before is there for it then. All threads
// of the block ask; dynamic shared memory is written over.
DEVICE bool last_of(const pio_op &op, int counter, int blocks) {
  int *told = (int *)dynamic_shared();
  barrier(); // all have written, and read what lies where they are told
  if (thread_x() == 0)
    *told = last_to_come(op, counter, 1, blocks);
  barrier();
  return *told != 0;
}

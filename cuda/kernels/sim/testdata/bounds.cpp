// bounds.cpp runs planted_bounds on memory of the heap, with or without its mistake, so that AddressSanitizer sees what it writes.
#include "sim/runtime/fibers.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

int main(int, char **argv) {
  pio_op op;
  memset(&op, 0, sizeof op);
  float *in = (float *)calloc(25, 4), *out = (float *)calloc(25, 4);
  op.in[0] = {(uint64_t)in, PIO_F32, 1, {25, 1, 1, 1}};
  op.out[0] = {(uint64_t)out, PIO_F32, 1, {25, 1, 1, 1}};
  op.p[0] = atoi(argv[1]);
  unsigned one[3] = {1, 1, 1};
  if (pio_sim_launch("planted_bounds", one, 32, 0, &op))
    puts(pio_sim_error());
  free(in);
  free(out);
}

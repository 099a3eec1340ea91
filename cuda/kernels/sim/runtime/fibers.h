// fibers.h: what the software driver needs of the machine that runs kernels.
#ifndef PIO_SIM_FIBERS_H
#define PIO_SIM_FIBERS_H

#include "op.h"

#include <stddef.h>

#pragma GCC visibility push(default)
extern "C" {

// pio_sim_launch runs a kernel to its end on the calling thread. 0, or else pio_sim_error says why not.
int pio_sim_launch(const char *kernel, const unsigned grid[3], unsigned threads, unsigned shared, const pio_op *op);
// pio_sim_error is what the calling thread's last launch failed with.
const char *pio_sim_error(void);
// pio_sim_has says whether there is such a kernel; pio_sim_threads how many threads its blocks may have.
int pio_sim_has(const char *kernel);
int pio_sim_threads(const char *kernel);
// pio_sim_modes sets how the freedom of the machine is used, for launches from now on. copies: 0 asynchronous copies are made as late as
// they may be, 1 at once, 2 one or the other. order: 0 warps and lanes in turn, otherwise the seed of a random order.
void pio_sim_modes(int copies, unsigned long long order);
}
#pragma GCC visibility pop

// pio_sim_bytes is how many its parameter has, which begins with a pio_op.
unsigned pio_sim_bytes(const char *kernel);

// For matrices.cpp. A product of a warp has registers a and b by register and lane, and where each lane has its four sums; what it loads is by
// register and lane as well.
struct pio_sim_product {
  float *d[32];
  unsigned a[4][32], b[2][32];
};
struct pio_sim_loaded { unsigned word[4][32]; };
void pio_sim_multiply(const pio_sim_product &);
void pio_sim_load_matrices(pio_sim_loaded &to, const void *const rows[32], bool trans);

// For warpgroups.cpp. pio_sim_park has a warp, all of whose lanes come, wait until ready says so; others run meanwhile. pio_sim_together has all lanes
// of a warp meet, and the last one do what they came for. pio_sim_hopper_begin and _end stand around each block.
struct pio_sim_place;
void pio_sim_park(pio_sim_place &, bool (*ready)(void *, unsigned), void *what, unsigned which);
void pio_sim_together(pio_sim_place &, void (*all)(void *const *lanes), void *mine);
int pio_sim_copies(); // as pio_sim_modes set it
unsigned pio_sim_roll(unsigned below);
size_t pio_sim_shared_offset(const void *at); // in the launch's shared memory
void pio_sim_hopper_begin();
void pio_sim_hopper_end();

// pio_sim_abandon is for who left a launch by a jump: its fibers are where they were.
void pio_sim_abandon();

#endif

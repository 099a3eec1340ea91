// shared_end.cpp: see shared_begin.cpp.
__thread __attribute__((aligned(64))) char pio_sim_shared_end[64];

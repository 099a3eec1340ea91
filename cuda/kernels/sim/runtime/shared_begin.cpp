// shared_begin.cpp and shared_end.cpp are linked before and after the kernels: what lies between their variables is the kernels' shared
// memory, a set for each thread of this process.
__thread __attribute__((aligned(64))) char pio_sim_shared_begin[64];

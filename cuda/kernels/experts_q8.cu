// experts_q8.cu: mixtures of experts in codes of 8 bits.
#include "experts.cuh"

EXPERTS(q8, PIO_L_Q8, 2)

// experts_q4.cu: mixtures of experts in codes of 4 bits.
#include "experts.cuh"

EXPERTS(q4, PIO_L_Q4, 1)

// experts_f16.cu: mixtures of experts in weights in f16.
#include "experts.cuh"

EXPERTS(f16, PIO_L_F16, 2)

// experts_f8.cu: mixtures of experts in 8-bit floats with factors.
#include "experts.cuh"

EXPERTS(f8, PIO_L_F8_F32, 1)

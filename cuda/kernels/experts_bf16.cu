// experts_bf16.cu: mixtures of experts in weights in bf16.
#include "experts.cuh"

EXPERTS(bf16, PIO_L_BF16, 2)

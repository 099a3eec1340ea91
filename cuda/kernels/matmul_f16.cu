// matmul_f16.cu: products with weights in f16.
#include "matmul.cuh"

MATMUL(f16, PIO_L_F16, 384, 2, 1)

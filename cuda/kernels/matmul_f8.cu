// matmul_f8.cu: products with 8-bit floats with factors.
#include "matmul.cuh"

MATMUL(f8, PIO_L_F8_F32, 256, 2, 2)

// matmul_q8.cu: products with codes of 8 bits.
#include "matmul.cuh"

MATMUL(q8, PIO_L_Q8, 256, 2, 2)

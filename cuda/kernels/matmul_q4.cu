// matmul_q4.cu: products with codes of 4 bits.
#include "matmul.cuh"

MATMUL(q4, PIO_L_Q4, 256, 2, 2)

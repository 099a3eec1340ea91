// matmul_bf16.cu: products with weights in bf16.
#include "matmul.cuh"

MATMUL(bf16, PIO_L_BF16, 384, 2, 1)
KERNEL(matmul_many_bf16_large, 256, 1) { matmul_many<Large<PIO_L_BF16>>(op); }
KERNEL(matmul_route_bf16_exact, 256, 2) { matmul_route<PIO_L_BF16, 3>(op); }
KERNEL(matmul_route_bf16_fast, 256, 2) { matmul_route<PIO_L_BF16, 1>(op); }

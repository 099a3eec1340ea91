// matmul_bf16_90a.cu: products of many rows with weights in bf16, on Hopper.
#include "warpgroups.cuh"

KERNEL_MAPPED(matmul_many_bf16_wide_exact, 384, 1) { matmul_wide<Wide<3, 64, 5>>(op, map); }
KERNEL_MAPPED(matmul_many_bf16_wide_64, 384, 1) { matmul_wide<Wide<1, 64, 8>>(op, map); }
KERNEL_MAPPED(matmul_many_bf16_wide_128, 384, 1) { matmul_wide<Wide<1, 128, 6>>(op, map); }
KERNEL_MAPPED(matmul_many_bf16_wide_192, 384, 1) { matmul_wide<Wide<1, 192, 5>>(op, map); }

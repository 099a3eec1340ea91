// matrix_map.h describes matrices in a device's memory to the copy engine of Hopper and later. Drivers since CUDA 12 can.
#ifndef PIO_MATRIX_MAP_H
#define PIO_MATRIX_MAP_H

#include <string.h>

#include "cuda.h"

// A row-major matrix of bf16, and the tiles of it that are copied. swizzle is a CUtensorMapSwizzle: with that of 128 bytes the 16-byte pieces of a
// tile's rows, which have as many, change places within eight rows.
typedef struct {
  uint64_t at, rows, cols;
  uint32_t tile_rows, tile_cols, swizzle;
} pio_matrix_map;

// pio_describe writes the 128 bytes that a kernel's launch is given. encode is the driver's cuTensorMapEncodeTiled. It needs no context.
static inline CUresult pio_describe(__typeof__(&cuTensorMapEncodeTiled) encode, const pio_matrix_map *m, void *to) {
  CUtensorMap map;
  cuuint64_t dims[2] = {m->cols, m->rows}, strides[1] = {2 * m->cols};
  cuuint32_t box[2] = {m->tile_cols, m->tile_rows}, steps[2] = {1, 1};
  CUresult refused = encode(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, (void *)m->at, dims, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
                            (CUtensorMapSwizzle)m->swizzle, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (!refused)
    memcpy(to, &map, sizeof map);
  return refused;
}

#endif

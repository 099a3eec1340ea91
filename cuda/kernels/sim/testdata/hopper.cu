// hopper.cu: what hopper.cuh has, by itself. p[0] is 0, or which of its mistakes a kernel makes, that the software machine must find.
#include "hopper.cuh"

// out (elements of the tile) = shared memory as a tile of the first map, from column p[1] and row p[2] on, has come to it. Mistakes: 1 it is not
// waited for, 2 fewer bytes are expected, 3 the copy engine is not told of the barrier, 4 two arrive where one should.
KERNEL_MAPPED(hopper_tile, 32, 1) {
  const int *p = op.p;
  int n = op.out[0].dim[0];
  mbarrier *b = (mbarrier *)(dynamic_shared() + n * 2);
  if (lane() == 0) {
    mbarrier_init(b, 1);
    if (p[0] != 3)
      async_fence();
  }
  warp_barrier();
  if (lane() == 0) {
    mbarrier_expect(b, p[0] == 2 ? n : n * 2);
    if (p[0] == 4)
      mbarrier_arrive(b);
    copy_tile(dynamic_shared(), map[0], p[1], p[2], b);
  }
  warp_barrier();
  if (p[0] != 1)
    mbarrier_wait(b, 0);
  for (int i = (int)lane(); i < n; i += 32) store(op.out[0], i, bf16_f32(((const unsigned short *)dynamic_shared())[i]));
  if (p[0] == 1)
    mbarrier_wait(b, 0);
}

enum { TILE = 64 * 64 * 2, TWO = 2 };

// product_step adds 64 x 16 of a (64 outs, cols) by columns first.. of a tile (64 rows, 64 columns, swizzled) to sums.
DEVICE void product_step(float (&sums)[32], unsigned (&a)[8], const unsigned short *of, int cols, const char *tile, int col, bool fenced) {
  int row = (int)(warp() % 4) * 16 + (int)lane() / 4, k = col + 2 * (int)(lane() % 4);
  UNROLL for (int i = 0; i < 4; i++) a[i] = *(const unsigned *)(of + (row + i % 2 * 8) * cols + k + i / 2 * 8), a[4 + i] = 0;
  if (fenced)
    warpgroup_fence(sums, a);
  warpgroup_product(sums, a, swizzled128(tile) + (unsigned)(col % 64 * 2 / 16));
}

DEVICE void put_sums(const pio_tensor &out, const float (&sums)[32]) {
  UNROLL for (int i = 0; i < 32; i++)
    store(out, ((int)(warp() % 4) * 16 + (int)lane() / 4 + i % 4 / 2 * 8) * 64 + i / 4 * 8 + 2 * (int)(lane() % 4) + i % 2, sums[i]);
}

// out (64, 64) = in (64, 64) by the transposed of the first map's (64, 64), all in bf16: one product after another. Mistakes: 1 no fence,
// 2 sums are read before they are waited for, 3 nothing is committed, 4 registers are used again before the wait, 5 a warp asks for nothing.
KERNEL_MAPPED(hopper_product, 128, 1) {
  int mistake = op.p[0];
  mbarrier *b = (mbarrier *)(dynamic_shared() + TILE);
  float sums[32];
  unsigned a[8];
  if (thread_x() == 0) {
    mbarrier_init(b, 1);
    async_fence();
    mbarrier_expect(b, TILE);
    copy_tile(dynamic_shared(), map[0], 0, 0, b);
  }
  barrier();
  mbarrier_wait(b, 0);
  UNROLL for (int i = 0; i < 32; i++) sums[i] = 0.0f;
  if (mistake == 5 && warp() == 2)
    return;
  for (int k = 0; k < 4; k++) {
    product_step(sums, a, at<unsigned short>(op.in[0]), 64, dynamic_shared(), 16 * k, mistake != 1);
    if (mistake != 3)
      warpgroup_commit();
    if (mistake != 2 && mistake != 4)
      warpgroup_wait<0>(sums);
  }
  if (mistake == 2)
    put_sums(op.out[0], sums);
  warpgroup_wait<0>(sums);
  if (mistake != 2)
    put_sums(op.out[0], sums);
}

// out (64, 64) = in (64, p[1]) by the transposed of the first map's (64, p[1]): tiles of 64 columns go through two stages, which the first warp
// has filled while a warpgroup multiplies. Mistakes: 1 what has not come is multiplied, 2 stages are filled that are still used, 3 they are given
// back before the products are done, 4 the phase is not turned.
KERNEL_MAPPED(hopper_stages, 256, 1) {
  int mistake = op.p[0], cols = op.p[1], tiles = cols / 64;
  mbarrier *full = (mbarrier *)(dynamic_shared() + TWO * TILE), *empty = full + TWO;
  if (thread_x() == 0) {
    for (int i = 0; i < TWO; i++) mbarrier_init(full + i, 1), mbarrier_init(empty + i, 4);
    async_fence();
  }
  barrier();
  if (warp() == 0) {
    for (int i = 0; i < tiles; i++) {
      if (mistake != 2)
        mbarrier_wait(empty + i % TWO, (unsigned)(i / TWO + 1) % 2);
      if (lane() == 0) {
        mbarrier_expect(full + i % TWO, TILE);
        copy_tile(dynamic_shared() + i % TWO * TILE, map[0], i * 64, 0, full + i % TWO);
      }
      warp_barrier();
    }
  } else if (warp() >= 4) {
    float sums[32];
    unsigned a[4][8];
    UNROLL for (int i = 0; i < 32; i++) sums[i] = 0.0f;
    for (int i = 0; i < tiles; i++) {
      if (mistake != 1)
        mbarrier_wait(full + i % TWO, mistake == 4 ? 0u : (unsigned)(i / TWO) % 2);
      if (mistake == 3 && i > 0)
        warpgroup_wait<0>(sums);
      UNROLL for (int k = 0; k < 4; k++)
        product_step(sums, a[k], at<unsigned short>(op.in[0]), cols, dynamic_shared() + i % TWO * TILE, i * 64 + 16 * k, true);
      warpgroup_commit();
      if (mistake != 3)
        warpgroup_wait<0>(sums);
      if (lane() == 0)
        mbarrier_arrive(empty + i % TWO);
    }
    warpgroup_wait<0>(sums);
    put_sums(op.out[0], sums);
  }
}

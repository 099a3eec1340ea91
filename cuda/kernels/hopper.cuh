// hopper.cuh is what kernels of a NAME_90a.cu need of Hopper beside prelude.cuh, once for a GPU and once for a CPU (sim/hopper.h): tiles that
// come to shared memory by themselves (TMA), barriers that count bytes, and products of matrices that four warps ask for together and that go
// on beside them (wgmma). The names follow NVIDIA's PTX manual, which says what each may and must.
#pragma once

#include "prelude.cuh"

// What a launch gives such a kernel: the op, and matrices in memory as the driver describes them to the copy engine (abi.go writes it).
enum { PIO_MAPS = 2 };
struct __attribute__((aligned(64))) pio_map { unsigned char opaque[128]; };
struct pio_mapped {
  pio_op op;
  pio_map map[PIO_MAPS];
};

#ifdef PIO_SIM
#include "sim/hopper.h"
#else

// KERNEL_MAPPED is KERNEL for these: what follows is given `op`, and `map` where the launch left it, since the copy engine reads it there and nowhere
// else. (A compiler that is asked for the address of a parameter copies it; clang 20 has an attribute against that.)
#define KERNEL_MAPPED(name, threads, blocks)                                                                                               \
  DEVICE void pio_mapped_##name(const pio_op &op, const pio_map *map);                                                                     \
  extern "C" __attribute__((global)) __attribute__((launch_bounds(threads, blocks))) void name(const pio_mapped given) {                   \
    const pio_mapped *there;                                                                                                               \
    __asm__("{\n\t.reg .b64 p;\n\tmov.b64 p, " #name "_param_0;\n\tcvta.param.u64 %0, p;\n\t}" : "=l"(there));                             \
    pio_mapped_##name(given.op, there->map);                                                                                               \
  }                                                                                                                                        \
  DEVICE void pio_mapped_##name(__attribute__((unused)) const pio_op &op, __attribute__((unused)) const pio_map *map)

// An mbarrier is 8 bytes of shared memory, with a phase that ends when as many have arrived as it was made for, and all bytes that were
// expected have come. Then the next begins. Made by one thread; all others, and the copy engine, know it after async_fence and barrier.
typedef unsigned long long mbarrier;
DEVICE void mbarrier_init(mbarrier *b, int arrivals) {
  __asm__ volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(shared_address(b)), "r"(arrivals) : "memory");
}
DEVICE void async_fence() { __asm__ volatile("fence.mbarrier_init.release.cluster;\n\tfence.proxy.async.shared::cta;" ::: "memory"); }
DEVICE void mbarrier_arrive(mbarrier *b) { __asm__ volatile("mbarrier.arrive.shared.b64 _, [%0];" ::"r"(shared_address(b)) : "memory"); }
// mbarrier_expect arrives, and has the phase wait for so many bytes besides.
DEVICE void mbarrier_expect(mbarrier *b, int bytes) {
  __asm__ volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(shared_address(b)), "r"(bytes) : "memory");
}
// mbarrier_wait waits until the phase of a parity, the first being 0, has ended: of one that has not begun the one before has. All lanes of a
// warp come.
DEVICE void mbarrier_wait(mbarrier *b, unsigned parity) {
  unsigned done;
  do {
    __asm__ volatile("{\n\t.reg .pred p;\n\tmbarrier.try_wait.parity.shared.b64 p, [%1], %2;\n\tselp.u32 %0, 1, 0, p;\n\t}"
                     : "=r"(done) : "r"(shared_address(b)), "r"(parity) : "memory");
  } while (!done);
}

// copy_tile copies the tile of a map that begins at a column and a row to shared memory; its bytes arrive at the barrier. What lies beyond the
// matrix is zeros, and counts. One thread.
DEVICE void copy_tile(void *to, const pio_map &map, int col, int row, mbarrier *b) {
  __asm__ volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];"
                   ::"r"(shared_address(to)), "l"(&map), "r"(col), "r"(row), "r"(shared_address(b)) : "memory");
}

// A product of a warpgroup: d, 64 x N sums in f32, gets a, 64 x 16 bf16 in registers, by the 16 x N of a tile, whose rows are N. The warps have
// 16 rows each. Of lane l, with g = l / 4, t = l % 4, a is as for mma_bf16; d[4 j], [4 j + 1] are row g, columns 8 j + 2 t, + 1, and [4 j + 2],
// [4 j + 3] are row g + 8. It goes on beside the warp: a and d must not be touched until a wait. Products with the same d follow one another.
//
//	warpgroup_fence(d, a)	before the first product, and after registers were written by something else
//	warpgroup_commit()	makes a group of the products so far
//	warpgroup_wait<M>(d)	until at most M groups are under way
#define PIO_F4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define PIO_F16(i) PIO_F4(i), PIO_F4(i + 4), PIO_F4(i + 8), PIO_F4(i + 12)
#define PIO_D32 PIO_F16(0), PIO_F16(16)
#define PIO_D64 PIO_D32, PIO_F16(32), PIO_F16(48)
#define PIO_D96 PIO_D64, PIO_F16(64), PIO_F16(80)
#define PIO_S32 "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define PIO_S64 PIO_S32 ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
#define PIO_S96 PIO_S64 ",%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95"
#define PIO_WARPGROUP(N, FLOATS, SUMS, D, A0, A1, A2, A3, B)                                                                               \
  DEVICE void warpgroup_product(float (&d)[FLOATS], const unsigned *a, unsigned long long tile) {                                          \
    __asm__ volatile("{\n\t.reg .pred p;\n\tsetp.eq.u32 p, 0, 0;\n\t"                                                                        \
                     "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32.bf16.bf16 {" SUMS "}, {%" #A0 ",%" #A1 ",%" #A2 ",%" #A3 "}, %" #B    \
                     ", p, 1, 1, 0;\n\t}"                                                                                                  \
                     : D : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(tile) : "memory");                                              \
  }                                                                                                                                        \
  DEVICE void warpgroup_fence(float (&d)[FLOATS], unsigned (&a)[8]) {                                                                      \
    __asm__ volatile("wgmma.fence.sync.aligned;"                                                                                           \
                     : D, "+r"(a[0]), "+r"(a[1]), "+r"(a[2]), "+r"(a[3]), "+r"(a[4]), "+r"(a[5]), "+r"(a[6]), "+r"(a[7])::"memory");       \
  }                                                                                                                                        \
  template <int M> DEVICE void warpgroup_wait(float (&d)[FLOATS]) {                                                                        \
    __asm__ volatile("wgmma.wait_group.sync.aligned %" #FLOATS ";" : D : "n"(M) : "memory");                                               \
  }
PIO_WARPGROUP(64, 32, PIO_S32, PIO_D32, 32, 33, 34, 35, 36)
PIO_WARPGROUP(128, 64, PIO_S64, PIO_D64, 64, 65, 66, 67, 68)
PIO_WARPGROUP(192, 96, PIO_S96, PIO_D96, 96, 97, 98, 99, 100)
DEVICE void warpgroup_commit() { __asm__ volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

// late is a number that the compiler makes use of here and not before, in a register that it would need meanwhile.
DEVICE int late(int v) {
  __asm__ volatile("" : "+r"(v));
  return v;
}
DEVICE float *late(float *p) {
  __asm__ volatile("" : "+l"(p));
  return p;
}

// How many registers a thread has from here on: all warps of a warpgroup say so, and what some give others may take.
template <int N> DEVICE void registers_take() { __asm__ volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N)); }
template <int N> DEVICE void registers_give() { __asm__ volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N)); }

#endif // PIO_SIM

// swizzled128 describes a tile of rows of 128 bytes in shared memory, whose 16-byte pieces the copy engine has turned within eight rows: 1024
// bytes from eight rows to the next; the tile begins at a multiple of 1024, its k at a multiple of 32 bytes of that.
DEVICE unsigned long long swizzled128(const void *tile) {
  return (unsigned long long)((shared_address(tile) & 0x3ffffu) >> 4) | 1ull << 16 | 64ull << 32 | 1ull << 62;
}

// prelude.cuh is all that a kernel needs of the machine it runs on, once for a GPU and once for a CPU (sim/device.h, which has every name
// below): a kernel is compiled by clang to PTX, and as C++ for the software driver, from the same text. Nothing here comes from a toolkit.
#pragma once

#include "op.h"

#ifdef PIO_SIM
#include "sim/device.h"
#else

#define DEVICE __attribute__((device)) static inline __attribute__((always_inline))
#define SHARED __attribute__((shared)) static
#define UNROLL _Pragma("unroll")
#define ROLLED _Pragma("nounroll")

// KERNEL(name, threads, blocks) begins a kernel of at most so many threads a block, of which a multiprocessor is to hold at least so many
// blocks: it bounds the registers. Its one parameter is `op`.
#define KERNEL(name, threads, blocks)                                                                                                      \
  extern "C" __attribute__((global)) __attribute__((launch_bounds(threads, blocks))) void name(const pio_op op)

// Where a thread is.
DEVICE unsigned thread_x() { return __nvvm_read_ptx_sreg_tid_x(); }
DEVICE unsigned threads_x() { return __nvvm_read_ptx_sreg_ntid_x(); }
DEVICE unsigned block_x() { return __nvvm_read_ptx_sreg_ctaid_x(); }
DEVICE unsigned block_y() { return __nvvm_read_ptx_sreg_ctaid_y(); }
DEVICE unsigned block_z() { return __nvvm_read_ptx_sreg_ctaid_z(); }
DEVICE unsigned blocks_x() { return __nvvm_read_ptx_sreg_nctaid_x(); }
DEVICE unsigned blocks_y() { return __nvvm_read_ptx_sreg_nctaid_y(); }
DEVICE unsigned lane() { return thread_x() & 31; }
DEVICE unsigned warp() { return thread_x() >> 5; }

// All threads of a block, of a warp. What was written before is seen after by those that met.
DEVICE void barrier() { __syncthreads(); }
DEVICE void warp_barrier() { __nvvm_bar_warp_sync(0xffffffffu); }

// Values of other lanes; all 32 take part.
DEVICE unsigned shuffle_xor(unsigned v, int mask) { return __nvvm_shfl_sync_bfly_i32(0xffffffffu, v, mask, 31); }
DEVICE int shuffle_xor(int v, int mask) { return __nvvm_shfl_sync_bfly_i32(0xffffffffu, v, mask, 31); }
DEVICE float shuffle_xor(float v, int mask) { return __nvvm_shfl_sync_bfly_f32(0xffffffffu, v, mask, 31); }
DEVICE unsigned shuffle(unsigned v, int from) { return __nvvm_shfl_sync_idx_i32(0xffffffffu, v, from, 31); }
DEVICE int shuffle(int v, int from) { return __nvvm_shfl_sync_idx_i32(0xffffffffu, v, from, 31); }
DEVICE float shuffle(float v, int from) { return __nvvm_shfl_sync_idx_f32(0xffffffffu, v, from, 31); }
DEVICE unsigned ballot(bool v) { return __nvvm_vote_ballot_sync(0xffffffffu, v); }

// The dynamic shared memory of the launch, aligned to 16 bytes.
extern "C" __attribute__((shared)) __attribute__((aligned(16))) char pio_dynamic_shared[];
DEVICE char *dynamic_shared() { return pio_dynamic_shared; }

// Copies of 16 bytes to shared memory that go on beside the thread: ordered into groups by commit; wait<N> waits until at most N groups of
// this thread's are under way. Others see them after a barrier. With on = false zeros are written and nothing is read.
DEVICE unsigned shared_address(const void *p) { return (unsigned)(unsigned long long)(__attribute__((address_space(3))) const char *)(const char *)p; }
DEVICE void copy16_async(void *to, const void *from, bool on = true) {
  __asm__ volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(on ? 16 : 0) : "memory");
}
DEVICE void copy_async_commit() { __asm__ volatile("cp.async.commit_group;" ::: "memory"); }
template <int N> DEVICE void copy_async_wait() { __asm__ volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }

// Matrices of 8 x 8 16-bit elements from shared memory: lane l gives the address of row l % 8 of matrix l / 8, 16 bytes, and gets of
// each matrix the elements 2 (l % 4), +1 of row l / 4; or, transposed, of column l / 4.
DEVICE void ldmatrix_x4(unsigned r[4], const void *row) {
  __asm__ volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(row)) : "memory");
}
DEVICE void ldmatrix_x4_trans(unsigned r[4], const void *row) {
  __asm__ volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(row)) : "memory");
}
// Two at once, from rows at two places.
DEVICE void ldmatrix_x4_two(unsigned r[4], const void *row, unsigned other[4], const void *other_row) { ldmatrix_x4(r, row), ldmatrix_x4(other, other_row); }

// mma_bf16 adds a product of 16 x 16 by 16 x 8 to 16 x 8 sums in f32. Of lane l with g = l / 4, t = l % 4, two elements a register, the
// lower half first: a[0] row g, columns 2t, +1; a[1] row g + 8; a[2] row g, columns 2t + 8, +9; a[3] row g + 8, the same;
// b[0] rows 2t, +1 of column g; b[1] rows 2t + 8, +9; d[0], d[1] row g, columns 2t, +1; d[2], d[3] row g + 8.
DEVICE void mma_bf16(float d[4], const unsigned a[4], const unsigned b[2]) {
  __asm__("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
          : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
          : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
// mma_bf16_later is the same where nobody reads or moves the sums before mma_known: lanes of the software driver meet there for all of them.
DEVICE void mma_bf16_later(float d[4], const unsigned a[4], const unsigned b[2]) { mma_bf16(d, a, b); }
DEVICE void mma_known() {}

// Arithmetic. exp2_fast, tanh_fast are the machine's approximations (2 units in the last place; 2^-11); sqrt and divisions are rounded to
// the nearest.
DEVICE float exp2_fast(float x) { float y; __asm__("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
DEVICE float log2_fast(float x) { float y; __asm__("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
DEVICE float tanh_fast(float x) { float y; __asm__("tanh.approx.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
DEVICE float square_root(float x) { return __nvvm_sqrt_rn_f(x); }
DEVICE float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); } // a b + c, rounded once
// once keeps the compiler from joining a product with a sum: a rounding that the specification has.
DEVICE float times(float a, float b) { float y; __asm__("mul.rn.f32 %0, %1, %2;" : "=f"(y) : "f"(a), "f"(b)); return y; }
DEVICE float plus(float a, float b) { float y; __asm__("add.rn.f32 %0, %1, %2;" : "=f"(y) : "f"(a), "f"(b)); return y; }
DEVICE float bits_f32(unsigned b) { return __builtin_bit_cast(float, b); }
DEVICE unsigned f32_bits(float f) { return __builtin_bit_cast(unsigned, f); }
// pack_bf16 rounds two numbers to bf16, to the nearest, ties to even; lower is the lower half.
DEVICE unsigned pack_bf16(float lower, float upper) {
  unsigned y;
  __asm__("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(upper), "f"(lower));
  return y;
}
// fused_bf16 is fused of two bf16 in a register, each rounded once.
DEVICE unsigned fused_bf16(unsigned a, unsigned b, unsigned c) {
  unsigned y;
  __asm__("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(y) : "r"(a), "r"(b), "r"(c));
  return y;
}
// pick_bytes makes a number of bytes of two: each half byte of which, the lowest first, says which of the four of low and the four of high; with 8
// it is eight times that one's highest bit.
DEVICE unsigned pick_bytes(unsigned low, unsigned high, unsigned which) { return __nvvm_prmt(low, high, which); }
// f16_f32 widens an f16.
DEVICE float f16_f32(unsigned short h) {
  float y;
  __asm__("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(h));
  return y;
}

// Loads of weights, which are read once: they leave no trace in the first cache. Aligned to their size.
struct words2 { unsigned x, y; };
struct words4 { unsigned x, y, z, w; };
DEVICE words4 load_once16(const void *p) {
  words4 v;
  __asm__ volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
  return v;
}
DEVICE words2 load_once8(const void *p) {
  words2 v;
  __asm__ volatile("ld.global.nc.L1::no_allocate.v2.u32 {%0,%1}, [%2];" : "=r"(v.x), "=r"(v.y) : "l"(p));
  return v;
}
DEVICE unsigned load_once4(const void *p) {
  unsigned v;
  __asm__ volatile("ld.global.nc.L1::no_allocate.u32 %0, [%1];" : "=r"(v) : "l"(p));
  return v;
}

// load_global reads what other loads of the block may want, too.
template <class T> DEVICE T load_global(const void *p) { return *(const __attribute__((address_space(1))) T *)p; }

// address is where element i of so many bytes is, in one instruction; high_product the upper half of a product. What clang makes of C for them is longer.
DEVICE const char *address(const void *of, int i, int bytes) {
  const char *p;
  __asm__("mad.wide.s32 %0, %1, %2, %3;" : "=l"(p) : "r"(i), "r"(bytes), "l"(of));
  return p;
}
DEVICE unsigned high_product(unsigned a, unsigned b) {
  unsigned y;
  __asm__("mul.hi.u32 %0, %1, %2;" : "=r"(y) : "r"(a), "r"(b));
  return y;
}

// fence orders this thread's writes before what others that see a later write of its read.
DEVICE void fence() { __nvvm_membar_gl(); }
DEVICE int atomic_add(int *at, int n) { return __atomic_fetch_add(at, n, __ATOMIC_RELAXED); }

#endif // PIO_SIM

// ---- for both

DEVICE float bf16_f32(unsigned short b) { return bits_f32((unsigned)b << 16); }
DEVICE float bf16_lower(unsigned pair) { return bits_f32(pair << 16); }
DEVICE float bf16_upper(unsigned pair) { return bits_f32(pair & 0xffff0000u); }
DEVICE unsigned short f32_bf16(float f) { return (unsigned short)(pack_bf16(f, 0.0f) & 0xffffu); }

// exponential is e^x to some 3 units in the last place for |x| < 88: 2^(x log2 e) with the product in two parts.
DEVICE float exponential(float x) {
  float whole = times(x, 1.44269504f);
  float rest = fused(x, 1.44269504f, -whole);
  return times(exp2_fast(whole), fused(fused(x, 1.92596299e-8f, rest), 0.693147181f, 1.0f));
}

template <class T> DEVICE T *at(const pio_tensor &t) { return (T *)t.at; }
template <class T> DEVICE const T *plane(const pio_matrix &m, int i) { return (const T *)m.plane[i]; }

// load reads element i of a tensor in f32 or bf16; store writes one, rounded. Kernels on the way of every token have a form for each type
// instead.
DEVICE float load(const pio_tensor &t, long long i) { return t.type == PIO_F32 ? at<float>(t)[i] : bf16_f32(at<unsigned short>(t)[i]); }
DEVICE void store(const pio_tensor &t, long long i, float f) {
  if (t.type == PIO_F32)
    at<float>(t)[i] = f;
  else
    at<unsigned short>(t)[i] = f32_bf16(f);
}
DEVICE long long length(const pio_tensor &t) { return (long long)t.dim[0] * t.dim[1] * t.dim[2] * t.dim[3]; }

// Sums and maxima over a warp: every lane gets the same bits, in an order that the lanes' numbers fix.
DEVICE float warp_sum(float v) {
  UNROLL for (int m = 16; m > 0; m /= 2) v += shuffle_xor(v, m);
  return v;
}
DEVICE float warp_max(float v) {
  UNROLL for (int m = 16; m > 0; m /= 2) { float o = shuffle_xor(v, m); v = o > v ? o : v; }
  return v;
}

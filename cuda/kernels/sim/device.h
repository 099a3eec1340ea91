// device.h is prelude.cuh for a CPU: every name that a kernel has of its machine, so that g++ makes of the same text something that can be
// run, stopped in a debugger and given to AddressSanitizer. runtime/fibers.cpp runs it: a thread of CUDA is a fiber, which goes on until it
// meets others.
//
// What a GPU leaves undefined is refused here: lanes of a warp that meet in different places, a lane that asks one which has returned, an
// address that is not aligned. Threads that have returned are not waited for, as on a GPU.
#pragma once

#include <math.h>
#include <stdint.h>
#include <string.h>

#define DEVICE static inline __attribute__((unused))
#define SHARED static thread_local
#define UNROLL
#define ROLLED

// Where the fiber that runs is. Everything else of the machine is in runtime/fibers.cpp.
struct pio_sim_place {
  unsigned thread, threads;
  unsigned block[3], blocks[3];
  char *dynamic;
  unsigned shared; // bytes of that
  void *machine;
};
extern __thread pio_sim_place pio_sim_here;

typedef void (*pio_sim_body)(const pio_op &);
struct pio_sim_kernel {
  pio_sim_kernel(const char *name, pio_sim_body body, int threads, unsigned bytes = sizeof(pio_op)); // of its parameter
};

#define KERNEL(name, threads, blocks)                                                                                                      \
  static void pio_sim_##name(const pio_op &op);                                                                                            \
  static pio_sim_kernel pio_sim_known_##name(#name, pio_sim_##name, threads);                                                              \
  static void pio_sim_##name(__attribute__((unused)) const pio_op &op)

// What lanes do together.
void pio_sim_barrier(pio_sim_place &);
void pio_sim_warp_barrier(pio_sim_place &);
unsigned pio_sim_shuffle(pio_sim_place &, unsigned v, unsigned from);
unsigned pio_sim_ballot(pio_sim_place &, bool v);
void pio_sim_ldmatrix(pio_sim_place &, unsigned r[4], const void *row, bool trans);
void pio_sim_ldmatrix_two(pio_sim_place &, unsigned r[4], const void *row, unsigned other[4], const void *other_row);
void pio_sim_mma_later(pio_sim_place &, float d[4], const unsigned a[4], const unsigned b[2]);
void pio_sim_mma_known(pio_sim_place &);
void pio_sim_copy16(pio_sim_place &, void *to, const void *from, bool on);
void pio_sim_copy_commit(pio_sim_place &);
void pio_sim_copy_wait(pio_sim_place &, int left);
// What the kernel does that a GPU would not forgive: the launch ends with this reason.
[[noreturn]] void pio_sim_fault(const char *format, ...) __attribute__((format(printf, 1, 2)));

DEVICE unsigned thread_x() { return pio_sim_here.thread; }
DEVICE unsigned threads_x() { return pio_sim_here.threads; }
DEVICE unsigned block_x() { return pio_sim_here.block[0]; }
DEVICE unsigned block_y() { return pio_sim_here.block[1]; }
DEVICE unsigned block_z() { return pio_sim_here.block[2]; }
DEVICE unsigned blocks_x() { return pio_sim_here.blocks[0]; }
DEVICE unsigned blocks_y() { return pio_sim_here.blocks[1]; }
DEVICE unsigned lane() { return thread_x() & 31; }
DEVICE unsigned warp() { return thread_x() >> 5; }

DEVICE void barrier() { pio_sim_barrier(pio_sim_here); }
DEVICE void warp_barrier() { pio_sim_warp_barrier(pio_sim_here); }

DEVICE unsigned shuffle(unsigned v, int from) { return pio_sim_shuffle(pio_sim_here, v, (unsigned)from & 31); }
DEVICE int shuffle(int v, int from) { return (int)shuffle((unsigned)v, from); }
DEVICE float shuffle(float v, int from) {
  unsigned bits;
  memcpy(&bits, &v, 4);
  bits = shuffle(bits, from);
  memcpy(&v, &bits, 4);
  return v;
}
template <class T> DEVICE T shuffle_xor(T v, int mask) { return shuffle(v, (int)(lane() ^ (unsigned)mask)); }
DEVICE unsigned ballot(bool v) { return pio_sim_ballot(pio_sim_here, v); }

DEVICE char *dynamic_shared() { return pio_sim_here.dynamic; }

DEVICE void copy16_async(void *to, const void *from, bool on = true) { pio_sim_copy16(pio_sim_here, to, from, on); }
DEVICE void copy_async_commit() { pio_sim_copy_commit(pio_sim_here); }
template <int N> DEVICE void copy_async_wait() { pio_sim_copy_wait(pio_sim_here, N); }

DEVICE void ldmatrix_x4(unsigned r[4], const void *row) { pio_sim_ldmatrix(pio_sim_here, r, row, false); }
DEVICE void ldmatrix_x4_trans(unsigned r[4], const void *row) { pio_sim_ldmatrix(pio_sim_here, r, row, true); }
DEVICE void ldmatrix_x4_two(unsigned r[4], const void *row, unsigned other[4], const void *other_row) { pio_sim_ldmatrix_two(pio_sim_here, r, row, other, other_row); }
DEVICE void mma_bf16_later(float d[4], const unsigned a[4], const unsigned b[2]) { pio_sim_mma_later(pio_sim_here, d, a, b); }
DEVICE void mma_known() { pio_sim_mma_known(pio_sim_here); }
DEVICE void mma_bf16(float d[4], const unsigned a[4], const unsigned b[2]) { mma_bf16_later(d, a, b), mma_known(); }

// The machine's approximations take no numbers below the normal ones and give none.
DEVICE float pio_sim_flush(float x) { return fabsf(x) < 1.17549435e-38f ? copysignf(0.0f, x) : x; }
DEVICE float exp2_fast(float x) { return pio_sim_flush(exp2f(pio_sim_flush(x))); }
DEVICE float log2_fast(float x) { return log2f(pio_sim_flush(x)); }
DEVICE float tanh_fast(float x) { return tanhf(x); }
DEVICE float square_root(float x) { return sqrtf(x); }
DEVICE float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
// The compiler is told to join no products with sums (-ffp-contract=off).
DEVICE float times(float a, float b) { return a * b; }
DEVICE float plus(float a, float b) { return a + b; }
DEVICE float bits_f32(unsigned b) {
  float f;
  memcpy(&f, &b, 4);
  return f;
}
DEVICE unsigned f32_bits(float f) {
  unsigned b;
  memcpy(&b, &f, 4);
  return b;
}
DEVICE unsigned pio_sim_bf16(float f) {
  unsigned b = f32_bits(f);
  return f != f ? 0x7fffu : (b + 0x7fffu + (b >> 16 & 1)) >> 16;
}
DEVICE unsigned pack_bf16(float lower, float upper) { return pio_sim_bf16(lower) | pio_sim_bf16(upper) << 16; }
DEVICE unsigned fused_bf16(unsigned a, unsigned b, unsigned c) { // a product of two bf16 is exact in f32, a sum in double
  unsigned y = 0;
  for (int i = 0; i < 32; i += 16) {
    double sum = (double)(bits_f32(a >> i << 16) * bits_f32(b >> i << 16)) + (double)bits_f32(c >> i << 16);
    float f = (float)sum;
    if (sum == sum && (double)f != sum) // round to odd, so that the second rounding is as if it were the only one
      f = bits_f32((fabs((double)f) > fabs(sum) ? f32_bits(f) - 1 : f32_bits(f)) | 1u);
    y |= pio_sim_bf16(f) << i;
  }
  return y;
}
template <class T> DEVICE T load_global(const void *p) {
  if ((uintptr_t)p % sizeof(T) != 0)
    pio_sim_fault("a load of %u bytes at %p, which is not aligned", (unsigned)sizeof(T), p);
  return *(const T *)p;
}
DEVICE const char *address(const void *of, int i, int bytes) { return (const char *)of + (long long)i * bytes; }
DEVICE unsigned high_product(unsigned a, unsigned b) { return (unsigned)((unsigned long long)a * b >> 32); }
DEVICE unsigned pick_bytes(unsigned low, unsigned high, unsigned which) {
  unsigned long long both = (unsigned long long)high << 32 | low;
  unsigned y = 0;
  for (int i = 0; i < 4; i++) {
    unsigned picked = (unsigned)(both >> 8 * (which >> 4 * i & 7) & 255);
    y |= (which >> 4 * i & 8 ? (picked & 128) / 128 * 255 : picked) << 8 * i;
  }
  return y;
}
DEVICE float f16_f32(unsigned short h) {
  unsigned sign = (h & 0x8000u) << 16, exponent = h >> 10 & 31, fraction = h & 0x3ffu;
  if (exponent == 0)
    return bits_f32(sign | f32_bits((float)fraction * 5.9604644775390625e-8f)); // units of 2^-24
  return bits_f32(sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | fraction << 13);
}

struct words2 { unsigned x, y; };
struct words4 { unsigned x, y, z, w; };
template <class T> DEVICE T pio_sim_load(const void *p) {
  if ((uintptr_t)p % sizeof(T))
    pio_sim_fault("reads %zu bytes from %p, which is not aligned", sizeof(T), p);
  T v;
  memcpy(&v, p, sizeof v);
  return v;
}
DEVICE words4 load_once16(const void *p) { return pio_sim_load<words4>(p); }
DEVICE words2 load_once8(const void *p) { return pio_sim_load<words2>(p); }
DEVICE unsigned load_once4(const void *p) { return pio_sim_load<unsigned>(p); }

DEVICE void fence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
DEVICE int atomic_add(int *at, int n) { return __atomic_fetch_add(at, n, __ATOMIC_RELAXED); }

// hopper.h is hopper.cuh for a CPU: every name that it has, done by runtime/warpgroups.cpp. What a GPU leaves undefined is refused: a tile that
// is read before it has come, registers that a product still has or that no fence was told of, a barrier that more arrive at than it waits for,
// warps of a warpgroup that ask for different products, copies and products that a block does not wait for.
#pragma once

#define KERNEL_MAPPED(name, threads, blocks)                                                                                               \
  static void pio_mapped_##name(const pio_op &op, const pio_map *map);                                                                     \
  static void pio_sim_##name(const pio_op &op) { pio_mapped_##name(op, reinterpret_cast<const pio_mapped &>(op).map); }                    \
  static pio_sim_kernel pio_sim_known_##name(#name, pio_sim_##name, threads, sizeof(pio_mapped));                                          \
  static void pio_mapped_##name(__attribute__((unused)) const pio_op &op, __attribute__((unused)) const pio_map *map)

typedef unsigned long long mbarrier;
void pio_sim_mbarrier_init(pio_sim_place &, mbarrier *, int arrivals);
void pio_sim_mbarrier_arrive(pio_sim_place &, mbarrier *, int bytes);
void pio_sim_mbarrier_wait(pio_sim_place &, mbarrier *, unsigned parity);
void pio_sim_async_fence(pio_sim_place &);
void pio_sim_copy_tile(pio_sim_place &, void *to, const pio_map &, int col, int row, mbarrier *);

// What a lane asks of its warpgroup.
struct pio_sim_asked {
  enum What { FENCE, PRODUCT, COMMIT, WAIT } what;
  float *d;
  int floats;
  const unsigned *a;
  unsigned long long tile;
  int left; // groups
};
void pio_sim_warpgroup(pio_sim_place &, pio_sim_asked);

DEVICE void mbarrier_init(mbarrier *b, int arrivals) { pio_sim_mbarrier_init(pio_sim_here, b, arrivals); }
DEVICE void mbarrier_arrive(mbarrier *b) { pio_sim_mbarrier_arrive(pio_sim_here, b, 0); }
DEVICE void mbarrier_expect(mbarrier *b, int bytes) { pio_sim_mbarrier_arrive(pio_sim_here, b, bytes); }
DEVICE void mbarrier_wait(mbarrier *b, unsigned parity) { pio_sim_mbarrier_wait(pio_sim_here, b, parity); }
DEVICE void async_fence() { pio_sim_async_fence(pio_sim_here); }
DEVICE void copy_tile(void *to, const pio_map &map, int col, int row, mbarrier *b) { pio_sim_copy_tile(pio_sim_here, to, map, col, row, b); }

// Shared memory begins at 0 for descriptions, as on a GPU, and at a multiple of 1024 of this process.
DEVICE unsigned shared_address(const void *p) { return (unsigned)((const char *)p - pio_sim_here.dynamic); }

template <int FLOATS> DEVICE void warpgroup_product(float (&d)[FLOATS], const unsigned *a, unsigned long long tile) {
  pio_sim_warpgroup(pio_sim_here, {pio_sim_asked::PRODUCT, d, FLOATS, a, tile, 0});
}
template <int FLOATS> DEVICE void warpgroup_fence(float (&d)[FLOATS], unsigned (&a)[8]) {
  pio_sim_warpgroup(pio_sim_here, {pio_sim_asked::FENCE, d, FLOATS, a, 0, 0});
}
DEVICE void warpgroup_commit() { pio_sim_warpgroup(pio_sim_here, {pio_sim_asked::COMMIT, nullptr, 0, nullptr, 0, 0}); }
template <int M, int FLOATS> DEVICE void warpgroup_wait(float (&d)[FLOATS]) {
  pio_sim_warpgroup(pio_sim_here, {pio_sim_asked::WAIT, d, FLOATS, nullptr, 0, M});
}
template <class T> DEVICE T late(T v) { return v; }
template <int N> DEVICE void registers_take() {}
template <int N> DEVICE void registers_give() {}

// warpgroups.cpp does what hopper.cuh asks for, as late as it may be done: a tile comes when somebody waits for its barrier, a product is made when
// its warp waits for it; or, as fibers.h says of copies, tiles come at once (what is still read is then overwritten), or either by chance.
//
// Kept here: a product adds each element's 16 products to its sum in the order of k, in double, and rounds once, as mma does in matrices.cpp, so
// that both give the same bits.
#include "driver.h"
#include "../device.h"
#include "../../hopper.cuh"

#include <string.h>

#include <vector>

namespace {

// ---- maps

// Described is what a map has in its bytes: here whatever we like, since only the driver writes them and only the copy engine reads them.
struct Described {
  uint64_t mark, at, cols, rows, stride; // of 2-byte elements, of rows; bytes from a row to the next
  uint32_t tile_cols, tile_rows, swizzle; // 16-byte pieces that change places: 0, 2, 4, 8
};
enum : uint64_t { MARK = 0x70616d5f6f6970 };

// swizzled moves a byte of shared memory to where the copy engine puts it: of the address bits that say which 16-byte piece of 128 bytes it is in,
// as many as the swizzle turns are changed by those that say which 128 bytes.
size_t swizzled(size_t at, unsigned pieces) { return pieces ? at ^ ((at >> 7 & (pieces - 1)) << 4) : at; }

struct Tile { // on its way
  Described map;
  int col, row;
  char *to;
  mbarrier *barrier;
};

// ---- barriers: 20 bits that are still to arrive, 20 that arrive in a phase, the phase, 21 of bytes to come, the mark of one that was made

enum : unsigned long long { COUNT = (1u << 20) - 1, MADE = 1ull << 62, MADE_MASK = 3ull << 62 };

struct Barrier {
  unsigned pending, arrivals, phase;
  int bytes;
};
Barrier read(const mbarrier *b) {
  unsigned long long w = *b;
  if ((w & MADE_MASK) != MADE)
    pio_sim_fault("uses an mbarrier that was not made");
  return {(unsigned)(w & COUNT), (unsigned)(w >> 20 & COUNT), (unsigned)(w >> 40 & 1), (int)((long long)(w << 2) >> 43)};
}
void write(mbarrier *b, Barrier v) {
  if (v.pending == 0 && v.bytes == 0)
    v.phase ^= 1, v.pending = v.arrivals;
  *b = v.pending | (unsigned long long)v.arrivals << 20 | (unsigned long long)v.phase << 40 | ((unsigned long long)v.bytes & 0x1fffff) << 41 | MADE;
}

// ---- products

struct Product {
  float *d[32];
  const unsigned *a[32];
  int floats;
  unsigned long long tile;
};

// Lanes is what a warp's fence was told of, and what its products have made of it since.
struct Lanes {
  std::vector<float> d[32];
  unsigned a[32][8];
  const unsigned *at[32];
  const float *of[32];
};

struct Warp {
  std::vector<Product> pending; // asked for and not made
  std::vector<size_t> groups;   // where each ends
  Lanes fenced;
  bool fence = false;
  unsigned long long asked = 0, which = 0; // how many products in this block, and a digest of them
};

struct Hopper {
  std::vector<Tile> tiles;
  std::vector<std::pair<mbarrier *, unsigned>> made; // and by which thread, without a fence since
  Warp warps[32];
  bool used = false;
};
thread_local Hopper hopper;

void arrive(Tile &t) {
  int bytes = (int)(t.map.tile_cols * 2), n = bytes * (int)t.map.tile_rows;
  size_t begin = pio_sim_shared_offset(t.to);
  for (int r = 0; r < (int)t.map.tile_rows; r++) {
    long long row = (long long)t.row + r;
    for (int b = 0; b < bytes; b += 2) {
      long long col = (long long)t.col + b / 2;
      bool in = row >= 0 && row < (long long)t.map.rows && col >= 0 && col < (long long)t.map.cols;
      char *to = t.to - begin + swizzled(begin + (size_t)(r * bytes + b), t.map.swizzle);
      if (in)
        memcpy(to, (const char *)t.map.at + row * (long long)t.map.stride + col * 2, 2);
      else
        memset(to, 0, 2);
    }
  }
  Barrier b = read(t.barrier);
  b.bytes -= n;
  write(t.barrier, b);
}

// ended lets come what is on its way to a barrier, and says whether the phase of a parity is over.
bool ended(void *barrier, unsigned parity) {
  for (size_t i = 0; i < hopper.tiles.size();)
    if (hopper.tiles[i].barrier == barrier) {
      Tile t = hopper.tiles[i];
      hopper.tiles.erase(hopper.tiles.begin() + (long)i);
      arrive(t);
    } else
      i++;
  return read((mbarrier *)barrier).phase != parity;
}

// Operand is the 16 x N of a description, by k.
struct Operand {
  alignas(64) double of[16][256];
};

// operand reads it, in pieces of 16 bytes, which stay together however a tile lies.
void operand(const Product &p, const char *dynamic, unsigned shared, Operand &b) {
  static const unsigned pieces[] = {0, 8, 4, 2}; // by the description's two highest bits
  unsigned swizzle = pieces[p.tile >> 62];
  size_t start = (size_t)(p.tile & 0x3fff) << 4, across = (size_t)(p.tile >> 16 & 0x3fff) << 4, down = (size_t)(p.tile >> 32 & 0x3fff) << 4;
  size_t pitch = swizzle ? swizzle * 16 : 16, next = swizzle ? 16 : across;
  for (int r = 0; r < 2 * p.floats; r++)
    for (int half = 0; half < 2; half++) {
      size_t at = swizzled(start + (size_t)(r / 8) * down + (size_t)(r % 8) * pitch + (size_t)half * next, swizzle);
      if (at + 16 > shared)
        pio_sim_fault("multiplies with a tile that ends behind the %u bytes of shared memory", shared);
      unsigned short v[8];
      memcpy(v, dynamic + at, 16);
      for (int k = 0; k < 8; k++) b.of[8 * half + k][r] = bits_f32((unsigned)v[k] << 16);
    }
}

typedef double eight __attribute__((vector_size(64)));

// multiply_row adds to eight sums of a row after another: for each k a number of the row times eight of the operand.
__attribute__((always_inline)) inline void multiply_row(double *d, const double a[16], const Operand &b, int n) {
  for (int i = 0; i < n; i += 8) {
    eight sum, right;
    memcpy(&sum, d + i, sizeof sum);
    for (int k = 0; k < 16; k++) {
      memcpy(&right, &b.of[k][i], sizeof right);
      sum += a[k] * right;
    }
    memcpy(d + i, &sum, sizeof sum);
  }
}
void multiply_plain(double *d, const double a[16], const Operand &b, int n) { multiply_row(d, a, b, n); }
#if defined(__x86_64__)
__attribute__((target("avx2,fma"), optimize("fp-contract=fast"))) void multiply_avx2(double *d, const double a[16], const Operand &b, int n) { multiply_row(d, a, b, n); }
__attribute__((target("avx512f"), optimize("fp-contract=fast"))) void multiply_avx512(double *d, const double a[16], const Operand &b, int n) { multiply_row(d, a, b, n); }
void (*const multiply)(double *, const double *, const Operand &, int) = [] {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512f") ? multiply_avx512 : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? multiply_avx2 : multiply_plain;
}();
#else
void (*const multiply)(double *, const double *, const Operand &, int) = multiply_plain;
#endif

float half(unsigned word, int upper) { return bits_f32(upper ? word & 0xffff0000u : word << 16); }

void make(Warp &w, const Product &p) {
  thread_local Operand b;
  double a[16], d[256];
  operand(p, pio_sim_here.dynamic, pio_sim_here.shared, b);
  int n = 2 * p.floats;
  for (int row = 0; row < 16; row++) {
    int first = row % 8 * 4, upper = row / 8;
    for (int k = 0; k < 16; k++) a[k] = half(p.a[first + k % 8 / 2][upper + 2 * (k / 8)], k % 2);
    for (int i = 0; i < n; i++) d[i] = p.d[first + i % 8 / 2][i / 8 * 4 + 2 * upper + i % 2];
    multiply(d, a, b, n);
    for (int i = 0; i < n; i++) p.d[first + i % 8 / 2][i / 8 * 4 + 2 * upper + i % 2] = (float)d[i];
  }
  for (int l = 0; l < 32; l++) w.fenced.d[l].assign(p.d[l], p.d[l] + p.floats), w.fenced.of[l] = p.d[l];
}

void fence(Warp &w, pio_sim_asked *const *lanes) {
  w.fence = true;
  for (int l = 0; l < 32; l++) {
    memcpy(w.fenced.a[l], lanes[l]->a, 32);
    w.fenced.at[l] = lanes[l]->a;
    if (w.pending.empty())
      w.fenced.d[l].assign(lanes[l]->d, lanes[l]->d + lanes[l]->floats), w.fenced.of[l] = lanes[l]->d;
  }
}

void product(Warp &w, pio_sim_asked *const *lanes) {
  Product p;
  p.floats = lanes[0]->floats, p.tile = lanes[0]->tile;
  for (int l = 0; l < 32; l++) {
    const pio_sim_asked &q = *lanes[l];
    long from = q.a - w.fenced.at[l];
    bool told = w.fence && from >= 0 && from <= 4 && !memcmp(q.a, w.fenced.a[l] + from, 16);
    if (told && w.pending.empty())
      told = w.fenced.of[l] == q.d && w.fenced.d[l].size() == (size_t)q.floats && !memcmp(q.d, w.fenced.d[l].data(), 4 * (size_t)q.floats);
    if (!told)
      pio_sim_fault("a product has registers that were written and no fence was told of since");
    if (q.tile != p.tile)
      pio_sim_fault("lanes of a warp multiply with different tiles");
    p.d[l] = q.d, p.a[l] = q.a;
  }
  w.asked++;
  w.which = (w.which ^ p.tile ^ (unsigned long long)p.floats << 50) * 0x9e3779b97f4a7c15ull;
  if (w.pending.empty() && pio_sim_copies() == 2 && pio_sim_roll(2))
    make(w, p);
  else
    w.pending.push_back(p);
}

void wait(Warp &w, size_t left) {
  if (w.groups.size() <= left)
    return;
  size_t done = w.groups.size() - left, end = w.groups[done - 1];
  for (size_t i = 0; i < end; i++) make(w, w.pending[i]);
  w.pending.erase(w.pending.begin(), w.pending.begin() + (long)end);
  w.groups.erase(w.groups.begin(), w.groups.begin() + (long)done);
  for (size_t &g : w.groups) g -= end;
}

void all_asked(void *const *given) {
  pio_sim_asked *const *lanes = (pio_sim_asked *const *)given;
  unsigned n = pio_sim_here.thread / 32;
  if (n / 4 * 128 + 128 > pio_sim_here.threads)
    pio_sim_fault("asks for a product of a warpgroup, whose four warps the block does not have");
  Warp &w = hopper.warps[n];
  hopper.used = true;
  for (int l = 1; l < 32; l++)
    if (lanes[l]->what != lanes[0]->what || lanes[l]->left != lanes[0]->left)
      pio_sim_fault("lanes of a warp ask their warpgroup for different things");
  switch (lanes[0]->what) {
  case pio_sim_asked::FENCE: return fence(w, lanes);
  case pio_sim_asked::PRODUCT: return product(w, lanes);
  case pio_sim_asked::COMMIT: w.groups.push_back(w.pending.size()); return;
  case pio_sim_asked::WAIT: return wait(w, (size_t)lanes[0]->left);
  }
}

} // namespace

size_t pio_sim_shared_offset(const void *at) {
  const char *p = (const char *)at;
  if (p < pio_sim_here.dynamic || p >= pio_sim_here.dynamic + pio_sim_here.shared)
    pio_sim_fault("uses %p, which is not in the launch's shared memory", at);
  return (size_t)(p - pio_sim_here.dynamic);
}

void pio_sim_mbarrier_init(pio_sim_place &here, mbarrier *b, int arrivals) {
  if (pio_sim_shared_offset(b) % 8 || arrivals < 1 || (unsigned)arrivals > COUNT)
    pio_sim_fault("makes an mbarrier of %d arrivals at %p", arrivals, (void *)b);
  write(b, {(unsigned)arrivals, (unsigned)arrivals, 0, 0});
  hopper.used = true;
  hopper.made.emplace_back(b, here.thread);
}

void pio_sim_async_fence(pio_sim_place &here) {
  for (size_t i = hopper.made.size(); i-- > 0;)
    if (hopper.made[i].second == here.thread)
      hopper.made.erase(hopper.made.begin() + (long)i);
}

void pio_sim_mbarrier_arrive(pio_sim_place &, mbarrier *at, int bytes) {
  pio_sim_shared_offset(at);
  Barrier b = read(at);
  if (b.pending == 0)
    pio_sim_fault("arrives at an mbarrier where all %u have arrived in this phase", b.arrivals);
  b.bytes += bytes, b.pending--;
  write(at, b);
}

void pio_sim_mbarrier_wait(pio_sim_place &here, mbarrier *b, unsigned parity) {
  pio_sim_shared_offset(b);
  pio_sim_park(here, ended, b, parity);
}

void pio_sim_copy_tile(pio_sim_place &, void *to, const pio_map &map, int col, int row, mbarrier *barrier) {
  Tile t;
  memcpy(&t.map, map.opaque, sizeof t.map);
  t.col = col, t.row = row, t.to = (char *)to, t.barrier = barrier;
  if (t.map.mark != MARK)
    pio_sim_fault("copies a tile of a map that the driver did not describe");
  size_t begin = pio_sim_shared_offset(to), bytes = (size_t)t.map.tile_cols * t.map.tile_rows * 2;
  if (begin % 128 || begin + bytes > pio_sim_here.shared)
    pio_sim_fault("copies a tile of %zu bytes to %zu of %u bytes of shared memory, which must be a multiple of 128", bytes, begin, pio_sim_here.shared);
  pio_sim_shared_offset(barrier);
  for (auto &m : hopper.made)
    if (m.first == barrier)
      pio_sim_fault("copies a tile to a barrier that the copy engine was not told of by a fence");
  if (pio_sim_copies() == 1 || (pio_sim_copies() == 2 && pio_sim_roll(2)))
    arrive(t);
  else
    hopper.tiles.push_back(t);
}

void pio_sim_warpgroup(pio_sim_place &here, pio_sim_asked asked) { pio_sim_together(here, all_asked, &asked); }

void pio_sim_hopper_begin() {
  if (!hopper.used)
    return;
  hopper.used = false;
  hopper.tiles.clear(), hopper.made.clear();
  for (Warp &w : hopper.warps) w.pending.clear(), w.groups.clear(), w.fence = false, w.asked = w.which = 0;
}

void pio_sim_hopper_end() {
  if (!hopper.used)
    return;
  if (!hopper.tiles.empty())
    pio_sim_fault("the block ends while a tile is on its way to its shared memory");
  for (int i = 0; i < 32; i++) {
    Warp &w = hopper.warps[i], &first = hopper.warps[i / 4 * 4];
    if (!w.pending.empty())
      pio_sim_fault("the block ends while products of warp %d are under way", i);
    if (w.asked != first.asked || w.which != first.which)
      pio_sim_fault("warps %d and %d of a warpgroup asked for different products", i / 4 * 4, i);
  }
}

// What the manual says of each argument is checked, as far as kernels here use it: matrices of 2-byte elements.
EXPORT CUresult cuTensorMapEncodeTiled(CUtensorMap *map, CUtensorMapDataType type, cuuint32_t rank, void *at, const cuuint64_t *dims, const cuuint64_t *strides,
                                       const cuuint32_t *box, const cuuint32_t *steps, CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
                                       CUtensorMapL2promotion, CUtensorMapFloatOOBfill fill) {
  static const uint32_t pieces[] = {0, 2, 4, 8};
  if (!map || (uintptr_t)map % 64 || !at || (uintptr_t)at % 16 || rank != 2 || type != CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 ||
      interleave != CU_TENSOR_MAP_INTERLEAVE_NONE || (unsigned)swizzle > CU_TENSOR_MAP_SWIZZLE_128B || fill != CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE)
    return CUDA_ERROR_INVALID_VALUE;
  for (int i = 0; i < 2; i++)
    if (dims[i] == 0 || dims[i] > 1ull << 32 || box[i] == 0 || box[i] > 256 || steps[i] != 1)
      return CUDA_ERROR_INVALID_VALUE;
  if (strides[0] % 16 || strides[0] >= 1ull << 40 || strides[0] < dims[0] * 2 || box[0] * 2 % 16 || (swizzle && box[0] * 2 > 16 * pieces[swizzle]))
    return CUDA_ERROR_INVALID_VALUE;
  Described d = {MARK, (uint64_t)at, dims[0], dims[1], strides[0], box[0], box[1], pieces[swizzle]};
  memset(map, 0, sizeof *map);
  memcpy(map, &d, sizeof d);
  return CUDA_SUCCESS;
}

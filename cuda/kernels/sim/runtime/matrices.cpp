// matrices.cpp does for a whole warp what its lanes do together with matrices: mma and ldmatrix. Lanes bring their registers side by side,
// register by register, so that eight numbers of a row or a column lie where one instruction of the CPU takes them.
#include "fibers.h"
#include "../device.h"

#include <string.h>

void pio_sim_load_matrices(pio_sim_loaded &to, const void *const rows[32], bool trans) {
  if (!trans) {
    for (int i = 0; i < 4; i++)
      for (int row = 0; row < 8; row++) memcpy(&to.word[i][4 * row], rows[8 * i + row], 16);
    return;
  }
  unsigned short m[8][8];
  for (int i = 0; i < 4; i++) {
    for (int row = 0; row < 8; row++) memcpy(m[row], rows[8 * i + row], 16);
    for (int l = 0; l < 32; l++) to.word[i][l] = m[2 * (l % 4)][l / 4] | (unsigned)m[2 * (l % 4) + 1][l / 4] << 16;
  }
}

namespace {

#pragma GCC diagnostic ignored "-Wpsabi" // nobody outside is given vectors
typedef double row8 __attribute__((vector_size(64)));
typedef float float8 __attribute__((vector_size(32)));
typedef unsigned word8 __attribute__((vector_size(32)));
typedef unsigned word16 __attribute__((vector_size(64)));

// widened is the lower or the upper numbers of eight words in bf16.
__attribute__((always_inline)) inline row8 widened(word8 w, bool upper) {
  return __builtin_convertvector((float8)(upper ? w & 0xffff0000u : w << 16), row8);
}

// multiply_rows adds up each element's 16 products and its sum so far in double and rounds once: a product is exact in it, so a machine that
// joins it with the sum gives the same bits as one that does not. A GPU does a little worse.
__attribute__((always_inline)) inline void multiply_rows(const pio_sim_product &p) {
  row8 b[16]; // by k: of all columns
  for (int i = 0; i < 2; i++) {
    word16 columns03, columns47;
    memcpy(&columns03, p.b[i], 64), memcpy(&columns47, p.b[i] + 16, 64);
    for (unsigned t = 0; t < 4; t++) {
      word16 all = __builtin_shuffle(columns03, columns47, (word16){t, 4 + t, 8 + t, 12 + t, 16 + t, 20 + t, 24 + t, 28 + t});
      word8 w;
      memcpy(&w, &all, 32);
      b[8 * i + 2 * t] = widened(w, false), b[8 * i + 2 * t + 1] = widened(w, true);
    }
  }
  double a[4][2][32]; // by register, half and lane
  for (int i = 0; i < 4; i++)
    for (int l = 0; l < 32; l += 8) {
      word8 w;
      memcpy(&w, &p.a[i][l], 32);
      row8 lower = widened(w, false), upper = widened(w, true);
      memcpy(&a[i][0][l], &lower, 64), memcpy(&a[i][1][l], &upper, 64);
    }
  float d[16][8];
  for (int l = 0; l < 32; l++)
    for (int half = 0; half < 2; half++) memcpy(&d[l / 4 + 8 * half][l % 4 * 2], p.d[l] + 2 * half, 8);
  for (int row = 0; row < 8; row++) { // two rows at once, whose sums do not wait for each other
    row8 sum[2];
    for (int half = 0; half < 2; half++) {
      float8 f;
      memcpy(&f, d[row + 8 * half], 32);
      sum[half] = __builtin_convertvector(f, row8);
    }
    for (int k = 0; k < 16; k++)
      for (int half = 0; half < 2; half++) sum[half] += a[half + k / 8 * 2][k % 2][row * 4 + k % 8 / 2] * b[k];
    for (int half = 0; half < 2; half++) {
      float8 f = __builtin_convertvector(sum[half], float8);
      memcpy(d[row + 8 * half], &f, 32);
    }
  }
  for (int l = 0; l < 32; l++)
    for (int half = 0; half < 2; half++) memcpy(p.d[l] + 2 * half, &d[l / 4 + 8 * half][l % 4 * 2], 8);
}

void multiply_plain(const pio_sim_product &p) { multiply_rows(p); }
#if defined(__x86_64__)
__attribute__((target("avx2,fma"), optimize("fp-contract=fast"))) void multiply_avx2(const pio_sim_product &p) { multiply_rows(p); }
__attribute__((target("avx512f"), optimize("fp-contract=fast"))) void multiply_avx512(const pio_sim_product &p) { multiply_rows(p); }
void (*const multiply)(const pio_sim_product &) = [] {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512f") ? multiply_avx512 : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? multiply_avx2 : multiply_plain;
}();
#else
void (*const multiply)(const pio_sim_product &) = multiply_plain;
#endif

} // namespace

void pio_sim_multiply(const pio_sim_product &p) { multiply(p); }

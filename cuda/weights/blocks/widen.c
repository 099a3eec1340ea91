// widen.c: which loops this machine has, and what has no numbers to make: codes that are brought into another order.
#include "widen.h"

#include <string.h>

static const pio_widener *widener(int fast) {
#if defined(__x86_64__)
  if (fast && __builtin_cpu_supports("avx2"))
    return &pio_widen_avx2;
#endif
  (void)fast;
  return &pio_widen_portable;
}

void pio_widen_blocks(int fast, uint32_t type, float *to, const uint8_t *blocks, size_t n) { widener(fast)->blocks(type, to, blocks, n); }

void pio_widen_row(int fast, float *to, const uint8_t *codes, const float *factors, const float *zeros, const uint8_t *group, size_t cols, size_t each, size_t groups,
                   int kind, int added, const float *e4m3) {
  pio_row r = {codes, factors, zeros, group, cols, each, groups, kind, added};
  widener(fast)->row(to, &r, e4m3);
}

void pio_nibbles(uint8_t *restrict to, const uint8_t *restrict from, size_t n) {
  for (size_t i = 0; i < n / 2; i++) {
    to[2 * i] = from[i] & 15;
    to[2 * i + 1] = from[i] >> 4;
  }
  if (n % 2)
    to[n - 1] = from[n / 2] & 15;
}

void pio_less(int8_t *restrict to, const uint8_t *restrict codes, const uint8_t *restrict zeros, size_t cols, size_t each) {
  for (size_t at = 0, g = 0; at < cols; g++) {
    size_t end = at + each < cols ? at + each : cols;
    uint8_t zero = zeros[g];
    for (; at < end; at++)
      to[at] = (int8_t)(uint8_t)(codes[at] - zero);
  }
}

// ---- codes that lie by input

enum { OUTPUTS = 64, INPUTS = 128 }; // what is gone through before the next: whole lines of words, and few lines of rows

static uint32_t word_at(const uint8_t *b) {
  return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

// put_word writes the codes of a word of GPTQ, which follow each other in a row, the lowest first.
static inline void put_word(uint8_t *to, uint64_t w, int bits) {
  switch (bits) {
  case 4:
    w = (w | w << 16) & 0x0000ffff0000ffff;
    w = (w | w << 8) & 0x00ff00ff00ff00ff;
    w = (w | w << 4) & 0x0f0f0f0f0f0f0f0f;
    for (int i = 0; i < 8; i++)
      to[i] = (uint8_t)(w >> 8 * i);
    break;
  case 8:
    for (int i = 0; i < 4; i++)
      to[i] = (uint8_t)(w >> 8 * i);
    break;
  default:
    for (int i = 0; i < 16; i++)
      to[i] = (uint8_t)(w >> 2 * i & 3);
  }
}

static void gptq_tile(uint8_t tile[OUTPUTS][INPUTS], const pio_columns *c, size_t from, size_t n, size_t row, size_t rows) {
  size_t each = 32 / (size_t)c->bits;
  for (size_t i = 0; i < n; i += each) {
    const uint8_t *words = c->words + 4 * ((from + i) / each * c->out + row);
    if (c->bits == 4)
      for (size_t r = 0; r < rows; r++)
        put_word(tile[r] + i, word_at(words + 4 * r), 4);
    else
      for (size_t r = 0; r < rows; r++)
        put_word(tile[r] + i, word_at(words + 4 * r), c->bits);
  }
}

// awq_order is where in a word an output's code is.
static const int awq_order[8] = {0, 4, 1, 5, 2, 6, 3, 7};

static void awq_tile(uint8_t tile[OUTPUTS][INPUTS], const pio_columns *c, size_t from, size_t n, size_t row, size_t rows) {
  for (size_t i = 0; i < n; i++) {
    const uint8_t *words = c->words + 4 * ((from + i) * (c->out / 8) + row / 8);
    size_t skip = row % 8;
    for (size_t r = 0; r < rows;) {
      uint32_t w = word_at(words + 4 * ((r + skip) / 8));
      for (size_t k = (r + skip) % 8; k < 8 && r < rows; k++, r++)
        tile[r][i] = (uint8_t)(w >> 4 * awq_order[k] & 15);
    }
  }
}

void pio_by_column(uint8_t *to, const uint8_t *words, size_t in, size_t out, int bits, int awq, size_t row, size_t rows) {
  pio_columns c = {words, in, out, bits, awq};
  uint8_t tile[OUTPUTS][INPUTS];
  for (size_t r = 0; r < rows; r += OUTPUTS)
    for (size_t i = 0; i < in; i += INPUTS) {
      size_t n = in - i < INPUTS ? in - i : INPUTS, m = rows - r < OUTPUTS ? rows - r : OUTPUTS;
      (awq ? awq_tile : gptq_tile)(tile, &c, i, n, row + r, m);
      for (size_t k = 0; k < m; k++)
        memcpy(to + (r + k) * in + i, tile[k], n);
    }
}

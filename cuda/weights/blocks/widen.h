// widen.h: numbers made of codes, many at a time. The formulas are those of blocks.go and superblocks.go in the same order of operations, so that
// results are equal to the bit; here they are loops over vectors.
#ifndef PIO_WIDEN_H
#define PIO_WIDEN_H

#include <stddef.h>
#include <stdint.h>

// What a byte is a code of: see Kind.
enum { PIO_UNSIGNED, PIO_SIGNED, PIO_E4M3, PIO_E2M1 };

// pio_row is a row of codes, a byte each, with a factor and a zero for each group of columns.
typedef struct {
  const uint8_t *codes;
  const float *factors, *zeros; // groups of them; zeros may be NULL
  const uint8_t *group;         // NULL, or of each column 4 bytes that say which group it is of
  size_t cols, each, groups;
  int kind, added; // added: zeros are added after multiplying, in place of being taken away before
} pio_row;

// pio_columns is a matrix whose codes lie by input: (in * bits / 32, out) words of GPTQ, or (in, out / 8) of AWQ.
typedef struct {
  const uint8_t *words;
  size_t in, out;
  int bits, awq;
} pio_columns;

typedef struct {
  void (*blocks)(uint32_t type, float *to, const uint8_t *blocks, size_t n);
  void (*row)(float *to, const pio_row *r, const float *e4m3);
} pio_widener;

extern const pio_widener pio_widen_portable;
#if defined(__x86_64__)
extern const pio_widener pio_widen_avx2;
#endif

// pio_widen_blocks writes the numbers of n blocks of a type of GGUF; fast is 0 for the table of any machine.
void pio_widen_blocks(int fast, uint32_t type, float *to, const uint8_t *blocks, size_t n);

// pio_widen_row writes the numbers of a row. e4m3 are the 256 numbers of that kind.
void pio_widen_row(int fast, float *to, const uint8_t *codes, const float *factors, const float *zeros, const uint8_t *group, size_t cols, size_t each, size_t groups,
                   int kind, int added, const float *e4m3);

// pio_nibbles makes n bytes of half as many, the lower half first.
void pio_nibbles(uint8_t *to, const uint8_t *from, size_t n);

// pio_less takes from each code the zero of its group of each columns; codes and zeros are whole numbers whose difference a byte holds.
void pio_less(int8_t *to, const uint8_t *codes, const uint8_t *zeros, size_t cols, size_t each);

// pio_by_column writes the codes of rows row..row+rows-1, a byte each and in of them a row; a row is an output.
void pio_by_column(uint8_t *to, const uint8_t *words, size_t in, size_t out, int bits, int awq, size_t row, size_t rows);

#endif

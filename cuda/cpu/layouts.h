// layouts.h: how matrices of weights lie in memory, and how their elements are read; included by template.h.
//
// Here is the one place that tells layouts apart: kernels are given one that is known when they are compiled, and made for each of
// them at the end of template.h. To add one: a line here, with where an element is and how W of them are widened.
//
//	f32, bf16, f16        rows of elements one after the other, as files have them
//	f8e4m3/f32, /bf16     the same in 8-bit floats, with a factor for each block: fp8.h
//	bf16x16               bf16 in blocks of 16 rows by 32 columns, row of blocks by row of blocks, with zeros where the matrix ends
//	                      before a block does. A block is row by row, as tiles of AMX are loaded
//	q8, q4                codes of 8 and of 4 bits: codes.h
//	q4k, q6k              blocks of 256 columns as files have them, in another order: kcodes.h

// Of those in PIO_STREAMS a row is elements that can be read one after the other, the codes of PIO_CODES and PIO_KCODES are of 16 rows at once.
#define PIO_STREAMS(X) X(F32, "f32") X(BF16, "bf16") X(F16, "f16") X(F8_F32, "f8e4m3/f32") X(F8_BF16, "f8e4m3/bf16")
#define PIO_CODES(X) X(Q8, "q8") X(Q4, "q4")
#define PIO_KCODES(X) X(Q4K, "q4k") X(Q6K, "q6k")
#define PIO_LAYOUTS(X) PIO_STREAMS(X) X(BF16X16, "bf16x16") PIO_CODES(X) PIO_KCODES(X)

#define PIO_LAYOUT_NAME(LAYOUT, NAME) LAYOUT,
enum { PIO_LAYOUTS(PIO_LAYOUT_NAME) LAYOUTS };
#undef PIO_LAYOUT_NAME

static const pio_layout layouts[LAYOUTS];

INLINE int is_k(int layout) { return layout == Q4K || layout == Q6K; }
INLINE int is_codes(int layout) { return layout == Q8 || layout == Q4 || is_k(layout); }

INLINE int is_f8(int layout) { return layout == F8_F32 || layout == F8_BF16; }

// is_plain says that rows follow each other, element by element, so that a matrix is also one long row.
INLINE int is_plain(int layout) { return layout == F32 || layout == BF16 || layout == F16; }

// size_of is the bytes of an element, of codes at most.
INLINE size_t size_of(int layout) { return layout == F32 ? 4 : is_f8(layout) || is_codes(layout) ? 1 : 2; }

enum { TILE_ROWS = 16, TILE_COLS = 32, TILE = TILE_ROWS * TILE_COLS * 2 }; // of a block of bf16x16; its bytes

// step_of is how far W elements of a row are from the next, where they follow each other.
INLINE size_t step_of(int layout) { return W * size_of(layout); }

INLINE const char *element_at(int layout, const pio_matrix *m, size_t row, size_t col) {
  const char *p = (const char *)m->plane[0];
  size_t cols = (size_t)m->cols;
  if (layout == BF16X16)
    return p + (row / TILE_ROWS * ceil_div(cols, TILE_COLS) + col / TILE_COLS) * TILE + row % TILE_ROWS * TILE_COLS * 2 + col % TILE_COLS * 2;
  return p + (row * cols + col) * size_of(layout);
}

// widen gives W elements as f32, widen_n the first n of them and zeros. What 8-bit elements are multiplied by is in fp8.h.
INLINE V widen(int layout, const char *p) {
  switch (layout) {
  case BF16:
    return v_bf16(p);
  case F16:
    return v_f16(p);
  case F8_F32:
  case F8_BF16:
    return v_f8(p);
  default:
    return v_load((const float *)p);
  }
}

INLINE V widen_n(int layout, const char *p, size_t n) {
  char full[W * 4] = {0};
  memcpy(full, p, n * size_of(layout));
  return widen(layout, full);
}

#include "fp8.h"

static void q8_widen(const pio_matrix *m, size_t row, size_t col, size_t n, float *to);
static void q4_widen(const pio_matrix *m, size_t row, size_t col, size_t n, float *to);
static void q4k_widen(const pio_matrix *m, size_t row, size_t col, size_t n, float *to);
static void q6k_widen(const pio_matrix *m, size_t row, size_t col, size_t n, float *to);

// widen_elements writes n elements of a row from column col on as f32.
INLINE void widen_elements(int layout, const pio_matrix *m, size_t row, size_t col, size_t n, float *to) {
  if (is_codes(layout)) {
    (layout == Q8 ? q8_widen : layout == Q4 ? q4_widen : layout == Q4K ? q4k_widen : q6k_widen)(m, row, col, n, to);
    return;
  }
  const char *w = element_at(layout, m, row, col);
  size_t i = 0;
  if (is_f8(layout)) {
    fp8_widen(layout, to, w, factors_of(layout, m, row), col, n);
    return;
  }
  if (layout == BF16X16) {
    for (; i < n; i++)
      bf16_widen(to + i, element_at(layout, m, row, col + i), 1);
    return;
  }
  for (; i + W <= n; i += W, w += step_of(layout))
    v_store(to + i, widen(layout, w));
  if (i < n)
    v_store_n(to + i, widen_n(layout, w, n - i), n - i);
}

// ---- vectors of weights are matrices of one row, whatever their layout. They are read in pieces, and a piece that is at hand stays.

enum { PIECE = 4096 };

typedef struct {
  const pio_matrix *m;
  size_t at; // the piece that is at hand: its first column
  float w[PIECE];
} vector;

INLINE void vector_of(vector *v, const pio_matrix *m) { v->m = m, v->at = SIZE_MAX; }

// piece gives elements col.., n of them or as many as a piece has; col is a multiple of PIECE.
INLINE const float *piece(vector *v, size_t col, size_t n) {
  if (v->at != col)
    layouts[v->m->layout].widen(v->m, 0, v->at = col, at_most(PIECE, n), v->w);
  return v->w;
}

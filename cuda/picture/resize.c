// resize.c: how rows flow through the two passes, and which kernel tables this machine has.
#define _GNU_SOURCE
#include "resize.h"

#include <stdlib.h>
#include <string.h>

extern const pic_kernels pic_portable;
#if defined(__x86_64__)
extern const pic_kernels pic_avx2;

static int has_avx2(void) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2");
}
#endif

const pic_kernels *pic_kernels_at(int i) {
#if defined(__x86_64__)
  if (has_avx2() && i-- == 0)
    return &pic_avx2;
#endif
  return i == 0 ? &pic_portable : NULL;
}

static size_t min(size_t a, size_t b) { return a < b ? a : b; }

// What one thread works with. The buffers are one allocation.
typedef struct {
  const pic_kernels *t;
  const pic_job *j;
  uint8_t *ring;        // rows between the passes, row_bytes each
  uint8_t *tails;       // PIC_ROWS rows: copies of those too close to the end of src to be read past
  const uint8_t **rows; // what `down` reads
  size_t ring_rows, row_bytes, tail_bytes;
} work;

static const uint8_t *source(const work *w, size_t row) { return w->j->src + row * w->j->wide * 3; }

// across makes n <= PIC_ROWS rows; a short batch repeats its first row.
static void across(const work *w, uint8_t *const *to, const uint8_t *const *from, size_t n) {
  uint8_t *t[PIC_ROWS];
  const uint8_t *f[PIC_ROWS];
  for (size_t i = 0; i < PIC_ROWS; i++)
    t[i] = to[i < n ? i : 0], f[i] = from[i < n ? i : 0];
  w->t->across(t, f, w->j->to_wide, &w->j->x);
}

// across_source makes n rows from rows of the source.
static void across_source(const work *w, uint8_t *const *to, size_t row, size_t n) {
  const uint8_t *from[PIC_ROWS] = {0}, *end = source(w, w->j->high);
  size_t bytes = w->j->wide * 3;
  for (size_t i = 0; i < n; i++) {
    from[i] = source(w, row + i);
    if ((size_t)(end - from[i]) < bytes + PIC_PAD)
      from[i] = memcpy(w->tails + i * w->tail_bytes, from[i], bytes);
  }
  across(w, to, from, n);
}

// down makes one row; of(row) of the pass before lies where `at` says.
static void down(const work *w, uint8_t *to, size_t y, size_t bytes, const uint8_t *(*at)(const work *, size_t)) {
  const pic_axis *a = &w->j->y;
  size_t first = (size_t)a->start[y], n = (size_t)a->count[y], pairs = (n + 1) / 2;
  for (size_t i = 0; i < 2 * pairs; i++)
    w->rows[i] = at(w, first + min(i, n - 1));
  w->t->down(to, w->rows, bytes, a->weights + y * a->stride * 2, pairs);
}

static const uint8_t *in_ring(const work *w, size_t row) { return w->ring + row % w->ring_rows * w->row_bytes; }

static void only_across(const work *w, size_t first, size_t end) {
  uint8_t *to[PIC_ROWS];
  for (size_t y = first; y < end; y += PIC_ROWS) {
    size_t n = min(PIC_ROWS, end - y);
    for (size_t i = 0; i < n; i++)
      to[i] = w->j->dst + (y + i) * w->j->to_wide * 3;
    across_source(w, to, y, n);
  }
}

static void only_down(const work *w, size_t first, size_t end) {
  size_t bytes = w->j->wide * 3;
  for (size_t y = first; y < end; y++)
    down(w, w->j->dst + y * bytes, y, bytes, source);
}

static void across_then_down(const work *w, size_t first, size_t end) {
  const pic_axis *a = &w->j->y;
  size_t bytes = w->j->to_wide * 3, made = (size_t)a->start[first];
  size_t last = (size_t)(a->start[end - 1] + a->count[end - 1]);
  for (size_t y = first; y < end; y++) {
    while (made < (size_t)(a->start[y] + a->count[y])) {
      uint8_t *to[PIC_ROWS];
      size_t n = min(PIC_ROWS, last - made);
      for (size_t i = 0; i < n; i++)
        to[i] = (uint8_t *)in_ring(w, made + i);
      across_source(w, to, made, n);
      made += n;
    }
    down(w, w->j->dst + y * bytes, y, bytes, in_ring);
  }
}

static void down_then_across(const work *w, size_t first, size_t end) {
  uint8_t *to[PIC_ROWS];
  const uint8_t *from[PIC_ROWS];
  for (size_t y = first; y < end; y += PIC_ROWS) {
    size_t n = min(PIC_ROWS, end - y);
    for (size_t i = 0; i < n; i++) {
      uint8_t *between = w->ring + i * w->row_bytes;
      down(w, between, y + i, w->j->wide * 3, source);
      from[i] = between, to[i] = w->j->dst + (y + i) * w->j->to_wide * 3;
    }
    across(w, to, from, n);
  }
}

int pic_resize(const pic_kernels *t, const pic_job *j, size_t first, size_t end) {
  if (first >= end)
    return 0;
  int has_x = j->x.start != NULL, has_y = j->y.start != NULL, down_first = has_x && has_y && j->down_first;
  work w = {.t = t, .j = j};
  w.ring_rows = (has_y && !down_first ? j->y.stride : 0) + PIC_ROWS;
  w.row_bytes = (down_first ? j->wide : j->to_wide) * 3 + PIC_PAD;
  w.tail_bytes = j->wide * 3 + PIC_PAD;
  size_t pointers = (has_y ? j->y.stride : 0) * sizeof *w.rows;
  uint8_t *memory = calloc(1, pointers + w.ring_rows * w.row_bytes + PIC_ROWS * w.tail_bytes);
  if (!memory)
    return -1;
  w.rows = (const uint8_t **)memory;
  w.ring = memory + pointers;
  w.tails = w.ring + w.ring_rows * w.row_bytes;
  if (down_first)
    down_then_across(&w, first, end);
  else if (has_x && has_y)
    across_then_down(&w, first, end);
  else if (has_x)
    only_across(&w, first, end);
  else
    only_down(&w, first, end);
  free(memory);
  return 0;
}

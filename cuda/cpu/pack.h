// pack.h: matrices brought from one layout into another; included by template.h.

enum { PACK_COLUMNS = 256 }; // that are widened at once

// pack_bf16x8 widens what is in any layout and rounds it to bf16, which changes nothing that was bf16. row begins a block.
static void pack_bf16x8(const pio_matrix *to, const pio_matrix *from, size_t row, size_t rows) {
  float wide[PACK][PACK_COLUMNS];
  size_t end = row + rows, cols = (size_t)from->cols;
  for (; row < end; row += PACK)
    for (size_t c = 0; c < cols; c += PACK_COLUMNS) {
      size_t n = at_most(PACK_COLUMNS, cols - c);
      memset(wide, 0, sizeof wide);
      for (size_t r = 0; r < at_most(PACK, end - row); r++)
        layouts[from->layout].widen(from, row + r, c, n, wide[r]);
      char *block = (char *)element_at(BF16X8, to, row, c);
      for (size_t i = 0; i < n; i += PACK)
        for (size_t r = 0; r < PACK; r++, block += PACK * 2)
          bf16_round(block, wide[r] + i, PACK);
    }
}

typedef struct {
  const pio_matrix *to, *from;
  size_t rows_per_task;
} pack_args;

static void pack(const void *args, size_t task) {
  const pack_args *a = args;
  span rows = part_of(task, a->rows_per_task, (size_t)a->to->rows);
  layouts[a->to->layout].pack(a->to, a->from, rows.from, rows.to - rows.from);
}

static const char *run_pack(pio_pool *p, const pio_op *op) {
  pack_args a = {&op->w[0], &op->w[1], 0};
  if (!layouts[a.to->layout].pack)
    return "a matrix in a layout that is only copied, not packed";
  a.rows_per_task = PACK * at_least(1, TASK_BYTES / at_least(1, (size_t)a.to->cols * PACK * 2));
  pio_pool_run(p, pack, &a, ceil_div((size_t)a.to->rows, a.rows_per_task));
  return NULL;
}

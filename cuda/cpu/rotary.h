// rotary.h: the rotary embedding; included by template.h.

// ---- angles: scale cos and scale sin of position times frequency, rounded to f32 as the reference does; for all layers at once

static void angles(const void *args, size_t task) {
  const row_args *a = args; // its rows are those of pairs
  const pio_tensor *positions = &a->op->in[0], *axis = &a->op->in[2];
  const float *freqs = f32(&a->op->in[1]);
  size_t pairs = a->n / 2, axes = positions->nd > 1 ? last(positions) : 1;
  double scale = (double)a->op->f[0];
  span rows = part_of(task, a->rows_per_task, a->rows);
  for (size_t r = rows.from; r < rows.to; r++)
    for (size_t i = 0; i < pairs; i++) {
      size_t by = axis->at ? (size_t)i32(axis)[i] : 0;
      float angle = (float)i32(positions)[r * axes + by] * freqs[i];
      double sine, cosine;
      sincos((double)angle, &sine, &cosine);
      a->y[r * a->n + 2 * i] = (float)(cosine * scale);
      a->y[r * a->n + 2 * i + 1] = (float)(sine * scale);
    }
}

static const char *run_angles(pio_pool *p, const pio_op *op) {
  size_t n = per_row(&op->out[0]);
  row_args a = {op, f32(&op->out[0]), NULL, dim(&op->out[0], 0), n, at_least(1, SMALL / 16 / at_least(1, n))};
  pio_pool_run(p, angles, &a, ceil_div(a.rows, a.rows_per_task));
  return NULL;
}

// ---- rotate

static void rotate(const void *args, size_t task) {
  const row_args *a = args;
  const pio_tensor *x = &a->op->in[0], *angles = &a->op->in[1];
  size_t heads = dim(x, 1), n = dim(x, 2), pairs = dim(angles, 1), from = (size_t)a->op->n[0], rest = from + 2 * pairs;
  size_t second = a->op->n[1] ? 1 : pairs, step = a->op->n[1] ? 2 : 1;
  span rows = part_of(task, a->rows_per_task, a->rows);
  for (size_t r = rows.from; r < rows.to; r++) {
    const float *angle = f32(angles) + r * pairs * 2;
    for (size_t h = 0; h < heads; h++) {
      const float *x = a->x + (r * heads + h) * n;
      float *y = a->y + (r * heads + h) * n;
      memcpy(y, x, from * sizeof(float));
      memcpy(y + rest, x + rest, (n - rest) * sizeof(float));
      x += from, y += from;
      for (size_t i = 0; i < pairs; i++) {
        float cos = angle[2 * i], sin = angle[2 * i + 1], first = x[i * step], other = x[i * step + second];
        y[i * step] = first * cos - other * sin;
        y[i * step + second] = other * cos + first * sin;
      }
    }
  }
}

static const char *run_rotate(pio_pool *p, const pio_op *op) {
  run_rows(p, rotate, op, dim(&op->out[0], 0), per_row(&op->out[0]));
  return NULL;
}

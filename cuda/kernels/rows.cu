// rows.cu: rows brought from one place to another, as they are or in the other type of activations.
#include "vector.cuh"

// place is rows of a tensor: where the first begins, and how many elements from one to the next.
struct place {
  long long from, step;
};

DEVICE bool in_fours(const pio_tensor &t, const place &p) { return in_fours(t, p.from) && p.step % 4 == 0; }

// move brings rows of width elements to y; row r comes from row index[r] of x, or from r. A block row_y, row_y + grid, .. has whole rows.
DEVICE void move(const pio_tensor &y, place to, const pio_tensor &x, place from, long long rows, long long width, const int *index) {
  bool whole = in_fours(y, to) && in_fours(x, from) && width % 4 == 0;
  long long fours = (width + 3) / 4, all = rows * fours;
  for (long long i = (long long)block_x() * threads_x() + thread_x(); i < all; i += (long long)blocks_x() * threads_x()) {
    long long r = i / fours, c = i % fours * 4, source = index ? index[r] : r;
    store4(y, to.from + r * to.step + c, load4(x, from.from + source * from.step + c, whole, width - c), whole, width - c);
  }
}

// copy_bytes is a copy to the same type, of elements of p[0] bytes; of sixteen bytes at a time where both lie so.
KERNEL(copy_bytes, 256, 4) {
  long long n = length(op.out[0]) * op.p[0], i = (long long)block_x() * threads_x() + thread_x();
  long long units = (op.out[0].at | op.in[0].at) % 16 ? 0 : n / 16;
  for (long long u = i; u < units; u += (long long)blocks_x() * threads_x())
    at<four>(op.out[0])[u] = at<four>(op.in[0])[u];
  for (long long b = units * 16 + i; b < n; b += (long long)blocks_x() * threads_x())
    at<char>(op.out[0])[b] = at<char>(op.in[0])[b];
}

// copy_rows is one between types.
KERNEL(copy_rows, 256, 4) {
  long long n = length(op.out[0]);
  move(op.out[0], {0, n}, op.in[0], {0, n}, 1, n, 0);
}

// p[0] elements of a row.
KERNEL(gather, 256, 4) {
  move(op.out[0], {0, op.p[0]}, op.in[0], {0, op.p[0]}, op.out[0].dim[0], op.p[0], at<int>(op.in[1]));
}

// columns_of moves a part between its own rows and some columns of rows that have others, too: put says to these.
DEVICE void columns_of(const pio_tensor &part, const pio_tensor &all, int first, bool put) {
  long long width = part.dim[part.nd - 1], step = all.dim[all.nd - 1], rows = width ? length(part) / width : 0;
  if (put)
    move(all, {first, step}, part, {0, width}, rows, width, 0);
  else
    move(part, {0, width}, all, {first, step}, rows, width, 0);
}

// Up to five parts, each by its own row of blocks; n is the first column of each.
KERNEL(columns, 256, 4) {
  UNROLL for (int i = 0; i < PIO_INTS; i++)
    if ((int)block_y() == i)
      columns_of(op.out[i], op.in[0], op.n[i], false);
}
// columns_put has up to four parts, the first n[4] of which are put side by side into out[5], whose rows may be several of a part's.
KERNEL(columns_put, 256, 4) {
  const pio_tensor &x = op.in[0], &y = op.out[5];
  unsigned long long to = 0;
  long long before = 0, step = x.dim[x.nd - 1], first = 0, width = 1, n = 0;
  UNROLL for (int i = 0; i < 4; i++) { // number by number: a copy of a tensor that is chosen would be one in memory
    if (i < (int)block_y())
      before += length(op.out[i]) / y.dim[0];
    if (i == (int)block_y())
      to = op.out[i].at, n = length(op.out[i]), width = op.out[i].dim[op.out[i].nd - 1], first = op.n[i];
  }
  const pio_tensor part = {to, PIO_F32, 1, {1, 1, 1, 1}};
  long long row = n / y.dim[0], fours = (width + 3) / 4, all = n / width * fours;
  bool whole = in_fours(part, width) && in_fours(x, step) && in_fours(y, y.dim[1]) && first % 4 == 0 && before % 4 == 0, put = (int)block_y() < op.n[4];
  for (long long u = (long long)block_x() * threads_x() + thread_x(); u < all; u += (long long)blocks_x() * threads_x()) {
    long long r = u / fours, c = u % fours * 4, e = r * width + c;
    four v = load4(x, r * step + first + c, whole, width - c);
    store4(part, e, v, whole, width - c);
    if (put)
      store4(y, e / row * y.dim[1] + before + e % row, v, whole, width - c);
  }
}
KERNEL(put_columns, 256, 4) {
  UNROLL for (int i = 0; i < PIO_INTS; i++)
    if ((int)block_y() == i)
      columns_of(op.in[i], op.out[0], op.n[i], true);
}

// heads_first is a tile of rows of heads; what all heads share comes behind. A block has a row of a head.
KERNEL(heads_first, 128, 4) {
  const pio_tensor &y = op.out[0], &x = op.in[0], &tail = op.in[1];
  long long rows = x.dim[0], heads = x.dim[1], width = y.dim[2], shared = tail.at ? tail.dim[2] : 0, own = width - shared;
  long long h = block_x() / rows, r = block_x() % rows, to = (long long)block_x() * width;
  bool whole = in_fours(y, width) && in_fours(x, x.dim[2]) && op.n[0] % 4 == 0 && own % 4 == 0 && (!shared || in_fours(tail, shared));
  for (long long c = thread_x() * 4; c < own; c += threads_x() * 4)
    store4(y, to + c, load4(x, (r * heads + h) * x.dim[2] + op.n[0] + c, whole, own - c), whole, own - c);
  for (long long c = thread_x() * 4; c < shared; c += threads_x() * 4)
    store4(y, to + own + c, load4(tail, r * shared + c, whole, shared - c), whole, shared - c);
}

// index_rows replaces rows of y by rows of in[2], or (p[0]) adds these to them. An index may stand twice, and what comes later then comes
// later here, too: the block of the first such row does all of them.
KERNEL(index_rows, 256, 4) {
  const int *index = at<int>(op.in[1]);
  int count = op.in[1].dim[0], row = index[block_x()], n = op.out[0].dim[1];
  for (int base = 0; base < (int)block_x(); base += 32) { // every warp looks for itself, and all find the same
    int i = base + (int)lane();
    if (ballot(i < (int)block_x() && index[i < count ? i : 0] == row))
      return;
  }
  for (int c0 = 0; c0 < n; c0 += threads_x()) {
    int c = c0 + thread_x();
    float now = c < n ? load(op.out[0], (long long)row * n + c) : 0;
    for (int base = block_x() / 32 * 32; base < count; base += 32) {
      int i = base + (int)lane();
      unsigned same = ballot(i >= (int)block_x() && i < count && index[i < count ? i : 0] == row);
      for (; same; same &= same - 1) {
        long long from = base + __builtin_ctz(same);
        float v = c < n ? load(op.in[2], from * n + c) : 0;
        now = op.p[0] ? plus(now, v) : v;
      }
    }
    if (c < n)
      store(op.out[0], (long long)row * n + c, now);
  }
}

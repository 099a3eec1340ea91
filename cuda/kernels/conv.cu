// conv.cu: a causal convolution over the positions of each channel, and silu after it. Inputs before a row are rows before it, those before
// the batch are in the sequence's state, the oldest first.
#include "chains.cuh"

enum { TAPS = 64, NOTHING = -1 - TAPS }; // positions that it looks at, at most

// taps finds where the inputs of a row are, from the n - 1 last positions on to its own: a row, or -1 - the place in the state, or NOTHING
// before the first position.
DEVICE void taps(int *where, const int *positions, const int *slots, int row, int n) {
  int at = row, slot = slots[row], position = positions[row], old = n - 2;
  for (int j = n - 1; j >= 0; j--) {
    int found = NOTHING;
    if (position - (n - 1 - j) >= 0)
      found = at >= 0 ? at : -1 - old--;
    if (lane() == 0)
      where[j] = found;
    if (at >= 0 && j > 0)
      at = row_before(slots, at, slot);
  }
}

DEVICE float input(const pio_op &op, int where, int slot, int c) {
  const pio_tensor &x = op.in[0], &state = op.out[1];
  int channels = x.dim[1];
  if (where >= 0)
    return load(x, (long long)where * channels + c);
  if (where == NOTHING)
    return 0.0f;
  return load(state, ((long long)slot * state.dim[1] + (-1 - where)) * channels + c);
}

// keep brings the last inputs up to row into the state. What it reads of the state it has not yet written.
DEVICE void keep(const pio_op &op, const int *where, int slot, int c, int n) {
  for (int j = 1; j < n; j++)
    store(op.out[1], ((long long)slot * (n - 1) + j - 1) * op.in[0].dim[1] + c, input(op, where[j], slot, c));
}

// cut writes a channel of a row to those of four parts that have it; n is the first column of each.
DEVICE void cut(const pio_op &op, int row, int c, float v) {
  UNROLL for (int i = 0; i < 4; i++) {
    const pio_tensor &part = op.out[2 + i];
    int width = part.dim[1], at = c - op.n[i];
    if (part.at && at >= 0 && at < width)
      store(part, (long long)row * width + at, v);
  }
}

// A block has some channels of a row, and parts of columns to cut out of what it gives. p[0]: it is the batch's only row, and the state is kept here.
KERNEL(causal_conv, 256, 4) {
  SHARED int where[TAPS];
  const pio_tensor &x = op.in[0];
  int row = block_y(), n = op.w[0].cols, channels = x.dim[1], c = block_x() * threads_x() + thread_x(), slot = at<int>(op.in[2])[row];
  if (warp() == 0)
    taps(where, at<int>(op.in[1]), at<int>(op.in[2]), row, n);
  barrier();
  if (c >= channels)
    return;
  float sum = 0;
  for (int j = 0; j < n; j++) sum = fused(weight(op.w[0], (long long)c * n + j), input(op, where[j], slot, c), sum);
  float y = sum / plus(1.0f, exp_of(-sum));
  store(op.out[0], (long long)row * channels + c, y);
  cut(op, row, c, y);
  if (op.p[0])
    keep(op, where, slot, c, n);
}

// causal_conv_keep has some channels of a row that is its sequence's last.
KERNEL(causal_conv_keep, 256, 4) {
  SHARED int where[TAPS];
  int row = block_y(), n = op.w[0].cols, c = block_x() * threads_x() + thread_x(), slot = at<int>(op.in[2])[row], rows = op.in[0].dim[0];
  if (row_from(at<int>(op.in[2]), row + 1, rows, slot) < rows)
    return;
  if (warp() == 0)
    taps(where, at<int>(op.in[1]), at<int>(op.in[2]), row, n);
  barrier();
  if (c < op.in[0].dim[1])
    keep(op, where, slot, c, n);
}

// route.cu: which experts a row goes to. A warp has a row.
#include "route.cuh"

KERNEL(route, 128, 4) {
  const pio_tensor &logits = op.in[0];
  int n = logits.dim[1], row = (int)(block_x() * (threads_x() / 32) + warp());
  if (row >= logits.dim[0])
    return;
  Routing r = {logits, op.w[0], n, op.n[1], op.n[2], op.n[3], op.n[0] != 0, op.n[4] != 0, op.f[0], op.f[1], op.out[0], op.out[1]};
  route_row(r, row, (float *)dynamic_shared() + (int)warp() * routing_floats(n, r.groups));
}

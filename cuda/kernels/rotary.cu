// rotary.cu: the rotary embedding.
#include "vector.cuh"

// ---- angles: scale cos and scale sin of position times frequency. The angle is rounded to f32 as the reference does; the rest is in double,
// since a position may be a million turns from the first, and is computed once for all layers.

// turn gives the sine and cosine of a to some 2^-52: what is left of a behind multiples of pi / 2, which are in three parts, is at most pi / 4,
// and Taylor's series have terms enough for that.
DEVICE void turn(double a, double *sine, double *cosine) {
  double shifted = __builtin_fma(a, 0.63661977236758138, 6755399441055744.0); // 1.5 2^52: the multiple lies in the lowest bits
  double k = shifted - 6755399441055744.0;
  int quarter = (int)(__builtin_bit_cast(unsigned long long, shifted) & 3);
  double x = __builtin_fma(-k, 1.5707963267948966, a);
  x = __builtin_fma(-k, 6.123233995736766e-17, x);
  x = __builtin_fma(-k, -1.4973849048591833e-33, x);
  double z = x * x, s = -7.6471637318198164e-13, c = 4.7794773323873853e-14;
  s = __builtin_fma(s, z, 1.6059043836821613e-10);
  s = __builtin_fma(s, z, -2.5052108385441720e-08);
  s = __builtin_fma(s, z, 2.7557319223985893e-06);
  s = __builtin_fma(s, z, -1.9841269841269841e-04);
  s = __builtin_fma(s, z, 8.3333333333333332e-03);
  s = __builtin_fma(s, z, -1.6666666666666666e-01);
  s = __builtin_fma(s * z, x, x);
  c = __builtin_fma(c, z, -1.1470745597729725e-11);
  c = __builtin_fma(c, z, 2.0876756987868100e-09);
  c = __builtin_fma(c, z, -2.7557319223985888e-07);
  c = __builtin_fma(c, z, 2.4801587301587302e-05);
  c = __builtin_fma(c, z, -1.3888888888888889e-03);
  c = __builtin_fma(c, z, 4.1666666666666664e-02);
  c = __builtin_fma(c, z, -0.5);
  c = __builtin_fma(c, z, 1.0);
  double first = quarter & 1 ? c : s, other = quarter & 1 ? s : c;
  *sine = quarter & 2 ? -first : first;
  *cosine = quarter == 1 || quarter == 2 ? -other : other;
}

// A thread has a pair of a row.
KERNEL(angles, 128, 4) {
  const pio_tensor &y = op.out[0], &positions = op.in[0], &axis = op.in[2];
  int pairs = y.dim[1], axes = positions.nd > 1 ? positions.dim[1] : 1;
  long long i = (long long)block_x() * threads_x() + thread_x();
  if (i >= (long long)y.dim[0] * pairs)
    return;
  int pair = (int)(i % pairs);
  long long position = i / pairs * axes + (axis.at ? at<int>(axis)[pair] : 0);
  float angle = times((float)at<int>(positions)[position], load(op.in[1], pair));
  double sine, cosine, scale = (double)op.f[0];
  turn((double)angle, &sine, &cosine);
  store(y, 2 * i, (float)(cosine * scale));
  store(y, 2 * i + 1, (float)(sine * scale));
}

// ---- rotate: a thread has four pairs that follow each other in a head, or four elements that pass through

struct pairs4 { four a, b; };

DEVICE void turn4(pairs4 &p, const pio_tensor &angles, long long at, bool whole, int n) {
  four first = load4(angles, at, whole, 2 * n), second = load4(angles, at + 4, whole, 2 * n - 4);
  UNROLL for (int j = 0; j < 4; j++) {
    float cosine = j < 2 ? first.x[2 * j] : second.x[2 * j - 4], sine = j < 2 ? first.x[2 * j + 1] : second.x[2 * j - 3];
    float a = p.a.x[j], b = p.b.x[j];
    p.a.x[j] = fused(a, cosine, -times(b, sine));
    p.b.x[j] = fused(b, cosine, times(a, sine));
  }
}

KERNEL(rotate, 128, 8) {
  const pio_tensor &y = op.out[0], &x = op.in[0], &angles = op.in[1];
  int heads = x.dim[1], dim = x.dim[2], pairs = angles.dim[1], from = op.n[0], rest = from + 2 * pairs;
  int turning = (pairs + 3) / 4, before = (from + 3) / 4, units = turning + before + (dim - rest + 3) / 4;
  long long i = (long long)block_x() * threads_x() + thread_x();
  if (i >= (long long)x.dim[0] * heads * units)
    return;
  long long head = i / units, row = head / heads, begin = head * dim;
  int unit = (int)(i % units);
  bool whole = in_fours(y, dim) && in_fours(x, dim) && from % 4 == 0 && pairs % 4 == 0 && in_fours(angles, 0);
  if (unit >= turning) { // passes through
    int c = unit < turning + before ? (unit - turning) * 4 : rest + (unit - turning - before) * 4, n = (c < from ? from : dim) - c;
    store4(y, begin + c, load4(x, begin + c, whole, n), whole, n);
    return;
  }
  int pair = unit * 4, n = pairs - pair;
  long long angle = (row * pairs + pair) * 2;
  pairs4 p;
  if (!op.n[1]) {
    long long a = begin + from + pair, b = a + pairs;
    p = {load4(x, a, whole, n), load4(x, b, whole, n)};
    turn4(p, angles, angle, whole, n);
    store4(y, a, p.a, whole, n);
    store4(y, b, p.b, whole, n);
    return;
  }
  long long a = begin + from + 2 * pair;
  four lower = load4(x, a, whole, 2 * n), upper = load4(x, a + 4, whole, 2 * n - 4);
  p = {{{lower.x[0], lower.x[2], upper.x[0], upper.x[2]}}, {{lower.x[1], lower.x[3], upper.x[1], upper.x[3]}}};
  turn4(p, angles, angle, whole, n);
  store4(y, a, {{p.a.x[0], p.b.x[0], p.a.x[1], p.b.x[1]}}, whole, 2 * n);
  store4(y, a + 4, {{p.a.x[2], p.b.x[2], p.a.x[3], p.b.x[3]}}, whole, 2 * n - 4);
}

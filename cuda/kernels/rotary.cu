// rotary.cu: the rotary embedding.
#include "rotary.cuh"

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

// ---- rotate: a thread has a unit of a head

KERNEL(rotate, 128, 8) {
  const pio_tensor &y = op.out[0], &x = op.in[0];
  turning t = turning_of(op.in[1], x.dim[2], op.n[0], op.n[1]);
  long long i = (long long)block_x() * threads_x() + thread_x();
  if (i >= (long long)x.dim[0] * x.dim[1] * t.units)
    return;
  long long head = i / t.units;
  turn_unit(t, y, x, head * t.dim, op.in[1], head / x.dim[1], (int)(i % t.units));
}

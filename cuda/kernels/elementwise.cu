// elementwise.cu: ops whose elements are computed each by itself. A thread has four that follow each other.
#include "vector.cuh"

// each computes an op's result from one operand, from two.
template <class F> DEVICE void each(const pio_op &op) {
  long long n = length(op.out[0]), i = ((long long)block_x() * threads_x() + thread_x()) * 4;
  if (i >= n)
    return;
  bool whole = in_fours(op.out[0], n) && in_fours(op.in[0], n);
  four a = load4(op.in[0], i, whole, n - i);
  UNROLL for (int j = 0; j < 4; j++) a.x[j] = F::of(a.x[j]);
  store4(op.out[0], i, a, whole, n - i);
}

template <class F> DEVICE void each_two(const pio_op &op) {
  long long n = length(op.out[0]), i = ((long long)block_x() * threads_x() + thread_x()) * 4;
  if (i >= n)
    return;
  bool whole = in_fours(op.out[0], n) && in_fours(op.in[0], n) && in_fours(op.in[1], n);
  four a = load4(op.in[0], i, whole, n - i), b = load4(op.in[1], i, whole, n - i);
  UNROLL for (int j = 0; j < 4; j++) a.x[j] = F::of(a.x[j], b.x[j]);
  store4(op.out[0], i, a, whole, n - i);
}

struct sum { DEVICE float of(float a, float b) { return plus(a, b); } };
struct product { DEVICE float of(float a, float b) { return times(a, b); } };

struct logistic { DEVICE float of(float x) { return sigmoid(x); } };
struct gate { DEVICE float of(float g, float up) { return gated(g, up); } };

// x (1 + tanh u) / 2 = x / (1 + e^-2u), u = sqrt(2/pi) (x + 0.044715 x^3).
struct gelu_by_tanh {
  DEVICE float of(float x) {
    float u = times(fused(times(times(x, x), x), 0.044715f, x), -1.5957691216f); // -2 sqrt(2/pi)
    return x / plus(1.0f, exp_of(u));
  }
};

// x P(x), P the share of a normal distribution below x. Below -z it is s e^(-z^2/2) p(s) with s = 1 / (1 + 0.3 z / sqrt 2) and p the
// polynomial that meets erfc(z / sqrt 2) e^(z^2/2) / s / 2 at the Chebyshev nodes of s for z up to 13: 3e-8 apart.
struct gelu_by_erf {
  DEVICE float of(float x) {
    float z = x < 0 ? -x : x, s = 1.0f / fused(z, 0.3f * 0.70710678f, 1.0f), p = -0.130380124f / 2;
    p = fused(p, s, 0.490008891f / 2);
    p = fused(p, s, -0.522117138f / 2);
    p = fused(p, s, 0.559830725f / 2);
    p = fused(p, s, -0.103697971f / 2);
    p = fused(p, s, 0.219117031f / 2);
    p = fused(p, s, 0.147166014f / 2);
    p = fused(p, s, 0.170896351f / 2);
    p = fused(p, s, 0.169176206f / 2);
    float square = times(z, z), rest = fused(z, z, -square); // a large square has too few places for e^x
    float below = times(times(times(p, s), exp_of(times(square, -0.5f))), fused(rest, -0.5f, 1.0f));
    return z < 14.0f ? plus(x > 0 ? x : 0.0f, -times(z, below)) : x > 0 ? x : x == x ? 0.0f : x;
  }
};

KERNEL(add, 256, 4) { each_two<sum>(op); }
KERNEL(swiglu, 256, 4) { each_two<gate>(op); }
KERNEL(sigmoid, 256, 4) { each<logistic>(op); }
KERNEL(gelu_tanh, 256, 4) { each<gelu_by_tanh>(op); }
KERNEL(gelu_erf, 256, 4) { each<gelu_by_erf>(op); }

// factor is element i of what is multiplied by: of in[1], or the logistic of that, which is out[1] then. One thread writes it there.
DEVICE float factor(const pio_op &op, long long i, bool tells) {
  float f = load(op.in[1], i);
  if (op.outs < 2)
    return f;
  f = logistic::of(f);
  if (tells)
    store(op.out[1], i, f);
  return f;
}

KERNEL(mul, 256, 4) {
  if (op.outs < 2) {
    each_two<product>(op);
    return;
  }
  long long n = length(op.out[0]), i = ((long long)block_x() * threads_x() + thread_x()) * 4;
  if (i >= n)
    return;
  bool whole = in_fours(op.out[0], n) && in_fours(op.in[0], n);
  four a = load4(op.in[0], i, whole, n - i);
  UNROLL for (int j = 0; j < 4; j++)
    if (i + j < n)
      a.x[j] = times(a.x[j], factor(op, i + j, true));
  store4(op.out[0], i, a, whole, n - i);
}

// mul_rows multiplies p[0] elements after another by one factor.
KERNEL(mul_rows, 256, 4) {
  long long n = length(op.out[0]), i = ((long long)block_x() * threads_x() + thread_x()) * 4, each = op.p[0];
  if (i >= n)
    return;
  bool whole = in_fours(op.out[0], each) && in_fours(op.in[0], each);
  four a = load4(op.in[0], i, whole, n - i);
  UNROLL for (int j = 0; j < 4; j++)
    if (i + j < n)
      a.x[j] = times(a.x[j], factor(op, (i + j) / each, (i + j) % each == 0));
  store4(op.out[0], i, a, whole, n - i);
}

// add_row adds a vector of weights to each row.
KERNEL(add_row, 256, 4) {
  long long n = length(op.out[0]), i = ((long long)block_x() * threads_x() + thread_x()) * 4, cols = op.w[0].cols;
  if (i >= n)
    return;
  bool whole = in_fours(op.out[0], cols) && in_fours(op.in[0], cols) && weights_in_fours(op.w[0]);
  four a = load4(op.in[0], i, whole, n - i), w = {};
  if (whole)
    w = weight4(op.w[0], i % cols, true, 4);
  else
    UNROLL for (int j = 0; j < 4; j++)
      if (i + j < n)
        w.x[j] = weight(op.w[0], (i + j) % cols);
  UNROLL for (int j = 0; j < 4; j++) a.x[j] = plus(a.x[j], w.x[j]);
  store4(op.out[0], i, a, whole, n - i);
}

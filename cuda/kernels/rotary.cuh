// rotary.cuh: how a head is turned. It is cut into units: four pairs that follow each other, or four elements that pass through.
#pragma once

#include "vector.cuh"

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

struct turning {
  int dim, from, pairs, units; // of a head; the first element that is turned; units of a head
  int pairs4, before;          // of these units those with pairs, and those of what is in front of them
  bool interleaved;
};

DEVICE turning turning_of(const pio_tensor &angles, int dim, int from, int interleaved) {
  int pairs = angles.dim[1], fours = (pairs + 3) / 4, before = (from + 3) / 4;
  return {dim, from, pairs, fours + before + (dim - from - 2 * pairs + 3) / 4, fours, before, interleaved != 0};
}

// turn_unit turns a unit of the head that begins at an element of both x and y, by a row's angles. Units share no element, so that both may be one.
DEVICE void turn_unit(const turning &t, const pio_tensor &y, const pio_tensor &x, long long begin, const pio_tensor &angles, long long row, int unit) {
  int rest = t.from + 2 * t.pairs;
  bool whole = in_fours(y, t.dim) && in_fours(x, t.dim) && t.from % 4 == 0 && t.pairs % 4 == 0 && in_fours(angles, 0);
  if (unit >= t.pairs4) { // passes through
    int c = unit < t.pairs4 + t.before ? (unit - t.pairs4) * 4 : rest + (unit - t.pairs4 - t.before) * 4, n = (c < t.from ? t.from : t.dim) - c;
    store4(y, begin + c, load4(x, begin + c, whole, n), whole, n);
    return;
  }
  int pair = unit * 4, n = t.pairs - pair;
  long long angle = (row * t.pairs + pair) * 2;
  pairs4 p;
  if (!t.interleaved) {
    long long a = begin + t.from + pair, b = a + t.pairs;
    p = {load4(x, a, whole, n), load4(x, b, whole, n)};
    turn4(p, angles, angle, whole, n);
    store4(y, a, p.a, whole, n);
    store4(y, b, p.b, whole, n);
    return;
  }
  long long a = begin + t.from + 2 * pair;
  four lower = load4(x, a, whole, 2 * n), upper = load4(x, a + 4, whole, 2 * n - 4);
  p = {{{lower.x[0], lower.x[2], upper.x[0], upper.x[2]}}, {{lower.x[1], lower.x[3], upper.x[1], upper.x[3]}}};
  turn4(p, angles, angle, whole, n);
  store4(y, a, {{p.a.x[0], p.b.x[0], p.a.x[1], p.b.x[1]}}, whole, 2 * n);
  store4(y, a + 4, {{p.a.x[2], p.b.x[2], p.a.x[3], p.b.x[3]}}, whole, 2 * n - 4);
}

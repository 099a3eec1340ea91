// route.cuh: how a warp chooses a row's experts. Scores of all experts lie in shared memory, and the best is looked for as often as there are experts to choose.
#pragma once

#include "product.cuh"
#include "vector.cuh"

// Best is a candidate: its number is none where there was no other.
struct Best { float score; int at; };
enum { NOBODY = 0x7fffffff };

// best_of is the first of the largest of n numbers in shared memory; those that are no numbers do not take part.
DEVICE int best_of(const float *by, int n) {
  Best b = {0.0f, NOBODY};
  for (int e = (int)lane(); e < n; e += 32)
    if (by[e] == by[e] && (b.at == NOBODY || by[e] > b.score))
      b = {by[e], e};
  UNROLL for (int m = 16; m > 0; m /= 2) {
    Best o = {shuffle_xor(b.score, m), shuffle_xor(b.at, m)};
    if (o.at != NOBODY && (b.at == NOBODY || o.score > b.score || (o.score == b.score && o.at < b.at)))
      b = o;
  }
  return b.at;
}

// take gives the best and takes it out.
DEVICE int take(float *by, int n) {
  int best = best_of(by, n);
  warp_barrier();
  if (lane() == 0)
    by[best] = bits_f32(0x7fc00000u);
  warp_barrier();
  return best;
}

// scores_of turns logits into scores.
DEVICE void scores_of(float *scores, const pio_tensor &logits, long long first, int n, bool sigmoid) {
  float top = -bits_f32(0x7f800000u), sum = 0.0f;
  for (int e = (int)lane(); e < n; e += 32) {
    float z = load(logits, first + e);
    top = z > top ? z : top;
  }
  top = warp_max(top);
  for (int e = (int)lane(); e < n; e += 32) {
    float z = load(logits, first + e);
    scores[e] = sigmoid ? 1.0f / plus(1.0f, exp_of(-z)) : exp_of(z - top);
    sum = plus(sum, scores[e]);
  }
  sum = warp_sum(sum);
  for (int e = (int)lane(); !sigmoid && e < n; e += 32) scores[e] = scores[e] / sum;
}

// leave_groups takes the experts of all but the best groups out, which are the best by the sum of their two best.
DEVICE void leave_groups(float *by, float *groups, int n, int count, int most) {
  int size = n / count;
  for (int g = (int)lane(); g < count; g += 32) {
    float first = -bits_f32(0x7f800000u), second = first;
    for (int e = 0; e < size; e++) {
      float s = by[g * size + e];
      second = s > first ? first : s > second ? s : second;
      first = s > first ? s : first;
    }
    groups[g] = plus(first, second);
  }
  warp_barrier();
  for (int i = 0; i < most; i++) take(groups, count);
  for (int e = (int)lane(); e < n; e += 32)
    if (groups[e / size] == groups[e / size])
      by[e] = bits_f32(0x7fc00000u);
  warp_barrier();
}

// Routing is what rows of logits become: k of n experts each, and their weights.
struct Routing {
  const pio_tensor &logits;
  const pio_matrix &bias; // without planes where there is none
  int n, k, groups, top_groups;
  bool sigmoid, normalize;
  float epsilon, scale;
  const pio_tensor &index, &weights;
};

// routing_floats are what a warp needs in shared memory.
DEVICE int routing_floats(int n, int groups) { return 2 * n + groups; }

DEVICE void route_row(const Routing &r, int row, float *scores) {
  float *by = scores + r.n;
  bool biased = r.bias.plane[0] != 0;
  long long first = (long long)row * r.n;
  scores_of(scores, r.logits, first, r.n, r.sigmoid);
  for (int e = (int)lane(); e < r.n; e += 32) { // logits are ordered as scores are, and rounded less
    float b = biased ? plus(scores[e], element(r.bias, 0, e)) : !r.sigmoid && r.groups < 2 ? load(r.logits, first + e) : scores[e];
    by[e] = b == b ? b : -bits_f32(0x7f800000u);
  }
  warp_barrier();
  if (r.groups > 1)
    leave_groups(by, by + r.n, r.n, r.groups, r.top_groups);
  int *index = at<int>(r.index) + (long long)row * r.k;
  float *weights = at<float>(r.weights) + (long long)row * r.k, sum = 0.0f;
  for (int i = 0; i < r.k; i++) {
    int best = take(by, r.n);
    sum = plus(sum, scores[best]);
    if (lane() == 0)
      index[i] = best;
  }
  warp_barrier(); // which makes what one lane wrote the others' to read
  float factor = r.normalize ? r.scale / plus(sum, r.epsilon) : r.scale;
  for (int i = (int)lane(); i < r.k; i += 32) weights[i] = times(scores[index[i]], factor);
}

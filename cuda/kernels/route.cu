// route.cu: which experts a row goes to. A warp has a row: scores of all experts lie in shared memory, and the best is looked for as often
// as there are experts to choose.
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

KERNEL(route, 128, 4) {
  const pio_tensor &logits = op.in[0];
  int n = logits.dim[1], k = op.n[1], groups = op.n[2], row = (int)(block_x() * (threads_x() / 32) + warp());
  bool sigmoid = op.n[0] != 0, biased = op.w[0].plane[0] != 0;
  if (row >= logits.dim[0])
    return;
  float *scores = (float *)dynamic_shared() + warp() * (2 * n + groups), *by = scores + n;
  long long first = (long long)row * n;
  scores_of(scores, logits, first, n, sigmoid);
  for (int e = (int)lane(); e < n; e += 32) { // logits are ordered as scores are, and rounded less
    float b = biased ? plus(scores[e], element(op.w[0], 0, e)) : !sigmoid && groups < 2 ? load(logits, first + e) : scores[e];
    by[e] = b == b ? b : -bits_f32(0x7f800000u);
  }
  warp_barrier();
  if (groups > 1)
    leave_groups(by, by + n, n, groups, op.n[3]);
  int *index = at<int>(op.out[0]) + (long long)row * k;
  float *weights = at<float>(op.out[1]) + (long long)row * k, sum = 0.0f;
  for (int i = 0; i < k; i++) {
    int best = take(by, n);
    sum = plus(sum, scores[best]);
    if (lane() == 0)
      index[i] = best;
  }
  warp_barrier(); // which makes what one lane wrote the others' to read
  float factor = op.n[4] ? op.f[1] / plus(sum, op.f[0]) : op.f[1];
  for (int i = (int)lane(); i < k; i += 32) weights[i] = times(scores[index[i]], factor);
}

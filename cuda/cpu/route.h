// route.h: how rows choose their experts; included by template.h.

enum { EXPERTS_MOST = 4096 }; // that can be chosen from

typedef struct {
  int32_t *index;
  float *weights;
  const float *logits;
  const pio_matrix *bias; // NULL: none
  size_t rows, experts, k, groups, top_groups, rows_per_task;
  int sigmoid, by_logits, normalize; // by_logits: choose by these, which are ordered as the scores are and rounded less
  float epsilon, scale;
} route_args;

INLINE V score(int sigmoid, V z, V most) {
  if (sigmoid)
    return sigmoid_of(z);
  return v_exp(z - most);
}

// scores_of turns a row's logits into scores.
static void scores_of(const route_args *a, const float *z, float *scores) {
  size_t n = a->experts, i = 0;
  float top = -__builtin_inff();
  for (size_t e = 0; e < n; e++)
    top = z[e] > top ? z[e] : top;
  V most = v_set1(top), sum = v_zero();
  for (; i + W <= n; i += W) {
    V v = score(a->sigmoid, v_load(z + i), most);
    v_store(scores + i, v);
    sum = sum + v;
  }
  if (i < n) {
    v_store_n(scores + i, score(a->sigmoid, v_load_n(z + i, n - i), most), n - i);
    sum = sum + v_load_n(scores + i, n - i);
  }
  if (a->sigmoid)
    return;
  V all = v_set1(v_sum(sum));
  for (i = 0; i + W <= n; i += W)
    v_store(scores + i, v_load(scores + i) / all);
  if (i < n)
    v_store_n(scores + i, v_load_n(scores + i, n - i) / all, n - i);
}

// add_bias is what experts are chosen by where there is a bias.
static void add_bias(const route_args *a, const float *scores, float *by) {
  size_t i = 0, n = a->experts;
  layouts[a->bias->layout].widen(a->bias, 0, 0, n, by);
  for (; i + W <= n; i += W)
    v_store(by + i, v_load(scores + i) + v_load(by + i));
  if (i < n)
    v_store_n(by + i, v_load_n(scores + i, n - i) + v_load_n(by + i, n - i), n - i);
}

// best_of is the first of the largest numbers that are not out.
static size_t best_of(const float *by, const char *out, size_t n) {
  size_t best = n;
  for (size_t e = 0; e < n; e++)
    if (!out[e] && (best == n || by[e] > by[best]))
      best = e;
  return best;
}

// leave_groups takes the experts of all but the best groups out.
static void leave_groups(const route_args *a, const float *by, char *out) {
  float sums[EXPERTS_MOST];
  char kept[EXPERTS_MOST] = {0};
  size_t size = a->experts / a->groups;
  for (size_t g = 0; g < a->groups; g++) {
    const float *s = by + g * size;
    float first = s[0] > s[1] ? s[0] : s[1], second = s[0] > s[1] ? s[1] : s[0];
    for (size_t e = 2; e < size; e++) {
      second = s[e] > first ? first : s[e] > second ? s[e] : second;
      first = s[e] > first ? s[e] : first;
    }
    sums[g] = first + second;
  }
  for (size_t i = 0; i < a->top_groups; i++)
    kept[best_of(sums, kept, a->groups)] = 1;
  for (size_t e = 0; e < a->experts; e++)
    out[e] = !kept[e / size];
}

static void route_row(const route_args *a, const float *z, int32_t *index, float *weights) {
  float scores[EXPERTS_MOST], by[EXPERTS_MOST], sum = 0;
  char out[EXPERTS_MOST] = {0};
  scores_of(a, z, scores);
  if (a->bias)
    add_bias(a, scores, by);
  else
    memcpy(by, a->by_logits ? z : scores, a->experts * sizeof(float));
  for (size_t e = 0; e < a->experts; e++)
    by[e] = by[e] == by[e] ? by[e] : -__builtin_inff(); // what is not a number is the worst
  if (a->groups > 1)
    leave_groups(a, by, out);
  for (size_t i = 0; i < a->k; i++) {
    size_t e = best_of(by, out, a->experts);
    out[e] = 1, index[i] = (int32_t)e, weights[i] = scores[e];
    sum += scores[e];
  }
  float factor = a->normalize ? a->scale / (sum + a->epsilon) : a->scale;
  for (size_t i = 0; i < a->k; i++)
    weights[i] *= factor;
}

static void route(const void *args, size_t task) {
  const route_args *a = args;
  size_t r = task * a->rows_per_task, to = a->rows - r < a->rows_per_task ? a->rows : r + a->rows_per_task;
  for (; r < to; r++)
    route_row(a, a->logits + r * a->experts, a->index + r * a->k, a->weights + r * a->k);
}

static const char *run_route(pio_pool *p, const pio_op *op) {
  const pio_tensor *logits = &op->in[0];
  route_args a = {.index = i32(&op->out[0]), .weights = f32(&op->out[1]), .logits = f32(logits), .bias = op->w[0].plane[0] ? &op->w[0] : NULL,
                  .rows = dim(logits, 0), .experts = last(logits), .k = (size_t)op->n[1], .groups = (size_t)op->n[2],
                  .top_groups = (size_t)op->n[3], .sigmoid = op->n[0], .normalize = op->n[4], .epsilon = op->f[0], .scale = op->f[1]};
  if (a.experts > EXPERTS_MOST)
    return "more than 4096 experts to choose from";
  a.by_logits = !a.sigmoid && !a.bias && a.groups < 2;
  a.rows_per_task = ceil_div(SMALL, a.experts * (a.k + 8)); // each expert is looked at k times, and its score computed
  pio_pool_run(p, route, &a, ceil_div(a.rows, a.rows_per_task));
  return NULL;
}

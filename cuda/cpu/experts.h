// experts.h: how rows choose their experts, and how what these give is added up; included by template.h.

INLINE V score(int sigmoid, V z, V most) {
  if (sigmoid)
    return v_set1(1) / (v_set1(1) + v_exp(v_zero() - z));
  return v_exp(z - most);
}

// scores_of turns a row's logits into scores.
static void scores_of(const pio_route_args *a, const float *z, float *scores) {
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
static void add_bias(const pio_route_args *a, const float *scores, float *by) {
  size_t i = 0, size = width_of(a->bias_type);
  const char *bias = a->bias;
  for (; i + W <= a->experts; i += W)
    v_store(by + i, v_load(scores + i) + widen(a->bias_type, bias + i * size));
  if (i < a->experts)
    v_store_n(by + i, v_load_n(scores + i, a->experts - i) + widen_n(a->bias_type, bias + i * size, a->experts - i), a->experts - i);
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
static void leave_groups(const pio_route_args *a, const float *by, char *out) {
  float sums[PIO_EXPERTS_MOST];
  char kept[PIO_EXPERTS_MOST] = {0};
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

static void route_row(const pio_route_args *a, const float *z, int32_t *index, float *weights) {
  float scores[PIO_EXPERTS_MOST], by[PIO_EXPERTS_MOST], sum = 0;
  char out[PIO_EXPERTS_MOST] = {0};
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
  const pio_route_args *a = args;
  size_t r = task * a->rows_per_task, to = a->rows - r < a->rows_per_task ? a->rows : r + a->rows_per_task;
  for (; r < to; r++)
    route_row(a, a->logits + r * a->experts, a->index + r * a->k, a->weights + r * a->k);
}

// A task adds some columns of all rows, one row after the other.
static void scatter_add(const void *args, size_t task) {
  const pio_scatter_args *a = args;
  size_t from = task * a->columns_per_task;
  size_t n = a->n - from < a->columns_per_task ? a->n - from : a->columns_per_task;
  for (size_t i = 0; i < a->count; i++) {
    size_t e = (size_t)a->entries[i], c = 0;
    float *y = a->y + e / a->k * a->n + from;
    const float *x = a->x + i * a->n + from;
    V w = v_set1(a->weights[e]);
    for (; c + W <= n; c += W)
      v_store(y + c, v_fma(w, v_load(x + c), v_load(y + c)));
    if (c < n)
      v_store_n(y + c, v_fma(w, v_load_n(x + c, n - c), v_load_n(y + c, n - c)), n - c);
  }
}

// sampling.h: what a sampler wants to know of rows of logits; included by template.h.
//
// A task is a piece of a row, of a length that does not depend on how many threads there are; the caller joins what pieces give.

enum { LOGITS = 16384 }; // of a piece, at least

typedef struct {
  const float *x;
  size_t n, pieces, piece_n, k;
  float *most;     // argmax: by piece
  int32_t *index;  // argmax: by piece
  int32_t *odd;    // argmax: by piece
  uint64_t *best;  // top_k: k by piece
} logits_args;

INLINE size_t piece_of(const logits_args *a, size_t task, const float **x, size_t *begin) {
  *begin = task % a->pieces * a->piece_n;
  *x = a->x + task / a->pieces * a->n + *begin;
  return at_most(a->piece_n, a->n - *begin);
}

// most_of is the largest of some numbers, without those that are none.
INLINE float most_of(const float *x, size_t n) {
  V most = v_set1(-__builtin_inff());
  size_t i = 0;
  for (; i + W <= n; i += W)
    most = v_max(v_load(x + i), most);
  float m = v_most(most);
  for (; i < n; i++)
    m = x[i] > m ? x[i] : m;
  return m;
}

// ---- argmax: the first of the largest, which is never what is no number, and the largest, which is none if any is

// has_nan: a sum of all times zero keeps what is no number, and infinities, which are told apart one by one.
INLINE int has_nan(const float *x, size_t n) {
  V sums[4] = {v_zero(), v_zero(), v_zero(), v_zero()};
  size_t i = 0;
  for (; i + 4 * W <= n; i += 4 * W)
    UNROLL for (size_t j = 0; j < 4; j++)
      sums[j] = v_fma(v_load(x + i + j * W), v_zero(), sums[j]);
  float sum = v_sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
  for (size_t j = sum == sum ? i : 0; j < n; j++)
    if (x[j] != x[j])
      return 1;
  return 0;
}

static void argmax(const void *args, size_t task) {
  const logits_args *a = args;
  const float *x;
  size_t begin, n = piece_of(a, task, &x, &begin), i = 0;
  float most = most_of(x, n);
  while (i < n && x[i] != most)
    i++;
  a->most[task] = i < n ? x[i] : 0; // of zeros the sign
  a->index[task] = i < n ? (int32_t)(begin + i) : -1; // there is no number
  a->odd[task] = has_nan(x, n);
}

static const char *run_argmax(pio_pool *p, const pio_op *op) {
  const pio_tensor *x = &op->in[0];
  logits_args a = {.x = f32(x), .n = last(x), .piece_n = LOGITS};
  a.pieces = ceil_div(a.n, LOGITS);
  size_t rows = rows_of(x), tasks = rows * a.pieces;
  char *room = malloc(tasks * (sizeof(float) + 2 * sizeof(int32_t)));
  if (!room)
    return no_memory;
  a.most = (float *)room, a.index = (int32_t *)(a.most + tasks), a.odd = a.index + tasks;
  pio_pool_run(p, argmax, &a, tasks);
  for (size_t r = 0; r < rows; r++) {
    int32_t best = -1, odd = 0;
    float most = 0;
    for (size_t t = r * a.pieces; t < (r + 1) * a.pieces; t++) {
      odd |= a.odd[t];
      if (a.index[t] >= 0 && (best < 0 || a.most[t] > most))
        best = a.index[t], most = a.most[t];
    }
    i32(&op->out[0])[r] = best < 0 ? 0 : best;
    if (op->outs > 1)
      f32(&op->out[1])[r] = odd ? __builtin_nanf("") : most;
  }
  free(room);
  return NULL;
}

// ---- top_k

// rank_of orders elements of a row as integers: the larger the better, of equals the one that comes first, what is no number last.
INLINE uint64_t rank_of(float x, size_t i) {
  uint32_t bits, upper = 0;
  x += 0.0f; // -0 is 0
  memcpy(&bits, &x, 4);
  if (x == x)
    upper = bits >> 31 ? ~bits : bits | 0x80000000u;
  return (uint64_t)upper << 32 | (uint32_t)~(uint32_t)i;
}

INLINE size_t place_of(uint64_t rank) { return (uint32_t)~(uint32_t)rank; }

// sink brings the first of a heap, whose first is the worst, to where it belongs.
static void sink(uint64_t *heap, size_t at, size_t n) {
  for (size_t child; (child = 2 * at + 1) < n; at = child) {
    if (child + 1 < n && heap[child + 1] < heap[child])
      child++;
    if (heap[at] <= heap[child])
      return;
    uint64_t t = heap[at];
    heap[at] = heap[child], heap[child] = t;
  }
}

static void heap_of(uint64_t *heap, size_t n) {
  for (size_t i = n / 2; i-- > 0;)
    sink(heap, i, n);
}

// take_better puts a rank into a heap in the place of the worst, if that is worse.
INLINE void take_better(uint64_t *heap, size_t n, uint64_t rank) {
  if (rank > heap[0])
    heap[0] = rank, sink(heap, 0, n);
}

static void best_of_piece(const void *args, size_t task) {
  const logits_args *a = args;
  const float *x;
  size_t begin, n = piece_of(a, task, &x, &begin), k = at_most(a->k, n), i = 0;
  uint64_t *heap = a->best + task * a->k;
  for (; i < k; i++)
    heap[i] = rank_of(x[i], begin + i);
  memset(heap + k, 0, (a->k - k) * sizeof *heap); // worse than any
  heap_of(heap, k);
  while (i < n) {
    size_t m = at_most(4 * W, n - i);
    float worst = a->x[task / a->pieces * a->n + place_of(heap[0])];
    if (worst == worst && !(most_of(x + i, m) > worst)) { // most are left out here
      i += m;
      continue;
    }
    for (size_t to = i + m; i < to; i++)
      take_better(heap, k, rank_of(x[i], begin + i));
  }
}

// sorted turns a heap into its elements, the best first.
static void sorted(uint64_t *heap, size_t n) {
  while (n > 1) {
    uint64_t worst = heap[0];
    heap[0] = heap[--n], heap[n] = worst;
    sink(heap, 0, n);
  }
}

static const char *run_top_k(pio_pool *p, const pio_op *op) {
  const pio_tensor *x = &op->in[0];
  logits_args a = {.x = f32(x), .n = last(x), .k = last(&op->out[0])};
  if (a.k > a.n)
    return "more of the best are wanted than there are";
  a.piece_n = at_least(LOGITS, 8 * a.k);
  a.pieces = ceil_div(a.n, a.piece_n);
  size_t rows = rows_of(x), k = a.k;
  a.best = malloc(rows * a.pieces * k * sizeof *a.best);
  if (!a.best)
    return no_memory;
  pio_pool_run(p, best_of_piece, &a, rows * a.pieces);
  for (size_t r = 0; r < rows; r++) {
    uint64_t *heap = a.best + r * a.pieces * k;
    heap_of(heap, k);
    for (size_t i = k; i < a.pieces * k; i++)
      take_better(heap, k, heap[i]);
    sorted(heap, k);
    for (size_t i = 0; i < k; i++) {
      i32(&op->out[0])[r * k + i] = (int32_t)place_of(heap[i]);
      f32(&op->out[1])[r * k + i] = a.x[r * a.n + place_of(heap[i])];
    }
  }
  free(a.best);
  return NULL;
}

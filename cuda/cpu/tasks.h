// tasks.h: what every op needs to read its operands and to cut its work into tasks; included by template.h.

// SMALL is how many elements an op must have to be worth waking threads for; TASK_BYTES how much of a weight a task reads, or a
// copy moves: large enough that taking a task costs nothing, small enough that threads end together.
enum { SMALL = 16384, TASK_BYTES = 64 * 1024 };

static const char no_memory[] = "there is no memory to work in";

INLINE size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }
INLINE size_t at_least(size_t least, size_t n) { return n < least ? least : n; }
INLINE size_t at_most(size_t most, size_t n) { return n > most ? most : n; }

// ---- vectors

typedef int32_t L __attribute__((vector_size(sizeof(V)))); // the bits of a V, or whole numbers
typedef uint32_t U __attribute__((vector_size(sizeof(V)))); // bits that are moved or may go round
typedef int16_t H __attribute__((vector_size(sizeof(V)))); // halves of whole numbers
typedef uint16_t UH __attribute__((vector_size(sizeof(V))));

// held keeps a vector that several products take in a register: compilers would rather read it again for each.
INLINE V held(V v) {
#if defined(__AVX2__) && !defined(PIO_MODEL)
  __asm__("" : "+v"(v));
#endif
  return v;
}

// v_prefetch_far asks for what is needed later than what v_prefetch asks for, into the second-level cache.
INLINE void v_prefetch_far(const void *p) { __builtin_prefetch(p, 0, 2); }

// ---- operands

INLINE float *f32(const pio_tensor *t) { return (float *)t->at; }
INLINE int32_t *i32(const pio_tensor *t) { return (int32_t *)t->at; }
INLINE size_t dim(const pio_tensor *t, int i) { return (size_t)t->dim[i]; }
INLINE size_t last(const pio_tensor *t) { return (size_t)t->dim[t->nd - 1]; }

INLINE size_t count(const pio_tensor *t) {
  size_t n = 1;
  for (int i = 0; i < t->nd; i++)
    n *= (size_t)t->dim[i];
  return n;
}

// per_row is how many elements each of the first dimension has, rows_of how many rows as long as the last one there are.
INLINE size_t per_row(const pio_tensor *t) { return count(t) / at_least(1, dim(t, 0)); }
INLINE size_t rows_of(const pio_tensor *t) { return count(t) / at_least(1, last(t)); }

INLINE size_t type_size(int type) { return type == PIO_F32 || type == PIO_I32 ? 4 : type == PIO_BF16 || type == PIO_F16 ? 2 : 1; }

// ---- ops on elements: a task is SMALL of them

typedef struct {
  float *y;
  const float *a, *b; // b is a in ops of one operand
  size_t n;
} element_args;

static const char *by_element(pio_pool *p, const pio_op *op, pio_task *task) {
  const float *a = f32(&op->in[0]);
  element_args e = {f32(&op->out[0]), a, op->in[1].at ? f32(&op->in[1]) : a, count(&op->out[0])};
  pio_pool_run(p, task, &e, ceil_div(e.n, SMALL));
  return NULL;
}

// PIO_ELEMENTS makes the task of an op from what it gives for vectors a and b.
#define PIO_ELEMENTS(TASK, VALUE)                                                                                      \
  static void TASK(const void *args, size_t task) {                                                                    \
    const element_args *e = args;                                                                                      \
    size_t i = task * SMALL, to = at_most(e->n, i + SMALL);                                                            \
    for (; i + W <= to; i += W) {                                                                                      \
      V a = v_load(e->a + i), b = v_load(e->b + i);                                                                    \
      (void)b;                                                                                                         \
      v_store(e->y + i, VALUE);                                                                                        \
    }                                                                                                                  \
    if (i < to) {                                                                                                      \
      V a = v_load_n(e->a + i, to - i), b = v_load_n(e->b + i, to - i);                                                \
      (void)b;                                                                                                         \
      v_store_n(e->y + i, VALUE, to - i);                                                                              \
    }                                                                                                                  \
  }

// ---- ops on rows: a task is some rows of n elements of the first operand and of the result

typedef struct {
  const pio_op *op;
  float *y;
  const float *x;
  size_t rows, n, rows_per_task;
} row_args;

typedef struct {
  size_t from, to;
} span;

// part_of is what a task has of so many things, if each has as many.
INLINE span part_of(size_t task, size_t each, size_t things) { return (span){task * each, at_most(things, (task + 1) * each)}; }

static void run_rows(pio_pool *p, pio_task *task, const pio_op *op, size_t rows, size_t n) {
  row_args a = {op, f32(&op->out[0]), f32(&op->in[0]), rows, n, at_least(1, SMALL / at_least(1, n))};
  pio_pool_run(p, task, &a, ceil_div(rows, a.rows_per_task));
}

static const char *by_row(pio_pool *p, const pio_op *op, pio_task *task) {
  run_rows(p, task, op, rows_of(&op->out[0]), last(&op->out[0]));
  return NULL;
}

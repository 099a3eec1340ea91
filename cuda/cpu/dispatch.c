// dispatch.c: which kernel tables this machine has, and how an op is run by one.
#define _GNU_SOURCE
#include "bf16.h"
#include "kernels.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

extern const pio_kernels pio_portable, pio_portable_fast;
#if defined(__x86_64__)
extern const pio_kernels pio_amx, pio_avx512bf16, pio_avx512, pio_avx512_fast, pio_avx2, pio_avx2_fast;

// What the processor says of itself and the system keeps of its registers; its make and model say nothing.
static int has_avx2(void) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}

#ifdef PIO_MODEL // whose instructions are C
static int has_avx512(void) { return has_avx2(); }
static int has_avx512bf16(void) { return has_avx2(); }
static int has_amx(void) { return has_avx2(); }
static int pairs_pay(void) { return 1; }
#else
static int has_avx512(void) {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
}

static int has_avx512bf16(void) { return has_avx512() && __builtin_cpu_supports("avx512bf16"); }

// What a processor does with products of pairs is measured once, for numerics must not change while it runs.
int pio_pairs_pay(void);
static int pay;
static void measure_pairs(void) { pay = pio_pairs_pay(); }
static int pairs_pay(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, measure_pairs);
  return pay;
}

// A process asks Linux for the registers of AMX, 8 KiB of each thread that uses them. A sandbox may refuse, a kernel before 5.16 does not
// know the question, and it is refused while a thread handles signals on a stack too small to put them away.
static int has_amx(void) {
  enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
  return has_avx512bf16() && __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-bf16") && __builtin_cpu_supports("amx-int8") &&
         syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}
#endif
#elif defined(__aarch64__)
#include <sys/auxv.h>
extern const pio_kernels pio_neon_dot, pio_neon_dot_fast, pio_neon, pio_neon_fast;

// What the system says of the processor.
static int has_neon_dot(void) {
  enum { ASIMDDP = 1 << 20 };
  return (getauxval(AT_HWCAP) & ASIMDDP) != 0;
}
#endif

const pio_kernels *pio_kernels_at(int i) {
  const pio_kernels *all[9];
  int n = 0;
#if defined(__x86_64__)
  if (has_amx())
    all[n++] = &pio_amx;
  if (has_avx512bf16() && pairs_pay())
    all[n++] = &pio_avx512bf16;
  if (has_avx512())
    all[n++] = &pio_avx512_fast, all[n++] = &pio_avx512;
  if (has_avx512bf16() && !pairs_pay())
    all[n++] = &pio_avx512bf16;
  if (has_avx2())
    all[n++] = &pio_avx2_fast, all[n++] = &pio_avx2;
#elif defined(__aarch64__)
  if (has_neon_dot())
    all[n++] = &pio_neon_dot_fast, all[n++] = &pio_neon_dot;
  all[n++] = &pio_neon_fast, all[n++] = &pio_neon;
#endif
  all[n++] = &pio_portable_fast, all[n++] = &pio_portable;
  return i < n ? all[i] : NULL;
}

const char *pio_op_name(int code) {
#define PIO_STRING(name) #name,
  static const char *const names[] = {PIO_OPS(PIO_STRING)};
#undef PIO_STRING
  return code >= 0 && code < PIO_OP_COUNT ? names[code] : NULL;
}

static size_t count(const pio_tensor *t) {
  size_t n = 1;
  for (int i = 0; i < t->nd; i++)
    n *= (size_t)t->dim[i];
  return n;
}

// ---- activations in bf16, which kernels take as f32. Caches they read and write themselves.

// Which operands kernels have in bf16, as bits.
static int is_copy(const pio_op *op) { return op->code == PIO_OP_copy && op->out[0].type == op->in[0].type; }

static unsigned native_outs(const pio_op *op) { return op->code == PIO_OP_cache_write || is_copy(op) ? 1 : 0; }

static unsigned native_ins(const pio_op *op) {
  switch (op->code) {
  case PIO_OP_attention: // keys and values, of one type
  case PIO_OP_attend_tile:
    return op->in[1].type == op->in[2].type ? 2 | 4 : 0;
  case PIO_OP_latent_attention:
    return 2;
  case PIO_OP_cache_read:
    return 1;
  }
  return is_copy(op) ? 1 : 0;
}

enum { PIECE = 16384 }; // elements that a task converts

typedef struct {
  float *wide;
  char *narrow;
  size_t n;
} convert_args;

static void widen(const void *args, size_t task) {
  const convert_args *a = args;
  size_t i = task * PIECE;
  bf16_widen(a->wide + i, a->narrow + 2 * i, a->n - i < PIECE ? a->n - i : PIECE);
}

static void narrow(const void *args, size_t task) {
  const convert_args *a = args;
  size_t i = task * PIECE;
  bf16_round(a->narrow + 2 * i, a->wide + i, a->n - i < PIECE ? a->n - i : PIECE);
}

static void convert(pio_pool *p, pio_task *task, uintptr_t wide, const pio_tensor *t) {
  convert_args a = {(float *)wide, (char *)t->at, count(t)};
  pio_pool_run(p, task, &a, (a.n + PIECE - 1) / PIECE);
}

// foreign says that a kernel wants operand i in f32.
static int foreign(const pio_tensor *t, int i, unsigned native) { return t->at && t->type == PIO_BF16 && !(native >> i & 1); }

// room_for is how many elements there are to be converted.
static size_t room_for(const pio_tensor *list, int n, unsigned native) {
  size_t elements = 0;
  for (int i = 0; i < n; i++)
    elements += foreign(&list[i], i, native) ? count(&list[i]) : 0;
  return elements;
}

// widen_all widens operands, also those that are given, as some are changed in place; it returns the end of what it used.
static float *widen_all(pio_pool *p, pio_tensor *list, int n, unsigned native, float *room) {
  for (int i = 0; i < n; i++)
    if (foreign(&list[i], i, native)) {
      convert(p, widen, (uintptr_t)room, &list[i]);
      list[i].at = (uintptr_t)room, list[i].type = PIO_F32;
      room += count(&list[i]);
    }
  return room;
}

const char *pio_run(pio_pool *p, const pio_op *op) {
  if (op->code < 0 || op->code >= PIO_OP_COUNT)
    return "there are no kernels for this op";
  unsigned outs = native_outs(op), ins = native_ins(op);
  size_t foreign_n = room_for(op->out, op->outs, outs) + room_for(op->in, op->ins, ins);
  if (op->outs > 0 && count(&op->out[0]) == 0) // what is left out has no dimension, and so one element
    return NULL;
  if (foreign_n == 0)
    return op->table->run[op->code](p, op);
  float *room = malloc(foreign_n * sizeof(float));
  if (!room)
    return "there is no memory to widen activations in";
  pio_op wide = *op;
  widen_all(p, wide.in, op->ins, ins, widen_all(p, wide.out, op->outs, outs, room));
  const char *why = op->table->run[op->code](p, &wide);
  for (int i = 0; i < op->outs; i++)
    if (!why && foreign(&op->out[i], i, outs))
      convert(p, narrow, wide.out[i].at, &op->out[i]);
  free(room);
  return why;
}

// fibers.cpp runs a kernel on a CPU: its blocks one after another, each thread of a block a fiber with a stack of its own, which runs until
// it meets others (a barrier, a shuffle, a product of matrices). A fiber that meets gives way to the next lane of its warp; the last to
// come does what all came for and goes on. A warp goes on until all its lanes wait for the block; then another warp runs.
//
// A thread that returns hands its stack to the next that has not begun, so kernels whose threads never meet do not switch at all.
#include "fibers.h"
#include "../device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

__thread pio_sim_place pio_sim_here;
extern __thread char pio_sim_shared_begin[64], pio_sim_shared_end[64];

namespace {

constexpr char SPOILT = (char)0xfb; // as f32 and bf16 a large number that means nothing
enum { LANES = 32, MOST_THREADS = 1024, MOST_WARPS = MOST_THREADS / LANES, MOST_SHARED = 232448, BEHIND = 1024, MOST_PRODUCTS = 16 };

// ---- kernels by name

struct Kernel {
  pio_sim_body body;
  int threads;
  unsigned bytes;
};

std::map<std::string, Kernel> &kernels() {
  static std::map<std::string, Kernel> all;
  return all;
}

// ---- how the freedom is used

int copies_mode = [] {
  const char *s = getenv("PIO_SIM_COPIES");
  return !s || !strcmp(s, "late") ? 0 : !strcmp(s, "early") ? 1 : 2;
}();
unsigned long long order_seed = [] {
  const char *s = getenv("PIO_SIM_ORDER");
  return s ? strtoull(s, nullptr, 10) : 0ull;
}();

// ---- fibers

// A stack. Successive ones begin at different lines of the cache: with the same offset in a page each, 32 lanes would not fit into it.
enum : size_t { STACK = (128 << 10) + 9 * 64, CANARY = 0x5ca1ab1e0ddba11 };

struct Fiber {
  char *low;
#if defined(__x86_64__)
  void *sp;
#else
  ucontext_t context;
#endif
};

void run_threads();

#if defined(__x86_64__)
// jump goes on with a fiber where it jumped away, or where it begins. Only the stack and the place are kept; the compiler is told that all
// registers change, so it keeps those that it needs, and no more. (The file is compiled without a red zone, which this would write into.)
__attribute__((always_inline)) inline void jump(Fiber &from, Fiber &to) {
  void **at = &from.sp, *sp = to.sp;
  __asm__ volatile("pushq %%rbp\n"
                   "leaq 1f(%%rip), %%rax\n"
                   "pushq %%rax\n"
                   "movq %%rsp, (%0)\n"
                   "movq %1, %%rsp\n"
                   "popq %%rax\n"
                   "jmp *%%rax\n"
                   "1: popq %%rbp\n"
                   : "+D"(at), "+S"(sp)
                   :
                   : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3",
                     "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}
void begin(Fiber &f) {
  void **top = (void **)(((uintptr_t)f.low + STACK) & ~(uintptr_t)63) - 1; // where a call would have left its return address: 8 beside a multiple of 16
  top[0] = nullptr;
  top[-1] = (void *)run_threads;
  f.sp = top - 1;
}
#else
void begin(Fiber &f) {
  getcontext(&f.context);
  f.context.uc_stack.ss_sp = f.low;
  f.context.uc_stack.ss_size = STACK & ~(size_t)63;
  makecontext(&f.context, run_threads, 0);
}
void jump(Fiber &from, Fiber &to) { swapcontext(&from.context, &to.context); }
#endif

// ---- a block that runs

enum Kind { NOTHING, BARRIER, WARP_BARRIER, SHUFFLE, BALLOT, LDMATRIX, LDMATRIX_TWO, LDMATRIX_TRANS, MMA, PARK, TOGETHER };
const char *const kind_names[] = {"nothing", "a barrier of the block", "a barrier of the warp", "a shuffle", "a ballot", "a load of matrices", "two loads of matrices", "a transposed load of matrices", "a product of matrices", "a wait for an mbarrier", "what a warpgroup does together"};

// What a lane brings to a meeting and takes from it. There are two sets, in turn: whoever goes on first may come to the next meeting before
// the last has taken what it came for.
struct Slots {
  unsigned members; // who had not returned
  unsigned value[LANES];
  const void *row[2][LANES];
  pio_sim_loaded loaded[2];
};

struct Warp {
  unsigned alive, started, arrived; // bits of lanes
  Kind kind;                        // what those that have arrived came for
  bool blocked;                     // all wait for the block
  bool parked;                      // all wait until ready says so
  bool (*ready)(void *, unsigned);
  void *what;
  unsigned which;
  void (*all)(void *const *);
  void *mine[LANES];
  unsigned turn;
  Fiber *fiber[LANES];
  Slots slots[2];
  unsigned asked[LANES]; // how many products of these, which are made when lanes meet for them
  pio_sim_product products[MOST_PRODUCTS];
};

struct Copy {
  void *to;
  const void *from;
};
struct Copies { // of one thread, in lazy mode
  std::vector<Copy> pending;
  std::vector<size_t> groups; // where each ends
};

struct Machine {
  pio_sim_place &here = pio_sim_here;
  Fiber main;
  std::vector<Fiber *> free;
  std::vector<Fiber> fibers;
  Fiber *current;
  char *stacks = nullptr, *dynamic = nullptr;

  const char *name = "";
  pio_sim_body body;
  const pio_op *op;
  alignas(64) char param[4096]; // as many as a GPU takes; what op is the beginning of
  Warp *warp; // of the fiber that runs
  Warp warps[MOST_WARPS];
  unsigned n, alive, blocked; // warps: all, those with threads left, those that wait
  Copies copies[MOST_THREADS];
  bool shuffled; // warps and lanes run in a random order
  unsigned long long random = 0;
  unsigned used = 0; // fibers that have run
  jmp_buf out;
  bool running = false;
  char error[600] = "";

  Machine() {
    size_t bytes = STACK * MOST_THREADS;
    stacks = (char *)mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    dynamic = (char *)aligned_alloc(BEHIND, MOST_SHARED + BEHIND);
    fibers.resize(MOST_THREADS);
    for (int i = 0; i < MOST_THREADS; i++) fibers[i].low = stacks + STACK * i;
    reset();
  }
  ~Machine() {
    munmap(stacks, STACK * MOST_THREADS);
    ::free(dynamic);
  }
  // reset is for the beginning and for after a fault, which leaves fibers where they were.
  void reset() {
    free.clear();
    for (int i = MOST_THREADS; i-- > 0;) free.push_back(&fibers[i]);
    for (Copies &c : copies) c.pending.clear(), c.groups.clear();
  }
  unsigned roll(unsigned n) { // below n
    random ^= random << 13, random ^= random >> 7, random ^= random << 17;
    return (unsigned)((random >> 32) * n >> 32);
  }
};

thread_local Machine *the_machine;
struct Owner {
  ~Owner() { delete the_machine; }
};
Machine &machine() {
  static thread_local Owner owner;
  if (!the_machine) {
    (void)&owner;
    the_machine = new Machine;
  }
  return *the_machine;
}

// pick chooses of the lanes in bits: the next after one, or any.
inline unsigned pick(Machine &m, unsigned bits, unsigned after) {
  if (__builtin_expect(m.shuffled, 0)) {
    for (unsigned k = m.roll(__builtin_popcount(bits)); k; k--) bits &= bits - 1;
    return __builtin_ctz(bits);
  }
  unsigned higher = bits & ~1u << after; // after is below 32, so the shift is not past the word
  return __builtin_ctz(higher ? higher : bits);
}

// ready says whether a warp can run, and takes it from where it is parked if it can.
bool ready(Warp &w) {
  if (!w.alive || w.blocked)
    return false;
  if (w.parked && w.ready(w.what, w.which))
    w.parked = false, w.arrived = 0, w.turn++;
  return !w.parked;
}

// pick_warp finds one that can run. If all wait for each other, which no GPU would ever end, it is said.
Warp *pick_warp(Machine &m) {
  unsigned first = m.shuffled ? m.roll(m.n) : m.warp - m.warps;
  for (unsigned i = 0; i < m.n; i++) {
    Warp &w = m.warps[(first + i) % m.n];
    if (ready(w))
      return &w;
  }
  pio_sim_fault("all warps wait for mbarriers, and nobody is left to arrive at them");
}

// place makes a lane the one that runs.
void place(Machine &m, Warp *w, unsigned lane) {
  m.warp = w;
  m.here.thread = (unsigned)(w - m.warps) * LANES + lane;
}

// prepare gives a lane that has not begun a stack.
__attribute__((noinline)) void prepare(Machine &m, Warp *w, unsigned lane) {
  w->fiber[lane] = m.free.back();
  m.free.pop_back();
  if (unsigned n = (unsigned)(w->fiber[lane] - m.fibers.data()) + 1; n > m.used)
    for (; m.used < n; m.used++) *(size_t *)m.fibers[m.used].low = CANARY;
  begin(*w->fiber[lane]);
  w->started |= 1u << lane;
}

// go runs a lane, from where it waits or from its beginning, and comes back when the lane that called it is to go on.
__attribute__((always_inline)) inline void go(Machine &m, Warp *w, unsigned lane) {
  Fiber *self = m.current;
  if (__builtin_expect(!(w->started >> lane & 1), 0))
    prepare(m, w, lane);
  place(m, w, lane);
  m.current = w->fiber[lane];
#if defined(__SANITIZE_ADDRESS__)
  void *kept;
  __sanitizer_start_switch_fiber(&kept, m.current->low, STACK);
#endif
  jump(*self, *m.current);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(kept, nullptr, nullptr);
#endif
}

void release(Machine &m) {
  for (unsigned i = 0; i < m.n; i++)
    if (m.warps[i].blocked)
      m.warps[i].blocked = false, m.warps[i].arrived = 0;
  m.blocked = 0;
}

// multiply makes all products that the lanes of a warp have asked for.
void multiply(Warp &w) {
  for (unsigned n : w.asked)
    if (n != w.asked[0])
      pio_sim_fault("lanes of a warp ask for %u and %u products", w.asked[0], n);
  for (unsigned i = 0; i < w.asked[0]; i++) pio_sim_multiply(w.products[i]);
  memset(w.asked, 0, sizeof w.asked);
}

// met: all lanes of a warp that have not returned are there.
void met(Machine &m, Warp &w) {
  Slots &s = w.slots[w.turn & 1];
  s.members = w.alive;
  if (w.kind >= LDMATRIX && w.alive != ~0u)
    pio_sim_fault("%s needs all lanes, and some have returned", kind_names[w.kind]);
  switch (w.kind) {
  case BARRIER:
    w.blocked = true;
    if (++m.blocked == m.alive)
      release(m);
    return;
  case LDMATRIX_TWO: pio_sim_load_matrices(s.loaded[1], s.row[1], false); [[fallthrough]];
  case LDMATRIX: pio_sim_load_matrices(s.loaded[0], s.row[0], false); break;
  case LDMATRIX_TRANS: pio_sim_load_matrices(s.loaded[0], s.row[0], true); break;
  case MMA: multiply(w); break;
  case TOGETHER: w.all(w.mine); break;
  case PARK:
    w.parked = true;
    ready(w);
    return;
  default: break;
  }
  w.turn++;
  w.arrived = 0;
}

[[noreturn]] __attribute__((noinline)) void divergent(Warp &w, Kind kind) {
  pio_sim_fault("comes to %s while lane %d waits in %s: lanes of a warp went different ways", kind_names[kind], __builtin_ctz(w.arrived), kind_names[w.kind]);
}

// last is what the last lane does that comes: it lets happen what all came for. True: another is to run.
__attribute__((noinline)) bool last(Machine &m, Warp &w, unsigned self, Warp *&next, unsigned &lane) {
  met(m, w);
  next = w.blocked || w.parked || m.shuffled || w.kind == BARRIER ? pick_warp(m) : &w;
  lane = next == &w && !m.shuffled ? self : pick(m, next->alive & ~next->arrived, LANES - 1);
  return next != &w || lane != self;
}

// meet returns once all lanes of the warp (for a barrier, all threads of the block) have come.
__attribute__((always_inline)) inline void meet(Machine &m, Warp &w, unsigned lane, Kind kind) {
  if (__builtin_expect(w.arrived && w.kind != kind, 0))
    divergent(w, kind);
  w.kind = kind;
  w.arrived |= 1u << lane;
  Warp *next = &w;
  unsigned pending = w.alive & ~w.arrived, l;
  if (pending)
    l = pick(m, pending, lane);
  else if (!last(m, w, lane, next, l))
    return;
  go(m, next, l);
}

// left notes that a thread has returned, and says which is next; false when none is.
bool left(Machine &m, Warp *&next, unsigned &lane) {
  Warp &w = *m.warp;
  unsigned self = m.here.thread % LANES;
  if (w.asked[self])
    pio_sim_fault("returns before the %u products are known that it has asked for", w.asked[self]);
  Copies &c = m.copies[m.here.thread];
  c.pending.clear(), c.groups.clear();
  w.alive &= ~(1u << self);
  if (w.alive && w.alive == w.arrived)
    met(m, w);
  if (!w.alive && (--m.alive, m.alive && m.alive == m.blocked))
    release(m);
  if (!m.alive)
    return false;
  next = w.alive && !w.blocked && !w.parked ? &w : pick_warp(m);
  lane = pick(m, next->alive & ~next->arrived, next == &w ? self : LANES - 1);
  return true;
}

// run_threads is what a fiber does: it runs threads until one that has begun elsewhere is to go on.
void run_threads() {
  Machine &m = machine();
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
  for (;;) {
    m.body(*m.op);
    Warp *next = nullptr;
    unsigned lane = 0;
    Fiber *self = m.current, *to = &m.main;
    if (left(m, next, lane)) {
      place(m, next, lane);
      if (!(next->started >> lane & 1)) {
        next->started |= 1u << lane;
        next->fiber[lane] = self;
        continue;
      }
      to = next->fiber[lane];
    }
    m.free.push_back(self);
    m.current = to;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(nullptr, to->low, to->low ? (size_t)STACK : (size_t)0);
#endif
    jump(*self, *to);
  }
}

void run_block(Machine &m, unsigned threads) {
  m.n = m.alive = (threads + LANES - 1) / LANES;
  m.blocked = 0;
  for (unsigned i = 0; i < m.n; i++) {
    Warp &w = m.warps[i];
    unsigned lanes = threads - i * LANES;
    w.alive = lanes >= LANES ? ~0u : (1u << lanes) - 1;
    w.started = w.arrived = 0;
    memset(w.asked, 0, sizeof w.asked);
    w.blocked = w.parked = false;
  }
  m.current = &m.main;
  Warp *first = &m.warps[m.shuffled ? m.roll(m.n) : 0u];
  go(m, first, pick(m, first->alive, LANES - 1));
}

// What a kernel's shared variables hold when a block begins is nothing that it may know. All kernels' lie in one place; which part of it a
// kernel writes is learned by looking, so that little has to be spoilt before each block.
class Spoiler {
  struct Known {
    size_t from = ~(size_t)0, to = 0;
    unsigned launches = 0;
  };
  std::map<pio_sim_body, Known> all;
  Known *known = nullptr;
  bool learning = false;

public:
  static char *begin() { return pio_sim_shared_begin + sizeof pio_sim_shared_begin; }
  static size_t size() { return (size_t)(pio_sim_shared_end - begin()); }
  void launch(pio_sim_body body) {
    known = &all[body];
    unsigned n = known->launches++;
    learning = n < 8 || n % 64 == 0;
  }
  void before_block() {
    if (learning)
      memset(begin(), SPOILT, size());
    else if (known->from < known->to)
      memset(begin() + known->from, SPOILT, known->to - known->from);
  }
  void after_block() {
    if (!learning)
      return;
    learning = false;
    const char *p = begin();
    size_t from = 0, to = size();
    while (from < to && p[from] == SPOILT) from++;
    while (from < to && p[to - 1] == SPOILT) to--;
    if (from < to)
      known->from = std::min(known->from, from), known->to = std::max(known->to, to);
  }
};
thread_local Spoiler spoiler;

// refuse is a launch that cannot be.
int refuse(Machine &m, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(m.error, sizeof m.error, format, args);
  va_end(args);
  return 1;
}

} // namespace

pio_sim_kernel::pio_sim_kernel(const char *name, pio_sim_body body, int threads, unsigned bytes) {
  if (!kernels().emplace(name, Kernel{body, threads, bytes}).second) {
    fprintf(stderr, "two kernels are called %s\n", name);
    abort();
  }
}

void pio_sim_fault(const char *format, ...) {
  Machine &m = machine();
  char what[400];
  va_list args;
  va_start(args, format);
  vsnprintf(what, sizeof what, format, args);
  va_end(args);
  snprintf(m.error, sizeof m.error, "kernel %s, block (%u, %u, %u), thread %u: %s", m.name, pio_sim_here.block[0], pio_sim_here.block[1],
           pio_sim_here.block[2], pio_sim_here.thread, what);
  if (!m.running) {
    fprintf(stderr, "%s\n", m.error);
    abort();
  }
  longjmp(m.out, 1);
}

// come begins each of the following: m, w, the lane l and the slots s, which stay its own until it has taken what it came for.
#define COME                                                                                                                               \
  Machine &m = *(Machine *)here.machine;                                                                                                   \
  Warp &w = *m.warp;                                                                                                                       \
  unsigned l = here.thread % LANES;                                                                                                        \
  Slots &s = w.slots[w.turn & 1];

void pio_sim_barrier(pio_sim_place &here) {
  Machine &m = *(Machine *)here.machine;
  meet(m, *m.warp, here.thread % LANES, BARRIER);
}
void pio_sim_warp_barrier(pio_sim_place &here) {
  Machine &m = *(Machine *)here.machine;
  meet(m, *m.warp, here.thread % LANES, WARP_BARRIER);
}
unsigned pio_sim_shuffle(pio_sim_place &here, unsigned v, unsigned from) {
  COME;
  s.value[l] = v;
  meet(m, w, l, SHUFFLE);
  if (__builtin_expect(!(s.members >> from & 1), 0))
    pio_sim_fault("a shuffle asks lane %u, which has returned", from);
  return s.value[from];
}
unsigned pio_sim_ballot(pio_sim_place &here, bool v) {
  COME;
  s.value[l] = v;
  meet(m, w, l, BALLOT);
  unsigned all = 0;
  for (unsigned k = 0; k < LANES; k++)
    if (s.members >> k & 1 && s.value[k])
      all |= 1u << k;
  return all;
}
static void give_row(Slots &s, unsigned l, int which, const void *row) {
  if ((uintptr_t)row % 16)
    pio_sim_fault("loads a row of a matrix from %p, which is not aligned to 16 bytes", row);
  s.row[which][l] = row;
}
static void take_loaded(const Slots &s, unsigned l, int which, unsigned r[4]) {
  for (int i = 0; i < 4; i++) r[i] = s.loaded[which].word[i][l];
}
void pio_sim_ldmatrix(pio_sim_place &here, unsigned r[4], const void *row, bool trans) {
  COME;
  give_row(s, l, 0, row);
  meet(m, w, l, trans ? LDMATRIX_TRANS : LDMATRIX);
  take_loaded(s, l, 0, r);
}
void pio_sim_ldmatrix_two(pio_sim_place &here, unsigned r[4], const void *row, unsigned other[4], const void *other_row) {
  COME;
  give_row(s, l, 0, row), give_row(s, l, 1, other_row);
  meet(m, w, l, LDMATRIX_TWO);
  take_loaded(s, l, 0, r), take_loaded(s, l, 1, other);
}
void pio_sim_mma_later(pio_sim_place &here, float d[4], const unsigned a[4], const unsigned b[2]) {
  COME;
  (void)s;
  pio_sim_product &p = w.products[w.asked[l]++];
  p.d[l] = d;
  for (int i = 0; i < 4; i++) p.a[i][l] = a[i];
  for (int i = 0; i < 2; i++) p.b[i][l] = b[i];
  if (w.asked[l] == MOST_PRODUCTS)
    meet(m, w, l, MMA);
}
void pio_sim_mma_known(pio_sim_place &here) {
  COME;
  (void)s;
  if (w.asked[l])
    meet(m, w, l, MMA);
}

void pio_sim_park(pio_sim_place &here, bool (*ready)(void *, unsigned), void *what, unsigned which) {
  COME;
  (void)s;
  if (w.arrived && w.kind == PARK && (w.what != what || w.which != which))
    pio_sim_fault("lanes of a warp wait for different mbarriers");
  w.ready = ready, w.what = what, w.which = which;
  meet(m, w, l, PARK);
}
void pio_sim_together(pio_sim_place &here, void (*all)(void *const *), void *mine) {
  COME;
  (void)s;
  w.all = all, w.mine[l] = mine;
  meet(m, w, l, TOGETHER);
}
int pio_sim_copies() { return copies_mode; }
unsigned pio_sim_roll(unsigned below) { return machine().roll(below); }

static void copy_now(const Copy &c) {
  if (c.from)
    memcpy(c.to, c.from, 16);
  else
    memset(c.to, 0, 16);
}

void pio_sim_copy16(pio_sim_place &here, void *to, const void *from, bool on) {
  Machine &m = *(Machine *)here.machine;
  if ((uintptr_t)to % 16 || (on && (uintptr_t)from % 16))
    pio_sim_fault("copies 16 bytes from %p to %p, which are not aligned", from, to);
  Copy c = {to, on ? from : nullptr};
  if (copies_mode == 1 || (copies_mode == 2 && m.roll(2)))
    copy_now(c);
  else
    m.copies[here.thread].pending.push_back(c);
}
void pio_sim_copy_commit(pio_sim_place &here) {
  Copies &c = ((Machine *)here.machine)->copies[here.thread];
  c.groups.push_back(c.pending.size());
}
void pio_sim_copy_wait(pio_sim_place &here, int left) {
  Copies &c = ((Machine *)here.machine)->copies[here.thread];
  if (c.groups.size() <= (size_t)left)
    return;
  size_t done = c.groups.size() - (size_t)left, end = c.groups[done - 1];
  for (size_t i = 0; i < end; i++) copy_now(c.pending[i]);
  c.pending.erase(c.pending.begin(), c.pending.begin() + (long)end);
  c.groups.erase(c.groups.begin(), c.groups.begin() + (long)done);
  for (size_t &g : c.groups) g -= end;
}

// all_spoilt says whether nothing was written to the BEHIND bytes from an address on.
static bool all_spoilt(const char *at) { return at[0] == (char)SPOILT && !memcmp(at, at + 1, BEHIND - 1); }

int pio_sim_launch(const char *name, const unsigned grid[3], unsigned threads, unsigned shared, const pio_op *op) {
  Machine &m = machine();
  auto found = kernels().find(name);
  if (found == kernels().end())
    return refuse(m, "there is no kernel %s", name);
  if (threads == 0 || threads > (unsigned)found->second.threads || threads > MOST_THREADS)
    return refuse(m, "kernel %s: blocks of %u threads, where at most %d are allowed", name, threads, found->second.threads);
  if (shared > MOST_SHARED)
    return refuse(m, "kernel %s: %u bytes of shared memory, where at most %d are", name, shared, MOST_SHARED);
  if (!grid[0] || !grid[1] || !grid[2] || grid[0] > 0x7fffffffu || grid[1] > 65535 || grid[2] > 65535)
    return refuse(m, "kernel %s: no grid of %u x %u x %u", name, grid[0], grid[1], grid[2]);
  if (found->second.bytes > sizeof m.param)
    return refuse(m, "kernel %s: a parameter of %u bytes", name, found->second.bytes);
  memcpy(m.param, op, found->second.bytes);
  m.name = found->first.c_str(), m.body = found->second.body, m.op = (const pio_op *)m.param;
  m.shuffled = order_seed != 0;
  m.random = (order_seed + 1) * 0x9e3779b97f4a7c15ull;
  m.here.threads = threads;
  memcpy(m.here.blocks, grid, sizeof m.here.blocks);
  m.here.dynamic = m.dynamic, m.here.shared = shared, m.here.machine = &m;
  spoiler.launch(m.body);
  m.running = true;
  volatile bool beyond = false;
  int failed = setjmp(m.out);
  if (!failed)
    for (unsigned z = 0; z < grid[2]; z++)
      for (unsigned y = 0; y < grid[1]; y++)
        for (unsigned x = 0; x < grid[0]; x++) {
          m.here.block[0] = x, m.here.block[1] = y, m.here.block[2] = z;
          memset(m.dynamic, SPOILT, shared + BEHIND);
          spoiler.before_block();
          pio_sim_hopper_begin();
          run_block(m, threads);
          pio_sim_hopper_end();
          spoiler.after_block();
          if (!beyond && !all_spoilt(m.dynamic + shared)) {
            beyond = true;
            refuse(m, "kernel %s, block (%u, %u, %u): writes behind the %u bytes of shared memory that it was launched with", name, x, y, z, shared);
          }
        }
  m.running = false;
  failed = failed ? failed : beyond;
  for (unsigned i = 0; i < m.used; i++)
    if (*(size_t *)m.fibers[i].low != CANARY) {
      m.used = i; // is written again
      failed = refuse(m, "kernel %s: a thread needs more than %zu bytes of stack", name, (size_t)STACK);
    }
  if (failed)
    m.reset();
  return failed;
}

void pio_sim_abandon() {
  Machine &m = machine();
  m.running = false;
  m.reset();
}

const char *pio_sim_error(void) { return machine().error; }
int pio_sim_has(const char *name) { return kernels().count(name); }
int pio_sim_threads(const char *name) {
  auto found = kernels().find(name);
  return found == kernels().end() ? 0 : found->second.threads;
}
unsigned pio_sim_bytes(const char *name) {
  auto found = kernels().find(name);
  return found == kernels().end() ? 0 : found->second.bytes;
}
void pio_sim_modes(int copies, unsigned long long order) { copies_mode = copies, order_seed = order; }

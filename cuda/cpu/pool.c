// pool.c: the threads that ops run on.
//
// A job is a number of tasks. Each thread has a share of them, which lie side by side in memory as a rule, and takes them one by one from its
// own counter: a processor reads one long stretch faster than pieces of several. Who is done helps the others with theirs. The caller takes part,
// so a job never waits for a thread that is asleep or that the system has put aside: a worker that comes late finds the gate closed. Workers that
// have nothing to do look out for the next job for about SPIN_NS, because the next op of a forward pass comes within
// microseconds and waking costs more than many ops, and then sleep on a futex. Threads are made at the first job.
//
// Fewer threads than there are may take part: the first `active` of them, the caller among these. The others sleep on that number, so
// that they neither look out for jobs nor are woken by them. It may change at any time, since any thread may do any task of any job: one
// that is inside a job finishes its task, takes others until there are none, and stays out of the next.
//
// gate is the number of workers inside the running job, plus OPEN while more may enter, plus WAITED when the caller sleeps
// until the last has left.
#define _GNU_SOURCE
#include "kernels.h"

#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SPIN_NS = 50000, CALLER_SPIN_NS = 20000, LOOKS = 64 /* between looks at the clock */ };
#define OPEN 0x80000000u
#define WAITED 0x40000000u

// STACK bounds what a kernel may keep on it (a product of matrices by tiles has the most, 200 KB): more is to be room of the pool.
enum { STACK = 512 << 10 };

// What a thread has of a job: tasks next..end-1 are still to be taken.
typedef struct {
  _Alignas(64) atomic_size_t next;
  size_t end;
} share;

struct pio_pool {
  int threads, started;
  atomic_int born; // workers that run
  char *room;      // for each thread; the caller's is the first
  size_t room_each;
  pthread_t *ids;
  pthread_mutex_t lock; // one job at a time
  pio_task *task;
  const void *args;
  share *shares; // of each thread
  _Alignas(64) atomic_uint gate;
  _Alignas(64) atomic_uint epoch; // counts jobs; what workers sleep on
  atomic_int sleepers, stop;
  atomic_uint active; // threads that take part; what the others sleep on
};

static void futex_wait(atomic_uint *word, unsigned seen) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void futex_wake(atomic_uint *word, int n) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0); }

static void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

// spin looks at a word until it is no longer what was seen or the time is over; it gives the last look.
static unsigned spin(atomic_uint *word, unsigned seen, int64_t ns) {
  int64_t end = now_ns() + ns;
  do {
    for (int i = 0; i < LOOKS; i++) {
      unsigned v = atomic_load_explicit(word, memory_order_acquire);
      if (v != seen)
        return v;
      relax();
    }
  } while (now_ns() < end);
  return seen;
}

// self is which of its pool's threads this one is; whoever calls is 0.
static _Thread_local int self;

static void take_tasks(pio_pool *p) {
  for (int i = 0; i < p->threads; i++) {
    share *s = &p->shares[(self + i) % p->threads];
    size_t task;
    while ((task = atomic_fetch_add_explicit(&s->next, 1, memory_order_relaxed)) < s->end)
      p->task(p->args, task);
  }
}

// rest is for a thread that takes no part, until it does or the pool ends.
static void rest(pio_pool *p, unsigned self) {
  unsigned n = atomic_load(&p->active);
  while (self >= n) {
    futex_wait(&p->active, n);
    n = atomic_load(&p->active);
  }
}

static void join_job(pio_pool *p) {
  unsigned g = atomic_load_explicit(&p->gate, memory_order_relaxed);
  do {
    if (!(g & OPEN))
      return;
  } while (!atomic_compare_exchange_weak_explicit(&p->gate, &g, g + 1, memory_order_acquire, memory_order_relaxed));
  take_tasks(p);
  if (atomic_fetch_sub_explicit(&p->gate, 1, memory_order_acq_rel) == (WAITED | 1))
    futex_wake(&p->gate, 1);
}

static unsigned next_job(pio_pool *p, unsigned seen) {
  unsigned e = spin(&p->epoch, seen, SPIN_NS);
  while (e == seen) {
    atomic_fetch_add(&p->sleepers, 1);
    futex_wait(&p->epoch, seen);
    atomic_fetch_sub(&p->sleepers, 1);
    e = atomic_load(&p->epoch);
  }
  return e;
}

static void *worker(void *arg) {
  pio_pool *p = arg;
  self = 1 + atomic_fetch_add(&p->born, 1);
  unsigned seen = 0;
  while (!atomic_load(&p->stop)) {
    rest(p, (unsigned)self);
    join_job(p);
    seen = next_job(p, seen);
  }
  return NULL;
}

// start makes the threads, or as many as the system gives. They take no signals: those belong to the threads of the Go runtime. But
// for the one that a mapped file sends when it was cut: where that is blocked the process ends at once.
static void start(pio_pool *p) {
  sigset_t all, before;
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  pthread_attr_setstacksize(&attr, STACK);
  sigfillset(&all);
  sigdelset(&all, SIGBUS);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  while (p->started < p->threads - 1 && pthread_create(&p->ids[p->started], &attr, worker, p) == 0)
    p->started++;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attr);
}

pio_pool *pio_pool_new(int threads) {
  pio_pool *p = aligned_alloc(64, (sizeof *p + 63) / 64 * 64);
  if (!p)
    return NULL;
  *p = (pio_pool){.threads = threads, .active = (unsigned)threads, .ids = calloc((size_t)threads, sizeof(pthread_t)),
                  .shares = aligned_alloc(64, (size_t)threads * sizeof(share))};
  if (!p->ids || !p->shares) {
    free(p->ids);
    free(p->shares);
    free(p);
    return NULL;
  }
  pthread_mutex_init(&p->lock, NULL);
  return p;
}

void pio_pool_free(pio_pool *p) {
  atomic_store(&p->stop, 1);
  pio_pool_use(p, p->threads); // those that rest
  atomic_fetch_add(&p->epoch, 1);
  futex_wake(&p->epoch, p->threads);
  for (int i = 0; i < p->started; i++)
    pthread_join(p->ids[i], NULL);
  pthread_mutex_destroy(&p->lock);
  free(p->room);
  free(p->ids);
  free(p->shares);
  free(p);
}

void pio_pool_use(pio_pool *p, int threads) {
  unsigned n = (unsigned)(threads < 1 ? 1 : threads > p->threads ? p->threads : threads);
  if (atomic_exchange(&p->active, n) != n)
    futex_wake(&p->active, p->threads);
}

int pio_pool_threads(const pio_pool *p) { return (int)atomic_load_explicit(&p->active, memory_order_relaxed); }

// close_job waits until every worker that entered has left.
static void close_job(pio_pool *p) {
  unsigned inside = atomic_fetch_and_explicit(&p->gate, ~OPEN, memory_order_acq_rel) & ~OPEN;
  int64_t end = inside ? now_ns() + CALLER_SPIN_NS : 0;
  while (inside && now_ns() < end) {
    relax();
    inside = atomic_load_explicit(&p->gate, memory_order_acquire);
  }
  if (inside) {
    unsigned g = atomic_fetch_or(&p->gate, WAITED) | WAITED;
    while (g != WAITED) {
      futex_wait(&p->gate, g);
      g = atomic_load_explicit(&p->gate, memory_order_acquire);
    }
  }
  atomic_store_explicit(&p->gate, 0, memory_order_relaxed);
}

static void alone(pio_task *task, const void *args, size_t tasks) {
  for (size_t i = 0; i < tasks; i++)
    task(args, i);
}

// run is a job of all threads that take part; lock is held.
static void run(pio_pool *p, pio_task *task, const void *args, size_t tasks) {
  if (p->started == 0)
    start(p);
  p->task = task, p->args = args;
  for (size_t i = 0, n = (size_t)pio_pool_threads(p); i < (size_t)p->threads; i++) { // those that take no part have none
    atomic_store_explicit(&p->shares[i].next, i < n ? tasks * i / n : tasks, memory_order_relaxed);
    p->shares[i].end = i < n ? tasks * (i + 1) / n : tasks;
  }
  atomic_store_explicit(&p->gate, OPEN, memory_order_release);
  atomic_fetch_add(&p->epoch, 1);
  int sleepers = atomic_load(&p->sleepers);
  if (sleepers > 0)
    futex_wake(&p->epoch, (size_t)sleepers < tasks - 1 ? sleepers : (int)(tasks - 1));
  take_tasks(p);
  close_job(p);
}

void pio_pool_run(pio_pool *p, pio_task *task, const void *args, size_t tasks) {
  if (tasks <= 1 || pio_pool_threads(p) == 1) {
    alone(task, args, tasks);
    return;
  }
  pthread_mutex_lock(&p->lock);
  run(p, task, args, tasks);
  pthread_mutex_unlock(&p->lock);
}

int pio_pool_run_with(pio_pool *p, pio_task *task, const void *args, size_t tasks, size_t room) {
  pthread_mutex_lock(&p->lock); // also for one thread: the room is for one job
  if (p->room_each < room) {
    free(p->room);
    p->room_each = (room + 63) / 64 * 64;
    p->room = aligned_alloc(64, (size_t)p->threads * p->room_each);
  }
  int able = p->room != NULL;
  if (!able)
    p->room_each = 0;
  else if (tasks <= 1 || pio_pool_threads(p) == 1)
    alone(task, args, tasks);
  else
    run(p, task, args, tasks);
  pthread_mutex_unlock(&p->lock);
  return able;
}

void *pio_pool_room(const pio_pool *p) { return p->room + (size_t)self * p->room_each; }

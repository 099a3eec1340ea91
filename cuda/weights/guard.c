// guard.c: what happens when a mapped file has become shorter, or its disk fails, and a page is touched that is not there.
//
// The same happens when a page is written to for which the disk has no room. The system sends SIGBUS to the thread. The handler puts zeros in place of the rest of the region and notes it, so that the
// computation comes to its end and whoever asked for it can be told why it is worth nothing. Any other SIGBUS goes to the
// handler that was there before, Go's.
#define _GNU_SOURCE
#include "guard.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

enum { REGIONS = 4096 };

static struct {
  atomic_uintptr_t from, to; // to is 0 if the place is free
  atomic_int cut, writable;
} regions[REGIONS];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction before;
static int installed;
static uintptr_t page;

static int made_up(uintptr_t at) {
  for (int i = 0; i < REGIONS; i++) {
    uintptr_t to = atomic_load(&regions[i].to), from = atomic_load(&regions[i].from);
    if (at < from || at >= to)
      continue;
    uintptr_t start = at & ~(page - 1), size = ((to - start) + page - 1) & ~(page - 1);
    atomic_store(&regions[i].cut, 1); // before anyone can read a zero
    int protection = atomic_load(&regions[i].writable) ? PROT_READ | PROT_WRITE : PROT_READ;
    return mmap((void *)start, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != MAP_FAILED;
  }
  return 0;
}

static void on_bus(int sig, siginfo_t *info, void *context) {
  int kept = errno;
  if (info->si_code > 0 && made_up((uintptr_t)info->si_addr)) {
    errno = kept;
    return;
  }
  errno = kept;
  if (before.sa_flags & SA_SIGINFO)
    before.sa_sigaction(sig, info, context);
  else
    signal(sig, SIG_DFL); // and comes again
}

static int install(void) {
  struct sigaction s = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
  sigfillset(&s.sa_mask);
  page = (uintptr_t)sysconf(_SC_PAGESIZE);
  return sigaction(SIGBUS, NULL, &before) == 0 && sigaction(SIGBUS, &s, NULL) == 0;
}

int pio_guard_add(const void *from, size_t size, int writable) {
  int region = -1;
  pthread_mutex_lock(&lock);
  if (!installed)
    installed = install();
  for (int i = 0; installed && i < REGIONS; i++)
    if (atomic_load(&regions[i].to) == 0) {
      atomic_store(&regions[i].cut, 0);
      atomic_store(&regions[i].writable, writable);
      atomic_store(&regions[i].from, (uintptr_t)from);
      atomic_store(&regions[i].to, (uintptr_t)from + size);
      region = i;
      break;
    }
  pthread_mutex_unlock(&lock);
  return region;
}

int pio_guard_cut(int region) { return region >= 0 && atomic_load(&regions[region].cut); }

void pio_guard_remove(int region) {
  if (region < 0)
    return;
  pthread_mutex_lock(&lock);
  atomic_store(&regions[region].to, 0);
  atomic_store(&regions[region].from, 0);
  pthread_mutex_unlock(&lock);
}

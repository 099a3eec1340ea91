// memory.cpp: the memory of devices. Each piece ends at a page that nobody may touch, and none is ever given twice: freed memory stays
// where it was, forbidden, so whoever still uses it is found. Fresh memory holds large numbers that mean nothing.
#include "driver.h"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

CUcontext here(); // streams.cpp

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace {

struct Piece {
  CUcontext context;
  char *base;
  size_t bytes, room; // asked for; up to the forbidden page
  char *map;
  size_t mapped;
  bool freed, ready;
};

// pieces by their last address, so that the first whose end is not below an address is the one that may hold it.
std::map<const char *, Piece> pieces;
struct Locked { // memory of the process that stays where it is
  size_t bytes;
  bool registered; // and was there before
  double until;    // ns of virtual time: when the last copy from there ends
};
std::map<const char *, Locked> host; // by its end
std::mutex lock;                     // of these; never held while something runs that may fault

enum : size_t { PAGE = 4096, ALIGN = 256, FRESH = 64 << 20 };
enum : unsigned char { POISON = 0xfb, CANARY = 0xc5 };

// Under AddressSanitizer memory is the heap's, whose ends it watches to the byte.
#if defined(__SANITIZE_ADDRESS__)
void *aligned(size_t bytes) {
  void *at;
  return posix_memalign(&at, ALIGN, bytes) ? nullptr : at;
}
char *take(size_t bytes, size_t, Piece &p) {
  p.base = p.map = (char *)aligned(bytes);
  p.room = p.mapped = bytes;
  return p.base;
}
void forbid(const Piece &p) { __asan_poison_memory_region(p.base, p.bytes); }
void allow(const Piece &p) { __asan_unpoison_memory_region(p.base, p.bytes); }
#else
char *take(size_t bytes, size_t room, Piece &p) {
  p.room = room, p.mapped = (room + PAGE - 1) / PAGE * PAGE + 2 * PAGE;
  p.map = (char *)mmap(nullptr, p.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p.map == MAP_FAILED)
    return nullptr;
  if (!counting) { // a process may have some ten thousand pieces, each with its own protection, and not more
    mprotect(p.map, PAGE, PROT_NONE);
    mprotect(p.map + p.mapped - PAGE, PAGE, PROT_NONE);
  }
  p.base = p.map + p.mapped - PAGE - room;
  memset(p.base + bytes, CANARY, room - bytes);
  return p.base;
}
// forbid maps it anew: the pages are the system's again, the addresses nobody's.
void forbid(const Piece &p) { mmap(p.map, p.mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0); }
void allow(const Piece &p) {
  if (counting)
    return;
  mprotect(p.map + PAGE, p.mapped - 2 * PAGE, PROT_READ | PROT_WRITE);
  memset(p.base, POISON, std::min<size_t>(FRESH, p.bytes));
  memset(p.base + p.bytes, CANARY, p.room - p.bytes);
}
#endif

size_t up(size_t n, size_t to) { return (n + to - 1) / to * to; }

Piece *find(const void *at) { // with the lock
  auto i = pieces.upper_bound((const char *)at);
  return i != pieces.end() && at >= i->second.map ? &i->second : nullptr;
}

std::string describe(const Piece &p) {
  char text[160];
  snprintf(text, sizeof text, "%zu bytes of device %d", p.bytes, p.context->ordinal);
  return text;
}

} // namespace

char *allocate(CUcontext context, size_t bytes, bool ready) {
  std::lock_guard<std::mutex> held(lock);
  size_t room = up(bytes, ALIGN);
  Piece p = {context, nullptr, bytes, room, nullptr, 0, false, ready};
  if (room < bytes || !take_of(context, room))
    return nullptr;
  if (!take(bytes, room, p)) {
    give_to(context, room);
    return nullptr;
  }
  if (!counting)
    memset(p.base, POISON, std::min<size_t>(FRESH, bytes));
  if (!ready && !counting)
    forbid(p);
  context->used += room;
  context->asked += bytes, context->peak = std::max(context->peak, context->asked);
  pieces[p.map + p.mapped] = p;
  return p.base;
}

void make_ready(char *at) {
  std::lock_guard<std::mutex> held(lock);
  Piece *p = find(at);
  allow(*p);
  p->ready = true;
}

bool give_back(char *at) {
  std::lock_guard<std::mutex> held(lock);
  Piece *p = find(at);
  if (!p || p->base != at || p->freed)
    return false;
  p->freed = true;
  p->context->used -= up(p->bytes, ALIGN);
  give_to(p->context, up(p->bytes, ALIGN));
  p->context->asked -= p->bytes;
  if (counting)
    munmap(p->map, p->mapped), pieces.erase(p->map + p->mapped);
  else
    forbid(*p);
  return true;
}

std::string usable(CUcontext context, const void *at, size_t bytes, bool may_be_host) {
  std::lock_guard<std::mutex> held(lock);
  char text[300];
  Piece *p = find(at);
  if (!p) {
    if (may_be_host)
      return "";
    snprintf(text, sizeof text, "%p is no memory of a device", at);
  } else if (p->freed)
    snprintf(text, sizeof text, "%p was freed: it was in %s", at, describe(*p).c_str());
  else if (!p->ready)
    snprintf(text, sizeof text, "%p is not given yet: the stream that was asked for it has not come so far", at);
  else if ((const char *)at < p->base || (const char *)at + bytes > p->base + p->bytes)
    snprintf(text, sizeof text, "%zu bytes at %p go beyond %s at %p", bytes, at, describe(*p).c_str(), (void *)p->base);
  else if (p->context != context && !(p->context->ordinal < (int)context->peers.size() && context->peers[p->context->ordinal]))
    snprintf(text, sizeof text, "%p is memory of device %d, which device %d has no access to", at, p->context->ordinal, context->ordinal);
  else
    return "";
  return text;
}

std::string overrun(const void *at) {
  std::lock_guard<std::mutex> held(lock);
  Piece *p = find(at);
  for (size_t i = p && !p->freed && p->ready ? p->bytes : ~(size_t)0; p && i < p->room; i++)
    if ((unsigned char)p->base[i] != CANARY) {
      p->base[i] = (char)CANARY;
      char text[200];
      snprintf(text, sizeof text, "byte %zu of %s was written", i, describe(*p).c_str());
      return text;
    }
  return "";
}

// ---- what a kernel is given

static size_t element(int type) {
  switch (type) {
  case PIO_F32:
  case PIO_I32: return 4;
  case PIO_BF16:
  case PIO_F16: return 2;
  }
  return 1; // of rows of codes, at least
}

static std::string tensor(CUcontext context, const char *what, int i, const pio_tensor &t, bool reads) {
  size_t n = element(t.type);
  for (int d : t.dim) n *= (size_t)(d < 0 ? 0 : d);
  if (!t.at || !n)
    return "";
  if (reads && pinned((const void *)t.at, n))
    return ""; // which has the same address on a device
  std::string why = usable(context, (const void *)t.at, n, false);
  return why.empty() ? "" : std::string(what) + "[" + std::to_string(i) + "]: " + why;
}

std::string operands(CUcontext context, const pio_op &op) {
  std::string why;
  for (int i = 0; i < PIO_OUT && i < op.outs && why.empty(); i++) why = tensor(context, "out", i, op.out[i], false);
  for (int i = 0; i < PIO_IN && i < op.ins && why.empty(); i++) why = tensor(context, "in", i, op.in[i], true);
  for (int i = 0; i < PIO_WEIGHTS && why.empty(); i++)
    for (int k = 0; k < 3 && why.empty(); k++)
      if (op.w[i].plane[k] && !(why = usable(context, (const void *)op.w[i].plane[k], 1, false)).empty())
        why = "w[" + std::to_string(i) + "]: " + why;
  for (uint64_t at : {op.experts, op.scratch})
    if (at && why.empty())
      why = usable(context, (const void *)at, 1, false);
  return why;
}

// ---- memory of the process

// locked is what an address lies in; host.end() if it is not pinned. With the lock.
static std::map<const char *, Locked>::iterator locked(const void *at) {
  auto i = host.upper_bound((const char *)at);
  return i != host.end() && (const char *)at >= i->first - i->second.bytes ? i : host.end();
}

bool pinned(const void *at, size_t bytes) {
  std::lock_guard<std::mutex> held(lock);
  auto i = locked(at);
  return i != host.end() && (const char *)at + bytes <= i->first;
}

bool registered(const void *at, size_t bytes) {
  std::lock_guard<std::mutex> held(lock);
  auto i = locked(at);
  return i != host.end() && i->second.registered && (const char *)at + bytes <= i->first;
}

bool in_part(const void *at, size_t bytes) {
  std::lock_guard<std::mutex> held(lock);
  const char *end = (const char *)at + bytes;
  auto i = host.upper_bound((const char *)at); // the first that ends behind the beginning
  if (i == host.end() || i->first - i->second.bytes >= end)
    return false;
  return (const char *)at < i->first - i->second.bytes || end > i->first;
}

void reads_until(const void *at, double ns) {
  std::lock_guard<std::mutex> held(lock);
  if (auto i = locked(at); i != host.end())
    i->second.until = std::max(i->second.until, ns);
}

EXPORT CUresult cuMemHostAlloc(void **at, size_t bytes, unsigned) {
  start();
  Failure f;
  if (bytes == 0)
    return CUDA_ERROR_INVALID_VALUE;
  if (failure("pinned", -1, "", f))
    return CUDA_ERROR_OUT_OF_MEMORY;
  if (!(*at = aligned_alloc(PAGE, up(bytes, PAGE))))
    return CUDA_ERROR_OUT_OF_MEMORY;
  memset(*at, POISON, std::min<size_t>(bytes, FRESH));
  if (is_virtual())
    host_calls(host_speed.pin * (double)bytes);
  std::lock_guard<std::mutex> held(lock);
  host[(char *)*at + bytes] = {bytes, false, 0};
  return CUDA_SUCCESS;
}

static bool forget(void *at, bool registered, double *until) {
  std::lock_guard<std::mutex> held(lock);
  auto i = locked(at);
  if (i == host.end() || i->first - i->second.bytes != at || i->second.registered != registered)
    return false;
  *until = i->second.until;
  counted[9] -= registered ? i->second.bytes : 0;
  host.erase(i);
  return true;
}

EXPORT CUresult cuMemFreeHost(void *at) {
  double until;
  if (!forget(at, false, &until))
    return CUDA_ERROR_INVALID_VALUE;
  free(at);
  return CUDA_SUCCESS;
}

// mapped says whether there is memory at all pages of a range.
static bool mapped(char *from, char *to) {
  std::vector<unsigned char> pages((size_t)(to - from) / PAGE);
  return mincore(from, (size_t)(to - from), pages.data()) == 0;
}

// writable says whether the process may write to all of a range.
static bool writable(char *from, char *to) {
  FILE *maps = fopen("/proc/self/maps", "r");
  unsigned long begin, end;
  char may[8], line[8192];
  while (maps && from < to && fgets(line, sizeof line, maps))
    if (sscanf(line, "%lx-%lx %4s", &begin, &end, may) == 3 && (char *)begin <= from && from < (char *)end && may[1] == 'w')
      from = (char *)end;
  if (maps)
    fclose(maps);
  return from >= to;
}

// What is registered are whole pages, of which none is twice. Memory that cannot be written to is only with the flag, which not every driver has.
EXPORT CUresult cuMemHostRegister_v2(void *at, size_t bytes, unsigned flags) {
  start();
  char *from = (char *)((size_t)at / PAGE * PAGE), *to = (char *)up((size_t)at + bytes, PAGE);
  if (CUcontext c = here(); c && c->broken)
    return c->broken;
  if (!at || !bytes || !mapped(from, to))
    return CUDA_ERROR_INVALID_VALUE;
  bool reads = flags & CU_MEMHOSTREGISTER_READ_ONLY;
  if (reads && !read_only)
    return CUDA_ERROR_NOT_SUPPORTED;
  if (!reads && !writable(from, to))
    return CUDA_ERROR_INVALID_VALUE;
  if (Failure f; failure("registered", -1, "", f))
    return f.error == CUDA_ERROR_ILLEGAL_ADDRESS ? CUDA_ERROR_OUT_OF_MEMORY : f.error;
  if (is_virtual())
    host_calls(host_speed.pin * (double)bytes);
  std::lock_guard<std::mutex> held(lock);
  for (auto i = host.upper_bound(from - PAGE); i != host.end() && i->first - i->second.bytes < to; i++)
    if ((char *)up((size_t)i->first, PAGE) > from)
      return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
  host[(char *)at + bytes] = {bytes, true, 0};
  counted[9] += bytes;
  return CUDA_SUCCESS;
}

// Who still copies from there is found: here in virtual time, where copies have their ends already, and else when the copy is made.
EXPORT CUresult cuMemHostUnregister(void *at) {
  double until;
  CUcontext c = here();
  if (c && c->broken)
    return c->broken;
  if (!forget(at, true, &until))
    return CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
  std::lock_guard<std::mutex> held(big);
  if (!c || !is_virtual() || until <= host_now())
    return CUDA_SUCCESS;
  blame(c, CUDA_ERROR_ILLEGAL_ADDRESS, "memory is unregistered that a copy reads still");
  return c->broken;
}

// ---- who touches what he must not

namespace {

thread_local sigjmp_buf *back;
thread_local std::string *found;
thread_local const char *doing;
struct sigaction before[2];

__attribute__((unused)) void on_fault(int sig, siginfo_t *info, void *context) {
  if (back) {
    char text[300];
    snprintf(text, sizeof text, "%s touches %p", doing, info->si_addr);
    *found = text;
    lock.lock();
    Piece *p = find(info->si_addr);
    if (p)
      snprintf(text, sizeof text, "%s %s", p->freed ? ", which was freed: it was in" : p->ready ? ", which is beside" : ", which is not given yet: it is to be in", describe(*p).c_str());
    else
      snprintf(text, sizeof text, ", which is no memory");
    lock.unlock();
    *found += text;
    siglongjmp(*back, 1);
  }
  struct sigaction &old = before[sig == SIGBUS];
  if (old.sa_flags & SA_SIGINFO)
    old.sa_sigaction(sig, info, context);
  else
    signal(sig, SIG_DFL); // and comes again
}

} // namespace

void watch_faults() {
#if !defined(__SANITIZE_ADDRESS__) // which tells more
  struct sigaction s = {};
  s.sa_sigaction = on_fault;
  s.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigaction(SIGSEGV, &s, &before[0]);
  sigaction(SIGBUS, &s, &before[1]);
#endif
}

// The signal's handler needs a stack: a thread of a Go program has one, a fiber's would do too, but not when it is what overflowed.
static void handler_stack() {
  static thread_local std::vector<char> own;
  stack_t now;
  if (!own.empty() || sigaltstack(nullptr, &now) || !(now.ss_flags & SS_DISABLE))
    return;
  own.resize(64 << 10);
  stack_t s = {};
  s.ss_sp = own.data(), s.ss_size = own.size();
  sigaltstack(&s, nullptr);
}

bool guarded(const char *name, void (*f)(void *), void *argument, std::string &why) {
  sigjmp_buf here;
  handler_stack();
  found = &why, doing = name;
  if (sigsetjmp(here, 0)) {
    back = nullptr;
    pio_sim_abandon();
    return false;
  }
  back = &here;
  f(argument);
  back = nullptr;
  return true;
}

// others.cpp: whose the memory of devices is. A GPU's memory is that of every process that uses it, so with PIO_SIM_SHARED=FILE the processes
// that name the same file share their devices' memory: what one takes another has not. Without a file a process is alone, but for what
// the command `taken` says that somebody has.
//
// others.go reads and writes the file, too. It has, in words of 8 bytes: for each of 8 devices the most that was ever taken at once, and what somebody has
// until the next look at what is free; then, for each of 64 processes, its id, 0 if the place is free, and what it has of each device. Whoever has died has nothing.
#include "driver.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

namespace {

enum { DEVICES = 8, PROCESSES = 64 };

struct Slot {
  int64_t pid;
  uint64_t used[DEVICES];
};
struct Book {
  uint64_t peak[DEVICES], fleeting[DEVICES];
  Slot slots[PROCESSES];
};

std::mutex lock;
Book *book;
int file = -1;
uint64_t taken[DEVICES]; // by nobody in particular: see control.cpp

// held is the book, for one process at a time.
struct Held {
  std::lock_guard<std::mutex> one{lock};
  Held() {
    if (!book)
      open_book();
    if (file >= 0)
      flock(file, LOCK_EX);
  }
  ~Held() {
    if (file >= 0)
      flock(file, LOCK_UN);
  }
  static void open_book() {
    int flags = MAP_SHARED | MAP_ANONYMOUS;
    const char *name = getenv("PIO_SIM_SHARED");
    if (name && *name) {
      file = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
      if (file < 0 || ftruncate(file, sizeof(Book))) {
        perror("software driver: PIO_SIM_SHARED");
        abort();
      }
      flags = MAP_SHARED;
    }
    void *at = mmap(nullptr, sizeof(Book), PROT_READ | PROT_WRITE, flags, file, 0);
    if (at == MAP_FAILED) {
      perror("software driver: the book of memory");
      abort();
    }
    book = (Book *)at;
  }
};

// mine is this process's place.
Slot &mine() {
  int64_t pid = getpid();
  Slot *free = nullptr;
  for (Slot &s : book->slots) {
    if (s.pid == pid)
      return s;
    if (!free && (s.pid == 0 || (kill((pid_t)s.pid, 0) && errno == ESRCH)))
      free = &s;
  }
  if (!free) {
    fprintf(stderr, "software driver: more than %d processes share its devices\n", PROCESSES);
    abort();
  }
  *free = Slot{pid, {}};
  return *free;
}

// all is what everybody has of a device.
uint64_t all(int device) {
  uint64_t sum = taken[device] + book->fleeting[device];
  for (Slot &s : book->slots)
    if (s.pid && !(kill((pid_t)s.pid, 0) && errno == ESRCH))
      sum += s.used[device];
  return sum;
}

} // namespace

bool take_of(CUcontext c, size_t bytes) {
  Held held;
  int d = c->ordinal % DEVICES;
  Slot &me = mine();
  uint64_t sum = all(d) + bytes;
  if (sum > c->memory)
    return false;
  me.used[d] += bytes;
  if (sum > book->peak[d])
    book->peak[d] = sum;
  return true;
}

void give_to(CUcontext c, size_t bytes) {
  Held held;
  mine().used[c->ordinal % DEVICES] -= bytes;
}

size_t free_of(CUcontext c) {
  Held held;
  int d = c->ordinal % DEVICES;
  uint64_t sum = all(d);
  book->fleeting[d] = 0;
  return sum > c->memory ? 0 : c->memory - sum;
}

void others_take(int device, size_t bytes) {
  Held held;
  if (device < 0 || device >= DEVICES)
    return;
  taken[device] = bytes;
  if (uint64_t sum = all(device); sum > book->peak[device])
    book->peak[device] = sum;
}

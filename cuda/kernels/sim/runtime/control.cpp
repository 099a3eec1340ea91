// control.cpp: what a test asks of the software driver, in the environment or while it runs.
//
//   PIO_SIM_DEVICES="64MiB 16MiB:2GB:1TB"  a device each: its memory, bytes/s of its copies, and of its memory   (1GiB)
//   PIO_SIM_CONTROL="fail ...; time ..."  commands, as pio_sim_control takes them
//   PIO_SIM_VERSION=13000  PIO_SIM_INIT=100  PIO_SIM_ARCH=90  PIO_SIM_MULTIPROCESSORS=8  PIO_SIM_PEERS=0  PIO_SIM_READ_ONLY=0
//   PIO_SIM_SHARED=FILE  devices whose memory is that of all processes that name the file: others.cpp
//
// Commands:
//   time late|random|threads|virtual   work is done when somebody waits for it; in a random order; by a thread for each stream; at once, in a
//                              time that is counted (clock.cpp). A process that has begun to count time goes on with it
//   machine [device=N] [KEY=VALUE...]  what a device and the host can do in virtual time: Speed and Host of driver.h
//   count on|off               in virtual time: kernels and copies of more than 256 KiB are counted and not made. Before memory is taken
//   copies late|early|mixed    what a copy to a device reads, and what an asynchronous copy of a kernel writes: as late as may be, at once
//   order N                    the seed of warps' and lanes' random order, and of random times; 0: in turn
//   fail WHAT [device=N] [name=KERNEL] [after=N] [error=CODE] [hang=1] [once=FILE] [when=FILE]
//                              the next kernel, copy, alloc, launch, pinned, registered or look (at what memory is free) fails; after so many that do not;
//                              not if the file of once is there, which is made then: a process that is started again has no such luck twice;
//                              and not before that of when is there
//   taken BYTES [device=N]     somebody else has so much of a device's memory (of the first one), in place of what was said before
//   calm                       nothing is to fail any more
#include "driver.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sstream>

std::vector<std::unique_ptr<CUctx_st>> devices;
int driver_version = 13000, init_error = 0, capability = 90, multiprocessors = 8;
bool peer_access = true, read_only = true;
std::string last_blame;
std::atomic<unsigned long long> counted[10];

static std::mutex failing;
static std::vector<Failure> failures;

static double size_of(const char *text) {
  char *unit;
  double n = strtod(text, &unit);
  const char *units = "KMGT", *u = *unit ? strchr(units, *unit) : nullptr;
  double step = *unit && unit[1] == 'i' ? 1024 : 1000;
  for (const char *k = units; u && k <= u; k++) n *= step;
  return n;
}

static int number(const char *name, int otherwise) {
  const char *s = getenv(name);
  return s && *s ? atoi(s) : otherwise;
}

static void command(const std::string &line) {
  std::istringstream words(line);
  std::string verb, word;
  if (!(words >> verb))
    return;
  if (verb == "calm") {
    failures.clear();
    return;
  }
  words >> word;
  if (verb == "taken") {
    std::string bytes = word;
    int device = 0;
    if (words >> word && word.rfind("device=", 0) == 0)
      device = atoi(word.c_str() + 7);
    others_take(device, (size_t)size_of(bytes.c_str()));
    return;
  }
  if (verb == "time")
    how_time = word == "threads" ? Time::THREADS : word == "random" ? Time::RANDOM : word == "virtual" ? Time::VIRTUAL : Time::LATE;
  else if (verb == "count")
    counting = word == "on";
  else if (verb == "machine") {
    int device = -1;
    do {
      std::string key = word.substr(0, word.find('=')), value = word.substr(word.find('=') + 1);
      if (key == "device")
        device = atoi(value.c_str());
      else if (!set_speed(device, key, atof(value.c_str())))
        fprintf(stderr, "software driver: a machine has no %s\n", key.c_str());
    } while (words >> word);
  } else if (verb == "copies")
    copies_early = word == "early" ? 1 : word == "mixed" ? 2 : 0;
  else if (verb == "order")
    dice = strtoull(word.c_str(), nullptr, 10);
  else if (verb == "fail") {
    Failure f;
    f.what = word;
    while (words >> word) {
      std::string key = word.substr(0, word.find('=')), value = word.substr(word.find('=') + 1);
      if (key == "device")
        f.device = atoi(value.c_str());
      else if (key == "name")
        f.name = value;
      else if (key == "after")
        f.after = atoi(value.c_str());
      else if (key == "error")
        f.error = (CUresult)atoi(value.c_str());
      else if (key == "hang")
        f.hang = true;
      else if (key == "once")
        f.once = value;
      else if (key == "when")
        f.when = value;
    }
    failures.push_back(f);
  } else
    fprintf(stderr, "software driver: no command %s\n", line.c_str());
  pio_sim_modes(copies_early, dice);
}

// pio_sim_control takes commands, separated by semicolons.
EXPORT void pio_sim_control(const char *text) {
  start();
  std::lock_guard<std::mutex> held(failing);
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line, ';');) command(line);
}

// pio_sim_count tells what has been done since the beginning: kernels run, graphs launched, copies to devices and from them, calls that
// waited, captures, bytes copied to devices and from them, bytes copied to devices from memory that is registered, and how many are registered now.
EXPORT void pio_sim_count(unsigned long long to[10]) {
  for (int i = 0; i < 10; i++) to[i] = counted[i];
}

// pio_sim_peak tells the most bytes of a device that there were at once, as they were asked for, since it was asked last.
EXPORT unsigned long long pio_sim_peak(int device) {
  start();
  std::lock_guard<std::mutex> held(big);
  CUctx_st &c = *devices.at((size_t)device);
  size_t most = c.peak;
  c.peak = c.asked;
  return most;
}

bool failure(const char *what, int device, const char *name, Failure &to) {
  std::lock_guard<std::mutex> held(failing);
  for (size_t i = 0; i < failures.size(); i++) {
    Failure &f = failures[i];
    if (f.what != what || (f.device >= 0 && device >= 0 && f.device != device) || (!f.name.empty() && f.name != name))
      continue;
    if (!f.once.empty() && access(f.once.c_str(), F_OK) == 0)
      continue;
    if (!f.when.empty() && access(f.when.c_str(), F_OK) != 0)
      continue;
    if (f.after-- > 0)
      continue;
    to = f;
    if (FILE *made = f.once.empty() ? nullptr : fopen(f.once.c_str(), "w"))
      fclose(made);
    failures.erase(failures.begin() + (long)i);
    return true;
  }
  return false;
}

void blame(CUcontext context, CUresult error, const std::string &why) {
  if (context->broken == CUDA_SUCCESS)
    context->broken = error;
  last_blame = why;
  fprintf(stderr, "software driver, device %d: %s\n", context->ordinal, why.c_str());
}

void start() {
  static std::once_flag once;
  std::call_once(once, [] {
    const char *list = getenv("PIO_SIM_DEVICES");
    std::istringstream words(list && *list ? list : "1GiB");
    for (std::string word; words >> word;) {
      auto d = std::make_unique<CUctx_st>();
      std::istringstream sizes(word);
      std::string size;
      d->ordinal = (int)devices.size();
      for (double n[3] = {0, d->copy, d->read}, *to = n; std::getline(sizes, size, ':') && to < n + 3; to++)
        *to = size_of(size.c_str()), d->memory = (size_t)n[0], d->copy = n[1], d->read = n[2];
      devices.push_back(std::move(d));
    }
    for (auto &d : devices) d->peers.resize(devices.size());
    driver_version = number("PIO_SIM_VERSION", driver_version);
    init_error = number("PIO_SIM_INIT", 0);
    capability = number("PIO_SIM_ARCH", capability);
    multiprocessors = number("PIO_SIM_MULTIPROCESSORS", multiprocessors);
    peer_access = number("PIO_SIM_PEERS", 1) != 0;
    read_only = number("PIO_SIM_READ_ONLY", 1) != 0;
    watch_faults();
    if (const char *text = getenv("PIO_SIM_CONTROL")) {
      std::istringstream lines(text);
      for (std::string line; std::getline(lines, line, ';');) command(line);
    }
  });
}

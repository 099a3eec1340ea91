// driver.h: the software driver: NVIDIA's entry points over devices that are memory of this process. What a real driver does later and
// elsewhere is done here as late as allowed, in a random order or by a thread for each stream, as asked; what a real one leaves to chance
// (a missing wait, memory that was freed) is found and told with the kernel's name.
//
// driver.cpp devices, contexts, modules; memory.cpp memory and who touches what; others.cpp what other processes have of it; streams.cpp
// what is done when; control.cpp what a test asks for.
#ifndef PIO_SIM_DRIVER_H
#define PIO_SIM_DRIVER_H

#include "cuda.h"
#include "fibers.h"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#define EXPORT extern "C" __attribute__((visibility("default")))

// Speed is what a device can do in virtual time: bytes/s, f32 operations/s and those of tensor cores in bf16, and ns from one kernel of a
// stream to the next, within a graph, and before a copy moves.
struct Speed {
  double link = 25e9, read = 1e12, flops = 30e12, mma = 120e12, launch = 2500, node = 1300, copy = 1500;
};
// Host is what the driver's calls take of the thread that makes them, in ns; wait: what it takes to notice that something has ended; pin: to
// pin a byte, also one that is there already; memory: bytes/s that it and the links read and write together, 0: none of them takes anything of another.
struct Host {
  double call = 300, graph = 5000, wait = 2000, pin = 0.2, memory = 0;
};
extern Host host_speed;

struct Taken { // of a link's time
  double from, to;
  int memory; // bytes of the host's memory for each that is copied
};

struct CUctx_st { // a device and its one context
  int ordinal;
  size_t memory, used = 0; // bytes
  double copy = 0;         // bytes/s between it and the host; 0: no time is taken, and events tell of 25 GB/s
  double read = 1e12;      // bytes/s of its memory, as events tell it
  std::atomic<unsigned long long> clock{0}; // ns of its own, which events tell: what copies take there, not how busy this machine is
  int retained = 0;
  std::vector<bool> peers; // whose memory it may use
  Speed speed;
  std::vector<Taken> link[2];             // when a direction of the link is taken
  double late[2] = {};                            // ns by which copies in a direction are later, since others had the link or the host's memory meanwhile
  double taken = 0, first = 0, last = 0;          // ns of large copies to the device, from the first to the last, since they were asked for
  size_t asked = 0, peak = 0;                     // bytes as they were asked for, and the most of them that there were
  CUresult broken = CUDA_SUCCESS; // what each call says from now on
  std::mutex engines[2];          // one copy in each direction at a time
};

struct CUfunc_st {
  std::string name;
  int threads, fixed, dynamic; // dynamic: bytes that a launch may ask for
};

struct CUmod_st {
  std::map<std::string, CUfunc_st> functions;
};

struct Stream;
struct Place { // in a stream: once so many of its operations are done
  std::shared_ptr<Stream> stream;
  unsigned long long done = 0;
};

struct CUevent_st {
  CUcontext context;
  unsigned flags;
  Place place;
  std::shared_ptr<double> time = std::make_shared<double>(0); // of the last record, in ms
  unsigned long long capture = 0; // the capture that it was recorded in last
};

enum class What { KERNEL, COPY, SET, RECORD, WAIT, GRAPH, ALLOC, FREE, HOST };

struct Op {
  explicit Op(What w) : what(w) {}
  What what;
  CUfunction function = nullptr;
  unsigned grid[3] = {}, threads = 0, shared = 0;
  std::shared_ptr<std::vector<char>> data; // a launch's parameter, the bytes of an early copy
  char *to = nullptr;
  const char *from = nullptr;
  size_t bytes = 0;
  int direction = -1; // of a copy: 0 to a device, 1 from one, -1 between and within
  bool registered = false; // its source was memory of the process that was registered
  CUcontext there = nullptr, origin = nullptr; // of a copy between devices
  unsigned value = 0, width = 1;
  Place place; // that a wait waits for
  std::shared_ptr<double> time;
  std::shared_ptr<std::vector<Op>> graph;
  CUhostFn call = nullptr;
  void *argument = nullptr;
};

struct Stream {
  CUcontext context = nullptr;
  std::deque<Op> queue;
  unsigned long long submitted = 0, done = 0;
  double tail = 0; // ns of virtual time: when the last of what was submitted ends
  int copying = -2; // the direction of that, if it is a copy
  unsigned flags = 0;
  bool hung = false, closed = false;
  bool capturing = false, invalid = false; // a capture under way; one that cannot be ended
  unsigned long long capture = 0;
  std::vector<Op> captured;
};

struct CUstream_st {
  std::shared_ptr<Stream> stream;
};

struct CUgraph_st {
  std::shared_ptr<std::vector<Op>> ops;
};
struct CUgraphExec_st {
  std::shared_ptr<std::vector<Op>> ops;
};
struct CUmemPoolHandle_st {
  uint64_t keep = 0;
};

// ---- memory.cpp

// allocate gives memory of a device; ready says whether it may be used at once. nullptr: no room.
char *allocate(CUcontext, size_t bytes, bool ready);
void make_ready(char *);
// give_back frees memory, of which any later use is found; false if it is none.
bool give_back(char *);
// usable says why so many bytes at an address cannot be used by a device; "" if they can. host allows memory of the process.
std::string usable(CUcontext, const void *at, size_t bytes, bool host);
bool pinned(const void *at, size_t bytes);
// registered: pinned where it lay already. in_part: some of it is pinned, or not by one call, of which no copy can be made.
bool registered(const void *at, size_t bytes);
bool in_part(const void *at, size_t bytes);
// reads_until notes that a copy reads memory that is registered until then, in virtual time.
void reads_until(const void *at, double ns);
std::string operands(CUcontext, const pio_op &);
// overrun says so if bytes behind the end of the memory that an address lies in were written.
std::string overrun(const void *);
void watch_faults();
// guarded runs f; why gets what it touched that it must not.
bool guarded(const char *name, void (*f)(void *), void *argument, std::string &why);

// ---- others.cpp

// take_of counts bytes of a device as this process's; false if whoever uses the device has left no room for them. give_to undoes it.
bool take_of(CUcontext, size_t bytes);
void give_to(CUcontext, size_t bytes);
size_t free_of(CUcontext); // by anybody
// others_take says what somebody else has of a device.
void others_take(int device, size_t bytes);

// ---- streams.cpp

enum class Time { LATE, RANDOM, THREADS, VIRTUAL };
extern Time how_time;
extern int copies_early; // 0: the source of a copy to a device is read when it is made, 1: at the call
extern std::mutex big;
extern std::condition_variable &progress;
extern unsigned long long dice;

unsigned roll(unsigned n);
// submit adds an operation, to the capture if there is one.
CUresult submit(CUstream, Op);
// reach lets things happen until a place is reached. Called with the lock.
CUresult reach(std::unique_lock<std::mutex> &, CUcontext, const Place &);
bool reached(const Place &);
// nudge lets something happen that brings a place nearer, unless threads do.
void nudge(const Place &);
CUresult drain(std::unique_lock<std::mutex> &, CUcontext);

// ---- clock.cpp, cost.cpp

extern bool counting; // kernels and large copies are counted and not made
bool is_virtual();
bool set_speed(int device, const std::string &key, double value);
void host_waits(double until);
void host_calls(double ns);
bool host_is_past(double time);
double host_now();
void pass(Stream &, const Op &, const std::function<void(const Op &)> &run);

struct Work {
  double bytes = 0, flops = 0;
};
Work work_of(const std::string &code, const pio_op &);
double bytes_of(const pio_tensor &);
double kernel_time(CUcontext, const Op &);
void pretend(const Op &);

// ---- control.cpp

struct Failure {
  std::string what, name, once, when;
  int device = -1, after = 0;
  CUresult error = CUDA_ERROR_ILLEGAL_ADDRESS;
  bool hang = false;
};
// failure is what is to go wrong with this: "kernel", "copy", "alloc", "launch", "pinned", "registered", "look".
bool failure(const char *what, int device, const char *name, Failure &);
void blame(CUcontext, CUresult, const std::string &why);
extern std::string last_blame;
extern int driver_version, init_error, capability, multiprocessors;
extern bool peer_access, read_only;
extern std::vector<std::unique_ptr<CUctx_st>> devices;
// kernels, graphs, copies in, copies out, synchronisations, captures, bytes in, bytes out, those of the bytes in that were registered, bytes registered now
extern std::atomic<unsigned long long> counted[10];
void start();

#endif

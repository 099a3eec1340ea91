// streams.cpp: what is done, and when. Operations of a stream are done in the order in which they were submitted; between streams only
// what a wait says. Late: an operation is done when somebody waits for it or for what comes after it, and nothing else is. So what should
// have been waited for has not been done, always.
#include "driver.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>

Time how_time = Time::LATE;
int copies_early = 0;
unsigned long long dice = 0;
std::mutex big;
std::condition_variable &progress = *new std::condition_variable; // outlives whoever still waits when the process ends

static std::vector<std::shared_ptr<Stream>> &streams = *new std::vector<std::shared_ptr<Stream>>;
static thread_local CUcontext current;
static unsigned long long captures = 0;

unsigned roll(unsigned n) {
  static unsigned long long state = 0x9e3779b97f4a7c15ull;
  state ^= dice * 0x2545f4914f6cdd1dull;
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return n ? (unsigned)((state >> 32) * n >> 32) : 0;
}

// ---- doing one

namespace {

struct Outcome {
  CUresult error = CUDA_SUCCESS;
  std::string why;
  bool hang = false;
  Outcome() {}
  Outcome(CUresult e, std::string w) : error(e), why(std::move(w)) {}
};

Outcome planned(const Failure &f, const std::string &what) {
  Outcome o(f.error, what + " was told to fail");
  o.hang = f.hang;
  return o;
}

struct Launch {
  const Op *op;
  int failed;
};

Outcome launch(CUcontext c, const Op &op) {
  const std::string &name = op.function->name;
  if (counting) {
    counted[0]++;
    pretend(op);
    return {};
  }
  Failure f;
  if (failure("kernel", c->ordinal, name.c_str(), f))
    return planned(f, "kernel " + name);
  const pio_op &given = *(const pio_op *)op.data->data();
  if (std::string why = operands(c, given); !why.empty())
    return {CUDA_ERROR_ILLEGAL_ADDRESS, "kernel " + name + " is given " + why};
  Launch l = {&op, 0};
  std::string why;
  bool came_back = guarded(("kernel " + name).c_str(), [](void *p) {
    Launch *l = (Launch *)p;
    l->failed = pio_sim_launch(l->op->function->name.c_str(), l->op->grid, l->op->threads, l->op->shared, (const pio_op *)l->op->data->data());
  }, &l, why);
  counted[0]++;
  if (!came_back)
    return {CUDA_ERROR_ILLEGAL_ADDRESS, why};
  if (l.failed)
    return {CUDA_ERROR_LAUNCH_FAILED, pio_sim_error()};
  for (int i = 0; i < PIO_OUT && i < given.outs; i++)
    if (std::string over = overrun((const void *)given.out[i].at); !over.empty())
      return {CUDA_ERROR_ILLEGAL_ADDRESS, "kernel " + name + ": " + over};
  return {};
}

enum { COUNTED = 256 << 10 }; // bytes of a copy that is not made where work is only counted: more than a table of experts, less than one

struct Moved {
  char *to;
  const char *from;
  size_t bytes;
};

Outcome copy(CUcontext c, const Op &op) {
  Failure f;
  if (failure("copy", c->ordinal, "", f))
    return planned(f, "a copy");
  const char *from = op.data ? op.data->data() : op.from;
  if (op.registered && !op.data && !registered(from, op.bytes))
    return {CUDA_ERROR_ILLEGAL_ADDRESS, "a copy reads " + std::to_string(op.bytes) + " bytes that were registered, and are not any more"};
  for (auto [who, at] : {std::pair<CUcontext, const void *>{op.there, op.to}, {op.origin, from}})
    if (std::string why = usable(who ? who : c, at, op.bytes, true); !why.empty())
      return {CUDA_ERROR_ILLEGAL_ADDRESS, "a copy: " + why};
  if (how_time == Time::THREADS && op.direction >= 0 && c->copy > 0) {
    std::lock_guard<std::mutex> one(c->engines[op.direction]);
    usleep((useconds_t)((double)op.bytes / c->copy * 1e6));
  }
  Moved m = {op.to, from, counting && op.bytes > COUNTED ? 0 : op.bytes};
  std::string why;
  bool came_back = guarded("a copy", [](void *p) {
    Moved *m = (Moved *)p;
    memmove(m->to, m->from, m->bytes);
  }, &m, why);
  double rate = op.direction < 0 ? c->read / 2 : c->copy > 0 ? c->copy : 25e9; // a copy within a device reads and writes
  c->clock += (unsigned long long)((double)op.bytes / rate * 1e9);
  if (op.direction >= 0)
    counted[2 + op.direction]++, counted[6 + op.direction] += op.bytes, counted[8] += op.registered ? op.bytes : 0;
  return came_back ? Outcome() : Outcome(CUDA_ERROR_ILLEGAL_ADDRESS, why);
}

Outcome set(CUcontext c, const Op &op) {
  if (counting && op.bytes > COUNTED)
    return {};
  if (std::string why = usable(c, op.to, op.bytes, false); !why.empty())
    return {CUDA_ERROR_ILLEGAL_ADDRESS, "a memset: " + why};
  for (size_t i = 0; i < op.bytes; i += op.width) memcpy(op.to + i, &op.value, op.width);
  return {};
}

Outcome execute(CUcontext c, const Op &op) {
  switch (op.what) {
  case What::KERNEL: return launch(c, op);
  case What::COPY: return copy(c, op);
  case What::SET: return set(c, op);
  case What::RECORD:
    if (!is_virtual())
      *op.time = (double)c->clock / 1e6;
    return {};
  case What::ALLOC:
    make_ready(op.to);
    return {};
  case What::FREE:
    if (!give_back(op.to))
      return {CUDA_ERROR_INVALID_VALUE, "memory is freed twice"};
    return {};
  case What::HOST:
    op.call(op.argument);
    return {};
  case What::GRAPH:
    counted[1]++;
    for (const Op &o : *op.graph)
      if (Outcome r = execute(c, o); r.error)
        return r;
    return {};
  case What::WAIT: break; // is waited for elsewhere
  }
  return {};
}

// settle notes how the front of a queue ended.
void settle(Stream &s, const Outcome &o) {
  if (o.hang) {
    s.hung = true;
    return;
  }
  if (o.error)
    blame(s.context, o.error, o.why);
  s.queue.pop_front();
  s.done++;
}

bool stuck(const Stream &s) { return s.hung || s.context->broken; }

// ---- when: late

void advance(Stream &s, unsigned long long upto) {
  while (s.done < upto && !stuck(s)) {
    Op &op = s.queue.front();
    if (op.what == What::WAIT) {
      advance(*op.place.stream, op.place.done);
      if (!reached(op.place) && !op.place.stream->context->broken)
        return; // what it waits for hangs
    }
    settle(s, execute(s.context, op));
  }
}

// ---- in a random order

bool step() {
  std::vector<Stream *> able;
  for (auto &s : streams)
    if (!s->queue.empty() && !stuck(*s) && (s->queue.front().what != What::WAIT || reached(s->queue.front().place)))
      able.push_back(s.get());
  if (able.empty())
    return false;
  Stream &s = *able[roll((unsigned)able.size())];
  settle(s, execute(s.context, s.queue.front()));
  return true;
}

// ---- by threads

void work(std::shared_ptr<Stream> s) {
  std::unique_lock<std::mutex> held(big);
  for (;;) {
    progress.wait(held, [&] {
      if (s->queue.empty() || stuck(*s))
        return s->closed;
      Op &op = s->queue.front();
      return op.what != What::WAIT || reached(op.place) || op.place.stream->context->broken;
    });
    if (s->queue.empty() || stuck(*s))
      return;
    Op op = s->queue.front(); // others may add to the queue meanwhile
    held.unlock();
    Outcome o = execute(s->context, op);
    held.lock();
    settle(*s, o);
    progress.notify_all();
  }
}

} // namespace

bool reached(const Place &p) { return !p.stream || p.stream->done >= p.done; }

void nudge(const Place &p) {
  if (reached(p) || how_time == Time::THREADS)
    return;
  if (how_time == Time::RANDOM)
    step();
  else
    advance(*p.stream, std::min(p.done, p.stream->done + 1));
}

CUresult reach(std::unique_lock<std::mutex> &held, CUcontext c, const Place &p) {
  counted[4]++;
  if (is_virtual() && p.stream)
    host_waits(p.stream->tail);
  while (!reached(p) && !c->broken && !p.stream->context->broken) {
    if (how_time == Time::THREADS) {
      progress.wait(held);
      continue;
    }
    unsigned long long before = p.stream->done;
    if (how_time == Time::RANDOM ? step() : (advance(*p.stream, p.done), p.stream->done > before))
      continue;
    held.unlock(); // something hangs, and whoever waits for it does too
    usleep(10000);
    held.lock();
  }
  return c->broken;
}

CUresult drain(std::unique_lock<std::mutex> &held, CUcontext c) {
  auto all = streams;
  for (auto &s : all)
    if (s->context == c)
      if (CUresult e = reach(held, c, {s, s->submitted}))
        return e;
  return c->broken;
}

static std::shared_ptr<Stream> make(CUcontext c, unsigned flags) {
  streams.erase(std::remove_if(streams.begin(), streams.end(), [](auto &s) { return s->closed && s->queue.empty(); }), streams.end());
  auto s = std::make_shared<Stream>();
  s->context = c, s->flags = flags;
  streams.push_back(s);
  if (how_time == Time::THREADS)
    std::thread(work, s).detach();
  return s;
}

// of gives a stream; NULL is one that each context has.
static Stream &of(CUstream s) {
  if (s)
    return *s->stream;
  static std::map<CUcontext, std::shared_ptr<Stream>> none;
  auto &n = none[current];
  if (!n)
    n = make(current, 0);
  return *n;
}

static std::shared_ptr<Stream> shared(Stream &s) {
  for (auto &o : streams)
    if (o.get() == &s)
      return o;
  return nullptr;
}

CUresult submit(CUstream stream, Op op) {
  Stream &s = of(stream);
  if (s.context->broken)
    return s.context->broken;
  if (s.capturing) {
    s.captured.push_back(std::move(op));
    return CUDA_SUCCESS;
  }
  if (is_virtual()) {
    CUresult failed = CUDA_SUCCESS;
    pass(s, op, [&](const Op &o) {
      Outcome out = failed ? Outcome() : execute(s.context, o);
      if (out.error)
        blame(s.context, failed = out.error, out.why);
    });
    s.submitted++, s.done++;
    return s.context->broken;
  }
  s.queue.push_back(std::move(op));
  s.submitted++;
  if (how_time == Time::THREADS)
    progress.notify_all();
  else if (how_time == Time::RANDOM)
    for (unsigned n = roll(3); n; n--) step();
  return CUDA_SUCCESS;
}

// ---- contexts of threads

CUcontext here() { return current; }
void go_to(CUcontext c) { current = c; }

#define ENTER                                                                                                                              \
  std::unique_lock<std::mutex> held(big);                                                                                                  \
  CUcontext c = current;                                                                                                                   \
  if (!c)                                                                                                                                  \
    return CUDA_ERROR_INVALID_CONTEXT;                                                                                                     \
  if (c->broken)                                                                                                                           \
    return c->broken;

// a wait, or a question, in the middle of a capture spoils it.
static bool spoils(Stream &s) {
  if (s.capturing)
    s.invalid = true;
  return s.capturing;
}

EXPORT CUresult cuStreamCreateWithPriority(CUstream *to, unsigned flags, int) {
  ENTER;
  *to = new CUstream_st{make(c, flags)};
  return CUDA_SUCCESS;
}
EXPORT CUresult cuStreamCreate(CUstream *to, unsigned flags) { return cuStreamCreateWithPriority(to, flags, 0); }
EXPORT CUresult cuStreamGetFlags(CUstream s, unsigned *flags) {
  ENTER;
  *flags = of(s).flags;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuStreamGetPriority(CUstream, int *priority) {
  *priority = 0;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuStreamDestroy_v2(CUstream s) {
  ENTER;
  if (!s)
    return CUDA_ERROR_INVALID_HANDLE;
  s->stream->closed = true;
  progress.notify_all();
  delete s; // what is in it is done still, when somebody waits for it
  return CUDA_SUCCESS;
}
EXPORT CUresult cuStreamQuery(CUstream stream) {
  ENTER;
  Stream &s = of(stream);
  if (spoils(s))
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  Place p = {shared(s), s.submitted};
  nudge(p);
  return c->broken ? c->broken : reached(p) && (!is_virtual() || host_is_past(s.tail)) ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}
EXPORT CUresult cuStreamSynchronize(CUstream stream) {
  ENTER;
  Stream &s = of(stream);
  if (spoils(s))
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  return reach(held, c, {shared(s), s.submitted});
}
EXPORT CUresult cuCtxSynchronize(void) {
  ENTER;
  return drain(held, c);
}
EXPORT CUresult cuStreamWaitEvent(CUstream stream, CUevent e, unsigned) {
  ENTER;
  Stream &s = of(stream);
  if (s.capturing && e->capture != s.capture) {
    s.invalid = true;
    return CUDA_ERROR_STREAM_CAPTURE_ISOLATION; // it would have to be of the graph
  }
  if (s.capturing)
    return CUDA_SUCCESS; // what is before it in the graph is done before
  if (e->capture)
    return CUDA_ERROR_CAPTURED_EVENT;
  if (!e->place.stream)
    return CUDA_SUCCESS;
  Op op(What::WAIT);
  op.place = e->place, op.time = e->time;
  return submit(stream, op);
}
EXPORT CUresult cuLaunchHostFunc(CUstream stream, CUhostFn call, void *argument) {
  ENTER;
  Op op(What::HOST);
  op.call = call, op.argument = argument;
  return submit(stream, op);
}

// ---- events

EXPORT CUresult cuEventCreate(CUevent *to, unsigned flags) {
  ENTER;
  *to = new CUevent_st{c, flags, {}, std::make_shared<double>(0), 0};
  return CUDA_SUCCESS;
}
EXPORT CUresult cuEventDestroy_v2(CUevent e) {
  ENTER;
  delete e; // operations have of it what they need
  return CUDA_SUCCESS;
}
EXPORT CUresult cuEventRecord(CUevent e, CUstream stream) {
  ENTER;
  Stream &s = of(stream);
  if (s.context != e->context)
    return CUDA_ERROR_INVALID_HANDLE;
  if (s.capturing) {
    e->capture = s.capture;
    return CUDA_SUCCESS;
  }
  Op op(What::RECORD);
  op.time = e->time = std::make_shared<double>(0);
  e->capture = 0;
  e->place = {shared(s), s.submitted + 1};
  return submit(stream, op);
}
EXPORT CUresult cuEventQuery(CUevent e) {
  ENTER;
  if (e->capture)
    return CUDA_ERROR_CAPTURED_EVENT;
  if (is_virtual() && e->place.stream && !host_is_past(*e->time * 1e6)) // who asks for an event waits for it, and has nothing else to do
    host_waits(*e->time * 1e6);
  nudge(e->place);
  return c->broken ? c->broken : reached(e->place) ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}
EXPORT CUresult cuEventSynchronize(CUevent e) {
  ENTER;
  if (e->capture)
    return CUDA_ERROR_CAPTURED_EVENT;
  if (is_virtual() && e->place.stream) {
    counted[4]++;
    host_waits(*e->time * 1e6);
    return c->broken;
  }
  return e->place.stream ? reach(held, c, e->place) : CUDA_SUCCESS;
}
EXPORT CUresult cuEventElapsedTime(float *ms, CUevent from, CUevent to) {
  ENTER;
  if ((from->flags | to->flags) & CU_EVENT_DISABLE_TIMING || !from->place.stream || !to->place.stream)
    return CUDA_ERROR_INVALID_HANDLE;
  if (!reached(from->place) || !reached(to->place))
    return CUDA_ERROR_NOT_READY;
  *ms = (float)(*to->time - *from->time);
  return CUDA_SUCCESS;
}

// ---- captures

EXPORT CUresult cuStreamBeginCapture_v2(CUstream stream, CUstreamCaptureMode) {
  ENTER;
  if (!stream)
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  Stream &s = of(stream);
  if (s.capturing)
    return CUDA_ERROR_ILLEGAL_STATE;
  s.capturing = true, s.invalid = false, s.capture = ++captures;
  s.captured.clear();
  return CUDA_SUCCESS;
}
EXPORT CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph) {
  ENTER;
  Stream &s = of(stream);
  *graph = nullptr;
  if (!s.capturing)
    return CUDA_ERROR_ILLEGAL_STATE;
  s.capturing = false;
  if (s.invalid)
    return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  counted[5]++;
  *graph = new CUgraph_st{std::make_shared<std::vector<Op>>(std::move(s.captured))};
  s.captured.clear();
  return CUDA_SUCCESS;
}
EXPORT CUresult cuStreamIsCapturing(CUstream stream, CUstreamCaptureStatus *status) {
  ENTER;
  Stream &s = of(stream);
  *status = !s.capturing ? CU_STREAM_CAPTURE_STATUS_NONE : s.invalid ? CU_STREAM_CAPTURE_STATUS_INVALIDATED : CU_STREAM_CAPTURE_STATUS_ACTIVE;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuGraphDestroy(CUgraph g) {
  delete g;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuGraphInstantiateWithFlags(CUgraphExec *exec, CUgraph g, unsigned long long) {
  ENTER;
  *exec = new CUgraphExec_st{std::make_shared<std::vector<Op>>(*g->ops)};
  return CUDA_SUCCESS;
}
EXPORT CUresult cuGraphExecUpdate(CUgraphExec exec, CUgraph g, CUgraphNode *node, CUgraphExecUpdateResult *how) {
  ENTER;
  *node = nullptr, *how = CU_GRAPH_EXEC_UPDATE_SUCCESS;
  if (exec->ops->size() != g->ops->size())
    *how = CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED;
  for (size_t i = 0; *how == CU_GRAPH_EXEC_UPDATE_SUCCESS && i < g->ops->size(); i++)
    if ((*exec->ops)[i].what != (*g->ops)[i].what)
      *how = CU_GRAPH_EXEC_UPDATE_ERROR_NODE_TYPE_CHANGED;
  if (*how != CU_GRAPH_EXEC_UPDATE_SUCCESS)
    return CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
  exec->ops = std::make_shared<std::vector<Op>>(*g->ops); // launches under way keep the old ones
  return CUDA_SUCCESS;
}
EXPORT CUresult cuGraphUpload(CUgraphExec, CUstream) { return CUDA_SUCCESS; }
EXPORT CUresult cuGraphLaunch(CUgraphExec exec, CUstream stream) {
  ENTER;
  Op op(What::GRAPH);
  op.graph = exec->ops;
  if (of(stream).capturing)
    return CUDA_ERROR_NOT_SUPPORTED; // would be a graph in a graph
  return submit(stream, op);
}
EXPORT CUresult cuGraphExecDestroy(CUgraphExec exec) {
  delete exec;
  return CUDA_SUCCESS;
}

// ---- memory and copies, in their stream's order

EXPORT CUresult cuMemAlloc_v2(CUdeviceptr *to, size_t bytes) {
  ENTER;
  Failure f;
  if (!bytes)
    return CUDA_ERROR_INVALID_VALUE;
  char *at = failure("alloc", c->ordinal, "", f) ? nullptr : allocate(c, bytes, true);
  *to = (CUdeviceptr)at;
  return at ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}
// A driver waits for what the device does before it takes memory away.
EXPORT CUresult cuMemFree_v2(CUdeviceptr at) {
  ENTER;
  if (!at)
    return CUDA_SUCCESS;
  if (std::string over = overrun((const void *)at); !over.empty()) {
    blame(c, CUDA_ERROR_ILLEGAL_ADDRESS, over);
    return c->broken;
  }
  if (CUresult e = drain(held, c))
    return e;
  return give_back((char *)at) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
EXPORT CUresult cuMemGetInfo_v2(size_t *free, size_t *total) {
  ENTER;
  if (Failure f; failure("look", c->ordinal, "", f)) {
    blame(c, f.error, "a look at the free memory failed, as it was to");
    return c->broken;
  }
  *free = free_of(c), *total = c->memory;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuMemAllocAsync(CUdeviceptr *to, size_t bytes, CUstream stream) {
  ENTER;
  Failure f;
  if (!bytes)
    return CUDA_ERROR_INVALID_VALUE;
  Op op(What::ALLOC);
  op.to = failure("alloc", c->ordinal, "", f) ? nullptr : allocate(c, bytes, false);
  *to = (CUdeviceptr)op.to;
  return op.to ? submit(stream, op) : CUDA_ERROR_OUT_OF_MEMORY;
}
EXPORT CUresult cuMemFreeAsync(CUdeviceptr at, CUstream stream) {
  ENTER;
  Op op(What::FREE);
  op.to = (char *)at;
  return submit(stream, op);
}
EXPORT CUresult cuDeviceGetDefaultMemPool(CUmemoryPool *pool, CUdevice) {
  static CUmemPoolHandle_st only;
  *pool = &only;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuMemPoolSetAttribute(CUmemoryPool pool, CUmemPool_attribute which, void *value) {
  if (which != CU_MEMPOOL_ATTR_RELEASE_THRESHOLD)
    return CUDA_ERROR_INVALID_VALUE;
  pool->keep = *(uint64_t *)value;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuMemPoolGetAttribute(CUmemoryPool pool, CUmemPool_attribute which, void *value) {
  ENTER;
  *(uint64_t *)value = which == CU_MEMPOOL_ATTR_RELEASE_THRESHOLD ? pool->keep : c->used;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuMemPoolTrimTo(CUmemoryPool, size_t) { return CUDA_SUCCESS; }

static CUresult move(CUdeviceptr to, const void *from, size_t bytes, CUstream stream, int direction) {
  if (!bytes)
    return CUDA_SUCCESS;
  Op op(What::COPY);
  op.to = (char *)to, op.from = (const char *)from, op.bytes = bytes, op.direction = direction;
  CUcontext c = of(stream).context;
  const void *device = direction == 0 ? op.to : from;
  if (direction >= 0 && !usable(c, device, 1, false).empty())
    return CUDA_ERROR_INVALID_VALUE;
  if (direction >= 0 && in_part(direction == 0 ? op.from : op.to, bytes))
    return CUDA_ERROR_INVALID_VALUE;
  bool early = !pinned(from, bytes) || copies_early == 1 || (copies_early == 2 && roll(2));
  if (direction == 0 && early && !of(stream).capturing) // what is not pinned has been read when the call returns
    op.data = std::make_shared<std::vector<char>>((const char *)from, (const char *)from + bytes);
  op.registered = direction == 0 && registered(from, bytes);
  return submit(stream, op);
}

EXPORT CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, CUstream stream) {
  ENTER;
  return move(to, from, bytes, stream, 0);
}
EXPORT CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, CUstream stream) {
  ENTER;
  CUresult e = move((CUdeviceptr)to, (const void *)from, bytes, stream, 1);
  Stream &s = of(stream);
  if (e || pinned(to, bytes) || s.capturing)
    return e;
  return reach(held, c, {shared(s), s.submitted}); // what is not pinned has been written when the call returns
}
EXPORT CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
  ENTER;
  return move(to, (const void *)from, bytes, stream, -1);
}
EXPORT CUresult cuMemcpyPeerAsync(CUdeviceptr to, CUcontext there, CUdeviceptr from, CUcontext origin, size_t bytes, CUstream stream) {
  ENTER;
  for (auto [who, at] : {std::pair<CUcontext, CUdeviceptr>{there, to}, {origin, from}})
    if (!usable(who, (const void *)at, 1, false).empty())
      return CUDA_ERROR_INVALID_VALUE;
  Op op(What::COPY);
  op.to = (char *)to, op.bytes = bytes, op.from = (const char *)from, op.there = there, op.origin = origin;
  return submit(stream, op);
}

static CUresult fill(CUdeviceptr at, unsigned value, unsigned width, size_t n, CUstream stream) {
  Op op(What::SET);
  op.to = (char *)at, op.value = value, op.width = width, op.bytes = n * width;
  return n ? submit(stream, op) : CUDA_SUCCESS;
}
EXPORT CUresult cuMemsetD8Async(CUdeviceptr at, unsigned char value, size_t n, CUstream stream) {
  ENTER;
  return fill(at, value, 1, n, stream);
}
EXPORT CUresult cuMemsetD32Async(CUdeviceptr at, unsigned value, size_t n, CUstream stream) {
  ENTER;
  return fill(at, value, 4, n, stream);
}

// The forms that wait are those that do not, in the stream that each context has.
static CUresult wait_for_none(std::unique_lock<std::mutex> &held, CUcontext c, CUresult e) {
  Stream &s = of(nullptr);
  return e ? e : reach(held, c, {shared(s), s.submitted});
}
EXPORT CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t bytes) {
  ENTER;
  return wait_for_none(held, c, move(to, from, bytes, nullptr, 0));
}
EXPORT CUresult cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t bytes) {
  ENTER;
  return wait_for_none(held, c, move((CUdeviceptr)to, (const void *)from, bytes, nullptr, 1));
}
EXPORT CUresult cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
  ENTER;
  return wait_for_none(held, c, move(to, (const void *)from, bytes, nullptr, -1));
}
EXPORT CUresult cuMemsetD8_v2(CUdeviceptr at, unsigned char value, size_t n) {
  ENTER;
  return wait_for_none(held, c, fill(at, value, 1, n, nullptr));
}

EXPORT CUresult cuLaunchKernel(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned bytes,
                               CUstream stream, void **parameters, void **) {
  ENTER;
  Failure planned;
  if (failure("launch", c->ordinal, f->name.c_str(), planned))
    return planned.error;
  bool grid = gx && gy && gz && gx <= 0x7fffffff && gy <= 65535 && gz <= 65535;
  if (!grid || by != 1 || bz != 1 || !bx || (int)bx > f->threads || (int)bytes > f->dynamic || !parameters)
    return CUDA_ERROR_INVALID_VALUE;
  Op op(What::KERNEL);
  op.function = f, op.grid[0] = gx, op.grid[1] = gy, op.grid[2] = gz, op.threads = bx, op.shared = bytes;
  op.data = std::make_shared<std::vector<char>>((const char *)parameters[0], (const char *)parameters[0] + pio_sim_bytes(f->name.c_str()));
  return submit(stream, op);
}

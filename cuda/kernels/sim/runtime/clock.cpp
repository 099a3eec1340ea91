// clock.cpp: time that is counted and not measured. Under `time virtual` each stream, each direction of the link and the host have a time of
// their own, in nanoseconds; an operation is done when it is submitted, and ends when the machine that is imagined would end it. So what a
// run takes depends on what was asked of the driver and on nothing else.
//
//   - A stream's operations follow each other. One begins when the one before it has ended and the host has come to submit it.
//   - A copy of more than 64 KiB has its direction of the link for itself; smaller ones go beside, as drivers send them with the commands. What a
//     kernel reads of pinned memory shares the link with a copy, half and half, and the copies that come next are later by as much.
//   - The host's time goes on with each call, and to the end of what it waits for. What computes on the host, or runs beside the thread that
//     computes, sets it (package clock).
//   - The host's memory is shared, max-min fair, between an op that computes on the host and the copies that have links meanwhile: each has what it
//     asks for, or as much as any other that has less than it asks. An op asks for what it reads in the time that it takes alone. A copy asks for three
//     bytes for each of its own: it is read, written to pinned memory, and read there (or the same the other way); from memory that is registered
//     where it lies for one. It has its time already when such an op begins; so what it lost makes the next in its direction later, as above, and over a run of copies the memory gives no byte twice.
//
// Not modelled: kernels of two streams at once share nothing of the device; small copies, what kernels read of pinned memory, and what the host copies
// while no link is busy take nothing of its memory.
#include "driver.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <algorithm>
#include <sstream>
#include <utility>

bool counting = false;
Host host_speed;

static double host_time = 0;
static std::vector<Taken> &busy(CUcontext c, int direction) { return c->link[direction]; }

static const struct {
  const char *name;
  double Speed::*field;
} speeds[] = {
    {"link", &Speed::link},     {"read", &Speed::read},     {"flops", &Speed::flops},   {"mma", &Speed::mma},
    {"launch", &Speed::launch}, {"node", &Speed::node},     {"copy", &Speed::copy},
};
static const struct {
  const char *name;
  double Host::*field;
} hosts[] = {{"call", &Host::call}, {"graph", &Host::graph}, {"wait", &Host::wait}, {"pin", &Host::pin}, {"memory", &Host::memory}};

// set_speed takes what `machine` says: KEY=VALUE, of a device or of the host.
bool set_speed(int device, const std::string &key, double value) {
  for (auto &s : speeds)
    if (key == s.name) {
      for (auto &d : devices)
        if (device < 0 || device == d->ordinal)
          d->speed.*s.field = value;
      return true;
    }
  for (auto &h : hosts)
    if (key == h.name) {
      host_speed.*h.field = value;
      return true;
    }
  return false;
}

EXPORT double pio_sim_now() {
  std::lock_guard<std::mutex> held(big);
  return host_time;
}
EXPORT void pio_sim_set(double now) {
  std::lock_guard<std::mutex> held(big);
  host_time = now;
}

// pio_sim_begin has time begin anew. Nothing is under way. Sums of times are rounded, so that what a run takes would else depend, in its last digits, on
// when it began.
EXPORT void pio_sim_begin() {
  start();
  std::lock_guard<std::mutex> held(big);
  host_time = 0;
  for (auto &d : devices) {
    for (auto &list : d->link) list.clear();
    d->taken = d->first = d->last = d->late[0] = d->late[1] = 0;
  }
}

// pio_sim_link tells which part of the time from the first to the last large copy to a device, since it was asked last, the link was busy with
// them, and how many ns that time is.
EXPORT void pio_sim_link(int device, double to[2]) {
  std::lock_guard<std::mutex> held(big);
  CUctx_st &c = *devices.at((size_t)device);
  to[1] = c.last - c.first;
  to[0] = to[1] > 0 ? c.taken / to[1] : 0;
  c.taken = c.first = c.last = 0;
}

bool is_virtual() { return how_time == Time::VIRTUAL; }

// host_waits lets the host's time go on to an end of something.
void host_waits(double until) { host_time = std::max(host_time, until) + host_speed.wait; }
void host_calls(double ns) { host_time += ns; }
bool host_is_past(double time) { return host_time >= time; }
double host_now() { return host_time; }

// on_link finds the first time from begin on at which a direction of the link is free for so long, and takes it, for a copy of which a byte takes so
// many of the host's memory.
static double on_link(CUcontext c, int direction, double begin, double takes, int memory) {
  auto &list = busy(c, direction);
  // what ended before anything that may still be asked is forgotten: the host's own time only goes back to where something runs beside it
  while (list.size() > 4096) list.erase(list.begin());
  size_t i = 0;
  for (; i < list.size() && (list[i].to <= begin || list[i].from < begin + takes); i++) begin = std::max(begin, list[i].to);
  list.insert(list.begin() + (long)i, {begin, begin + takes, memory});
  return begin;
}

// ---- the host's memory

enum { COPIED_BYTE = 3, REGISTERED_BYTE = 1 }; // bytes of the host's memory for each of a copy

// a copy that has a link while the host computes
struct Beside {
  double *late; // of its direction
  double asks;  // bytes/s
};

// level is the most that anybody has of what is shared max-min fair: each has what it asks for up to that.
static double level(std::vector<double> asked, double shared) {
  std::sort(asked.begin(), asked.end());
  for (size_t i = 0; i < asked.size(); i++) {
    double others = (double)(asked.size() - i);
    if (asked[i] * others > shared)
      return shared / others;
    shared -= asked[i];
  }
  return HUGE_VAL;
}

// beside is which copies have links now, and until when those are the same.
static double beside(std::vector<Beside> &to) {
  double until = HUGE_VAL;
  to.clear();
  for (auto &d : devices)
    for (int direction = 0; direction < 2; direction++) {
      auto &list = busy(d.get(), direction);
      auto it = std::upper_bound(list.begin(), list.end(), host_time, [](double now, auto &taken) { return now < taken.to; });
      if (it == list.end())
        continue;
      if (it->from <= host_time)
        to.push_back({&d->late[direction], it->memory * d->speed.link});
      until = std::min(until, it->from <= host_time ? it->to : it->from);
    }
  return until;
}

// pio_sim_compute has the host compute for ns, if it has its memory for itself, and read so many bytes in that time.
EXPORT void pio_sim_compute(double bytes, double ns) {
  std::lock_guard<std::mutex> held(big);
  std::vector<Beside> copies;
  std::vector<double> asked;
  double asks = bytes / ns * 1e9;
  while (ns > 0) {
    double until = beside(copies), most = HUGE_VAL;
    if (host_speed.memory > 0 && !copies.empty()) {
      asked.assign(1, asks);
      for (auto &c : copies) asked.push_back(c.asks);
      most = level(asked, host_speed.memory);
    }
    double part = asks > most ? most / asks : 1;
    bool ends = host_time + ns / part <= until;
    double now = ends ? host_time + ns / part : until;
    for (auto &c : copies) *c.late += std::max(0., 1 - most / c.asks) * (now - host_time);
    ns = ends ? 0 : ns - part * (now - host_time);
    host_time = now;
  }
}

// ---- what a device does

static bool link_is_busy(CUcontext c, int direction, double at) {
  for (auto &taken : busy(c, direction))
    if (taken.from <= at && at < taken.to)
      return true;
  return false;
}

// kernel is when one has ended. Of pinned memory only copies by themselves are read.
static double kernel(CUcontext c, const Op &op, double begin, bool in_graph) {
  begin += in_graph ? c->speed.node : c->speed.launch;
  const pio_op &given = *(const pio_op *)op.data->data();
  if (op.function->name != "copy_bytes" || !pinned((const void *)given.in[0].at, 1))
    return begin + kernel_time(c, op);
  double takes = bytes_of(given.in[0]) / c->speed.link * 1e9;
  begin += c->speed.copy; // the first of them are on their way for as long as those of a copy
  if (!link_is_busy(c, 0, begin))
    return begin + takes;
  c->late[0] += takes;
  return begin + 2 * takes;
}

// copy_time: a copy behind another in its direction is under way as soon as that has ended.
static double copy_time(const Op &op, CUcontext c, double begin, bool follows) {
  if (op.direction < 0)
    return begin + c->speed.launch + 2 * (double)op.bytes / c->speed.read * 1e9;
  begin += follows ? 0 : c->speed.copy;
  double takes = (double)op.bytes / c->speed.link * 1e9;
  if (op.bytes > 64 << 10) {
    takes += std::exchange(c->late[op.direction], 0);
    begin = on_link(c, op.direction, begin, takes, op.registered ? REGISTERED_BYTE : COPIED_BYTE);
  }
  if (op.registered)
    reads_until(op.from, begin + takes);
  if (op.bytes <= 64 << 10)
    return begin + takes;
  if (op.direction == 0) {
    c->first = c->taken == 0 ? begin : std::min(c->first, begin);
    c->taken += takes, c->last = std::max(c->last, begin + takes);
  }
  return begin + takes;
}

static double ends(CUcontext c, const Op &op, double begin, bool in_graph, bool follows) {
  switch (op.what) {
  case What::KERNEL: return kernel(c, op, begin, in_graph);
  case What::COPY: return copy_time(op, c, begin, follows);
  case What::SET: return begin + c->speed.launch + (double)op.bytes / c->speed.read * 1e9;
  case What::WAIT: return op.time ? std::max(begin, *op.time) : begin;
  default: return begin;
  }
}

// pass takes a stream's time to the end of an operation that the host submits now, and runs it. run gets each that has something to do, after
// those before it: what a kernel takes depends on what is in memory.
void pass(Stream &s, const Op &op, const std::function<void(const Op &)> &run) {
  host_calls(op.what == What::GRAPH ? host_speed.graph : host_speed.call);
  double at = std::max(s.tail, host_time);
  if (op.what == What::GRAPH) {
    at += s.context->speed.launch;
    counted[1]++;
    for (const Op &o : *op.graph) {
      at = ends(s.context, o, at, true, o.what == What::COPY && s.copying == o.direction);
      s.copying = o.what == What::COPY ? o.direction : -2;
      run(o);
    }
    s.tail = at;
    return;
  }
  if (op.what == What::RECORD || op.what == What::WAIT) // of what is in the stream, not of when it was asked
    at = op.what == What::RECORD && s.tail == 0 ? host_time : s.tail;
  bool queued = at > host_time; // behind what has not ended
  s.tail = ends(s.context, op, at, false, op.what == What::COPY && queued && s.copying == op.direction);
  if (op.what != What::RECORD)
    s.copying = op.what == What::COPY ? op.direction : -2;
  if (op.what == What::RECORD)
    *op.time = std::max(s.tail, host_time) / 1e6;
  run(op);
}

// cost.cpp: what an op reads, writes and computes, by its shapes, and by what is in memory where that decides: positions, and the experts that
// rows go to. Each byte of an operand counts once, however often a kernel reads it.
#include "driver.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <algorithm>
#include <set>

namespace {

double size(int type) {
  switch (type) {
  case PIO_F32:
  case PIO_I32: return 4;
  case PIO_BF16:
  case PIO_F16: return 2;
  }
  return 1;
}

double elements(const pio_tensor &t) {
  double n = t.at ? 1 : 0;
  for (int d : t.dim) n *= d;
  return n;
}
double bytes(const pio_tensor &t) { return elements(t) * size(t.type); }
double rows(const pio_tensor &t) { return t.dim[0]; }

double weights(const pio_matrix &m) {
  if (!m.plane[0])
    return 0;
  static const double each[PIO_LAYOUTS] = {4, 2, 2, 1, 1, 1 + 2.0 / 128, 0.5 + 4.0 / 128};
  double n = (double)m.rows * m.cols, scaled = m.layout == PIO_L_F8_F32 ? 4 : m.layout == PIO_L_F8_BF16 ? 2 : 0;
  return n * (each[m.layout] + (scaled && m.block_rows > 0 ? scaled / ((double)m.block_rows * m.block_cols) : 0));
}

const int *ints(const pio_tensor &t) { return (const int *)t.at; }

// Seen is what rows see of a cache: the positions of all, and those of the longest row of each sequence, which are read once.
struct Seen {
  double all = 0, read = 0;
};
Seen seen(const pio_tensor &positions, const pio_tensor &seqs) {
  Seen s;
  std::map<int, int> most;
  for (int i = 0; i < positions.dim[0]; i++) {
    int n = ints(positions)[i] + 1, &m = most[ints(seqs)[i]];
    s.all += n, m = std::max(m, n);
  }
  for (auto &[seq, n] : most) s.read += n;
  return s;
}

double different(const pio_tensor &list) { return (double)std::set<int>(ints(list), ints(list) + list.dim[0]).size(); }

Work attention(const pio_op &op) {
  const pio_tensor &q = op.in[0], &k = op.in[1], &v = op.in[2];
  Seen s = seen(op.in[3], op.in[4]);
  double position = k.dim[1] * (k.dim[3] * size(k.type) + v.dim[3] * size(v.type));
  return {bytes(q) + bytes(op.out[0]) + s.read * position, 2 * s.all * q.dim[1] * (q.dim[2] + op.out[0].dim[2])};
}
Work latent(const pio_op &op) {
  const pio_tensor &q = op.in[0], &cache = op.in[1];
  Seen s = seen(op.in[2], op.in[3]);
  return {bytes(q) + bytes(op.out[0]) + s.read * cache.dim[3] * size(cache.type), 2 * s.all * q.dim[1] * (q.dim[2] + op.out[0].dim[2])};
}

double of_slots(const pio_tensor &state, const pio_tensor &slots) { return bytes(state) / std::max(1.0, rows(state)) * different(slots); }

Work delta(const pio_op &op) {
  const pio_tensor &state = op.out[1];
  double moved = bytes(op.out[0]) + 2 * of_slots(state, op.in[6]);
  for (int i = 0; i < 5; i++) moved += bytes(op.in[i]);
  return {moved, 6 * rows(op.in[0]) * elements(state) / std::max(1.0, rows(state))};
}
Work conv(const pio_op &op) {
  double taps = std::max(1, op.w[0].cols);
  return {bytes(op.out[0]) + bytes(op.in[0]) + 2 * of_slots(op.out[1], op.in[2]) + weights(op.w[0]), 2 * elements(op.in[0]) * taps};
}

// experts: part 0 is both, 1 gate and up, 2 down.
Work experts(const pio_op &op, int part) {
  const pio_matrix *table = (const pio_matrix *)op.experts;
  const pio_tensor &x = op.in[0], &index = op.in[1];
  double read = 0, flops = 0, pairs = 0;
  std::set<int> once;
  for (int i = 0; i < index.dim[0] * index.dim[1]; i++) {
    int e = ints(index)[i];
    if (e < 0 || e >= op.experts_n || !table[3 * e].plane[0])
      continue;
    pairs++;
    for (int m = part == 2 ? 2 : 0; m < (part == 1 ? 2 : 3); m++) {
      const pio_matrix &w = table[3 * e + m];
      flops += 2.0 * w.rows * w.cols;
      read += once.count(e) ? 0 : weights(w);
    }
    once.insert(e);
  }
  return {read + pairs * 4 * x.dim[1] + bytes(x), flops};
}

Work products(const pio_op &op) {
  Work w = {bytes(op.in[0]) + (op.ins > 1 ? bytes(op.in[1]) : 0), 0};
  double n = elements(op.in[0]) / std::max(1, op.w[0].cols);
  for (auto &m : op.w) w.bytes += weights(m), w.flops += m.plane[0] ? 2 * n * m.rows * m.cols : 0;
  bool heads = op.n[1] == PIO_LAST_HEADS; // what goes to a cache counts as cache_write has it
  for (int i = 0; i < (heads ? 9 : PIO_OUT); i++) w.bytes += bytes(op.out[i]);
  for (int i = 9; i < PIO_OUT && heads; i++) w.bytes += op.out[i].at ? bytes(op.out[i - 8]) : 0;
  return w;
}

// heads: what goes to a cache counts as cache_write has it.
Work heads(const pio_op &op) {
  Work w = {bytes(op.in[0]) + bytes(op.in[1]) + bytes(op.in[2]) + bytes(op.in[3]) + weights(op.w[0]) + weights(op.w[1]), 0};
  for (int i = 0; i < 4; i++) w.bytes += bytes(op.out[i]);
  for (int i = 4; i < 6; i++) w.bytes += op.out[i].at ? bytes(op.in[i - 3]) : 0;
  w.flops = w.bytes / 4;
  return w;
}

// latent_rows: what goes to the cache counts as the row that it is, not as all of the cache.
Work latent_rows(const pio_op &op) {
  Work w = {bytes(op.in[0]) + bytes(op.in[1]) + weights(op.w[0]), 0};
  for (int i = 0; i < 5; i++) w.bytes += bytes(op.out[i]);
  w.bytes += op.out[5].at ? bytes(op.out[4]) : 0;
  w.flops = w.bytes / 4;
  return w;
}

Work others(const pio_op &op) {
  Work w;
  for (int i = 0; i < op.outs && i < PIO_OUT; i++) w.bytes += bytes(op.out[i]);
  for (int i = 0; i < op.ins && i < PIO_IN; i++) w.bytes += bytes(op.in[i]);
  for (auto &m : op.w) w.bytes += weights(m);
  w.flops = w.bytes / 4;
  return w;
}

bool starts(const std::string &s, const char *with) { return s.rfind(with, 0) == 0; }

} // namespace

double bytes_of(const pio_tensor &t) { return bytes(t); }

// work_of is what an op does, by its name in cuda/op.go.
Work work_of(const std::string &code, const pio_op &op) {
  if (code == "matmul" || starts(code, "latent_query") || starts(code, "latent_value"))
    return products(op);
  if (code == "attention")
    return attention(op);
  if (code == "latent_attention")
    return latent(op);
  if (code == "experts")
    return experts(op, 0);
  if (code == "delta_rule")
    return delta(op);
  if (code == "causal_conv")
    return conv(op);
  if (code == "embed" || code == "gather" || code == "columns" || code == "cache_read")
    return {2 * bytes(op.out[0]), 0};
  if (code == "cache_write" || code == "put_columns")
    return {2 * bytes(op.in[0]), 0};
  return others(op);
}

// into_parts is what it takes to bring numbers in f32 into so many of bf16 each.
static double into_parts(double n, int parts) { return n * (4 + 2 * parts); }

// of_kernel is the part of its op's work that one of its launches does.
static Work of_kernel(const std::string &name, const pio_op &op) {
  if (starts(name, "matmul_few") || starts(name, "matmul_many") || starts(name, "matmul_pair") || starts(name, "matmul_beside") || starts(name, "matmul_route") || starts(name, "matmul_plain"))
    return work_of("matmul", op);
  if (starts(name, "latent_query") || starts(name, "latent_value"))
    return work_of("matmul", op);
  if (starts(name, "experts_few") || starts(name, "experts_many") || starts(name, "experts_plain"))
    return experts(op, 1);
  if (starts(name, "experts_down"))
    return experts(op, 2);
  if (name == "matmul_split")
    return {into_parts(elements(op.in[0]), op.p[1]), 0};
  if (name == "experts_split")
    return {into_parts((double)op.in[1].dim[0] * op.in[1].dim[1] * op.out[2].dim[2], op.p[1]), 0};
  if (name == "matmul_add")
    return {(1 + op.p[0]) * bytes(op.out[0]), 0};
  if (name == "heads")
    return heads(op);
  if (name == "latent_row")
    return latent_rows(op);
  if (starts(name, "experts_")) // lists of pairs
    return {2 * bytes(op.in[1]), 0};
  if (starts(name, "attention_join") || starts(name, "latent_attention_join"))
    return {2 * bytes(op.out[0]), 0};
  if (starts(name, "attention_decode") && op.p[5] == 1) // of a prompt: the rows that are alone, of which there is none
    return {};
  if (starts(name, "attention"))
    return attention(op);
  if (starts(name, "latent_attention"))
    return latent(op);
  if (name == "delta_chunks")
    return {bytes(op.in[0]) + bytes(op.in[1]), 0};
  if (name == "causal_conv_keep")
    return {of_slots(op.out[1], op.in[2]), 0};
  if (name == "index_rows")
    return {2 * bytes(op.in[2]), 0};
  if (name == "argmax_join")
    return {};
  return work_of(name, op);
}

// What launches of each kernel did since somebody asked last.
namespace {
struct Tally {
  unsigned long long launches = 0;
  double bytes = 0, flops = 0, ns = 0;
};
} // namespace
static std::map<std::string, Tally> tallies;
static std::mutex tallying;

// kernel_time is what a launch takes of a device, in ns, once it has begun.
double kernel_time(CUcontext c, const Op &op) {
  const std::string &name = op.function->name;
  Work w = of_kernel(name, *(const pio_op *)op.data->data());
  bool tensor = name.find("_few_") != std::string::npos || name.find("_many_") != std::string::npos || name.find("_pair_") != std::string::npos || name.find("_beside_") != std::string::npos || name.find("_route_") != std::string::npos ||
                starts(name, "attention_prompt") || starts(name, "attend_tile");
  bool exact = name.find("exact") != std::string::npos;
  double rate = !tensor ? c->speed.flops : exact ? c->speed.mma / 3 : c->speed.mma; // rows of f32 are three products
  double ns = std::max(w.bytes / c->speed.read, w.flops / rate) * 1e9;
  std::lock_guard<std::mutex> held(tallying);
  Tally &t = tallies[name];
  t.launches++, t.bytes += w.bytes, t.flops += w.flops, t.ns += ns;
  return ns;
}

// pio_sim_kernels tells of the kernels that were launched since it was asked last, a line each: name, launches, bytes, operations, ns. What it gives
// is there until it is asked again.
EXPORT const char *pio_sim_kernels() {
  static std::string said;
  std::lock_guard<std::mutex> held(tallying);
  said.clear();
  char line[200];
  for (auto &[name, t] : tallies) {
    snprintf(line, sizeof line, "%s %llu %.17g %.17g %.17g\n", name.c_str(), t.launches, t.bytes, t.flops, t.ns);
    said += line;
  }
  tallies.clear();
  return said.c_str();
}

EXPORT void pio_sim_work(const char *code, const pio_op *op, double to[2]) {
  Work w = work_of(code, *op);
  to[0] = w.bytes, to[1] = w.flops;
}

// ---- what is not computed

static unsigned long long routed = 0, route_seed = 1;
static int route_layers = 1;
static double route_skew = 0.17;
static std::map<int, std::vector<int>> stacks; // by layer: experts, the last used first

// pio_sim_routing has rows go to experts as traces of real models do: the k-th last used expert of a layer is used again with a probability
// that falls with k, so that a cache of the last used ones that has a share of the experts has share^skew of those that are needed.
EXPORT void pio_sim_routing(int layers, double skew, unsigned long long seed) {
  std::lock_guard<std::mutex> held(big);
  routed = 0, route_layers = std::max(1, layers), route_skew = skew, route_seed = seed;
  stacks.clear();
}

static double draw() {
  route_seed += 0x9e3779b97f4a7c15ull;
  unsigned long long z = route_seed;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull, z = (z ^ (z >> 27)) * 0x94d049bb133111ebull, z ^= z >> 31;
  return (double)(z >> 11) / 9007199254740992.0;
}

// route_rows writes the experts of rows, k of n each, in the order of the layers.
void route_rows(const pio_tensor &index, int n) {
  int layer = (int)(routed++ % (unsigned)route_layers), k = index.dim[1];
  std::vector<int> &stack = stacks[layer];
  for (int i = (int)stack.size(); i < n; i++) stack.push_back((i * 97 + layer * 13) % n);
  if ((int)std::set<int>(stack.begin(), stack.end()).size() < n) // 97 divides their number
    for (int i = 0; i < n; i++) stack[(size_t)i] = i;
  for (int r = 0; r < index.dim[0]; r++) {
    int *to = (int *)index.at + (size_t)r * (size_t)k;
    std::vector<int> taken;
    while ((int)taken.size() < k) {
      int rank = std::min(n - 1, (int)(n * pow(draw(), 1 / route_skew)));
      while (std::find(taken.begin(), taken.end(), stack[(size_t)rank]) != taken.end()) rank = (rank + 1) % n;
      taken.push_back(stack[(size_t)rank]);
    }
    std::copy(taken.begin(), taken.end(), to);
    for (size_t i = taken.size(); i > 1; i--) // of those of a row none is the last used
      std::swap(taken[i - 1], taken[(size_t)(draw() * (double)i)]);
    for (int e : taken) {
      stack.erase(std::find(stack.begin(), stack.end(), e));
      stack.insert(stack.begin(), e);
    }
  }
}

EXPORT void pio_sim_route(const pio_op *op) {
  std::lock_guard<std::mutex> held(big);
  route_rows(op->out[0], op->in[0].dim[1]);
}

// pretend stands for a kernel that is not run: numbers that decide what is done next are written, others are left as they are.
void pretend(const Op &op) {
  const std::string &name = op.function->name;
  const pio_op &given = *(const pio_op *)op.data->data();
  if (name == "route")
    route_rows(given.out[0], given.in[0].dim[1]);
  else if (starts(name, "matmul_route"))
    route_rows(given.out[2], given.w[0].rows);
  else if (name == "argmax" || name == "argmax_join")
    for (int i = 0; i < given.out[0].dim[0]; i++) ((int *)given.out[0].at)[i] = 1;
}

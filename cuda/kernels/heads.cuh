// heads.cuh: what becomes of a head of a row between the product that makes it and attention: it is normed and turned, and written to its cache. Each is what
// rmsnorm, rotate and cache_write do, to the bit, and may be left out; all results are written. A warp has a head, which is in shared memory meanwhile.
#pragma once

#include "cache.cuh"
#include "rotary.cuh"

enum { LONGEST = 512 }; // as join_heads.go says

// told writes the head to where a result has it.
DEVICE void told(const pio_tensor &y, const pio_tensor &head, long long begin, int dim) {
  bool whole = in_fours(y, dim) && in_fours(head, dim);
  for (int i = (int)lane() * 4; i < dim; i += 128) store4(y, begin + i, load4(head, i, whole, dim - i), whole, dim - i);
}

// normed: each lane has those elements that squares has it sum.
DEVICE void normed(const pio_tensor &head, int dim, const pio_matrix &w, float eps, float more) {
  bool whole = in_fours(head, dim), all = whole && weights_in_fours(w);
  float inv = 1.0f / square_root(plus(warp_sum(squares(head, 0, dim, (int)lane(), 32, whole, 0.0f)) / (float)dim, eps));
  for (int i = (int)lane() * 4; i < dim; i += 128) {
    four v = load4(head, i, all, dim - i), by = weight4(w, i, all, dim - i);
    UNROLL for (int j = 0; j < 4; j++) v.x[j] = times(times(v.x[j], inv), plus(more, by.x[j]));
    store4(head, i, v, all, dim - i);
  }
}

// Kind is what is done with heads of one kind: those of queries, of keys or of values, in f32. What is not done has no tensor.
struct Kind { pio_tensor x, normed, turned, cache; pio_matrix norm; };

template <class T> DEVICE T one_of(int kind, T queries, T keys, T values) { return kind == 0 ? queries : kind == 1 ? keys : values; }

// Results are what the op has of them: queries normed, turned; keys normed, turned; caches of keys, of values.
struct Results { const pio_tensor &queries_normed, &queries_turned, &keys_normed, &keys_turned, &keys_cache, &values_cache; };

// kind_of is one of three. Each number is chosen by itself: of operands that are chosen by their address a thread would have copies in local memory.
DEVICE Kind kind_of(int kind, const pio_tensor &q, const pio_tensor &k, const pio_tensor &v, const Results &r, const pio_matrix &q_norm, const pio_matrix &k_norm) {
  const uint64_t none = 0;
  const pio_tensor &a = r.keys_cache, &b = r.values_cache;
  int heads = one_of(kind, q.dim[1], k.dim[1], v.dim[1]), dim = one_of(kind, q.dim[2], k.dim[2], v.dim[2]);
  Kind o = {{one_of(kind, q.at, k.at, v.at), PIO_F32, 3, {q.dim[0], heads, dim, 1}},
            {one_of(kind, r.queries_normed.at, r.keys_normed.at, none), PIO_F32, 3, {q.dim[0], heads, dim, 1}},
            {one_of(kind, r.queries_turned.at, r.keys_turned.at, none), PIO_F32, 3, {q.dim[0], heads, dim, 1}},
            {one_of(kind, none, a.at, b.at), one_of(kind, 0, a.type, b.type), 4, {one_of(kind, 0, a.dim[0], b.dim[0]), one_of(kind, 0, a.dim[1], b.dim[1]), one_of(kind, 0, a.dim[2], b.dim[2]), one_of(kind, 0, a.dim[3], b.dim[3])}},
            {}};
  o.norm.plane[0] = one_of(kind, q_norm.plane[0], k_norm.plane[0], none), o.norm.layout = one_of(kind, q_norm.layout, k_norm.layout, 0);
  o.norm.rows = 1, o.norm.cols = one_of(kind, q_norm.cols, k_norm.cols, 0);
  return o;
}

// Around is what is common to all of them. n: as of rotate.
struct Around { const pio_tensor &angles, &positions, &seqs, &tables; float eps, plus; int from, style; };

// through takes a head of a row by all that is done to its kind; room, which is aligned, is the warp's.
DEVICE void through(const Kind &k, const Around &around, float *room, long long row, int i) {
  pio_tensor head = {(unsigned long long)room, PIO_F32, 1, {LONGEST, 1, 1, 1}};
  int dim = k.x.dim[2];
  long long begin = (row * k.x.dim[1] + i) * dim;
  bool whole = in_fours(k.x, dim) && in_fours(head, dim);
  for (int j = (int)lane() * 4; j < dim; j += 128) store4(head, j, load4(k.x, begin + j, whole, dim - j), whole, dim - j);
  if (k.normed.at) {
    normed(head, dim, k.norm, around.eps, around.plus);
    told(k.normed, head, begin, dim);
  }
  warp_barrier();
  if (k.turned.at) {
    turning t = turning_of(around.angles, dim, around.from, around.style);
    for (int unit = (int)lane(); unit < t.units; unit += 32) turn_unit(t, head, head, 0, around.angles, row, unit);
    warp_barrier();
    told(k.turned, head, begin, dim);
  }
  if (k.cache.at)
    for (int group = 0; group * ROW_GROUP < dim; group++)
      write_group(k.cache, table_of(around.tables, around.seqs, row), at<int>(around.positions)[row], i, head, 0, dim, group);
}

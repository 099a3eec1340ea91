// rates.c: what the machine can do at best, measured with the pool's own threads, to plan with and to compare kernels with.
#define _GNU_SOURCE
#include "kernels.h"

#include <stdlib.h>
#include <time.h>

enum { CHUNK = 256 * 1024 };

double pio_seconds(void);

double pio_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

typedef uint64_t lanes __attribute__((vector_size(64), aligned(8)));

typedef struct {
  const char *data;
  lanes *kept; // by chunk, so that the reading cannot be left out
} read_args;

static void read_chunk(const void *args, size_t task) {
  const read_args *a = args;
  const lanes *p = (const lanes *)(a->data + task * CHUNK);
  lanes s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
  for (size_t i = 0; i < CHUNK / sizeof(lanes); i += 4) {
    __builtin_prefetch((const char *)(p + i) + 2048);
    __builtin_prefetch((const char *)(p + i) + 2112);
    __builtin_prefetch((const char *)(p + i) + 2176);
    __builtin_prefetch((const char *)(p + i) + 2240);
    s0 ^= p[i], s1 ^= p[i + 1], s2 ^= p[i + 2], s3 ^= p[i + 3];
  }
  a->kept[task] = s0 ^ s1 ^ s2 ^ s3;
}

void pio_read(pio_pool *p, const void *data, size_t bytes) {
  size_t chunks = bytes / CHUNK;
  lanes *kept = malloc((chunks + 1) * sizeof(lanes));
  if (!kept)
    return;
  read_args a = {data, kept};
  pio_pool_run(p, read_chunk, &a, chunks);
  free(kept);
}

typedef struct {
  const pio_kernels *table;
  double *rates;
} flops_args;

static void flops_of_thread(const void *args, size_t task) {
  const flops_args *a = args;
  a->rates[task] = a->table->flops(0.02);
}

double pio_peak_flops(pio_pool *p, const pio_kernels *t) {
  size_t threads = (size_t)pio_pool_threads(p);
  double *rates = calloc(threads, sizeof *rates), sum = 0;
  if (!rates)
    return 0;
  flops_args a = {t, rates};
  pio_pool_run(p, flops_of_thread, &a, threads);
  for (size_t i = 0; i < threads; i++)
    sum += rates[i];
  free(rates);
  return sum;
}

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

typedef struct {
  const pio_kernels *table;
  const char *data;
} read_args;

static void read_chunk(const void *args, size_t task) {
  const read_args *a = args;
  a->table->read(a->data + task * CHUNK, CHUNK);
}

void pio_read(pio_pool *p, const pio_kernels *t, const void *data, size_t bytes) {
  read_args a = {t, data};
  pio_pool_run(p, read_chunk, &a, bytes / CHUNK);
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

//go:build cuda

// lazy.c defines the driver's functions as ones that look for the driver when they are first called. So the binary is linked with no
// library of NVIDIA's (-lcuda finds an empty archive), starts on a machine without one and says there what is missing.
//
// cuInit is the exception: gorgonia.org/cu calls it at start and ends the process if it fails, so ours does nothing. The real one is
// called when the library is loaded.
#define _GNU_SOURCE
#include "lazy.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static void *library;
static CUresult loaded;
static char why[512];

static void load(void) {
  const char *places[] = {getenv("PIO_CUDA_DRIVER"), "libcuda.so.1", "/usr/local/nvidia/lib64/libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1"};
  int given = places[0] && places[0][0];
  for (int i = given ? 0 : 1; !library && i < (given ? 1 : 4); i++) {
    library = dlopen(places[i], RTLD_NOW | RTLD_LOCAL);
    if (!library && !why[0])
      snprintf(why, sizeof why, "%s", dlerror()); // of the first: the others are places for it
  }
  loaded = CUDA_ERROR_NO_DEVICE;
  if (!library)
    return;
  why[0] = 0;
  CUresult (*init)(unsigned int) = (CUresult(*)(unsigned int))dlsym(library, "cuInit");
  if (init)
    loaded = init(0);
  else
    snprintf(why, sizeof why, "%s has no cuInit", given ? places[0] : "libcuda.so.1");
}

CUresult pio_cuda_probe(char *text, size_t n) {
  pthread_once(&once, load);
  snprintf(text, n, "%s", why);
  return loaded;
}

// find gives a function of the driver; NULL where there is none.
static void *find(const char *symbol, CUresult *error) {
  pthread_once(&once, load);
  *error = loaded;
  if (loaded != CUDA_SUCCESS)
    return NULL;
  *error = CUDA_ERROR_NOT_FOUND;
  return dlsym(library, symbol);
}

CUresult cuInit(unsigned int flags) {
  (void)flags;
  return CUDA_SUCCESS;
}

#define PIO_CUDA(symbol, parameters, arguments)                                                                                            \
  CUresult symbol parameters {                                                                                                             \
    static _Atomic(void *) found_;                                                                                                         \
    CUresult error_;                                                                                                                       \
    void *at_ = atomic_load_explicit(&found_, memory_order_acquire);                                                                       \
    if (!at_) {                                                                                                                            \
      at_ = find(#symbol, &error_);                                                                                                        \
      if (!at_)                                                                                                                            \
        return error_;                                                                                                                     \
      atomic_store_explicit(&found_, at_, memory_order_release);                                                                           \
    }                                                                                                                                      \
    return ((CUresult(*) parameters)at_)arguments;                                                                                         \
  }
#include "cuda_functions.h"

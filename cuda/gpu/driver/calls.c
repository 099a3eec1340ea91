//go:build cuda

// calls.c: see calls.h. No function calls back into Go.
#define _GNU_SOURCE
#include "calls.h"

#include <sched.h>
#include <string.h>
#include <time.h>

#define TRY(call)                                                                                                                          \
  do {                                                                                                                                     \
    CUresult error_ = (call);                                                                                                              \
    if (error_ != CUDA_SUCCESS)                                                                                                            \
      return error_;                                                                                                                       \
  } while (0)

// use makes a context current on this thread. Asking is cheaper than setting.
static CUresult use(CUcontext context) {
  CUcontext now;
  TRY(cuCtxGetCurrent(&now));
  return now == context ? CUDA_SUCCESS : cuCtxSetCurrent(context);
}

static CUresult one(CUstream s, const pio_command *c, char *params) {
  void *param[1] = {params + c->bytes};
  switch (c->kind) {
  case PIO_LAUNCH:
    return cuLaunchKernel((CUfunction)c->at, c->grid[0], c->grid[1], c->grid[2], c->threads, 1, 1, c->shared, s, param, NULL);
  case PIO_COPY_IN:
    return cuMemcpyHtoDAsync(c->to, (const void *)c->from, c->bytes, s);
  case PIO_COPY_OUT:
    return cuMemcpyDtoHAsync((void *)c->to, c->from, c->bytes, s);
  case PIO_COPY:
    return cuMemcpyDtoDAsync(c->to, c->from, c->bytes, s);
  case PIO_COPY_PEER:
    return cuMemcpyPeerAsync(c->to, (CUcontext)c->there, c->from, (CUcontext)c->here, c->bytes, s);
  case PIO_SET:
    return cuMemsetD8Async(c->to, (unsigned char)c->shared, c->bytes, s);
  case PIO_RECORD:
    return cuEventRecord((CUevent)c->at, s);
  case PIO_WAIT:
    return cuStreamWaitEvent(s, (CUevent)c->at, 0);
  case PIO_GRAPH:
    return cuGraphLaunch((CUgraphExec)c->at, s);
  case PIO_FREE:
    return cuMemFreeAsync(c->to, s);
  }
  return CUDA_ERROR_INVALID_VALUE;
}

static CUresult all(CUstream stream, const pio_command *list, size_t n, char *params, size_t *done) {
  for (*done = 0; *done < n; ++*done)
    TRY(one(stream, &list[*done], params));
  return CUDA_SUCCESS;
}

CUresult pio_submit(CUcontext context, CUstream stream, const pio_command *list, size_t n, char *params, size_t *done) {
  *done = 0;
  TRY(use(context));
  return all(stream, list, n, params, done);
}

CUresult pio_capture(CUcontext context, CUstream stream, const pio_command *list, size_t n, char *params, size_t *done, CUgraph *graph) {
  *done = 0, *graph = NULL;
  TRY(use(context));
  // thread-local: what other threads ask of the driver meanwhile is none of this graph's business
  TRY(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
  CUresult error = all(stream, list, n, params, done), ended = cuStreamEndCapture(stream, graph);
  if (error != CUDA_SUCCESS && ended == CUDA_SUCCESS && *graph)
    cuGraphDestroy(*graph), *graph = NULL;
  return error != CUDA_SUCCESS ? error : ended;
}

CUresult pio_instantiate(CUcontext context, CUgraph graph, CUgraphExec *exec) {
  TRY(use(context));
  return cuGraphInstantiateWithFlags(exec, graph, 0);
}

CUresult pio_update(CUcontext context, CUgraphExec exec, CUgraph graph, int *result) {
  CUgraphNode node;
  CUgraphExecUpdateResult how = CU_GRAPH_EXEC_UPDATE_SUCCESS;
  TRY(use(context));
  CUresult error = cuGraphExecUpdate(exec, graph, &node, &how);
  *result = (int)how;
  return error;
}

CUresult pio_graph_destroy(CUcontext context, CUgraph graph) {
  TRY(use(context));
  return cuGraphDestroy(graph);
}

CUresult pio_exec_destroy(CUcontext context, CUgraphExec exec) {
  TRY(use(context));
  return cuGraphExecDestroy(exec);
}

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

CUresult pio_wait(CUcontext context, CUevent event, int64_t limit) {
  TRY(use(context));
  int64_t begun = now();
  for (;;) {
    CUresult error = cuEventQuery(event);
    if (error != CUDA_ERROR_NOT_READY)
      return error;
    int64_t waited = now() - begun;
    if (limit && waited >= limit)
      return CUDA_ERROR_NOT_READY;
    if (waited < 200000) { // a step of a small model ends within that time: it is not slept through
      sched_yield();
      continue;
    }
    int64_t nap = waited / 16;
    nanosleep(&(struct timespec){0, nap < 1000000 ? nap : 1000000}, NULL);
  }
}

CUresult pio_event_query(CUcontext context, CUevent event) {
  TRY(use(context));
  return cuEventQuery(event);
}

CUresult pio_stream_query(CUcontext context, CUstream stream) {
  TRY(use(context));
  return cuStreamQuery(stream);
}

CUresult pio_stream_synchronize(CUcontext context, CUstream stream) {
  TRY(use(context));
  return cuStreamSynchronize(stream);
}

CUresult pio_elapsed(CUcontext context, CUevent from, CUevent to, float *milliseconds) {
  TRY(use(context));
  return cuEventElapsedTime(milliseconds, from, to);
}

CUresult pio_pinned(CUcontext context, size_t bytes, void **at) {
  TRY(use(context));
  return cuMemHostAlloc(at, bytes, CU_MEMHOSTALLOC_PORTABLE);
}

CUresult pio_pinned_free(CUcontext context, void *at) {
  TRY(use(context));
  return cuMemFreeHost(at);
}

CUresult pio_register(CUcontext context, void *at, size_t bytes, int read_only) {
  TRY(use(context));
  return cuMemHostRegister(at, bytes, CU_MEMHOSTREGISTER_PORTABLE | (read_only ? CU_MEMHOSTREGISTER_READ_ONLY : 0));
}

CUresult pio_unregister(CUcontext context, void *at) {
  TRY(use(context));
  return cuMemHostUnregister(at);
}

CUresult pio_alloc(CUcontext context, size_t bytes, void **at) {
  CUdeviceptr p = 0;
  TRY(use(context));
  TRY(cuMemAlloc(&p, bytes));
  *at = (void *)p;
  return CUDA_SUCCESS;
}

CUresult pio_free(CUcontext context, void *at) {
  TRY(use(context));
  return cuMemFree((CUdeviceptr)at);
}

CUresult pio_alloc_async(CUcontext context, CUstream stream, size_t bytes, void **at) {
  CUdeviceptr p = 0;
  TRY(use(context));
  TRY(cuMemAllocAsync(&p, bytes, stream));
  *at = (void *)p;
  return CUDA_SUCCESS;
}

CUresult pio_pool_keep(CUcontext context, int device, uint64_t bytes) {
  CUmemoryPool pool;
  TRY(use(context));
  TRY(cuDeviceGetDefaultMemPool(&pool, device));
  return cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &bytes);
}

CUresult pio_pool_trim(CUcontext context, int device, size_t bytes) {
  CUmemoryPool pool;
  TRY(use(context));
  TRY(cuDeviceGetDefaultMemPool(&pool, device));
  return cuMemPoolTrimTo(pool, bytes);
}

// pio_pool_spare is what the pool has of the device and nobody of the pool.
CUresult pio_pool_spare(CUcontext context, int device, uint64_t *bytes) {
  CUmemoryPool pool;
  uint64_t reserved = 0, used = 0;
  TRY(use(context));
  TRY(cuDeviceGetDefaultMemPool(&pool, device));
  TRY(cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT, &reserved));
  TRY(cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &used));
  *bytes = reserved > used ? reserved - used : 0;
  return CUDA_SUCCESS;
}

CUresult pio_map(const pio_matrix_map *m, void *to) { return pio_describe(cuTensorMapEncodeTiled, m, to); }

CUresult pio_load(CUcontext context, const void *image, char *log, size_t n, CUmodule *module) {
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void *values[] = {log, (void *)n};
  TRY(use(context));
  memset(log, 0, n);
  return cuModuleLoadDataEx(module, image, 2, options, values);
}

CUresult pio_unload(CUcontext context, CUmodule module) {
  TRY(use(context));
  return cuModuleUnload(module);
}

CUresult pio_function(CUcontext context, CUmodule module, const char *name, int shared, CUfunction *function) {
  TRY(use(context));
  TRY(cuModuleGetFunction(function, module, name));
  int own;
  TRY(cuFuncGetAttribute(&own, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, *function));
  return shared > own ? cuFuncSetAttribute(*function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, shared - own) : CUDA_SUCCESS;
}

CUresult pio_function_attributes(CUcontext context, CUfunction function, int values[4]) {
  static const CUfunction_attribute which[4] = {CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, CU_FUNC_ATTRIBUTE_NUM_REGS, CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES};
  TRY(use(context));
  for (int i = 0; i < 4; i++) TRY(cuFuncGetAttribute(&values[i], which[i], function));
  return CUDA_SUCCESS;
}

CUresult pio_occupancy(CUcontext context, CUfunction function, int threads, size_t shared, int *blocks) {
  TRY(use(context));
  return cuOccupancyMaxActiveBlocksPerMultiprocessor(blocks, function, threads, shared);
}

CUresult pio_pci(int device, char *text, int n) { return cuDeviceGetPCIBusId(text, n, device); }

void pio_error(int code, const char **name, const char **text) {
  if (cuGetErrorName((CUresult)code, name) != CUDA_SUCCESS || !*name)
    *name = "";
  if (cuGetErrorString((CUresult)code, text) != CUDA_SUCCESS || !*text)
    *text = "";
}

// calls.h: what of the driver is called from C: functions that make the context current first, so that any thread may call, and lists of
// commands.
#ifndef PIO_CUDA_CALLS_H
#define PIO_CUDA_CALLS_H

#include <cuda.h>
#include <matrix_map.h>

enum { PIO_LAUNCH, PIO_COPY_IN, PIO_COPY_OUT, PIO_COPY, PIO_COPY_PEER, PIO_SET, PIO_RECORD, PIO_WAIT, PIO_GRAPH, PIO_FREE };

// A command of a list. Which fields there are for each kind stands in list.go.
typedef struct {
  int32_t kind;
  uint32_t grid[3], threads, shared;
  uint64_t at;     // a function, an event, a graph
  uint64_t to, from;
  uint64_t bytes;  // of a copy, of a memset's words of 4 bytes; of a launch: where its parameter begins
  uint64_t there, here; // the contexts of a copy between devices
} pio_command;

// pio_submit hands a list to a stream. params holds what launches are given. done is how many commands were taken.
CUresult pio_submit(CUcontext context, CUstream stream, const pio_command *list, size_t n, char *params, size_t *done);
// pio_capture makes a graph of a list, which is not run.
CUresult pio_capture(CUcontext context, CUstream stream, const pio_command *list, size_t n, char *params, size_t *done, CUgraph *graph);
CUresult pio_instantiate(CUcontext context, CUgraph graph, CUgraphExec *exec);
CUresult pio_update(CUcontext context, CUgraphExec exec, CUgraph graph, int *result);
CUresult pio_graph_destroy(CUcontext context, CUgraph graph);
CUresult pio_exec_destroy(CUcontext context, CUgraphExec exec);

// pio_wait waits for an event and gives up after limit nanoseconds (CUDA_ERROR_NOT_READY); 0 is no limit.
CUresult pio_wait(CUcontext context, CUevent event, int64_t limit);
CUresult pio_event_query(CUcontext context, CUevent event);
CUresult pio_stream_query(CUcontext context, CUstream stream);
CUresult pio_stream_synchronize(CUcontext context, CUstream stream);
CUresult pio_elapsed(CUcontext context, CUevent from, CUevent to, float *milliseconds);

CUresult pio_pinned(CUcontext context, size_t bytes, void **at);
CUresult pio_pinned_free(CUcontext context, void *at);
CUresult pio_register(CUcontext context, void *at, size_t bytes, int read_only);
CUresult pio_unregister(CUcontext context, void *at);
CUresult pio_alloc(CUcontext context, size_t bytes, void **at);
CUresult pio_free(CUcontext context, void *at);
CUresult pio_alloc_async(CUcontext context, CUstream stream, size_t bytes, void **at);
CUresult pio_pool_keep(CUcontext context, int device, uint64_t bytes);
CUresult pio_pool_trim(CUcontext context, int device, size_t bytes);
CUresult pio_pool_spare(CUcontext context, int device, uint64_t *bytes);

// pio_map is pio_describe by the driver that is loaded.
CUresult pio_map(const pio_matrix_map *matrix, void *to);

// pio_load loads a module; log gets what the driver's compiler says against it.
CUresult pio_load(CUcontext context, const void *image, char *log, size_t n, CUmodule *module);
CUresult pio_unload(CUcontext context, CUmodule module);
CUresult pio_function(CUcontext context, CUmodule module, const char *name, int shared, CUfunction *function);
CUresult pio_function_attributes(CUcontext context, CUfunction function, int values[4]);
CUresult pio_occupancy(CUcontext context, CUfunction function, int threads, size_t shared, int *blocks);
CUresult pio_pci(int device, char *text, int n);

// pio_error gives an error's name and text; "" where the driver has none.
void pio_error(int code, const char **name, const char **text);

#endif

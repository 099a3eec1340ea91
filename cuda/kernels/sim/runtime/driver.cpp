// driver.cpp: the driver itself, devices, contexts, modules.
#include "driver.h"

#include <stdio.h>
#include <string.h>

#include <algorithm>

CUcontext here(); // streams.cpp
void go_to(CUcontext);

EXPORT CUresult cuInit(unsigned) {
  start();
  return (CUresult)init_error;
}
EXPORT CUresult cuDriverGetVersion(int *version) {
  start();
  *version = driver_version;
  return CUDA_SUCCESS;
}

static const struct {
  int code;
  const char *name, *text;
} errors[] = {
    {CUDA_SUCCESS, "CUDA_SUCCESS", "no error"},
    {CUDA_ERROR_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {CUDA_ERROR_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {CUDA_ERROR_NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {CUDA_ERROR_INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {CUDA_ERROR_INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {CUDA_ERROR_NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"},
    {CUDA_ERROR_INVALID_PTX, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {CUDA_ERROR_UNSUPPORTED_PTX_VERSION, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "the provided PTX was compiled with an unsupported toolchain"},
    {CUDA_ERROR_INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {CUDA_ERROR_NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {CUDA_ERROR_NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
    {CUDA_ERROR_ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
    {CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED, "CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED", "peer access is already enabled"},
    {CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, "CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED", "part or all of the requested memory range is already mapped"},
    {CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, "CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED", "pointer does not correspond to a registered memory region"},
    {CUDA_ERROR_NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {CUDA_ERROR_MISALIGNED_ADDRESS, "CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"},
    {CUDA_ERROR_LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "operation not permitted when stream is capturing"},
    {CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", "operation failed due to a previous error during capture"},
    {CUDA_ERROR_STREAM_CAPTURE_ISOLATION, "CUDA_ERROR_STREAM_CAPTURE_ISOLATION", "dependency created on uncaptured work in another stream"},
    {CUDA_ERROR_CAPTURED_EVENT, "CUDA_ERROR_CAPTURED_EVENT", "operation not permitted on an event last recorded in a capturing stream"},
    {CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE, "CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE", "the graph update was not performed"},
    {CUDA_ERROR_UNKNOWN, "CUDA_ERROR_UNKNOWN", "unknown error"},
};

EXPORT CUresult cuGetErrorName(CUresult error, const char **name) {
  for (auto &e : errors)
    if (e.code == error) {
      *name = e.name;
      return CUDA_SUCCESS;
    }
  *name = nullptr;
  return CUDA_ERROR_INVALID_VALUE;
}
// cuGetErrorString tells more than a driver's: what was done wrong, and by whom.
EXPORT CUresult cuGetErrorString(CUresult error, const char **text) {
  static thread_local std::string whole;
  for (auto &e : errors)
    if (e.code == error) {
      std::lock_guard<std::mutex> held(big);
      whole = e.text;
      for (auto &d : devices)
        if (error && d->broken == error)
          whole = std::string(e.text) + ": " + last_blame;
      *text = whole.c_str();
      return CUDA_SUCCESS;
    }
  *text = nullptr;
  return CUDA_ERROR_INVALID_VALUE;
}

// ---- devices

static CUctx_st *device(CUdevice d) {
  start();
  return d >= 0 && d < (int)devices.size() ? devices[(size_t)d].get() : nullptr;
}
#define DEVICE_OF(d)                                                                                                                       \
  CUctx_st *c = device(d);                                                                                                                 \
  if (!c)                                                                                                                                  \
    return CUDA_ERROR_INVALID_DEVICE;

EXPORT CUresult cuDeviceGetCount(int *n) {
  start();
  *n = (int)devices.size();
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceGet(CUdevice *to, int ordinal) {
  DEVICE_OF(ordinal);
  *to = c->ordinal;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceGetName(char *name, int n, CUdevice d) {
  DEVICE_OF(d);
  snprintf(name, (size_t)n, "software device %d", c->ordinal);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceGetUuid(CUuuid *to, CUdevice d) {
  DEVICE_OF(d);
  memcpy(to->bytes, "software device", 15);
  to->bytes[15] = (char)c->ordinal;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceGetPCIBusId(char *text, int n, CUdevice d) {
  DEVICE_OF(d);
  snprintf(text, (size_t)n, "0000:%02x:00.0", c->ordinal + 1);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice d) {
  DEVICE_OF(d);
  *bytes = c->memory;
  return CUDA_SUCCESS;
}

enum { SHARED_OPTIN = 227 << 10, SHARED_ALL = 228 << 10, SHARED_PLAIN = 48 << 10, SHARED_RESERVED = 1 << 10, THREADS_ALL = 2048 };

EXPORT CUresult cuDeviceGetAttribute(int *to, CUdevice_attribute which, CUdevice d) {
  DEVICE_OF(d);
  static const std::map<int, int> fixed = {
      {CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, 1024}, {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK, SHARED_PLAIN},
      {CU_DEVICE_ATTRIBUTE_WARP_SIZE, 32}, {CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK, 65536},
      {CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, 50 << 20}, {CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR, THREADS_ALL},
      {CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT, 3}, {CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING, 1},
      {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR, SHARED_ALL}, {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, SHARED_OPTIN},
      {CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED, 1}, {CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS, 1}, {CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY, 1},
  };
  switch (which) {
  case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *to = capability / 10; return CUDA_SUCCESS;
  case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *to = capability % 10; return CUDA_SUCCESS;
  case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *to = multiprocessors; return CUDA_SUCCESS;
  case CU_DEVICE_ATTRIBUTE_PCI_BUS_ID: *to = c->ordinal + 1; return CUDA_SUCCESS;
  case CU_DEVICE_ATTRIBUTE_READ_ONLY_HOST_REGISTER_SUPPORTED: *to = read_only; return CUDA_SUCCESS;
  default: break;
  }
  auto i = fixed.find(which);
  *to = i == fixed.end() ? 0 : i->second;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceCanAccessPeer(int *can, CUdevice d, CUdevice peer) {
  DEVICE_OF(d);
  *can = peer_access && device(peer) && peer != d;
  return device(peer) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

// ---- contexts

EXPORT CUresult cuDevicePrimaryCtxRetain(CUcontext *to, CUdevice d) {
  DEVICE_OF(d);
  std::lock_guard<std::mutex> held(big);
  if (c->broken)
    return c->broken;
  c->retained++;
  *to = c;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDevicePrimaryCtxRelease_v2(CUdevice d) {
  DEVICE_OF(d);
  std::lock_guard<std::mutex> held(big);
  if (c->retained == 0)
    return CUDA_ERROR_INVALID_CONTEXT;
  c->retained--; // what was left in it stays, so that its later use can be told from other mistakes
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDevicePrimaryCtxGetState(CUdevice d, unsigned *flags, int *active) {
  DEVICE_OF(d);
  *flags = 0, *active = c->retained > 0;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDevicePrimaryCtxSetFlags_v2(CUdevice d, unsigned) {
  DEVICE_OF(d);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuCtxSetCurrent(CUcontext c) {
  go_to(c);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuCtxGetCurrent(CUcontext *to) {
  *to = here();
  return CUDA_SUCCESS;
}
EXPORT CUresult cuCtxGetDevice(CUdevice *to) {
  if (!here())
    return CUDA_ERROR_INVALID_CONTEXT;
  *to = here()->ordinal;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuCtxEnablePeerAccess(CUcontext peer, unsigned) {
  std::lock_guard<std::mutex> held(big);
  CUcontext c = here();
  if (!c || !peer)
    return CUDA_ERROR_INVALID_CONTEXT;
  if (c == peer || !peer_access)
    return CUDA_ERROR_PEER_ACCESS_UNSUPPORTED;
  if (c->peers[(size_t)peer->ordinal])
    return CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED;
  c->peers[(size_t)peer->ordinal] = true;
  return CUDA_SUCCESS;
}

// ---- modules

// refused says why a driver would not take a module.
static CUresult refused(const std::string &ptx, std::string &why) {
  size_t head = ptx.find(".version");
  int major, minor, target;
  char own[2] = "";
  if (head == std::string::npos || sscanf(ptx.c_str() + head, ".version %d.%d .target sm_%d%1[a]", &major, &minor, &target, own) < 3) {
    why = "no PTX";
    return CUDA_ERROR_INVALID_PTX;
  }
  // a driver of CUDA 11.N takes PTX 7.N, one of CUDA 12.N 8.N, 13.N 9.N
  if (major * 10 + minor > (driver_version / 1000 - 4) * 10 + driver_version % 1000 / 10) {
    why = "PTX " + std::to_string(major) + "." + std::to_string(minor) + " is newer than the driver";
    return CUDA_ERROR_UNSUPPORTED_PTX_VERSION;
  }
  if (own[0] ? target != capability : target > capability) {
    why = "sm_" + std::to_string(target) + own + " is not this device's";
    return CUDA_ERROR_NO_BINARY_FOR_GPU;
  }
  size_t missing = ptx.find(".extern .func");
  if (missing != std::string::npos) {
    why = "unresolved extern function: " + ptx.substr(missing, ptx.find('\n', missing) - missing);
    return CUDA_ERROR_INVALID_PTX;
  }
  return CUDA_SUCCESS;
}

static int int_after(const std::string &text, const char *word, size_t from, size_t to, int otherwise) {
  size_t at = text.find(word, from);
  return at < to ? atoi(text.c_str() + at + strlen(word)) : otherwise;
}

// Variables are the module's shared ones, with their bytes.
typedef std::vector<std::pair<std::string, int>> Variables;

static Variables shared_variables(const std::string &ptx) {
  Variables all;
  for (size_t at = ptx.find(".shared .align"); at != std::string::npos; at = ptx.find(".shared .align", at + 1)) {
    char name[256];
    int bytes;
    if (sscanf(ptx.c_str() + at, ".shared .align %*d .b8 %255[^[][%d]", name, &bytes) == 2)
      all.emplace_back(name, bytes);
  }
  return all;
}

static void add_kernels(CUmodule m, const std::string &ptx) {
  const std::string mark = ".entry ";
  Variables variables = shared_variables(ptx);
  for (size_t at = ptx.find(mark); at != std::string::npos;) {
    size_t name = at + mark.size(), next = ptx.find(mark, name), end = ptx.find_first_of(" (\n\t", name);
    std::string body = ptx.substr(name, next == std::string::npos ? next : next - name);
    CUfunc_st f = {ptx.substr(name, end - name), int_after(ptx, ".maxntid ", name, next, 1024), 0, 0};
    for (auto &[variable, bytes] : variables)
      if (body.find(variable) != std::string::npos)
        f.fixed += bytes;
    f.dynamic = SHARED_PLAIN - f.fixed;
    m->functions[f.name] = f;
    at = next;
  }
}

EXPORT CUresult cuModuleLoadDataEx(CUmodule *to, const void *image, unsigned n, CUjit_option *options, void **values) {
  if (!here())
    return CUDA_ERROR_INVALID_CONTEXT;
  if (here()->broken)
    return here()->broken;
  std::string ptx = (const char *)image, why;
  if (CUresult e = refused(ptx, why)) {
    for (unsigned i = 0; i + 1 < n; i++)
      if (options[i] == CU_JIT_ERROR_LOG_BUFFER && options[i + 1] == CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES)
        snprintf((char *)values[i], (size_t)values[i + 1], "%s", why.c_str());
    return e;
  }
  auto m = std::make_unique<CUmod_st>();
  add_kernels(m.get(), ptx);
  for (auto &[name, f] : m->functions) {
    if (!pio_sim_has(name.c_str())) {
      fprintf(stderr, "software driver: kernel %s is in no .cu file that it was built of\n", name.c_str());
      return CUDA_ERROR_INVALID_PTX;
    }
    f.threads = pio_sim_threads(name.c_str());
  }
  *to = m.release();
  return CUDA_SUCCESS;
}
EXPORT CUresult cuModuleLoadData(CUmodule *to, const void *image) { return cuModuleLoadDataEx(to, image, 0, nullptr, nullptr); }
EXPORT CUresult cuModuleUnload(CUmodule m) {
  delete m;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuModuleGetFunction(CUfunction *to, CUmodule m, const char *name) {
  auto i = m->functions.find(name);
  if (i == m->functions.end())
    return CUDA_ERROR_NOT_FOUND;
  *to = &i->second;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuFuncGetAttribute(int *to, CUfunction_attribute which, CUfunction f) {
  switch (which) {
  case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *to = f->threads; break;
  case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES: *to = f->fixed; break;
  case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES: *to = f->dynamic; break;
  case CU_FUNC_ATTRIBUTE_NUM_REGS: *to = 32; break; // what an assembler would say is not known
  default: *to = 0;
  }
  return CUDA_SUCCESS;
}
EXPORT CUresult cuFuncSetAttribute(CUfunction f, CUfunction_attribute which, int value) {
  if (which != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES || value < 0 || value + f->fixed > SHARED_OPTIN)
    return CUDA_ERROR_INVALID_VALUE;
  f->dynamic = value;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, CUfunction f, int threads, size_t shared) {
  if (threads <= 0)
    return CUDA_ERROR_INVALID_VALUE;
  int by_threads = THREADS_ALL / ((threads + 31) / 32 * 32), by_shared = SHARED_ALL / (f->fixed + (int)shared + SHARED_RESERVED);
  *blocks = std::min({by_threads, by_shared, 32});
  return CUDA_SUCCESS;
}

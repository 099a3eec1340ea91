// lazy.h: the driver's library, looked for at the first call.
#ifndef PIO_CUDA_LAZY_H
#define PIO_CUDA_LAZY_H

#include <cuda.h>

// pio_cuda_probe is what the driver's own cuInit said, and in text (of n bytes) why its library could not be had. An error of loading is
// CUDA_ERROR_NO_DEVICE with a text.
CUresult pio_cuda_probe(char *text, size_t n);

#endif

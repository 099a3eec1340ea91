// neon_dot.c: neon.c once more, for 64-bit ARM with dot products of bytes (ARMv8.2 and later, since 2018).
#define PIO_NEON_DOT
#include "neon.c"

// guard.h: mapped files that become shorter; see guard.c.
#ifndef PIO_GUARD_H
#define PIO_GUARD_H

#include <stddef.h>

int pio_guard_add(const void *from, size_t size, int writable); // the number of the region; -1 without a guard
int pio_guard_cut(int region);                    // whether some of it had to be made up
void pio_guard_remove(int region);                // before it is unmapped

#endif

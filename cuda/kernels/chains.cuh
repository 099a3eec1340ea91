// chains.cuh: the rows of a batch that belong to one sequence, in order. A sequence has a slot of a state. All lanes of a warp look together
// and find the same.
#pragma once

#include "vector.cuh"

// row_before is the last row before r that has a slot, -1 if there is none.
DEVICE int row_before(const int *slots, int r, int slot) {
  for (int base = r - 1; base >= 0; base -= 32) {
    int i = base - (int)lane();
    unsigned same = ballot(i >= 0 && slots[i < 0 ? 0 : i] == slot);
    if (same)
      return base - __builtin_ctz(same);
  }
  return -1;
}

// row_from is the first row from r on that has a slot, rows if there is none.
DEVICE int row_from(const int *slots, int r, int rows, int slot) {
  for (int base = r; base < rows; base += 32) {
    int i = base + (int)lane();
    unsigned same = ballot(i < rows && slots[i < rows ? i : 0] == slot);
    if (same)
      return base + __builtin_ctz(same);
  }
  return rows;
}

// chain is the slot that blocks with some number have, and its first row: a slot each (by_slot), or, where rows are fewer, the slot of a row that
// is its first. at is rows if there is nothing to do.
struct chain { int slot, at; };
DEVICE chain chain_of(const int *slots, int rows, int number, bool by_slot) {
  if (by_slot)
    return {number, row_from(slots, 0, rows, number)};
  return {slots[number], row_before(slots, number, slots[number]) < 0 ? number : rows};
}

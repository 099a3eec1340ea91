// rowcodes.h: rows of a cache in codes of 8 bits, Q8Row of cuda/dtype.go; included by template.h.
//
// Of each 64 numbers a row has a factor in f32 and then a code for each, -127 to 127; the last of a row may be fewer. A number is its code
// times the factor, rounded to f32 as every product is. So what a kernel reads of such a row is what it would read of the same numbers in
// f32, to the bit, and it takes them in the same order.

enum { ROW_GROUP = 64 };

// row_bytes is what n elements of any type take that begin a row.
INLINE size_t row_bytes(int type, size_t n) { return n * type_size(type) + (type == PIO_Q8ROW ? ceil_div(n, ROW_GROUP) * sizeof(float) : 0); }

// number_at is where element d of a row is, of codes its code.
INLINE const char *number_at(int type, const char *row, size_t d) {
  return row + d * type_size(type) + (type == PIO_Q8ROW ? (d / ROW_GROUP + 1) * sizeof(float) : 0);
}

// factor_of is that of element d.
INLINE float factor_of(const char *row, size_t d) {
  float factor;
  memcpy(&factor, row + d / ROW_GROUP * (sizeof(float) + ROW_GROUP), sizeof factor);
  return factor;
}

// code_numbers makes up to 64 numbers a factor and codes, to the nearest, of two the even one; the largest is 127. Of numbers below 2^-120
// all codes are 0. What is infinite or no number makes the factor so, and all that have it no numbers.
INLINE void code_numbers(char *to, const float *x, size_t n) {
  uint32_t bits[ROW_GROUP], most = 0;
  float largest;
  memcpy(bits, x, n * sizeof *bits);
  for (size_t i = 0; i < n; i++) {
    uint32_t magnitude = bits[i] & 0x7fffffff;
    most = magnitude > most ? magnitude : most;
  }
  memcpy(&largest, &most, sizeof largest);
  float factor = largest * (1.0f / 127), inverse = most < 0x03800000 ? 0 : 127 / largest; // below 2^-120 it could be infinite
  memcpy(to, &factor, sizeof factor);
  for (size_t i = 0; i < n; i++) {
    float rounded = x[i] * inverse + 12582912.0f; // 1.5 * 2^23: what is rounded to whole lies in the lowest bits
    memcpy(bits + i, &rounded, sizeof rounded);
  }
  for (size_t i = 0; i < n; i++)
    to[sizeof factor + i] = (char)(bits[i] & 0xff);
}

// write_row makes n numbers a row of any type that caches have, read_row gives them back.
static void write_row(int type, char *to, const float *x, size_t n) {
  if (type == PIO_BF16)
    bf16_round(to, x, n);
  else if (type == PIO_F32)
    memcpy(to, x, n * sizeof *x);
  else
    for (size_t i = 0; i < n; i += ROW_GROUP)
      code_numbers(to + row_bytes(type, i), x + i, at_most(ROW_GROUP, n - i));
}

static void read_row(int type, float *to, const char *row, size_t n) {
  if (type == PIO_BF16)
    bf16_widen(to, row, n);
  else if (type == PIO_F32)
    memcpy(to, row, n * sizeof *to);
  else
    for (size_t i = 0; i < n; i++)
      to[i] = (float)(int8_t)*number_at(type, row, i) * factor_of(row, i);
}

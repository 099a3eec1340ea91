// widen_template.h: the loops of widen.h for one kind of processor, which has INLINE, TABLE and
// what its vectors do; included by widen_portable.c and widen_avx2.c.

// Products are rounded before anything is added: so by itself where a compiler keeps to C11 to the letter, as gcc does with -std=c11.
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

INLINE uint32_t u16_at(const uint8_t *b) { return (uint32_t)b[0] | (uint32_t)b[1] << 8; }

INLINE float of_bits(uint32_t bits) {
  float f;
  memcpy(&f, &bits, 4);
  return f;
}

// half is a number of IEEE's half precision.
INLINE float half(const uint8_t *b) {
  uint32_t h = u16_at(b), sign = (h & 0x8000) << 16, rest = h & 0x7fff;
  if (rest < 0x400) {
    float f = (float)rest * 0x1p-24f;
    return sign ? -f : f;
  }
  return of_bits(sign | ((rest << 13) + (rest >= 0x7c00 ? 224u << 23 : 112u << 23)));
}

// ---- vectors

typedef uint16_t H __attribute__((vector_size(16)));
typedef uint64_t D __attribute__((vector_size(16)));

INLINE U load(const uint8_t *b) {
  U v;
  memcpy(&v, b, sizeof v);
  return v;
}

// bits_of are some bits of each byte from one on, within it.
INLINE U bits_of(U v, int from, uint8_t mask) { return (U)((H)v >> from) & mask; }

// ---- codes to numbers

INLINE void times(float *to, const U *codes, int n, float factor) {
  const int8_t *c = (const int8_t *)codes;
  for (int i = 0; i < n; i += 8)
    put(to + i, eight(c + i) * factor);
}

INLINE void times_plus(float *to, const U *codes, int n, float factor, float more) {
  const int8_t *c = (const int8_t *)codes;
  for (int i = 0; i < n; i += 8) {
    F product = eight(c + i) * factor;
    put(to + i, product + more);
  }
}

INLINE void times_less(float *to, const U *codes, int n, float factor, float less) {
  const int8_t *c = (const int8_t *)codes;
  for (int i = 0; i < n; i += 8) {
    F product = eight(c + i) * factor;
    put(to + i, product - less);
  }
}

// halves_of makes 32 codes of 16 bytes: the lower halves, then the upper ones.
INLINE void halves_of(U c[2], const uint8_t *q) {
  U v = load(q);
  c[0] = v & 15, c[1] = v >> 4;
}

// bit_of has 16 where a bit of 16 is set.
INLINE U bit_of(uint32_t two) {
  const U each = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  D bytes = {(two & 255) * 0x0101010101010101, (two >> 8 & 255) * 0x0101010101010101};
  return (U)(((U)bytes & each) != 0) & 16;
}

INLINE uint32_t u32_at(const uint8_t *b) { return u16_at(b) | u16_at(b + 2) << 16; }

// fifths adds the fifth bits of 32 codes.
INLINE void fifths(U c[2], uint32_t high) { c[0] |= bit_of(high & 0xffff), c[1] |= bit_of(high >> 16); }

static const int8_t iq4[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
static const int8_t e2m1[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12}; // twice as large

INLINE void look_up_both(U c[2], const int8_t *table) { c[0] = look_up(c[0], table), c[1] = look_up(c[1], table); }

// ---- blocks of 32

INLINE void q4_0(float *to, const uint8_t *b) {
  U c[2];
  halves_of(c, b + 2);
  c[0] -= 8, c[1] -= 8;
  times(to, c, 32, half(b));
}

INLINE void q4_1(float *to, const uint8_t *b) {
  U c[2];
  halves_of(c, b + 4);
  times_plus(to, c, 32, half(b), half(b + 2));
}

INLINE void q5_0(float *to, const uint8_t *b) {
  U c[2];
  halves_of(c, b + 6);
  fifths(c, u32_at(b + 2));
  c[0] -= 16, c[1] -= 16;
  times(to, c, 32, half(b));
}

INLINE void q5_1(float *to, const uint8_t *b) {
  U c[2];
  halves_of(c, b + 8);
  fifths(c, u32_at(b + 4));
  times_plus(to, c, 32, half(b), half(b + 2));
}

INLINE void q8_0(float *to, const uint8_t *b) {
  U c[2] = {load(b + 2), load(b + 18)};
  times(to, c, 32, half(b));
}

INLINE void iq4_nl(float *to, const uint8_t *b) {
  U c[2];
  halves_of(c, b + 2);
  look_up_both(c, iq4);
  times(to, c, 32, half(b));
}

// power is half of 2^(e-127).
INLINE float power(uint8_t e) { return of_bits(e > 1 ? (uint32_t)(e - 1) << 23 : 0x00200000u << e); }

INLINE void mxfp4(float *to, const uint8_t *b) {
  U c[2];
  halves_of(c, b + 1);
  look_up_both(c, e2m1);
  times(to, c, 32, power(b[0]));
}

// unsigned_e4m3 is half of a number whose sign is not read.
INLINE float unsigned_e4m3(uint8_t x) {
  uint32_t exponent = x >> 3 & 15, fraction = x & 7;
  if (x == 0x7f)
    return 0;
  return exponent ? of_bits((exponent + 119) << 23 | fraction << 20) : (float)fraction * 0x1p-10f;
}

INLINE void nvfp4(float *to, const uint8_t *b) {
  for (int two = 0; two < 2; two++) {
    U c[2];
    halves_of(c, b + 4 + 16 * two);
    look_up_both(c, e2m1);
    for (int part = 0; part < 2; part++) { // eight lower halves, then their upper ones
      float d = unsigned_e4m3(b[2 * two + part]), *at = to + 32 * two + 16 * part;
      put(at, eight((int8_t *)c + 8 * part) * d);
      put(at + 8, eight((int8_t *)c + 16 + 8 * part) * d);
    }
  }
}

// ---- blocks of 256

INLINE void q2_k(float *to, const uint8_t *b) {
  float d = half(b + 80), dmin = half(b + 82);
  for (int e = 0; e < 256; e += 16) {
    U c = bits_of(load(b + 16 + e / 128 * 32 + e % 32), e % 128 / 32 * 2, 3);
    times_less(to + e, &c, 16, d * (float)(b[e / 16] & 15), dmin * (float)(b[e / 16] >> 4));
  }
}

INLINE void q3_k(float *to, const uint8_t *b) {
  float d = half(b + 108);
  const uint8_t *s = b + 96;
  for (int e = 0; e < 256; e += 16) {
    int i = e / 16, low = s[i % 8] >> i / 8 * 4 & 15, high = s[8 + i % 4] >> i / 4 * 2 & 3;
    U c = bits_of(load(b + 32 + e / 128 * 32 + e % 32), e % 128 / 32 * 2, 3);
    c = c + (bits_of(load(b + e % 32), e / 32, 1) << 2) - 4;
    times(to + e, &c, 16, d * (float)((low | high << 4) - 32));
  }
}

// sixes reads factor j and minimum j of eight of each, 6 bits wide.
INLINE void sixes(const uint8_t *s, int j, float *factor, float *min) {
  *factor = (float)(j < 4 ? s[j] & 63 : (s[j + 4] & 15) | s[j - 4] >> 6 << 4);
  *min = (float)(j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | s[j] >> 6 << 4);
}

INLINE void q4_k(float *to, const uint8_t *b) {
  float d = half(b), dmin = half(b + 2), factor, min;
  for (int part = 0; part < 8; part++) {
    const uint8_t *q = b + 16 + part / 2 * 32;
    U c[2] = {bits_of(load(q), part % 2 * 4, 15), bits_of(load(q + 16), part % 2 * 4, 15)};
    sixes(b + 4, part, &factor, &min);
    times_less(to + 32 * part, c, 32, d * factor, dmin * min);
  }
}

INLINE void q5_k(float *to, const uint8_t *b) {
  float d = half(b), dmin = half(b + 2), factor, min;
  U high[2] = {load(b + 16), load(b + 32)};
  for (int part = 0; part < 8; part++) {
    const uint8_t *q = b + 48 + part / 2 * 32;
    U c[2] = {bits_of(load(q), part % 2 * 4, 15), bits_of(load(q + 16), part % 2 * 4, 15)};
    c[0] |= bits_of(high[0], part, 1) << 4, c[1] |= bits_of(high[1], part, 1) << 4;
    sixes(b + 4, part, &factor, &min);
    times_less(to + 32 * part, c, 32, d * factor, dmin * min);
  }
}

INLINE void q6_k(float *to, const uint8_t *b) {
  float d = half(b + 208);
  for (int e = 0; e < 256; e += 16) {
    int n = e / 128, quarter = e % 128 / 32, l = e % 32;
    U low = bits_of(load(b + 64 * n + quarter % 2 * 32 + l), quarter / 2 * 4, 15);
    U c = (low | bits_of(load(b + 128 + 32 * n + l), 2 * quarter, 3) << 4) - 32;
    times(to + e, &c, 16, d * (float)(int8_t)b[192 + e / 16]);
  }
}

INLINE void iq4_xs(float *to, const uint8_t *b) {
  float d = half(b);
  uint32_t high = u16_at(b + 2);
  for (int part = 0; part < 8; part++) {
    U c[2];
    int code = (b[4 + part / 2] >> part % 2 * 4 & 15) | (int)(high >> 2 * part & 3) << 4;
    halves_of(c, b + 8 + 16 * part);
    look_up_both(c, iq4);
    times(to + 32 * part, c, 32, d * (float)(code - 32));
  }
}

#define PIO_EACH(ONE, VALUES, BYTES)                                                                                   \
  for (size_t i = 0; i < n; i++)                                                                                       \
    ONE(to + i * (VALUES), blocks + i * (BYTES));                                                                      \
  break

static void all_blocks(uint32_t type, float *to, const uint8_t *blocks, size_t n) {
  switch (type) {
  case 2: PIO_EACH(q4_0, 32, 18);
  case 3: PIO_EACH(q4_1, 32, 20);
  case 6: PIO_EACH(q5_0, 32, 22);
  case 7: PIO_EACH(q5_1, 32, 24);
  case 8: PIO_EACH(q8_0, 32, 34);
  case 10: PIO_EACH(q2_k, 256, 84);
  case 11: PIO_EACH(q3_k, 256, 110);
  case 12: PIO_EACH(q4_k, 256, 144);
  case 13: PIO_EACH(q5_k, 256, 176);
  case 14: PIO_EACH(q6_k, 256, 210);
  case 20: PIO_EACH(iq4_nl, 32, 18);
  case 23: PIO_EACH(iq4_xs, 256, 136);
  case 39: PIO_EACH(mxfp4, 32, 17);
  case 40: PIO_EACH(nvfp4, 64, 36);
  }
}

// ---- rows of codes with factors of groups

enum { STRIP = 64 }; // codes that become numbers at once

// numbers are those that n codes stand for, and of what is between n and a multiple of 16.
INLINE void numbers(float *x, const U codes[STRIP / 16], size_t n, int kind, const float *e4m3) {
  const uint8_t *c = (const uint8_t *)codes;
  for (size_t i = 0; i < n; i += 8)
    switch (kind) {
    case PIO_UNSIGNED:
      put(x + i, eight_unsigned(c + i));
      break;
    case PIO_SIGNED:
      put(x + i, eight((const int8_t *)c + i));
      break;
    case PIO_E4M3:
      for (size_t k = 0; k < 8; k++)
        x[i + k] = e4m3[c[i + k]];
      break;
    case PIO_E2M1:
      if (i % 16 == 0) {
        U two = look_up(codes[i / 16] & 15, e2m1);
        put(x + i, eight((const int8_t *)&two) * 0.5f);
        put(x + i + 8, eight((const int8_t *)&two + 8) * 0.5f);
      }
    }
}

// strip makes numbers of up to STRIP codes that share a factor.
INLINE void strip(float *to, const uint8_t *codes, size_t n, float factor, float zero, int kind, int added, const float *e4m3) {
  U c[STRIP / 16];
  float x[STRIP], y[STRIP], *out = n == STRIP ? to : y;
  memset(c, 0, sizeof c);
  memcpy(c, codes, n);
  numbers(x, c, n, kind, e4m3);
  for (size_t i = 0; i < n; i += 8) {
    F v = get(x + i), product = v * factor;
    put(out + i, added ? product + zero : (v - zero) * factor);
  }
  if (n < STRIP)
    memcpy(to, y, n * sizeof *y);
}

// in_order scales a row whose groups follow each other.
INLINE void in_order(float *to, const pio_row *r, int kind, int added, const float *e4m3) {
  for (size_t g = 0, at = 0; g < r->groups && at < r->cols; g++) {
    float factor = r->factors[g], zero = r->zeros ? r->zeros[g] : 0;
    size_t end = at + r->each < r->cols ? at + r->each : r->cols;
    for (; at + STRIP <= end; at += STRIP)
      strip(to + at, r->codes + at, STRIP, factor, zero, kind, added, e4m3);
    if (at < end)
      strip(to + at, r->codes + at, end - at, factor, zero, kind, added, e4m3);
    at = end;
  }
}

// by_index scales a row each of whose columns says its group. One that there is not, because the file was written to since it was checked, is the first.
INLINE void by_index(float *to, const pio_row *r, const float *e4m3) {
  float x[STRIP];
  for (size_t at = 0; at < r->cols; at += STRIP) {
    U c[STRIP / 16];
    size_t n = r->cols - at < STRIP ? r->cols - at : STRIP;
    memset(c, 0, sizeof c);
    memcpy(c, r->codes + at, n);
    numbers(x, c, n, r->kind, e4m3);
    for (size_t i = 0; i < n; i++) {
      size_t g = u32_at(r->group + 4 * (at + i));
      g = g < r->groups ? g : 0;
      float zero = r->zeros ? r->zeros[g] : 0, product = x[i] * r->factors[g];
      to[at + i] = r->added ? product + zero : (x[i] - zero) * r->factors[g];
    }
  }
}

static void one_row(float *to, const pio_row *r, const float *e4m3) {
  if (r->group)
    by_index(to, r, e4m3);
  else if (r->kind == PIO_UNSIGNED && r->added)
    in_order(to, r, PIO_UNSIGNED, 1, e4m3);
  else if (r->kind == PIO_UNSIGNED)
    in_order(to, r, PIO_UNSIGNED, 0, e4m3);
  else if (r->kind == PIO_E4M3)
    in_order(to, r, PIO_E4M3, 0, e4m3);
  else if (r->kind == PIO_E2M1)
    in_order(to, r, PIO_E2M1, 0, e4m3);
  else
    in_order(to, r, PIO_SIGNED, 0, e4m3);
}

const pio_widener TABLE = {all_blocks, one_row};

// weights.cuh: how matrices of weights are read into the operands of mma, layout by layout. This is the one place that tells layouts apart.
//
// Columns go in chunks of 128, these in four steps of 32, a step in two products of 16. Which columns of a step a lane holds is free as long
// as weights and activations agree, so that a lane takes what lies together: with t = lane % 4 it has, of the columns of a step,
//
//	WHOLE	8t..8t+7, the first four in the first product (bf16, f16: 16 bytes)
//	SIXTEENS	of two steps 16t..16t+7 in the first, 16t+8..16t+15 in the second (8-bit floats: 16 bytes)
//	QUADS	4t..4t+3 in the first product, 16+4t.. in the second (codes, of which four columns of a row lie together)
//
// Rows of activations are brought into this order before (product.cuh). A tile of a layout is 8 outs for mma or 16. Codes and 8-bit floats
// are exact in bf16; what they are multiplied by is applied to sums over a chunk.
#pragma once

#include "prelude.cuh"

enum { CHUNK = 128, STEPS_OF_CHUNK = 4, WHOLE = 0, SIXTEENS = 1, QUADS = 2 };

DEVICE int smaller(int a, int b) { return a < b ? a : b; }
DEVICE int larger(int a, int b) { return a > b ? a : b; }
DEVICE int divided(int a, int b) { return (a + b - 1) / b; }

struct __attribute__((aligned(16))) piece { unsigned x, y, z, w; };
struct __attribute__((aligned(8))) half_piece { unsigned x, y; };

// What every layout says:
//
//	TILES, OUTS	tiles of 8 outs that go together, and how many outs these are; out(tile, n) is which of them column n of a tile is
//	PARTS	bf16 numbers that a weight is the sum of
//	ORDER	of columns, as above
//	SCALED	sums of chunks have factors; factors(..) are those of the outs that a lane has sums of
//	Chunk, DEPTH	what a lane holds of a chunk, and of how many chunks when it reads straight to registers
//	Reader	where a lane reads a tile's chunks one after another: begin(..) sets it before one of outs tile * OUTS.., those beyond the last are
//		some other's, and not wanted; load(..) reads one and goes on. Shapes are those of any matrix of the same form.
//	step(..)	gives the operands of a step of a chunk
//	put(..)	writes a lane's sums of a row, which are numbers i and i + 1 of each tile, to where the row's outs begin
//	STAGE	bytes of shared memory for OUTS outs by a chunk; a Source of N outs fills it by all threads, staged(..) is
//		step of it, staged_factors(..) factors
template <int LAYOUT> struct Weights;

// Rows is where a thread finds what it copies of N rows: of each group of THREADS / 4 rows the 16 bytes of one, at a place that is its own.
template <int N, int THREADS> struct Rows {
  enum { EACH = N * 4 / THREADS };
  const char *from[EACH];
  unsigned on; // bit i: there is such a row
  DEVICE void set(Rows &r, int i, const char *row, bool is) {
    r.from[i] = row + thread_x() % 4 * 16;
    r.on |= is ? 1u << i : 0;
  }
  DEVICE int row(int i) { return i * (THREADS / 4) + (int)thread_x() / 4; }
  DEVICE void begin(Rows &r, const pio_matrix &m, int first) {
    long long bytes = (long long)m.cols * (m.layout == PIO_L_BF16 || m.layout == PIO_L_F16 ? 2 : 1);
    r.on = 0;
    UNROLL for (int i = 0; i < EACH; i++) {
      bool is = first + row(i) < m.rows;
      set(r, i, plane<char>(m, 0) + (is ? (first + row(i)) * bytes : 0), is);
    }
  }
  // TURNED moves the four places of a row by how many pairs of rows are before it, so that ldmatrix finds eight rows in all banks.
  template <bool TURNED> DEVICE void copy_part(char *to, const Rows &r, long long offset, bool on) {
    int at = (int)thread_x();
    UNROLL for (int i = 0; i < EACH; i++) {
      bool is = on && r.on >> i & 1;
      copy16_async(to + (i * THREADS + (TURNED ? at ^ at / 8 % 4 : at)) * 16, r.from[i] + (is ? offset : 0), is);
    }
  }
};

// Halves is bf16 and f16.
struct Halves {
  enum { TILES = 1, OUTS = 8, ORDER = WHOLE, SCALED = 0, DEPTH = 2, STAGE = 8 * CHUNK * 2 };
  struct Chunk { words4 w[STEPS_OF_CHUNK]; };
  DEVICE int out(int, int n) { return n; }
  DEVICE void put(float *to, const float sums[1][4], int i) { *(half_piece *)(to + lane() % 4 * 2) = {f32_bits(sums[0][i]), f32_bits(sums[0][i + 1])}; }
  struct Reader { const char *row; int col; };
  DEVICE void begin(Reader &r, const pio_matrix &m, int tile, int chunk) {
    r.row = address(plane<char>(m, 0), smaller(tile * 8 + (int)lane() / 4, m.rows - 1), 2 * m.cols);
    r.col = chunk * CHUNK + 8 * (int)(lane() % 4);
  }
  DEVICE void load(Chunk &c, Reader &r, const pio_matrix &m) {
    const char *p = address(r.row, r.col, 2);
    UNROLL for (int s = 0; s < STEPS_OF_CHUNK; s++)
      c.w[s] = r.col + 32 * s < m.cols ? load_once16(p + 64 * s) : words4{0, 0, 0, 0};
    r.col += CHUNK;
  }
  // Outs of a stage lie step by step, 64 bytes each: eight lanes read two of them at once, which are all banks.
  template <int N, int THREADS> struct Source : Rows<N, THREADS> {
    DEVICE void copy(char *to, const Source &s, const pio_matrix &m, int chunk) {
      int k = chunk * CHUNK + (int)(thread_x() % 4) * 8;
      UNROLL for (int i = 0; i < STEPS_OF_CHUNK; i++) Rows<N, THREADS>::template copy_part<false>(to + i * N * 64, s, chunk * (CHUNK * 2) + i * 64, k + i * 32 < m.cols);
    }
  };
  template <int N> DEVICE piece staged_piece(const char *from, int out, int s) {
    return *(const piece *)(from + ((s * N + out + (int)lane() / 4) * 4 + (int)(lane() % 4)) * 16);
  }
  DEVICE void factors(float[1][2], const Chunk &) {}
  template <int N> DEVICE void staged_factors(float[1][2], const char *, const pio_matrix &, int, int, int) {}
};

template <> struct Weights<PIO_L_BF16> : Halves {
  enum { PARTS = 1 };
  DEVICE void step(unsigned b[1][1][4], const Chunk &c, int s) {
    b[0][0][0] = c.w[s].x, b[0][0][1] = c.w[s].y, b[0][0][2] = c.w[s].z, b[0][0][3] = c.w[s].w;
  }
  template <int N> DEVICE void staged(unsigned b[1][1][4], const char *from, int out, int s) {
    piece p = staged_piece<N>(from, out, s);
    b[0][0][0] = p.x, b[0][0][1] = p.y, b[0][0][2] = p.z, b[0][0][3] = p.w;
  }
};

// An f16 is the sum of two bf16: the nearest to it, and what is left.
template <> struct Weights<PIO_L_F16> : Halves {
  enum { PARTS = 2 };
  DEVICE void parts(unsigned &high, unsigned &low, unsigned pair) {
    float x = f16_f32((unsigned short)(pair & 0xffff)), y = f16_f32((unsigned short)(pair >> 16));
    high = pack_bf16(x, y);
    low = pack_bf16(x - bf16_lower(high), y - bf16_upper(high)); // of what is infinite no number, as its products are
    if ((pair & 0x7c00u) == 0x7c00u)
      low &= 0xffff0000u;
    if ((pair & 0x7c000000u) == 0x7c000000u)
      low &= 0xffffu;
  }
  DEVICE void all(unsigned b[1][2][4], unsigned x, unsigned y, unsigned z, unsigned w) {
    parts(b[0][0][0], b[0][1][0], x), parts(b[0][0][1], b[0][1][1], y);
    parts(b[0][0][2], b[0][1][2], z), parts(b[0][0][3], b[0][1][3], w);
  }
  DEVICE void step(unsigned b[1][2][4], const Chunk &c, int s) { all(b, c.w[s].x, c.w[s].y, c.w[s].z, c.w[s].w); }
  template <int N> DEVICE void staged(unsigned b[1][2][4], const char *from, int out, int s) {
    piece p = staged_piece<N>(from, out, s);
    all(b, p.x, p.y, p.z, p.w);
  }
};

// ---- 8-bit floats with a factor for each block, whose columns are a multiple of CHUNK or all

// f8_pair widens bytes i and i + 1 of four. Each goes to the upper byte of a half, in front of its sign eight times: a shift by four brings
// the sign to its place in both halves, exponent and fraction to where bf16 has them. There they are too small by 2^120, and exact.
DEVICE unsigned f8_pair(unsigned four, int i) {
  int apart = (int)pick_bytes(four, 0, i == 0 ? 0x1804 : 0x3a24);
  return fused_bf16((unsigned)(apart >> 4) & 0x87f087f0u, 0x7b807b80u, 0x80008000u);
}
DEVICE void f8_four(unsigned b[2], unsigned four) { b[0] = f8_pair(four, 0), b[1] = f8_pair(four, 2); }
// f8_none has bits of 0x80808080 if one of four is no number: a one that is added changes the sign in front of seven ones, and of those behind
// it at most. Such a weight widens to a number.
DEVICE unsigned f8_none(unsigned four) { return (four + 0x01010101u) ^ four; }
// f8_spoil makes no number of a lane's first weight of a product if any was none: all sums of the out become none by it.
DEVICE void f8_spoil(unsigned b[4], unsigned none) { b[0] |= none & 0x80808080u ? 0x7fc0u : 0u; }

// quotient is n / d for n below 2^31: magic is 2^(31 + the bits of d - 1) / d, rounded up.
DEVICE int quotient(int n, int d, unsigned magic) {
  int bits = d > 1 ? 32 - __builtin_clz((unsigned)d - 1) : 0;
  return (int)(high_product(2 * (unsigned)n, magic) >> bits);
}

// Factors are in f32 or in bf16, as the matrix says.
template <> struct Weights<PIO_L_F8_F32> {
  enum { TILES = 2, OUTS = 16, PARTS = 1, ORDER = SIXTEENS, SCALED = 1, DEPTH = 2, STAGE = 16 * CHUNK };
  struct Chunk { words4 w[2][2]; float factors[2][2]; }; // by tile and half of the chunk; by tile and out
  DEVICE int out(int tile, int n) { return tile * 8 + n; }
  DEVICE void put(float *to, const float sums[2][4], int i) {
    UNROLL for (int j = 0; j < 2; j++) *(half_piece *)(to + j * 8 + lane() % 4 * 2) = {f32_bits(sums[j][i]), f32_bits(sums[j][i + 1])};
  }
  struct Reader {
    const char *row, *factors; // the lane's of the first tile, and the plane
    int other, col;            // the second tile's row is so far behind
    int out, of;               // the first, and where in the plane its factors begin
  };
  DEVICE void begin(Reader &r, const pio_matrix &m, int tile, int chunk) {
    int row = smaller(tile * 16 + (int)lane() / 4, m.rows - 1);
    r.row = address(plane<char>(m, 0), row, m.cols), r.other = smaller(8, m.rows - 1 - row) * m.cols;
    r.factors = plane<char>(m, 1);
    r.col = chunk * CHUNK + 16 * (int)(lane() % 4);
    r.out = tile * 16, r.of = first_factor(m, r.out);
  }
  DEVICE void load(Chunk &c, Reader &r, const pio_matrix &m) {
    // Beyond the last column the row is read again: what it is multiplied by is zero, and if it is no number the out is none anyhow.
    UNROLL for (int h = 0; h < 2; h++)
      UNROLL for (int j = 0; j < 2; j++) c.w[j][h] = load_once16(address(r.row, smaller(r.col + 64 * h, m.cols - 16) + j * r.other, 1));
    factors_of(c.factors, m, r.factors, r.of, r.out, r.col / CHUNK);
    r.col += CHUNK;
  }
  DEVICE void step(unsigned b[2][1][4], const Chunk &c, int s) {
    UNROLL for (int j = 0; j < 2; j++) {
      const words4 &w = c.w[j][s / 2];
      f8_four(b[j][0], s % 2 ? w.z : w.x), f8_four(b[j][0] + 2, s % 2 ? w.w : w.y);
      if (s == 0) {
        const words4 &v = c.w[j][1];
        f8_spoil(b[j][0], f8_none(w.x) | f8_none(w.y) | f8_none(w.z) | f8_none(w.w) | f8_none(v.x) | f8_none(v.y) | f8_none(v.z) | f8_none(v.w));
      }
    }
  }
  // Outs of a stage lie by half a chunk, 64 bytes each.
  template <int N, int THREADS> struct Source : Rows<N, THREADS> {
    DEVICE void copy(char *to, const Source &s, const pio_matrix &m, int chunk) {
      int k = chunk * CHUNK + (int)(thread_x() % 4) * 16;
      UNROLL for (int i = 0; i < 2; i++) Rows<N, THREADS>::template copy_part<false>(to + i * N * 64, s, chunk * CHUNK + i * 64, k + i * 64 < m.cols);
    }
  };
  template <int N> DEVICE void staged(unsigned b[2][1][4], const char *from, int out, int s) {
    UNROLL for (int j = 0; j < 2; j++) {
      half_piece p = *(const half_piece *)(from + (((s / 2) * N + out + j * 8 + (int)lane() / 4) * 4 + (int)(lane() % 4)) * 16 + s % 2 * 8);
      f8_four(b[j][0], p.x), f8_four(b[j][0] + 2, p.y);
      f8_spoil(b[j][0], f8_none(p.x) | f8_none(p.y));
    }
  }
  DEVICE int first_factor(const pio_matrix &m, int row) { return quotient(smaller(row, m.rows - 1), m.block_rows, m.row_magic) * divided(m.cols, m.block_cols); }
  DEVICE int block_of(const pio_matrix &m, int chunk) { return m.block_cols < m.cols ? quotient(chunk, m.block_cols / CHUNK, m.chunk_magic) : 0; }
  DEVICE float factor_at(const pio_matrix &m, const char *plane, int i) {
    bool whole = m.layout == PIO_L_F8_F32;
    const char *p = address(plane, i, whole ? 4 : 2);
    return whole ? load_global<float>(p) : bf16_f32(load_global<unsigned short>(p));
  }
  DEVICE void factors(float f[2][2], const Chunk &c) {
    UNROLL for (int i = 0; i < 4; i++) f[i / 2][i % 2] = c.factors[i / 2][i % 2];
  }
  // factors_of are those of a tile's outs from a first one on, whose own begin at of.
  DEVICE void factors_of(float f[2][2], const pio_matrix &m, const char *plane, int of, int first, int chunk) {
    int block = block_of(m, chunk);
    f[0][0] = f[0][1] = f[1][0] = f[1][1] = factor_at(m, plane, of + block);
    if (m.block_rows % OUTS != 0) // not one for all
      UNROLL for (int i = 0; i < 4; i++) f[i / 2][i % 2] = factor_at(m, plane, first_factor(m, first + i / 2 * 8 + 2 * (int)(lane() % 4) + i % 2) + block);
  }
  template <int N> DEVICE void staged_factors(float f[2][2], const char *, const pio_matrix &m, int, int first, int chunk) {
    factors_of(f, m, plane<char>(m, 1), first_factor(m, first), first, chunk);
  }
};

// ---- codes, in blocks of 16 rows by 128 columns; see cuda/layout.go. A lane has rows 2g and 2g + 1: row 2n + j is column n of tile j.

template <int CODES, int FACTORS> struct Blocks { // bytes of a block in each plane
  enum { TILES = 2, OUTS = 16, PARTS = 1, ORDER = QUADS, SCALED = 1, STAGE = CODES + FACTORS };
  DEVICE int out(int tile, int n) { return 2 * n + tile; }
  DEVICE void put(float *to, const float sums[2][4], int i) {
    *(piece *)(to + lane() % 4 * 4) = {f32_bits(sums[0][i]), f32_bits(sums[1][i]), f32_bits(sums[0][i + 1]), f32_bits(sums[1][i + 1])};
  }
  struct Reader {
    const char *codes, *factors; // the lane's, of block 0
    int block;
  };
  DEVICE void begin(Reader &r, const pio_matrix &m, int tile, int chunk) {
    r.codes = plane<char>(m, 0) + (lane() % 4) * 64 + (lane() / 4) * 8, r.factors = plane<char>(m, 1) + (lane() % 4) * 8;
    r.block = smaller(tile, (m.rows - 1) / 16) * divided(m.cols, CHUNK) + chunk;
  }
  // A stage of N outs is the codes of all, and then their factors.
  template <int N, int THREADS> struct Source {
    const char *codes, *factors; // this thread's first of chunk 0
    int group;                   // of the first
    DEVICE void begin(Source &s, const pio_matrix &m, int first) {
      int chunks = divided(m.cols, CHUNK), at = (int)thread_x();
      s.group = first / 16;
      s.codes = plane<char>(m, 0) + (long long)(s.group + at / (CODES / 16)) * chunks * CODES + at % (CODES / 16) * 16;
      s.factors = plane<char>(m, 1) + (long long)(s.group + at / (FACTORS / 16)) * chunks * FACTORS + at % (FACTORS / 16) * 16;
    }
    DEVICE void copy(char *to, const Source &s, const pio_matrix &m, int chunk) {
      enum { AT_ONCE = THREADS / (CODES / 16) }; // groups
      int at = (int)thread_x(), groups = divided(m.rows, 16) - s.group;
      long long step = (long long)divided(m.cols, CHUNK) * CODES * AT_ONCE;
      UNROLL for (int i = 0; i < N / 16 / AT_ONCE; i++) {
        bool on = at / (CODES / 16) + i * AT_ONCE < groups;
        copy16_async(to + (i * THREADS + at) * 16, on ? s.codes + i * step + (long long)chunk * CODES : plane<char>(m, 0), on);
      }
      if (at < N / 16 * FACTORS / 16) {
        bool on = at / (FACTORS / 16) < groups;
        copy16_async(to + N / 16 * CODES + at * 16, on ? s.factors + (long long)chunk * FACTORS : plane<char>(m, 1), on);
      }
    }
  };
  DEVICE void spread(float f[2][2], half_piece four) { // factors of rows 4t..4t+3
    f[0][0] = bf16_lower(four.x), f[1][0] = bf16_upper(four.x), f[0][1] = bf16_lower(four.y), f[1][1] = bf16_upper(four.y);
  }
};

// q8_pair widens codes i and i + 1 of four: 128 or 256 more than the lower seven bits, less that.
DEVICE unsigned q8_pair(unsigned four, int i) {
  unsigned apart = pick_bytes(four, 0x43434343u, i == 0 ? 0x4140 : 0x4342);
  return fused_bf16(apart & 0xff80ff80u, 0xbf80bf80u, apart & 0xff7fff7fu);
}

template <> struct Weights<PIO_L_Q8> : Blocks<2048, 32> {
  enum { DEPTH = 2 };
  struct Chunk { words2 w[STEPS_OF_CHUNK][2], factors; };
  DEVICE void load(Chunk &c, Reader &r, const pio_matrix &) {
    const char *p = address(r.codes, r.block, 2048);
    UNROLL for (int s = 0; s < STEPS_OF_CHUNK; s++)
      c.w[s][0] = load_once8(p + s * 512), c.w[s][1] = load_once8(p + s * 512 + 256);
    c.factors = load_once8(address(r.factors, r.block++, 32));
  }
  DEVICE void widen(unsigned b[2][1][4], unsigned x0, unsigned y0, unsigned x1, unsigned y1) {
    b[0][0][0] = q8_pair(x0, 0), b[0][0][1] = q8_pair(x0, 2), b[1][0][0] = q8_pair(y0, 0), b[1][0][1] = q8_pair(y0, 2);
    b[0][0][2] = q8_pair(x1, 0), b[0][0][3] = q8_pair(x1, 2), b[1][0][2] = q8_pair(y1, 0), b[1][0][3] = q8_pair(y1, 2);
  }
  DEVICE void step(unsigned b[2][1][4], const Chunk &c, int s) { widen(b, c.w[s][0].x, c.w[s][0].y, c.w[s][1].x, c.w[s][1].y); }
  DEVICE void factors(float f[2][2], const Chunk &c) { spread(f, half_piece{c.factors.x, c.factors.y}); }
  template <int N> DEVICE void staged(unsigned b[2][1][4], const char *from, int out, int s) {
    const char *p = from + out / 16 * 2048 + s * 512 + (lane() % 4) * 64 + (lane() / 4) * 8;
    half_piece first = *(const half_piece *)p, second = *(const half_piece *)(p + 256);
    widen(b, first.x, first.y, second.x, second.y);
  }
  template <int N> DEVICE void staged_factors(float f[2][2], const char *from, const pio_matrix &, int out, int, int) {
    spread(f, *(const half_piece *)(from + N / 16 * 2048 + out / 16 * 32 + (lane() % 4) * 8));
  }
};

// q4_pair widens pairs of codes that lie in the lower halves of bytes i and i + 1: 128 more than a code + 8, times its whole number, less
// 136 times that.
DEVICE unsigned q4_pair(unsigned four, int i, unsigned whole, unsigned less) {
  return fused_bf16(pick_bytes(four, 0x43434343u, i == 0 ? 0x4140 : 0x4342), whole, less);
}

template <> struct Weights<PIO_L_Q4> : Blocks<1024, 64> {
  enum { DEPTH = 4 };
  struct Chunk { words2 w[STEPS_OF_CHUNK], factors; unsigned wholes[2]; };
  DEVICE void load(Chunk &c, Reader &r, const pio_matrix &) {
    const char *p = address(r.codes, r.block, 1024), *f = address(r.factors, r.block++, 64), *wholes = address(f, 32 + (int)(lane() / 4 * 2) - (int)(lane() % 4 * 8), 1);
    UNROLL for (int s = 0; s < STEPS_OF_CHUNK; s++) c.w[s] = load_once8(p + s * 256);
    UNROLL for (int i = 0; i < 2; i++) c.wholes[i] = load_global<unsigned short>(wholes + i * 16);
    c.factors = load_once8(f);
  }
  // wholes has those of two rows, for 32 columns in the lower halves of two bytes and for the next in the upper.
  DEVICE void widen(unsigned b[2][1][4], unsigned x, unsigned y, unsigned wholes, int s) {
    wholes = wholes >> s % 2 * 4 & 0x0f0fu;
    UNROLL for (int j = 0; j < 2; j++) {
      unsigned four = j == 0 ? x : y;
      unsigned whole = fused_bf16(pick_bytes(wholes, 0x43434343u, j == 0 ? 0x4040 : 0x4141), 0x3f803f80u, 0xc300c300u), less = fused_bf16(whole, 0xc308c308u, 0x80008000u);
      unsigned lower = four & 0x0f0f0f0fu, upper = four >> 4 & 0x0f0f0f0fu;
      b[j][0][0] = q4_pair(lower, 0, whole, less), b[j][0][1] = q4_pair(lower, 2, whole, less);
      b[j][0][2] = q4_pair(upper, 0, whole, less), b[j][0][3] = q4_pair(upper, 2, whole, less);
    }
  }
  DEVICE void step(unsigned b[2][1][4], const Chunk &c, int s) { widen(b, c.w[s].x, c.w[s].y, c.wholes[s / 2], s); }
  DEVICE void factors(float f[2][2], const Chunk &c) { spread(f, half_piece{c.factors.x, c.factors.y}); }
  template <int N> DEVICE void staged(unsigned b[2][1][4], const char *from, int out, int s) {
    half_piece both = *(const half_piece *)(from + out / 16 * 1024 + s * 256 + (lane() % 4) * 64 + (lane() / 4) * 8);
    widen(b, both.x, both.y, *(const unsigned short *)(from + N / 16 * 1024 + out / 16 * 64 + 32 + s / 2 * 16 + (lane() / 4) * 2), s);
  }
  template <int N> DEVICE void staged_factors(float f[2][2], const char *from, const pio_matrix &, int out, int, int) {
    spread(f, *(const half_piece *)(from + N / 16 * 1024 + out / 16 * 64 + (lane() % 4) * 8));
  }
};

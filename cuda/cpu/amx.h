// amx.h: the tiles of AMX, for fast numerics; included by avx512.c after pairs.h. What is done by them is in amx_pairs.h,
// amx_quads.h and amx_flash.h.
//
// One product of tiles takes 16 rows of 32 bf16 or 64 bytes by 16 columns of 16 pairs of bf16 or quads of bytes, and adds 16 by 16 sums. Every
// number of rows goes this way, or one that gives the same bits, so that a row's do not depend on how many there are.
//
// Tiles are a thread's own: each task says at its beginning how large they are and gives them back at its end, before the thread may wait
// or go back to Go. The instructions are written out, as those of <immintrin.h> in gcc 12 do not say what memory they read.

#ifndef PIO_MODEL
#define t_configure(CONFIG) __asm__ volatile("ldtilecfg %0" ::"m"(CONFIG) : "memory")
#define t_release() __asm__ volatile("tilerelease" ::: "memory")
#define t_zero(T) __asm__ volatile("tilezero %%tmm" #T ::: "memory")
#define t_load(T, P, STEP) __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #T ::"r"(P), "r"((size_t)(STEP)) : "memory")
#define t_stream(T, P, STEP) __asm__ volatile("tileloaddt1 (%0,%1,1), %%tmm" #T ::"r"(P), "r"((size_t)(STEP)) : "memory")
#define t_store(T, P, STEP) __asm__ volatile("tilestored %%tmm" #T ", (%0,%1,1)" ::"r"(P), "r"((size_t)(STEP)) : "memory")
#define t_pairs(C, A, B) __asm__ volatile("tdpbf16ps %%tmm" #B ", %%tmm" #A ", %%tmm" #C ::: "memory")
#define t_quads(C, A, B) __asm__ volatile("tdpbssd %%tmm" #B ", %%tmm" #A ", %%tmm" #C ::: "memory")
#endif

// Tiles 0 to 3 are sums, 4 and 5 left operands, 6 and 7 right ones; a left one by the first of the right ones makes an even one of sums.
typedef struct {
  uint8_t palette, start, zeros[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
} tile_config;

static void configure(void) {
  tile_config c = {.palette = 1};
  for (int t = 0; t < 8; t++)
    c.row_bytes[t] = 64, c.rows[t] = 16;
  t_configure(c);
}

enum {
  SIDE = 16,            // of a tile of sums
  SUMS = SIDE * SIDE,   // of one
  AMX_ROWS = 512,       // that many takes: the more, the less it is to bring weights into tiles
  AMX_OUTS = 128,       // and outs
  AMX_PANEL = 5 << 18,  // bytes of activations: more than half of a second-level cache of 2 MB
};

_Static_assert(4 * SUMS == SQUARE * SQUARE && TILE == SIDE * 64, "four tiles of sums are a square");

INLINE void zero_sums(void) {
  t_zero(0);
  t_zero(1);
  t_zero(2);
  t_zero(3);
}

INLINE void load_sums(const float *sums) {
  t_load(0, sums, 64);
  t_load(1, sums + SUMS, 64);
  t_load(2, sums + 2 * SUMS, 64);
  t_load(3, sums + 3 * SUMS, 64);
}

INLINE void store_sums(void *sums) {
  t_store(0, (char *)sums, 64);
  t_store(1, (char *)sums + TILE, 64);
  t_store(2, (char *)sums + 2 * TILE, 64);
  t_store(3, (char *)sums + 3 * TILE, 64);
}

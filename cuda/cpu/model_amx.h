// model_amx.h: the instructions of AMX in plain C, on eight tiles of a thread, as SDM volume 1 chapter 18 and the instructions' pages have them; included
// by model.h. What would be an exception ends the process.

static _Thread_local struct {
  int configured;
  struct {
    unsigned rows, bytes;
    uint8_t at[16][64];
  } t[8];
} model_tiles;

static inline void model_must(int holds) {
  if (!holds)
    __builtin_trap();
}

// Configuring twice is no exception, but here it means that a task did not give its tiles back.
static inline void model_configure(const void *config) {
  uint8_t c[64];
  memcpy(c, config, sizeof c);
  model_must(!model_tiles.configured && c[0] == 1 && c[1] == 0);
  for (int i = 2; i < 16; i++)
    model_must(c[i] == 0);
  memset(&model_tiles, 0, sizeof model_tiles);
  for (int t = 0; t < 16; t++) {
    unsigned rows = c[48 + t], bytes = c[16 + 2 * t] | (unsigned)c[17 + 2 * t] << 8;
    model_must(t < 8 ? rows <= 16 && bytes <= 64 && (rows == 0) == (bytes == 0) : rows == 0 && bytes == 0);
    if (t < 8)
      model_tiles.t[t].rows = rows, model_tiles.t[t].bytes = bytes;
  }
  model_tiles.configured = 1;
}

static inline void model_release(void) { memset(&model_tiles, 0, sizeof model_tiles); }

static inline void model_tile_used(int t) { model_must(model_tiles.configured && model_tiles.t[t].rows > 0); }

static inline void model_tile_zero(int t) {
  model_tile_used(t);
  memset(model_tiles.t[t].at, 0, sizeof model_tiles.t[t].at);
}

static inline void model_tile_load(int t, const void *p, size_t step) {
  model_tile_zero(t);
  for (unsigned r = 0; r < model_tiles.t[t].rows; r++)
    memcpy(model_tiles.t[t].at[r], (const char *)p + r * step, model_tiles.t[t].bytes);
}

static inline void model_tile_store(int t, void *p, size_t step) {
  model_tile_used(t);
  for (unsigned r = 0; r < model_tiles.t[t].rows; r++)
    memcpy((char *)p + r * step, model_tiles.t[t].at[r], model_tiles.t[t].bytes);
}

static inline void model_tiles_fit(int c, int a, int b) {
  model_tile_used(a), model_tile_used(b), model_tile_used(c);
  model_must(a != b && a != c && b != c);
  model_must(model_tiles.t[a].bytes == 4 * model_tiles.t[b].rows && model_tiles.t[a].rows == model_tiles.t[c].rows &&
             model_tiles.t[b].bytes == model_tiles.t[c].bytes);
}

// TDPBF16PS: for each sum the first of all pairs, the second of all pairs, both added, and that to what was there.
static inline void model_tile_pairs(int c, int a, int b) {
  model_tiles_fit(c, a, b);
  for (unsigned m = 0; m < model_tiles.t[c].rows; m++)
    for (unsigned n = 0; n < model_tiles.t[c].bytes / 4; n++) {
      float sum[2] = {0, 0}, before;
      for (unsigned k = 0; k < model_tiles.t[b].rows; k++) {
        uint16_t x[2], y[2];
        memcpy(x, &model_tiles.t[a].at[m][4 * k], 4), memcpy(y, &model_tiles.t[b].at[k][4 * n], 4);
        sum[0] = model_step(sum[0], x[0], y[0]), sum[1] = model_step(sum[1], x[1], y[1]);
      }
      memcpy(&before, &model_tiles.t[c].at[m][4 * n], 4);
      before = model_flushed(model_flushed(before) + model_flushed(sum[0] + sum[1]));
      memcpy(&model_tiles.t[c].at[m][4 * n], &before, 4);
    }
}

// TDPBSSD: bytes with a sign by bytes with one, four products to a sum that goes round.
static inline void model_tile_quads(int c, int a, int b) {
  model_tiles_fit(c, a, b);
  for (unsigned m = 0; m < model_tiles.t[c].rows; m++)
    for (unsigned n = 0; n < model_tiles.t[c].bytes / 4; n++) {
      uint32_t sum;
      memcpy(&sum, &model_tiles.t[c].at[m][4 * n], 4);
      for (unsigned k = 0; k < 4 * model_tiles.t[b].rows; k++)
        sum += (uint32_t)((int8_t)model_tiles.t[a].at[m][k] * (int8_t)model_tiles.t[b].at[k / 4][4 * n + k % 4]);
      memcpy(&model_tiles.t[c].at[m][4 * n], &sum, 4);
    }
}

#define t_configure(CONFIG) model_configure(&(CONFIG))
#define t_release() model_release()
#define t_zero(T) model_tile_zero(T)
#define t_load(T, P, STEP) model_tile_load(T, P, STEP)
#define t_stream(T, P, STEP) model_tile_load(T, P, STEP)
#define t_store(T, P, STEP) model_tile_store(T, P, STEP)
#define t_pairs(C, A, B) model_tile_pairs(C, A, B)
#define t_quads(C, A, B) model_tile_quads(C, A, B)

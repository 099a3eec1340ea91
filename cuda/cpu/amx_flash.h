// amx_flash.h: attention over keys and values in bf16 by tiles of pairs; included by avx512.c after amx.h and lanes.h.
//
// Scores are keys by queries (lanes.h): keys are the left operand as the cache has them, queries the right one. Weights are turned into a left operand, values
// in pairs of positions are the right one; what they come to over a block is added to the sums so far.

enum { BLOCK_TILES = KEYS / SIDE };

_Static_assert(KEYS == 4 * SIDE, "a block's scores are four tiles");

// score_tile gives the scores of n keys of a block for 16 queries.
static void score_tile(float (*s)[SIDE], const char *q, const char *k, size_t row, size_t n, size_t dim) {
  char last[SIDE * LONGEST_KEY] __attribute__((aligned(64)));
  const char *at[BLOCK_TILES];
  for (size_t i = 0; i < BLOCK_TILES; i++)
    at[i] = k + at_most(i * SIDE, n - 1) / SIDE * SIDE * row;
  if (n % SIDE) { // what follows the last key may not be there
    size_t i = n / SIDE;
    for (size_t t = 0; t < n % SIDE; t++)
      memcpy(last + t * row, at[i] + t * row, row);
    memset(last + n % SIDE * row, 0, (SIDE - n % SIDE) * row);
    for (; i < BLOCK_TILES; i++)
      at[i] = last;
  }
  zero_sums();
  for (size_t d = 0; d < dim; d += TILE_COLS, q += TILE) {
    t_load(6, q, 64);
    t_load(4, at[0] + 2 * d, row);
    t_pairs(0, 4, 6);
    t_load(5, at[1] + 2 * d, row);
    t_pairs(1, 5, 6);
    t_load(4, at[2] + 2 * d, row);
    t_pairs(2, 4, 6);
    t_load(5, at[3] + 2 * d, row);
    t_pairs(3, 5, 6);
  }
  store_sums(s);
}

// weigh_tiles adds four tiles of 16 elements of values, or as many as C, for 16 queries.
INLINE void weigh_tiles(const int C, const char *weights, const char *values, size_t n, float *sums) {
  zero_sums();
  for (size_t t = 0; t < n; t += TILE_COLS, weights += TILE, values += TILE) {
    t_load(4, weights, 64);
    t_load(6, values, 64);
    t_pairs(0, 4, 6);
    t_load(7, values + KEYS / TILE_COLS * TILE, 64);
    t_pairs(1, 4, 7);
    if (C == 4) {
      t_load(6, values + 2 * KEYS / TILE_COLS * TILE, 64);
      t_pairs(2, 4, 6);
      t_load(7, values + 3 * KEYS / TILE_COLS * TILE, 64);
      t_pairs(3, 4, 7);
    }
  }
  store_sums(sums);
}

// What comes after a block is asked for part by part, between what is done with the block: a processor waits for a few lines at a time, and would
// wait for all of them before it goes on. More queries than a tile's leave the memory behind without.
typedef struct {
  const char *k, *v;
  size_t key, value, n; // bytes of each, and how many; 0: nothing is asked for
} coming;

enum { ASKED = 7 }; // parts

INLINE void ask(const coming *c, size_t part) {
  for (size_t t = c->n * part / ASKED; t < c->n * (part + 1) / ASKED; t++) {
    for (size_t line = 0; line < c->key; line += 64)
      v_prefetch_far(c->k + t * c->key + line);
    for (size_t line = 0; line < c->value; line += 64)
      v_prefetch_far(c->v + t * c->value + line);
  }
}

// attend_lanes takes up to 16 queries through n keys, which begin at position start.
static void attend_lanes(query *qs, size_t count, const char *q, const char *k, const char *values, size_t start, size_t n, const keys_form *f,
                         const coming *next) {
  block_of_lanes b;
  float sums[4 * SUMS] __attribute__((aligned(64)));
  char weights[KEYS / TILE_COLS * TILE] __attribute__((aligned(64)));
  if (!see(&b, qs, count, start, n))
    return;
  ask(next, 2);
  score_tile(b.s, q, k, row_bytes(f->type, f->dim), n, f->dim);
  ask(next, 3);
  weigh_up(&b, qs, count, n, f->scale);
  ask(next, 4);
  for (size_t t = 0; t < n; t += TILE_COLS)
    turn_tile(weights + t / TILE_COLS * TILE, 64, 0, (const __m512i *)b.weights[t / 2]);
  ask(next, 5);
  for (size_t d = 0; d < f->vdim; d += 4 * SIDE) {
    size_t tiles = at_most(4, (f->vdim - d) / SIDE);
    if (tiles == 4)
      weigh_tiles(4, weights, values + d / SIDE * (KEYS / TILE_COLS) * TILE, n, sums);
    else
      weigh_tiles(2, weights, values + d / SIDE * (KEYS / TILE_COLS) * TILE, n, sums);
    for (size_t i = 0; i < count; i++)
      for (size_t c = 0; c < tiles; c++)
        add_sums(&b, qs, i, d + c * SIDE, v_load(sums + c * SUMS + i * SIDE));
  }
}

static void form_tiles(char *formed, const query *qs, size_t count, size_t dim) {
  for (size_t i = 0; i < count; i += SIDE)
    turned_rows(formed + i * dim * 2, qs[i].q, at_most(SIDE, count - i), dim);
}

static void block_by_tiles(query *qs, size_t count, const char *formed, const char *k, const char *v, const char *next, size_t start, size_t n,
                           const keys_form *f, char *values) {
  size_t key = row_bytes(f->type, f->dim), value = row_bytes(f->type, f->value_dim);
  coming c = {next, v == k ? NULL : v + (next - k) / (ptrdiff_t)key * (ptrdiff_t)value, key, v == k ? 0 : value, count <= SIDE ? n : 0};
  ask(&c, 0);
  pair_values(values, v, value, n, f->vdim);
  ask(&c, 1);
  for (size_t i = 0; i < count; i += SIDE)
    attend_lanes(qs + i, at_most(SIDE, count - i), formed + i * f->dim * 2, k, values, start, n, f, &c);
  ask(&c, 6);
}

static void attend_part_by_tiles(query *qs, size_t count, size_t from, size_t to, size_t end, const int32_t *table, size_t kv_head, const attention_args *a,
                                 float *panel) {
  configure();
  attend_part_by(form_tiles, block_by_tiles, qs, count, from, to, end, table, kv_head, a, panel);
  t_release();
}

static void attend_tile_by_tiles(query *qs, size_t count, const float *k, const float *v, size_t first, size_t most, const keys_form *f, float *panel) {
  configure();
  attend_tile_by(form_tiles, block_by_tiles, qs, count, k, v, first, most, f, panel);
  t_release();
}

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

// attend_lanes takes up to 16 queries through n keys, which begin at position start.
static void attend_lanes(query *qs, size_t count, const char *q, const char *k, const char *values, size_t start, size_t n, const keys_form *f) {
  block_of_lanes b;
  float sums[4 * SUMS] __attribute__((aligned(64)));
  char weights[KEYS / TILE_COLS * TILE] __attribute__((aligned(64)));
  if (!see(&b, qs, count, start, n))
    return;
  score_tile(b.s, q, k, row_bytes(f->type, f->dim), n, f->dim);
  weigh_up(&b, qs, count, n, f->scale);
  for (size_t t = 0; t < n; t += TILE_COLS)
    turn_tile(weights + t / TILE_COLS * TILE, 64, 0, (const __m512i *)b.weights[t / 2]);
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

// attend_part_by_tiles does what attend_part does.
static void attend_part_by_tiles(query *qs, size_t count, size_t from, size_t to, size_t end, const int32_t *table, size_t kv_head, const attention_args *a,
                                 float *panel) {
  const keys_form *f = &a->keys;
  size_t key = row_bytes(f->type, f->dim), value = row_bytes(f->type, f->value_dim);
  char *turned = (char *)panel, *values = turned + QUERIES * f->dim * 2;
  for (size_t i = 0; i < count; i += SIDE)
    turned_rows(turned + i * f->dim * 2, qs[i].q, at_most(SIDE, count - i), f->dim);
  configure();
  for (size_t slot = slot_at(a, table, kv_head, from), n, next; from < to; from += n, slot = next) {
    n = at_most(at_most(KEYS, a->block - from % a->block), to - from);
    next = from + n < end ? slot_at(a, table, kv_head, from + n) : slot;
    pair_values(values, a->v + slot * value, value, n, f->vdim);
    for (size_t t = 0; t < n && count <= SIDE; t++) // what comes after; more queries leave the memory behind
      for (size_t line = 0; line < at_least(key, value); line += 64) {
        v_prefetch_far(a->k + (next + t) * key + line);
        if (a->v != a->k && line < value)
          v_prefetch_far(a->v + (next + t) * value + line);
      }
    for (size_t i = 0; i < count; i += SIDE)
      attend_lanes(qs + i, at_most(SIDE, count - i), turned + i * f->dim * 2, a->k + slot * key, values, from, n, f);
  }
  t_release();
}

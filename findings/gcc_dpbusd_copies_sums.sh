#!/usr/bin/env bash
# gcc 12's intrinsic for vpdpbusd: in a loop each sum is copied twice for each product.
#
# Twelve sums are in registers, and a loop adds a product to each with _mm512_dpbusd_epi32 (AVX-512 VNNI), which changes its first
# operand in place. gcc 12.2 (Debian's gcc-12 12.2.0-14+deb12u1) makes no spill of it, but copies each sum into another register before the instruction
# and back behind it: 24 moves for 12 products in the loop, at -O2 as at -O3. On a Zen 5 that cost products of many rows more than a quarter of their speed, with the
# same registers free. Of f32 multiply-adds in the same loop it makes no move. The instruction as inline assembly, with the sum as "+v", has none.
#
# Seen 2026-11-30: "vpdpbusd: 12 products, 24 moves in the loop", "vfmadd: 12 products, 0 moves in the loop".
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
version=12.2.0-14+deb12u1
apt-get download -q "cpp-12=$version" "libgcc-12-dev=$version" libisl23 libmpc3 libmpfr6 libgmp10 >/dev/null
for package in *.deb; do dpkg -x "$package" root; done
gcc=root/usr/lib/gcc/x86_64-linux-gnu/12
cat > sums.c <<'C'
#include <immintrin.h>
#define SUMS(NAME, V, ZERO, LOAD, PRODUCT, STORE) \
  void NAME(void *y, const char *w, const char *x, long row) { \
    V s[12]; \
    _Pragma("GCC unroll 12") for (int r = 0; r < 12; r++) s[r] = ZERO(); \
    for (int k = 0; k < 32; k++) { \
      V v = LOAD((const void *)(w + 64 * k)); \
      _Pragma("GCC unroll 12") for (int r = 0; r < 12; r++) s[r] = PRODUCT; \
    } \
    _Pragma("GCC unroll 12") for (int r = 0; r < 12; r++) STORE((char *)y + 64 * r, s[r]); \
  }
#ifdef BYTES
SUMS(sums, __m512i, _mm512_setzero_si512, _mm512_loadu_si512, _mm512_dpbusd_epi32(s[r], v, _mm512_set1_epi32(*(const int *)(x + r * row + 4 * k))), _mm512_storeu_si512)
#else
SUMS(sums, __m512, _mm512_setzero_ps, _mm512_loadu_ps, _mm512_fmadd_ps(v, _mm512_set1_ps(*(const float *)(x + r * row + 4 * k)), s[r]), _mm512_storeu_ps)
#endif
C
# in_loop counts lines of a loop, from the label that is jumped back to up to the jump.
in_loop() {
  awk -v want="$2" '{ line[NR] = $0; if ($1 ~ /^\.L[0-9]+:$/) at[substr($1, 1, length($1) - 1)] = NR; if ($1 ~ /^j/ && ($2 in at)) { from = at[$2]; to = NR } }
    END { for (i = from; i <= to; i++) n += line[i] ~ want; print n + 0 }' "$1"
}
count() {
  LD_LIBRARY_PATH=root/usr/lib/x86_64-linux-gnu:root/lib/x86_64-linux-gnu "$gcc/cc1" -quiet -O2 -mavx512f -mavx512vnni $3 -isystem "$gcc/include" \
    -isystem /usr/include -isystem /usr/include/x86_64-linux-gnu sums.c -o sums.s
  echo "$1: $(in_loop sums.s "$2") products, $(in_loop sums.s 'vmov(dqa|ap).*%zmm[0-9]+, *%zmm') moves in the loop"
}
seen=$(count vpdpbusd vpdpbusd -DBYTES; count vfmadd vfmadd "")
echo "$seen"
[ "$seen" = "vpdpbusd: 12 products, 24 moves in the loop
vfmadd: 12 products, 0 moves in the loop" ] || { echo "this has changed" >&2; exit 1; }

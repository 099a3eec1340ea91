#!/usr/bin/env bash
# Under a limit on addresses Node.js has room for one WebAssembly memory, and fetch then says no more than "fetch failed".
#
# Node.js 20.20.2 (64 bit): V8 checks the bounds of WebAssembly's memory by pages that nobody may touch, so that each memory, of a page or of none,
# reserves gigabytes of addresses. With `ulimit -v 16000000` the second one is a RangeError, however little is used. fetch is undici, whose
# parser of HTTP is WebAssembly: where a program has a memory of its own (a parser, another undici in its bundle, as in Qwen Code 0.24.4) each
# request fails before it is sent, as "fetch failed"; only the error's cause has the reason, which programs seldom show. The server sees nothing.
# --disable-wasm-trap-handler, also in NODE_OPTIONS, checks bounds by instructions and reserves nothing.
#
# Seen 2026-11-29: the lines of "expected" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

cat > ask.mjs <<'JS'
import http from 'node:http';
const server = http.createServer((request, response) => response.end('fine')).listen(0, '127.0.0.1', async () => {
  const memories = [];
  try {
    while (memories.length < 4) memories.push(new WebAssembly.Memory({ initial: 1 }));
    console.log(`${memories.length} memories`);
  } catch (e) {
    console.log(`memory ${memories.length + 1}: ${e}`);
  }
  try {
    console.log('fetch:', await (await fetch(`http://127.0.0.1:${server.address().port}`)).text());
  } catch (e) {
    console.log(`fetch: ${e.message}, because of ${e.cause}`);
  }
  process.exit(0);
});
JS

cat > expected <<'TXT'
memory 2: RangeError: WebAssembly.Memory(): could not allocate memory
fetch: fetch failed, because of RangeError: WebAssembly.instantiate(): Out of memory: Cannot allocate Wasm memory for new instance
4 memories
fetch: fine
TXT
(
  ulimit -v 16000000
  node ask.mjs
  node --disable-wasm-trap-handler ask.mjs
) | tee seen
diff expected seen || { echo "Node.js behaves differently from what is written here" >&2; exit 1; }

#!/usr/bin/env bash
# huggingface_hub begins a download anew after its process was killed, and leaves what had come on the disk.
#
# Each download of huggingface_hub 2.4.0 (PyPI) writes to a file of its own, blobs/HASH.RANDOM.incomplete, so that file systems without locks do no
# harm. The next process does not look at what the last one left: it asks for the file from its first byte, and the old one stays, with as many
# gigabytes as had come, until somebody finds it. Within one process a connection that breaks is gone on with by a Range request. Earlier versions wrote to
# blobs/HASH.incomplete and went on with it. Whoever shares this cache and wants to resume needs a name of its own for what is incomplete, and the
# lock that this library takes, .locks/REPOSITORY/HASH.lock, which it still does.
#
# Seen 2026-11-29: the lines of "expected" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check huggingface_hub==2.4.0

cat > ask.py <<'PY'
import hashlib, http.server, json, os, pathlib, signal, subprocess, sys, threading

WEIGHTS = bytes(i % 251 for i in range(1_000_000))
HASH, COMMIT = hashlib.sha256(WEIGHTS).hexdigest(), "1" * 40
ranges, stalled = [], threading.Event()


class Hub(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.answer(False)

    def do_GET(self):
        self.answer(True)

    def answer(self, body):
        if self.path.startswith("/api/models/"):
            text = {"id": "a/b", "sha": COMMIT, "siblings": []}
            if "/tree/" in self.path:
                text = [{"type": "file", "oid": "2" * 40, "size": len(WEIGHTS), "path": "w.safetensors", "lfs": {"oid": HASH, "size": len(WEIGHTS), "pointerSize": 134}}]
            text = json.dumps(text).encode()
            self.send_response(200)
        else:
            text = WEIGHTS
            self.send_response(200)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{HASH}"')
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if body and text is WEIGHTS:
            ranges.append(self.headers.get("Range", "none"))
            if len(ranges) == 1:  # half of it, and then nothing until the client is gone
                self.wfile.write(text[: len(text) // 2])
                self.wfile.flush()
                stalled.set()
                self.rfile.read(1)
                return
        if body:
            self.wfile.write(text)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
threading.Thread(target=server.serve_forever, daemon=True).start()
env = {**os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HUB_CACHE": "cache", "HF_HOME": "home", "NO_PROXY": "127.0.0.1",
       "no_proxy": "127.0.0.1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
command = [sys.executable, "-c", "from huggingface_hub import snapshot_download; snapshot_download('a/b')"]
first = subprocess.Popen(command, env=env)
stalled.wait(60)
first.send_signal(signal.SIGKILL)
first.wait()
subprocess.run(command, env=env, check=True, stderr=subprocess.DEVNULL)
blobs = sorted(p.name.replace(HASH, "HASH") for p in pathlib.Path("cache/models--a--b/blobs").iterdir())
print("asked for:", *ranges)
print("blobs:", len(blobs), "of which incomplete:", sum(b.endswith(".incomplete") for b in blobs))
PY

cat > expected <<'TXT'
asked for: none none
blobs: 2 of which incomplete: 1
TXT
venv/bin/python ask.py | tee seen
diff expected seen || { echo "huggingface_hub behaves differently from what is written here" >&2; exit 1; }

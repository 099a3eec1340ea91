#!/usr/bin/env bash
# Claude Code sends requests for a server on this machine, by plain http at 127.0.0.1, through the proxy of HTTPS_PROXY.
#
# @anthropic-ai/claude-code 2.1.332 (npm), with ANTHROPIC_BASE_URL=http://127.0.0.1:PORT and HTTPS_PROXY set, as on most machines of companies: the
# messages go to the proxy, although the scheme is http (curl and Python leave that variable to https) and the address is this machine's.
# A proxy elsewhere reaches its own 127.0.0.1, so that a local server is never asked. With NO_PROXY=127.0.0.1 it is asked directly.
#
# Seen 2026-11-29: the lines of "expected" below. Needs npm, and 300 MB.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --no-audit --no-fund --silent @anthropic-ai/claude-code@2.1.332
cat > ask.py <<'PY'
import http.server, json, os, pathlib, subprocess, threading

asked = {"server": 0, "proxy": 0}


def serve(name):
    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_CONNECT(self):
            asked[name] += 1
            self.send_error(502)

        def do_POST(self):
            asked[name] += "/v1/messages" in self.path
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps({"type": "error", "error": {"type": "invalid_request_error", "message": "enough"}}).encode()
            self.send_response(400)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=s.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{s.server_port}"


server, proxy = serve("server"), serve("proxy")
for direct in ("", "127.0.0.1"):
    asked.update(server=0, proxy=0)
    home = pathlib.Path("home")
    home.mkdir(exist_ok=True)
    env = {"PATH": os.environ["PATH"], "HOME": str(home.resolve()), "ANTHROPIC_BASE_URL": server, "ANTHROPIC_API_KEY": "none", "ANTHROPIC_MODEL": "m",
           "HTTPS_PROXY": proxy, "NO_PROXY": direct, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1"}
    try:
        subprocess.run(["node_modules/.bin/claude", "-p", "Hi"], env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    except subprocess.TimeoutExpired:
        pass
    print(f"NO_PROXY={direct}: the server was asked: {asked['server'] > 0}, the proxy: {asked['proxy'] > 0}")
PY
cat > expected <<'TXT'
NO_PROXY=: the server was asked: False, the proxy: True
NO_PROXY=127.0.0.1: the server was asked: True, the proxy: False
TXT
python3 ask.py | tee seen
diff expected seen || { echo "Claude Code behaves differently from what is written here" >&2; exit 1; }

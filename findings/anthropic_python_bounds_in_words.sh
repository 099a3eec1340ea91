#!/usr/bin/env bash
# anthropic-python takes no temperature any more, and tells the server of a schema's bounds in words only.
#
# anthropic 2.14.0 (PyPI): messages.create, .stream and .parse have no arguments temperature, top_p and top_k; giving one is a TypeError before
# anything is sent, although servers of the protocol take the fields, which reach them through extra_body. And messages.parse(output_format=Model)
# does not send the schema that pydantic made of the model: minLength, maxLength, minimum, maximum, maxItems and default are taken out and stand as
# text in the description ("{maximum: 7, minimum: 1}"), minItems of 0 stays. A server that holds an answer to the schema therefore lets
# pass what the client then refuses when it validates: whoever wants bounds kept must send output_config by hand.
#
# Seen 2026-11-29: the lines of "expected" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check anthropic==2.14.0

cat > ask.py <<'PY'
import http.server, json, threading

import anthropic
from pydantic import BaseModel, Field

seen = []


class Server(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_POST(self):
        seen.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        text = {"type": "text", "text": '{"name": "ab", "n": 5}'}
        answer = {"id": "m", "type": "message", "role": "assistant", "model": "x", "content": [text], "stop_reason": "end_turn",
                  "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = anthropic.Anthropic(base_url=f"http://127.0.0.1:{server.server_port}", api_key="k", max_retries=0)
ask = {"model": "x", "max_tokens": 9, "messages": [{"role": "user", "content": "a"}]}
for name in ("temperature", "top_p", "top_k"):
    try:
        client.messages.create(**ask, **{name: 1})
        print(name, "is taken")
    except TypeError as e:
        print(str(e).split(" got ")[-1])
client.messages.create(**ask, extra_body={"temperature": 0})
print("through extra_body:", seen[-1]["temperature"])


class Thing(BaseModel):
    name: str = Field(min_length=2, max_length=9)
    n: int = Field(ge=1, le=7)
    tags: list[str] = Field(default=[], min_length=0, max_length=3)


client.messages.parse(**ask, output_format=Thing)
for name, schema in sorted(seen[-1]["output_config"]["format"]["schema"]["properties"].items()):
    print(name, json.dumps(schema, sort_keys=True))
PY

cat > expected <<'TXT'
an unexpected keyword argument 'temperature'
an unexpected keyword argument 'top_p'
an unexpected keyword argument 'top_k'
through extra_body: 0
n {"description": "{maximum: 7, minimum: 1}", "title": "N", "type": "integer"}
name {"description": "{maxLength: 9, minLength: 2}", "title": "Name", "type": "string"}
tags {"description": "{default: [], maxItems: 3}", "items": {"type": "string"}, "minItems": 0, "title": "Tags", "type": "array"}
TXT
no_proxy=127.0.0.1 venv/bin/python ask.py | tee seen
diff expected seen || { echo "anthropic-python behaves differently from what is written here" >&2; exit 1; }

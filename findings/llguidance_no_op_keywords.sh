#!/usr/bin/env bash
# llguidance refuses a JSON Schema for keywords that ask nothing.
#
# llguidance 1.9.1 (PyPI) looks at the name of a keyword before what it says. `"uniqueItems": false`, which is the default, and
# `"propertyNames": {"type": "string"}`, which every object fulfils and each z.record of zod writes, are "Unimplemented keys"; formats that the
# specification itself lists (`iri`, `regex`), and any a user invents, are "Unknown format", where the specification has an unknown one say
# nothing. A format beside a type that is no string is ignored, and so is contentMediaType. An engine in front of it has to take such
# keywords out, or lose schemas that hold nothing unusual.
#
# Seen 2026-11-29: the lines of "expected" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check llguidance==1.9.1

cat > ask.py <<'PY'
import json
from llguidance import LLMatcher

SCHEMAS = [
    {"type": "array", "items": {"type": "string"}, "uniqueItems": False},
    {"type": "object", "propertyNames": {"type": "string"}},
    {"type": "string", "format": "iri"},
    {"type": "string", "format": "regex"},
    {"type": "string", "format": "colour"},
    {"type": "integer", "format": "int32"},
    {"type": "string", "contentMediaType": "text/plain"},
]
for schema in SCHEMAS:
    why = LLMatcher.validate_grammar(LLMatcher.grammar_from_json_schema(json.dumps(schema)))
    print(json.dumps(schema), "->", why or "taken")
PY

cat > expected <<'TXT'
{"type": "array", "items": {"type": "string"}, "uniqueItems": false} -> Unimplemented keys: ["uniqueItems"]
{"type": "object", "propertyNames": {"type": "string"}} -> Unimplemented keys: ["propertyNames"]
{"type": "string", "format": "iri"} -> Unknown format: iri
{"type": "string", "format": "regex"} -> Unknown format: regex
{"type": "string", "format": "colour"} -> Unknown format: colour
{"type": "integer", "format": "int32"} -> taken
{"type": "string", "contentMediaType": "text/plain"} -> taken
TXT
venv/bin/python ask.py | tee seen
diff expected seen || { echo "llguidance behaves differently from what is written here" >&2; exit 1; }

#!/bin/sh
# install.sh FILE makes a plugin of plugin.py: FILE is the script, and FILE.venv, or the folder in $VENV, the Python packages it
# needs and the messages made of plugin.proto. The first line of FILE names the Python of that folder.
set -eu
[ $# = 1 ] || { echo "usage: $0 FILE" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
venv=${VENV:-$1.venv}
"${PYTHON:-python3}" -m venv "$venv"
venv=$(cd "$venv" && pwd)
"$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
packages=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
"$venv/bin/python" -m grpc_tools.protoc -I "$here/../../proto/v1" --python_out="$packages" --grpc_python_out="$packages" plugin.proto
{ echo "#!$venv/bin/python"; tail -n +2 "$here/plugin.py"; } >"$1"
chmod +x "$1"

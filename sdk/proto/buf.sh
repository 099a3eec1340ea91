#!/bin/sh
# Runs buf on the contract with pinned tools, built from source through the Go module proxy: no protoc, nothing installed.
#
#   buf.sh lint
#   buf.sh generate -o ../../internal/pb
#
# buf and protoc-gen-go-grpc are pinned by tools/go.mod; protoc-gen-go is built from the repository's own go.mod, so that
# the generator and the protobuf runtime are always the same version. The first run compiles for about a minute.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
bin=$(dirname "$(go env GOCACHE)")/inference-pio-proto-tools
mkdir -p "$bin"
(cd "$here/tools" && go build -o "$bin/" github.com/bufbuild/buf/cmd/buf google.golang.org/grpc/cmd/protoc-gen-go-grpc)
(cd "$here" && go build -o "$bin/" google.golang.org/protobuf/cmd/protoc-gen-go)
cd "$here/v1"
PATH="$bin:$PATH" exec "$bin/buf" "$@"

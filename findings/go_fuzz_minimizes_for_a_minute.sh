#!/usr/bin/env bash
# go test -fuzz spends its time on shrinking inputs, and looks as if it hung.
#
# Go 1.26. Each input that reaches new code is made smaller, byte by byte, for -fuzzminimizetime: a minute, whatever -fuzztime is, and on every
# worker at once. Of inputs of some KiB that takes the whole minute; the execs it costs are not counted, so that the lines say "execs: 33 (0/sec)"
# until the end and the target seems slow. With -fuzzminimizetime 10x the same target tries thousands a second. The target here parses
# "length, bytes" records, as a reader of files would.
#
# Seen 2026-11-30: 9 execs in 20 s as it comes, 254,000 with 10x (two workers).
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOFLAGS= GOCACHE="$dir/cache"

cat > go.mod <<'TXT'
module records

go 1.24
TXT
cat > records_test.go <<'GO'
package records

import (
	"encoding/json"
	"testing"
)

func FuzzRecords(f *testing.F) {
	var all []map[string]any
	for i := range 200 {
		all = append(all, map[string]any{"name": "tensor", "shape": []int{i, 2}, "offsets": []float64{1.5, float64(i)}, "on": true})
	}
	text, err := json.Marshal(all)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, data []byte) {
		var v any
		_ = json.Unmarshal(data, &v)
	})
}
GO

execs() { go test -run '^$' -fuzz FuzzRecords -fuzztime 20s "$@" | tee /dev/stderr | sed -n 's/.*execs: \([0-9]*\).*/\1/p' | tail -1; }
plain=$(execs)
rm -rf cache/fuzz
few=$(execs -fuzzminimizetime 10x)
echo "as it comes: $plain, with -fuzzminimizetime 10x: $few"
[ "$plain" -lt 2000 ] && [ "$few" -gt 20000 ] || { echo "go test behaves differently from what is written here" >&2; exit 1; }

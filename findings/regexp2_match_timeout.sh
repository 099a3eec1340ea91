#!/usr/bin/env bash
# regexp2's MatchTimeout: a tenth of a second is the least, and the error repeats the whole input.
#
# github.com/dlclark/regexp2/v2 v2.12.0 reads a clock of its own that a goroutine moves on every 100 ms. A MatchTimeout of one
# millisecond ends a match only when that clock has ticked, some 100 ms later. The error is a plain *errors.errorString without a
# type of its own to ask for, and its text holds all of the input: whoever logs it logs what a user sent, all megabytes of it.
#
# Seen 2026-11-28: "at least 90 ms: true", "the error holds the input: true", "*errors.errorString".
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat > main.go <<'GO'
package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/dlclark/regexp2/v2"
)

func main() {
	re := regexp2.MustCompile(`a[ab]*?b(?<=bb)`)
	re.MatchTimeout = time.Millisecond
	text := strings.Repeat("ab", 200_000)
	began := time.Now()
	_, err := re.MatchString(text)
	took := time.Since(began)
	if err == nil {
		fmt.Println("no timeout")
		return
	}
	fmt.Println("at least 90 ms:", took >= 90*time.Millisecond)
	fmt.Println("the error holds the input:", strings.Contains(err.Error(), text))
	fmt.Printf("%T\n", err)
}
GO
go mod init finding >/dev/null 2>&1
go get github.com/dlclark/regexp2/v2@v2.12.0 >/dev/null 2>&1
timeout 60 go run . | tee out.txt
diff out.txt - <<'END' || { echo "changed" >&2; exit 1; }
at least 90 ms: true
the error holds the input: true
*errors.errorString
END
echo "as described"

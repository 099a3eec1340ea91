//go:build pio_hold

package serve

import (
	"log/slog"
	"os"
	"strconv"
)

// envHold names the token at which the gate closes, by its index; or a file that has the index, read at each token, so that a test can kill
// one process after another of a host.
const envHold = "PIO_TEST_HOLD"

// hold is the gate for tests of resume: the sequence that has just had its token of this index waits for ever, until the
// test kills the process.
func hold() func(index int) {
	text := os.Getenv(envHold)
	if text == "" {
		return nil
	}
	return func(index int) {
		at, err := strconv.Atoi(text)
		if err != nil {
			kept, _ := os.ReadFile(text) // without one the gate is open
			if at, err = strconv.Atoi(string(kept)); err != nil {
				return
			}
		}
		if index == at {
			slog.Warn("test gate: holding after token " + strconv.Itoa(index))
			select {}
		}
	}
}

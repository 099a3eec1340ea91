//go:build pio_hold

package serve

import (
	"log/slog"
	"os"
	"strconv"
)

// envHold names the token at which the gate closes, by its index.
const envHold = "PIO_TEST_HOLD"

// hold is the gate for tests of resume: the sequence that has just had its token of this index waits for ever, until the
// test kills the process.
func hold() func(index int) {
	at, err := strconv.Atoi(os.Getenv(envHold))
	if err != nil {
		return nil
	}
	return func(index int) {
		if index == at {
			slog.Warn("test gate: holding after token " + strconv.Itoa(index))
			select {}
		}
	}
}

// log.go lets an operator read what the log has said, from afar and without a terminal.
package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/problem"
)

// log answers with the lines after the one that is named.
func (a *api) log(w http.ResponseWriter, r *http.Request) {
	after := uint64(0)
	if text := r.URL.Query().Get("after"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			writeError(w, r, problem.Invalid("after", "after must be the number of a line, 0 or more"))
			return
		}
		after = n
	}
	lines, last := a.o.Recent.After(after)
	answer.WriteJSON(w, http.StatusOK, map[string]any{"since": a.o.Recent.Since.UTC().Format(time.RFC3339Nano), "last": last, "lines": lines})
}

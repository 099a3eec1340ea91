package problem

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/schedule"
)

// documentedErrors are the rows of docs/api.md's table of errors: by status, the codes.
func documentedErrors(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## Errors\n")
	if !found {
		t.Fatal("docs/api.md says nothing of errors")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	rows := map[string][]string{}
	for _, row := range regexp.MustCompile(`(?m)^\| (\d{3}) \| ([^|]*) \|`).FindAllStringSubmatch(section, -1) {
		for _, code := range strings.Split(row[2], ", ") {
			rows[row[1]] = append(rows[row[1]], strings.Trim(strings.TrimSpace(code), "`"))
		}
	}
	return rows
}

// Every status that the host writes, with every code beside it, stands in the table with its reason.
func TestEveryErrorIsDocumented(t *testing.T) {
	rows := documentedErrors(t)
	check := func(status int, code string) {
		if code == "" {
			code = "null"
		}
		if !slices.Contains(rows[fmt.Sprint(status)], code) {
			t.Errorf("docs/api.md has no row for status %d with the code %s", status, code)
		}
	}
	for _, r := range reasons {
		check(r.status, r.code)
	}
	for _, state := range []schedule.State{schedule.StateStarting, schedule.StateLoading, schedule.StateRestarting, schedule.StateQuarantined, schedule.StateDraining, schedule.StateStopped} {
		check(http.StatusServiceUnavailable, "model_"+string(state))
	}
	files, err := filepath.Glob("../*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	written := regexp.MustCompile(`(?:problem\.|\b)New\((?:http\.|problem\.)?(Status\w+), [^,]+, ("(?:[a-z_]*[a-z])?")[,)]`)
	n := 0
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range written.FindAllStringSubmatch(string(text), -1) {
			status, known := map[string]int{
				"StatusBadRequest": 400, "StatusForbidden": 403, "StatusNotFound": 404, "StatusMethodNotAllowed": 405, "StatusConflict": 409,
				"StatusRequestEntityTooLarge": 413, "StatusUnsupportedMediaType": 415, "StatusTooManyRequests": 429, "StatusInternalServerError": 500,
				"StatusServiceUnavailable": 503, "StatusClientGone": 0, "StatusGatewayTimeout": 504,
			}[m[1]]
			if !known {
				t.Errorf("%s writes %s, which this test does not know", f, m[1])
			} else if n++; status != 0 {
				check(status, strings.Trim(m[2], `"`))
			}
		}
	}
	if n < 10 {
		t.Errorf("only %d errors were found in the source", n)
	}
}

//go:build cuda && cgo

package gpu

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// alone runs a test in a process of its own, which it may leave in any state.
func alone(t *testing.T, env string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", pattern(t.Name()), "-test.count=1", "-test.v")
	cmd.Env = append(os.Environ(), env)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// pattern is what -run takes for one test below another.
func pattern(name string) string {
	return "^" + strings.ReplaceAll(regexp.QuoteMeta(name), "/", "$/^") + "$"
}

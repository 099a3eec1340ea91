// Command mutants plants the faults of faults.txt one at a time and says which test caught each: `make mutants`, or
// `make mutants ONLY=pattern` for those whose name or file matches. It shows where the tests are thin, which no count of covered
// lines does. The working tree is never written to: the go command is given an overlay, the software driver of GPUs a copy of its sources.
//
// It fails if a fault survives, does not compile, or if what it replaces no longer stands exactly once in its file.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	list    = "internal/mutants/faults.txt"
	timeout = 3 * time.Minute // of one package's tests: a lost wake-up is caught by it
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	only := ""
	if len(os.Args) > 1 {
		only = os.Args[1]
	}
	if err := run(ctx, os.Stdout, only); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, only string) error {
	pattern, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	faults, err := readList(list)
	if err != nil {
		return err
	}
	caught, bad := 0, 0
	for _, f := range faults {
		if !pattern.MatchString(f.name) && !pattern.MatchString(f.file) {
			continue
		}
		start := time.Now()
		verdict, err := f.try(ctx)
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		if err != nil {
			bad++
			verdict = "SURVIVED: " + err.Error()
		} else {
			caught++
		}
		fmt.Fprintf(out, "%3.0fs  %s: %s\n      %s\n", time.Since(start).Seconds(), f.file, f.name, verdict)
	}
	fmt.Fprintf(out, "%d of %d faults were caught\n", caught, caught+bad)
	if bad > 0 {
		return fmt.Errorf("%d faults were not caught", bad)
	}
	return nil
}

// try plants a fault, runs its tests and says which one caught it.
func (f fault) try(ctx context.Context) (caughtBy string, err error) {
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	args, environment := []string{"-timeout", timeout.String()}, os.Environ()
	if ofDriver(f.file) {
		sources, done, err := f.driver()
		if err != nil {
			return "", err
		}
		defer done()
		args[1], environment = driverTimeout.String(), append(environment, envSources+"="+sources)
	} else {
		overlay, err := f.overlay(dir)
		if err != nil {
			return "", err
		}
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.CommandContext(ctx, "go", slices.Concat([]string{"test", "-count=1", "-failfast", "-vet=off"}, args, f.test)...)
	cmd.Env = environment
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // the tests that it runs, too
	text, err := cmd.CombinedOutput()
	if err == nil && noTests.Match(text) {
		return "", fmt.Errorf("go test %s passes, and runs no test in some package", strings.Join(f.test, " "))
	}
	if err == nil {
		return "", fmt.Errorf("go test %s passes", strings.Join(f.test, " "))
	}
	return readOutput(string(text))
}

// overlay writes the file with the fault in it, and the table that puts it in the place of the real one.
func (f fault) overlay(dir string) (path string, err error) {
	planted, err := f.plant()
	if err != nil {
		return "", err
	}
	real, err := filepath.Abs(f.file)
	if err != nil {
		return "", err
	}
	copied := filepath.Join(dir, filepath.Base(f.file))
	table, err := json.Marshal(map[string]map[string]string{"Replace": {real: copied}})
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "overlay.json")
	return path, errors.Join(os.WriteFile(copied, planted, 0o600), os.WriteFile(path, table, 0o600))
}

var (
	noTests = regexp.MustCompile(`(?m)\[no tests? (to run|files)\]$`)
	failed  = regexp.MustCompile(`(?m)^ *--- FAIL: (\S+)`)
	running = regexp.MustCompile(`(?m)^\s+(Test\S+) \([0-9.hms]+\)$`)
	pkg     = regexp.MustCompile(`(?m)^FAIL\t(\S+)`)
	broken  = regexp.MustCompile(`(?m)\[(build|setup) failed\]$|building the software driver: `)
)

// readOutput finds the test that failed in what `go test` printed. That a fault does not compile is no test's merit.
func readOutput(text string) (caughtBy string, err error) {
	if broken.MatchString(text) {
		return "", fmt.Errorf("it does not compile:\n%s", text)
	}
	for _, m := range failed.FindAllStringSubmatch(text, -1) { // a test comes before those within it
		if caughtBy == "" || strings.HasPrefix(m[1], caughtBy+"/") {
			caughtBy = m[1]
		}
	}
	if caughtBy != "" {
		return caughtBy, nil
	}
	if m := running.FindStringSubmatch(text); m != nil && strings.Contains(text, "panic: test timed out") {
		return m[1] + ", by its time-out", nil
	}
	if m := pkg.FindStringSubmatch(text); m != nil {
		return "the end of the process: " + m[1], nil
	}
	return "", fmt.Errorf("the tests did not run:\n%s", text)
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What programs of the bundle print, as they do.
const (
	testsSay = `=== RUN   TestGPU
    gpu_test.go:1: something
--- PASS: TestGPU (0.31s)
    --- PASS: TestGPU/EveryLayer (0.30s)
    --- SKIP: TestGPU/Asked (0.00s)
        asked.go:20: capability: the machine's own driver counts nothing
PASS
`
	benchSays = `goos: linux
BenchmarkGPU_qwen3_0_6b/bf16/decode/batch=1-16         	     731	    410250 ns/op	      3120 GB/s	        72.61 %read	      2437 tok/s
BenchmarkGPU_qwen3_0_6b/bf16/prefill/rows=2048-16      	      27	  11132001 ns/op	       215.4 TFLOP/s	    183970 tok/s
PASS
`
	ratesSay = `BenchmarkRates-16         	       1	  45000000 ns/op	        50.00 GB/s_from_the_host	      4100 GB/s_read_and_written
PASS
`
	transformersSay = `Benchmarktransformers/products 1 1400000 ns/op 780 TFLOP/s
Benchmarktransformers/qwen3_0_6b/bf16/decode/batch=1 1 2500000 ns/op 400 tok/s
`
)

// bundle is a folder with programs that print so, each under the name of one of the real bundle.
func bundle(t *testing.T, programs map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for _, sub := range []string{"tests", "plugins/qwen3_0_6b"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, script := range programs {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func prints(text string) string { return "cat <<'END'\n" + text + "END\n" }

// run runs a check and gives its records.
func run(t *testing.T, c check) (records []record, err error) {
	t.Helper()
	out := t.TempDir()
	c.say = io.Discard
	err = c.run(context.Background(), out)
	text, readErr := os.ReadFile(filepath.Join(out, "results.jsonl"))
	if readErr != nil {
		t.Fatal(readErr)
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		var r record
		d := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		d.DisallowUnknownFields()
		if err := d.Decode(&r); err != nil {
			t.Fatalf("%v in %s", err, lines.Text())
		}
		records = append(records, r)
	}
	return records, err
}

func named(records []record, name string) record {
	i := slices.IndexFunc(records, func(r record) bool { return r.Part == name })
	if i < 0 {
		return record{}
	}
	return records[i]
}

// good is a bundle in which all goes well.
func good() map[string]string {
	return map[string]string{
		"piohost":            prints(`[{"name":"gpu.0"}]` + "\n"),
		"tests/gpu.test":     "case \"$*\" in *BenchmarkRates*) " + prints(ratesSay) + ";; *) " + prints(testsSay) + ";; esac\n",
		"tests/kernels.test": prints(testsSay),
		"tests/models":       "case \"$*\" in *-test.bench*) " + prints(benchSays) + ";; *) " + prints(testsSay) + ";; esac\n",
	}
}

func TestEachPartHasALine(t *testing.T) {
	// Nobody's python3 or compute-sanitizer.
	empty := t.TempDir()
	t.Setenv("PATH", empty+":/usr/bin:/bin")
	write(t, filepath.Join(empty, "python3"), prints(transformersSay))
	write(t, filepath.Join(empty, "nvidia-smi"), `case "$*" in *pcie.link.gen.max,pcie.link.width.max*) echo "5, 16";; *) echo "a GPU, 1 MiB";; esac`)
	write(t, filepath.Join(empty, "compute-sanitizer"), "exit 77\n")
	records, err := run(t, check{bundle: bundle(t, good()), within: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range records {
		names = append(names, r.Part)
	}
	want := []string{"machine", "devices", "modules", "kernels", "model-qwen3_0_6b", "time-qwen3_0_6b-bf16", "transformers", "time-qwen3_0_6b-bf16-batches", "time-qwen3_0_6b-q4",
		"copies", "served-0.6b", "warpgroups", "warpgroups-times", "warpgroups-model", "memcheck", "racecheck"}
	if !slices.Equal(names, want) {
		t.Errorf("parts %v\nwant  %v", names, want)
	}
	if k := named(records, "kernels"); k.Status != "ok" || k.Passed != 2 || len(k.Skipped) != 1 || k.Log == "" {
		t.Errorf("kernels: %+v", k)
	}
	if w := named(records, "warpgroups-model"); w.Status != "ok" || w.Passed != 2 || !strings.Contains(w.Command, "PIO_GPU_WARPGROUPS=1") {
		t.Errorf("warpgroups-model: %+v", w)
	}
	if d := named(records, "devices"); string(d.Said) != `[{"name":"gpu.0"}]` {
		t.Errorf("devices said %s", d.Said)
	}
	f := named(records, "time-qwen3_0_6b-bf16").Figures
	if len(f) != 2 || f[0].Name != "qwen3_0_6b/bf16/decode/batch=1" || f[0].Values["tok/s"] != 2437 || f[0].Values["%read"] != 72.61 {
		t.Errorf("figures %v", f)
	}
	if m := named(records, "memcheck"); m.Status != "left out" {
		t.Errorf("memcheck: %+v", m)
	}
	if m := named(records, "machine").Machine; m.GPU != "a GPU, 1 MiB" || math.Abs(m.Link-57.6141) > 1e-4 { // 16 lanes of 32 Gbit/s, 128 of 130 bits, 256 of 280 bytes
		t.Errorf("the machine is %+v", m)
	}
	got := table(slices.Concat(f, named(records, "copies").Figures, named(records, "transformers").Figures))
	for _, row := range []string{
		"| qwen3_0_6b/bf16/decode/batch=1 | 2437 | 3120 | 72.61 % | 75 % | 400 | 6.093 |",
		"| qwen3_0_6b/bf16/prefill/rows=2048 | 1.84e+05 | 215.4 | 27.62 % | 60 % |  |  |",
		"| copies from the host |  | 50 | 86.78 % | 90 % |  |  |",
	} {
		if !strings.Contains(got, row) {
			t.Errorf("the table has no %s\n%s", row, got)
		}
	}
}

// A link that nobody can say the rate of has none.
func TestRatesOfLinks(t *testing.T) {
	for smi, want := range map[string]float64{"4, 16": 28.8070e9, "5, 8\n5, 16": 28.8070e9, "1, 1": 0.228571e9, "": 0, "[N/A], [N/A]": 0, "0, 0": 0, "7, 16": 0, "5, 0": 0, "-1, 16": 0} {
		if got := linkRate(smi); math.Abs(got-want) > 1e-5*want {
			t.Errorf("%q: %.6g bytes a second, want %.6g", smi, got, want)
		}
	}
}

func write(t *testing.T, path, script string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
}

// What fails, panics or is no program is told, and the parts behind it run.
func TestAFailureDoesNotEndTheRun(t *testing.T) {
	programs := good()
	programs["tests/gpu.test"] = prints("--- FAIL: TestEveryModuleIsLoaded (0.1s)\n    --- FAIL: TestX/y (0.1s)\n") + "exit 1\n"
	programs["tests/kernels.test"] = prints("--- PASS: TestA (0.1s)\npanic: no\n") + "exit 2\n"
	delete(programs, "piohost")
	records, err := run(t, check{bundle: bundle(t, programs), within: time.Minute, only: "e"})
	if err == nil || !strings.Contains(err.Error(), "devices, modules, kernels") {
		t.Errorf("the run says %v", err)
	}
	if m := named(records, "modules"); m.Status != "failed" || !slices.Equal(m.Failed, []string{"TestEveryModuleIsLoaded", "TestX/y"}) {
		t.Errorf("modules: %+v", m)
	}
	if k := named(records, "kernels"); k.Status != "failed" || k.Passed != 1 || !slices.Equal(k.Failed, []string{"a panic"}) {
		t.Errorf("kernels: %+v", k)
	}
	if m := named(records, "model-qwen3_0_6b"); m.Status != "ok" {
		t.Errorf("the model: %+v", m)
	}
}

// A part that hangs ends with its time, with all that it has started, and is named.
func TestARunEndsInTime(t *testing.T) {
	programs := good()
	programs["tests/gpu.test"] = prints("--- PASS: TestA (0.1s)\n") + "sleep 600 & wait\n"
	records, err := run(t, check{bundle: bundle(t, programs), within: 10 * time.Second, only: "modules"})
	if err == nil || !strings.Contains(err.Error(), "modules") {
		t.Errorf("the run says %v", err)
	}
	if m := named(records, "modules"); m.Status != "timed out" || m.Passed != 1 {
		t.Errorf("modules: %+v", m)
	}
}

// However many parts hang, those behind them have their share; none of the time is lost to parts that need little.
func TestEachPartHasAShareOfTheTime(t *testing.T) {
	list := parts(order, false)
	for _, hang := range []bool{true, false} {
		c, spent := check{within: 6 * time.Minute}, time.Duration(0)
		for i, p := range list {
			c.began = time.Now().Add(-spent)
			limit := c.limit(list, i)
			if limit < p.limit/6 {
				t.Errorf("hang %v: %s has %v of its %v", hang, p.name, limit, p.limit)
			}
			if hang {
				spent += limit
			} else if limit < p.limit {
				t.Errorf("%s has %v, though nobody needed any time", p.name, limit)
			}
		}
		if spent > c.within {
			t.Errorf("all parts together have %v", spent)
		}
	}
	c := check{within: time.Minute, began: time.Now().Add(-2 * time.Minute)}
	if limit := c.limit(list, 3); limit > 0 {
		t.Errorf("%v after the end", limit)
	}
	if r := c.part(context.Background(), 1, list[3], c.limit(list, 3)); r.Status != "left out" || r.Why != "there is no time left" {
		t.Errorf("after the end: %+v", r)
	}
}

// TestMain is a whole run if a test asks for one that it can kill.
func TestMain(m *testing.M) {
	if dir := os.Getenv("GPUCHECK_BUNDLE"); dir != "" {
		c := check{bundle: dir, within: time.Hour, say: io.Discard}
		fmt.Println(c.run(context.Background(), os.Getenv("GPUCHECK_OUT")))
		return
	}
	os.Exit(m.Run())
}

// What a run that is killed had seen is in its files, and what it had started ends with it.
func TestAKilledRunStillTells(t *testing.T) {
	programs, out := good(), t.TempDir()
	programs["tests/kernels.test"] = prints("--- PASS: TestA (0.1s)\n") + "mkfifo $GPUCHECK_OUT/never; echo $$ > $GPUCHECK_OUT/pid; echo > $GPUCHECK_OUT/begun; exec cat $GPUCHECK_OUT/never\n"
	begun := filepath.Join(out, "begun")
	if err := syscall.Mkfifo(begun, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "GPUCHECK_BUNDLE="+bundle(t, programs), "GPUCHECK_OUT="+out)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.ReadFile(begun); err != nil { // which waits for the part
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	text := read(t, filepath.Join(out, "results.jsonl"))
	for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
		var r record
		if err := json.Unmarshal([]byte(line), &r); err != nil || i > 2 || r.Part != []string{"machine", "devices", "modules"}[i] || r.Status != "ok" {
			t.Errorf("line %d, %v: %s", i, err, line)
		}
	}
	if strings.Count(text, "\n") != 3 {
		t.Errorf("it has told of\n%s", text)
	}
	if log := read(t, filepath.Join(out, "03-kernels.log")); !strings.Contains(log, "PASS: TestA") {
		t.Errorf("the part under way said %q", log)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(read(t, filepath.Join(out, "pid"))))
	if err != nil {
		t.Fatal(err)
	}
	ended(t, pid)
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// ended waits for the end of a process that is not this one's child.
func ended(t *testing.T, pid int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err == unix.ESRCH {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for {
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1); err != unix.EINTR {
			if err != nil {
				t.Fatal(err)
			}
			return
		}
	}
}

// Every program that a part runs is one that the script packs, or the machine's.
func TestPartsRunWhatIsPacked(t *testing.T) {
	script, err := os.ReadFile("../../.ci/gpu-check")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range append(parts(order, false), parts(order, true)...) {
		for _, word := range p.command {
			switch {
			case word == "./piohost" && strings.Contains(string(script), `-o "$to/piohost"`):
			case word == "./tests/models" && strings.Contains(string(script), `-o "$to/tests/models"`):
			case (word == "./tests/kernels.test" || word == "./tests/gpu.test") && strings.Contains(string(script), `-o "$to/tests/" ./cuda/kernels ./cuda/gpu`):
			case strings.HasPrefix(word, "./"):
				t.Errorf("%s runs %s, which is not packed", p.name, word)
			case strings.HasSuffix(word, ".py") || strings.HasSuffix(word, ".toml"):
				if _, err := os.Stat(filepath.Join("bundle", word)); err != nil {
					t.Errorf("%s: %v", p.name, err)
				}
			}
		}
	}
	plugins, err := filepath.Glob("../../plugins/*/main.go")
	if err != nil || len(plugins) != len(order) {
		t.Errorf("%d plugins and %d models, %v", len(plugins), len(order), err)
	}
}

// peer.py is Python, and says 77 where there is nothing to compare with.
func TestWithoutTransformers(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("capability: python3")
	}
	cmd := exec.Command(python, "-c", fmt.Sprintf("import sys; sys.modules['torch'] = None; exec(compile(open(%q).read(), 'peer.py', 'exec'))", "bundle/peer.py"))
	said, err := cmd.CombinedOutput()
	if !leftOut(err) || !strings.HasPrefix(string(said), "there is no PyTorch") {
		t.Errorf("%v: %s", err, said)
	}
}

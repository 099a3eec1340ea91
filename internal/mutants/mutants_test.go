package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The list is of the code as it is: what each fault replaces stands exactly once in its file.
func TestEveryFaultCanBePlanted(t *testing.T) {
	t.Chdir("../..")
	faults, err := readList(list)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, f := range faults {
		if _, err := f.plant(); err != nil {
			t.Errorf("%s:%d: %s: %v", list, f.line, f.name, err)
		}
		if names[f.name] {
			t.Errorf("%s:%d: %s stands twice", list, f.line, f.name)
		}
		names[f.name] = true
	}
	if len(faults) < 100 {
		t.Errorf("%d faults: the list was not read whole", len(faults))
	}
}

func TestAFaultIsPlantedOnce(t *testing.T) {
	t.Chdir(t.TempDir())
	const text = "a\n\tb\n\tb\nc\nd\n"
	if err := os.WriteFile("x.go", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for old, want := range map[string]string{
		"a":    "z\n\tb\n\tb\nc\nd\n",
		"c\nd": "a\n\tb\n\tb\nz\n",
		"\tb":  "stand 2 times",
		"b":    "stand 0 times", // whole lines
		"d\nc": "stand 0 times",
	} {
		f := fault{file: "x.go", old: strings.Split(old, "\n"), new: []string{"z"}}
		got, err := f.plant()
		if err != nil {
			got = []byte(err.Error())
		}
		if !strings.Contains(string(got), want) {
			t.Errorf("%q becomes %q, want %q", old, got, want)
		}
	}
	if got, err := (fault{file: "x.go", old: []string{"c"}}).plant(); string(got) != "a\n\tb\n\tb\nd\n" {
		t.Errorf("without c it is %q, %v", got, err)
	}
}

func TestTheListIsReadOrRefused(t *testing.T) {
	const one = "== a fault\nfile x.go\ntest ./a -run B\n# a remark\n-\told\n-\n+\tnew\n\n"
	faults, err := parse("words\n" + one + one)
	if err != nil || len(faults) != 2 {
		t.Fatalf("%+v, %v", faults, err)
	}
	if f := faults[0]; f.name != "a fault" || f.file != "x.go" || strings.Join(f.test, " ") != "./a -run B" || strings.Join(f.old, "|") != "\told|" ||
		strings.Join(f.new, "|") != "\tnew" || f.line != 2 {
		t.Errorf("%+v", f)
	}
	for _, piece := range []string{"file x.go\n", "test ./a -run B\n", "-\told\n-\n"} {
		if _, err := parse(strings.Replace(one, piece, "", 1)); err == nil {
			t.Errorf("without %q it is accepted", piece)
		}
	}
	for _, line := range []string{"typo x\n", "test ./a -run 'B|C'\n"} {
		if _, err := parse(one + line); err == nil {
			t.Errorf("%q is accepted", line)
		}
	}
}

func TestWhoCaughtAFault(t *testing.T) {
	for text, want := range map[string]string{
		"--- FAIL: TestA (0.00s)\n    --- FAIL: TestA/b (0.00s)\n--- FAIL: TestC (0.00s)\nFAIL\tx/y\t0.1s\n":       "TestA/b",
		"panic: test timed out after 3m0s\n\trunning tests:\n\t\tTestB/c (3m0s)\n\ngoroutine 1\nFAIL\tx/y\t180s\n": "TestB/c, by its time-out",
		"SIGSEGV: segmentation violation\nFAIL\tx/y\t0.1s\n":                                                       "the end of the process: x/y",
		"x.go:1:1: undefined: z\nFAIL\tx/y [build failed]\n":                                                       "does not compile",
		"no Go files in z\n": "did not run",
		"--- FAIL: TestA (9s)\n    x_test.go:1: building the software driver: exit status 2\nFAIL\tx/y\t9s\n": "does not compile",
	} {
		got, err := readOutput(text)
		if err != nil {
			got = err.Error()
		}
		if err == nil && got != want || !strings.Contains(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// The copy that the software driver is made of is the tree's but for the fault, and what is right in it is left as it is.
func TestAFaultOfTheDriver(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Chdir(t.TempDir())
	for path, text := range map[string]string{"cuda/include/cuda.h": "h\n", "cuda/kernels/a.cu": "a\nb\n", "cuda/kernels/sim/Makefile": "m\n", "cuda/kernels/a.go": "g\n"} {
		put(t, path, text)
	}
	one := fault{file: "cuda/kernels/a.cu", old: []string{"b"}, new: []string{"c"}}
	if !ofDriver(one.file) || ofDriver("cuda/kernels/a.go") || ofDriver("cuda/cpu/pack.h") {
		t.Error("files of the driver are not told from others")
	}
	sources, done, err := one.driver()
	if err != nil {
		t.Fatal(err)
	}
	done()
	for path, want := range map[string]string{"a.cu": "a\nc\n", "sim/Makefile": "m\n", "../include/cuda.h": "h\n"} {
		if text, err := os.ReadFile(filepath.Join(sources, path)); string(text) != want {
			t.Errorf("%s is %q, want %q: %v", path, text, want, err)
		}
	}
	if _, err := os.Stat(filepath.Join(sources, "a.go")); err == nil {
		t.Error("what the go command compiles is copied")
	}
	made := filepath.Join(sources, "sim", "Makefile")
	before, err := os.Stat(made)
	if err != nil {
		t.Fatal(err)
	}
	put(t, "cuda/kernels/b.cu", "x\n")
	if err := os.Remove("cuda/include/cuda.h"); err != nil {
		t.Fatal(err)
	}
	again, done, err := (fault{file: "cuda/kernels/b.cu", old: []string{"x"}}).driver()
	if err != nil || again != sources {
		t.Fatalf("another copy, %s and %s: %v", sources, again, err)
	}
	done()
	if text, _ := os.ReadFile(filepath.Join(sources, "a.cu")); string(text) != "a\nb\n" {
		t.Errorf("the fault before stays: %q", text)
	}
	if after, err := os.Stat(made); err != nil || !after.ModTime().Equal(before.ModTime()) {
		t.Errorf("what was right is written again: %v", err)
	}
	if _, err := os.Stat(filepath.Join(sources, "../include/cuda.h")); err == nil {
		t.Error("a file that is no more stays in the copy")
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

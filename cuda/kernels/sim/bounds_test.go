package sim

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// With AddressSanitizer the .cu file's line is told that writes a byte too far. (The software driver by itself finds it at the end of the
// kernel, and names that.)
func TestAWriteTooFarIsFoundToTheLine(t *testing.T) {
	kernel, err := filepath.Abs(filepath.Join("testdata", "planted.cu"))
	if err != nil {
		t.Fatal(err)
	}
	lib := Library(t, Options{Kernels: []string{kernel}, Flags: "-fsanitize=address -O1"})
	exe := filepath.Join(t.TempDir(), "bounds")
	build := exec.Command("g++", "-std=c++17", "-fsanitize=address", "-I..", "-o", exe, filepath.Join("testdata", "bounds.cpp"), lib, "-Wl,-rpath,"+filepath.Dir(lib))
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if said, err := exec.Command(exe, "0").CombinedOutput(); err != nil || len(said) > 0 {
		t.Errorf("without its mistake: %v\n%s", err, said)
	}
	said, err := exec.Command(exe, "1").CombinedOutput()
	if err == nil || !regexp.MustCompile(`(?s)heap-buffer-overflow.*WRITE of size 4.*pio_sim_planted_bounds.*planted\.cu:\d+`).Match(said) {
		t.Errorf("with its mistake: %v\n%s", err, said)
	}
}

package ptx

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A header with one number changed, and a struct with a field moved, stands for NVIDIA's, which `make ptxas` fetches.
func TestHeadersAreCompared(t *testing.T) {
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skipf("capability: gcc: %v", err)
	}
	ours := filepath.Join(folder, "..", "include")
	if differ, err := CompareHeaders(ours, ours); err != nil || len(differ) > 0 {
		t.Fatalf("ours and ours: %q, %v", differ, err)
	}
	theirs := t.TempDir()
	for _, name := range []string{"cuda.h", "cuda_functions.h"} {
		text, err := os.ReadFile(filepath.Join(ours, name))
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.Replace(string(text), "CUDA_ERROR_ILLEGAL_ADDRESS = 700", "CUDA_ERROR_ILLEGAL_ADDRESS = 777", 1)
		changed = strings.Replace(changed, "  void **kernelParams, **extra;", "  void **extra, **kernelParams;", 1)
		if err := os.WriteFile(filepath.Join(theirs, name), []byte(changed), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	differ, err := CompareHeaders(ours, theirs)
	want := "CUDA_ERROR_ILLEGAL_ADDRESS 700, theirs CUDA_ERROR_ILLEGAL_ADDRESS 777 | CUDA_KERNEL_NODE_PARAMS.kernelParams 40, theirs CUDA_KERNEL_NODE_PARAMS.kernelParams 48 | " +
		"CUDA_KERNEL_NODE_PARAMS.extra 48, theirs CUDA_KERNEL_NODE_PARAMS.extra 40"
	if got := strings.Join(differ, " | "); err != nil || got != want {
		t.Errorf("%q, %v", got, err)
	}
}

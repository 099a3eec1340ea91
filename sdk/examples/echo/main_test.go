package main

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/inference-pio/inference-pio/sdk/conformance"
)

// TestConformance is the test every plugin should have.
func TestConformance(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "echo")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	conformance.Run(t, conformance.Config{Binary: bin, Model: "testdata/model"})
}

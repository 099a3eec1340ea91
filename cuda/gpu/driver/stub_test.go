//go:build !cuda

package driver

import (
	"strings"
	"testing"
)

func TestWithoutTheTagProbeSaysHowToBuild(t *testing.T) {
	if err := Probe(); err == nil || !strings.Contains(err.Error(), "-tags cuda") {
		t.Errorf("Probe: %v", err)
	}
}

//go:build cuda

package e2e

// coming_test.go kills a plugin while its layers are on their way to a GPU.

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// layersOn counts the layers on the GPU and on the CPU, and the copies that were ever asked for.
func (s *server) layersOn() (there, here int, asked float64) {
	s.t.Helper()
	modules, _, report := s.placement()
	for id, device := range modules {
		switch {
		case !strings.HasPrefix(id, "layers."):
		case device == "cpu":
			here++
		default:
			there++
		}
	}
	asked, _ = report["prefetches"].(float64)
	return there, here, asked
}

// The process is killed in the middle of an answer when copies of layers have been asked for and none has arrived, and its successor when some layers have
// gone over and others have not. The next one has the same share, and the answer the same words.
func TestAKillWhileLayersComeLosesNothing(t *testing.T) {
	want, err := start(t, tinyModel(gpuSized)).complete("/v1/chat/completions", greedy(40), nil)
	if err != nil {
		t.Fatal(err)
	}
	onGPUs(t, "256MiB:20MB")
	t.Setenv("PIO_SIM_CONTROL", "time threads") // in which a layer takes a while over such a link
	gate := filepath.Join(t.TempDir(), "at")
	s := start(t, tinyModel(gpuSized, fmt.Sprintf("env = { PIO_TEST_HOLD = %q }", gate)))
	give := func(bytes int64) {
		t.Helper()
		if code, out := s.post("/admin/budget/tiny", object{"device": "gpu.0", "bytes": bytes}); code != http.StatusOK {
			t.Errorf("a budget of %d: %d %v", bytes, code, out)
		}
	}
	// underWay gives the GPU back until as many layers are there and not as is wanted, with copies under way.
	underWay := func(due func(there, left int) bool) {
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
			give(0)
			_, _, before := s.layersOn()
			give(200 << 20)
			for there, left, asked := s.layersOn(); left > 0; there, left, asked = s.layersOn() {
				if asked > before && due(there, left) {
					return
				}
			}
		}
		t.Error("no layers are found on their way")
	}
	give(0)
	closeAt := func(token string) {
		if err := os.WriteFile(gate, []byte(token), 0o600); err != nil {
			t.Error(err)
		}
	}
	closeAt("10")
	killed := make(chan struct{})
	go func() {
		defer close(killed)
		s.held(10)
		underWay(func(there, left int) bool { return there == 0 })
		closeAt("30")
		s.kill()
		s.held(30)
		underWay(func(there, left int) bool { return there > 0 })
		closeAt("")
		s.kill()
	}()
	got, err := s.complete("/v1/chat/completions", greedy(40), nil)
	<-killed
	if err != nil {
		t.Fatalf("%v\n%s", err, s.log)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if n := strings.Count(s.log.String(), "was ended by SIGKILL"); n != 2 {
		t.Errorf("the log tells of %d of 2 kills:\n%s", n, s.log)
	}
	s.rest()
	if there, left, _ := s.layersOn(); there == 0 || left > 0 {
		t.Errorf("in the end %d layers are there and %d are not: the share was lost", there, left)
	}
}

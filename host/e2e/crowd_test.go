//go:build cuda

package e2e

import (
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/cuda/kernels/sim"
)

// Another process takes the memory of the GPU, bit by bit, while a model answers there: the model gives way layer by layer, the answer is what it
// would have been, nothing dies, and at no instant is more taken than there is. When the other has gone the layers come back.
func TestAnotherProcessTakesTheGPU(t *testing.T) {
	want, err := start(t, tinyModel(gpuSized)).complete("/v1/chat/completions", greedy(32), nil)
	if err != nil {
		t.Fatal(err)
	}
	const memory = 64 << 20
	others := sim.Share(t, filepath.Join(t.TempDir(), "gpus"))
	onGPUs(t, "64MiB")
	s := start(t, tinyModel(gpuSized))
	if _, err := s.complete("/v1/chat/completions", greedy(4), nil); err != nil { // weights come when they are needed
		t.Fatal(err)
	}
	before, _ := others.Used(0)
	got, err := s.complete("/v1/chat/completions", greedy(32), func(n int) {
		if n%6 != 3 {
			return
		}
		took := others.Take(0, memory, memory) // all that is free
		t.Logf("token %d: another process has %d bytes, the model %d", n, took, memory-took)
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
			if used, _ := others.Used(0); used < memory { // somebody has given way
				return
			}
			if strings.Count(s.log.String(), "the share of a device changes") > 0 && took > memory-before/4 {
				return // it has next to nothing there
			}
			if time.Now().After(deadline) {
				t.Fatalf("the model does not give way:\n%s", s.log.end())
			}
		}
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, s.log.end())
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("while another process takes the GPU\n got %+v\nwant %+v", got, want)
	}
	if used, peak := others.Used(0); peak > memory || used > memory {
		t.Errorf("%d bytes were taken of %d", peak, memory)
	}
	text := s.log.String()
	for _, piece := range []string{"what other programs leave of a device has changed", "the share of a device changes", "other programs leave"} {
		if !strings.Contains(text, piece) {
			t.Errorf("the log does not say %q:\n%s", piece, s.log.end())
		}
	}
	if strings.Contains(text, "the plugin died") || strings.Contains(text, "a device was lost") {
		t.Errorf("something has died:\n%s", s.log.end())
	}
	others.Take(0, 0, memory)
	for deadline := time.Now().Add(2 * time.Minute); ; {
		got, err := s.complete("/v1/chat/completions", greedy(32), nil)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("on the way back: %v\n got %+v\nwant %+v", err, got, want)
		}
		there := 0
		modules, _, _ := s.placement()
		for id, where := range modules {
			if strings.HasPrefix(id, "layers.") && where == "gpu.0" {
				there++
			}
		}
		if there == 4 { // all
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the layers do not come back:\n%s", s.log.end())
		}
	}
}

// Three models share a GPU that has room for one and a half of them, all asked at once: every answer is that of a host that has the GPU to itself,
// the driver counts that at no instant more is taken than they may have together, and who is asked after the others is loaded by nobody.
func TestThreeModelsShareAGPU(t *testing.T) {
	names := []string{"tiny", "second", "third"}
	tables := ""
	for _, name := range names {
		tables += tinyOf("qwen3_0_6b", name, gpuSized)
	}
	inquire := func(model string) object {
		body := greedy(24)
		body["model"] = model
		return body
	}
	others := sim.Share(t, filepath.Join(t.TempDir(), "alone"))
	onGPUs(t, "256MiB")
	alone := start(t, tinyModel(gpuSized))
	want, err := alone.complete("/v1/chat/completions", greedy(24), nil)
	if err != nil {
		t.Fatal(err)
	}
	alone.rest()
	one, _ := others.Used(0) // as the answer has left it: measuring a card's speed takes more for a moment
	alone.stop()

	budget := one * 3 / 2
	others = sim.Share(t, filepath.Join(t.TempDir(), "shared"))
	s := start(t, fmt.Sprintf("[[device]]\nname = \"gpu.0\"\nmemory = \"%dB\"\n", budget)+tables)
	pids := s.plugins()
	ended := make(chan error)
	for _, name := range names {
		go func() {
			var err error
			for range 3 {
				var got answer
				if got, err = s.complete("/v1/chat/completions", inquire(name), nil); err == nil && !reflect.DeepEqual(got, want) {
					err = fmt.Errorf("got %+v\nwant %+v", got, want)
				}
				if err != nil {
					err = fmt.Errorf("%s: %w", name, err)
					break
				}
			}
			ended <- err
		}()
	}
	for range names {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"third", "tiny", "second", "tiny"} {
		if got, err := s.complete("/v1/chat/completions", inquire(name), nil); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v\n got %+v\nwant %+v", name, err, got, want)
		}
	}
	if _, peak := others.Used(0); peak > budget || peak < budget/2 {
		t.Errorf("%d bytes were taken at once of %d that there are for models; one alone takes %d", peak, budget, one)
	}
	if loads := strings.Count(s.log.String(), "the model is ready"); loads != len(names) || !reflect.DeepEqual(s.plugins(), pids) {
		t.Errorf("there were %d loads, and the processes are %v after %v", loads, s.plugins(), pids)
	}
	if t.Failed() {
		t.Log(s.log)
	}
}

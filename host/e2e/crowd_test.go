//go:build cuda

package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
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
		if s.layersThere() == 4 { // all
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the layers do not come back:\n%s", s.log.end())
		}
	}
}

// layersThere is how many layers of the model are on the GPU.
func (s *server) layersThere() (n int) {
	modules, _, _ := s.placement()
	for id, where := range modules {
		if strings.HasPrefix(id, "layers.") && where == "gpu.0" {
			n++
		}
	}
	return n
}

// One look at the memory of a GPU is enough: what another process has until somebody has looked is noticed, and the model has less of the GPU. A process
// looks every 80 ms (cuda/serve, lookout.go), a host believes the only one that reports at once and several after a tenth of a second (crowd.go in
// host/internal/schedule): that makes the quarter of a second within which a host knows. Both are tested in a time that is counted; this is the way between.
func TestOneLookAtAGPUIsEnough(t *testing.T) {
	const memory = 64 << 20
	others := sim.Share(t, filepath.Join(t.TempDir(), "gpus"))
	onGPUs(t, "64MiB")
	s := start(t, tinyModel(gpuSized))
	want, err := s.complete("/v1/chat/completions", greedy(8), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.rest()
	t.Logf("for a moment another process has %d bytes of %d", others.Flash(0, memory), memory)
	soon, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, piece := range []string{"what other programs leave of a device has changed", "the share of a device changes"} {
		line, err := s.log.wait(soon, piece)
		if err != nil {
			t.Fatalf("%v\n%s", err, s.log.end())
		}
		t.Log(line)
	}
	if got, err := s.complete("/v1/chat/completions", greedy(8), nil); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
	}
}

// oneAlone is what a model answers that has a GPU to itself, and the bytes that it has of it then.
func oneAlone(t *testing.T) (want answer, bytes int64) {
	t.Helper()
	others := sim.Share(t, filepath.Join(t.TempDir(), "alone"))
	onGPUs(t, "256MiB")
	alone := start(t, tinyModel(gpuSized))
	want, err := alone.complete("/v1/chat/completions", greedy(24), nil)
	if err != nil {
		t.Fatal(err)
	}
	alone.rest()
	bytes, _ = others.Used(0) // as the answer has left it: measuring a card's speed takes more for a moment
	alone.stop()
	return want, bytes
}

// greedyOf is what a model is asked.
func greedyOf(model string) object {
	body := greedy(24)
	body["model"] = model
	return body
}

// Three models and room for one and a half, one of them with a higher priority: behind each token of its answers all of its layers are on the GPU, as when
// it is alone, so that a token takes what it takes there. The others answer beside it, with the same words, from what it leaves.
func TestPriorityKeepsTheGPU(t *testing.T) {
	want, one := oneAlone(t)
	budget := one * 3 / 2
	others := sim.Share(t, filepath.Join(t.TempDir(), "shared"))
	tables := tinyModel(gpuSized, "priority = 1") + tinyOf("qwen3_0_6b", "second", gpuSized) + tinyOf("qwen3_0_6b", "third", gpuSized)
	s := start(t, fmt.Sprintf("[[device]]\nname = \"gpu.0\"\nmemory = \"%dB\"\n", budget)+tables)
	s.come(func(map[string]string) bool { return s.layersThere() == 4 })
	ended := make(chan error, 3)
	answered := func(name string, n int, behind func(int)) {
		for range n {
			got, err := s.complete("/v1/chat/completions", greedyOf(name), behind)
			if err == nil && !reflect.DeepEqual(got, want) {
				err = fmt.Errorf("got %+v\nwant %+v", got, want)
			}
			if err != nil {
				ended <- fmt.Errorf("%s: %w", name, err)
				return
			}
		}
		ended <- nil
	}
	var there []int
	go answered("second", 2, nil)
	go answered("third", 2, nil)
	answered("tiny", 4, func(int) { there = append(there, s.layersThere()) })
	for range 3 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	t.Logf("layers on the GPU behind each of %d tokens: %v", len(there), there)
	if slices.ContainsFunc(there, func(n int) bool { return n != 4 }) {
		t.Error("the one with priority has lost layers")
	}
	if _, peak := others.Used(0); peak > budget {
		t.Errorf("%d bytes were taken at once of %d that there are for models; one alone takes %d", peak, budget, one)
	}
	if t.Failed() {
		t.Log(s.log)
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
	want, one := oneAlone(t)
	budget := one * 3 / 2
	others := sim.Share(t, filepath.Join(t.TempDir(), "shared"))
	s := start(t, fmt.Sprintf("[[device]]\nname = \"gpu.0\"\nmemory = \"%dB\"\n", budget)+tables)
	pids := s.plugins()
	ended := make(chan error)
	for _, name := range names {
		go func() {
			var err error
			for range 3 {
				var got answer
				if got, err = s.complete("/v1/chat/completions", greedyOf(name), nil); err == nil && !reflect.DeepEqual(got, want) {
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
		if got, err := s.complete("/v1/chat/completions", greedyOf(name), nil); err != nil || !reflect.DeepEqual(got, want) {
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

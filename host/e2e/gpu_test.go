//go:build cuda

package e2e

// gpu_test.go serves models on GPUs of the software driver, as a user has them: found by the host, used without a word in models.toml.

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/cuda/kernels/sim"
)

// onGPUs has hosts and plugins that are started from here on find the software driver, with such devices.
func onGPUs(t *testing.T, devices string) {
	t.Helper()
	t.Setenv("PIO_CUDA_DRIVER", sim.Library(t, sim.Options{}))
	t.Setenv("PIO_SIM_DEVICES", devices)
}

// gpuSized are the sizes of a model that leave the software driver little to do.
const gpuSized = "context = 512\nmax_sequences = 2\nstep_tokens = 128"

func greedy(tokens int) object {
	return ask("What is 27 + 38?", object{"temperature": 0, "max_tokens": tokens, "ignore_eos": true, "stream": true})
}

// placed is where modules of the model are.
func (s *server) placed() map[string]bool {
	modules, _, _ := s.placement()
	at := map[string]bool{}
	for _, device := range modules {
		at[device] = true
	}
	return at
}

// comeTo is where modules are once they are on such devices, or do not come there.
func (s *server) comeTo(want map[string]bool) map[string]bool {
	s.t.Helper()
	s.come(func(map[string]string) bool { return reflect.DeepEqual(s.placed(), want) })
	return s.placed()
}

// The words are those of the CPU, and a kill in the middle changes none.
func TestAGPUIsUsedUnasked(t *testing.T) {
	want, err := start(t, tinyModel(gpuSized)).complete("/v1/chat/completions", greedy(24), nil)
	if err != nil {
		t.Fatal(err)
	}
	onGPUs(t, "256MiB")
	s := start(t, tinyModel(gpuSized))
	if at := s.comeTo(map[string]bool{"gpu.0": true}); !reflect.DeepEqual(at, map[string]bool{"gpu.0": true}) {
		t.Fatalf("modules are on %v, not on the GPU alone\n%s", at, s.log)
	}
	for _, kill := range []bool{false, true} {
		got, err := s.complete("/v1/chat/completions", greedy(24), func(n int) {
			if n == 9 && kill {
				s.kill()
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if got.Text != want.Text || !reflect.DeepEqual(got.IDs, want.IDs) {
			t.Errorf("kill %v: on the GPU\n got %+v\nwant %+v", kill, got, want)
		}
	}
}

// What the plan says of a GPU that is found is what then happens, as it is laid by what the device's own clock says.
func TestThePlanForAGPUIsWhatThenHappens(t *testing.T) {
	onGPUs(t, "256MiB")
	if m := happens(t, tinyModel(gpuSized), "gpu.0"); m["left"] != 0 {
		t.Errorf("layers are left on the cpu: %v", m["why"])
	}
}

// A model is laid over two GPUs and the CPU where no one of them has room for it, and moves between them while it answers.
func TestAModelOverSeveralGPUs(t *testing.T) {
	want, err := start(t, tinyModel(gpuSized)).complete("/v1/chat/completions", greedy(24), nil)
	if err != nil {
		t.Fatal(err)
	}
	onGPUs(t, "256MiB 256MiB 64MiB")
	s := start(t, tinyModel(gpuSized))
	for i, device := range []string{"gpu.0", "gpu.1", "cpu", "gpu.2"} {
		s.move(fmt.Sprint("layers.", i), device)
	}
	got, err := s.complete("/v1/chat/completions", greedy(24), func(n int) {
		if n == 8 {
			s.move("layers.0", "gpu.2")
			s.move("layers.2", "gpu.1")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.IDs, want.IDs) {
		t.Errorf("over three GPUs\n got %+v\nwant %+v", got, want)
	}
	s.rest()
	if at := s.placed(); at["cpu"] || !at["gpu.1"] || !at["gpu.2"] {
		t.Errorf("modules are on %v", at)
	}
}

// A model that no GPU has room for is laid over them by itself, whatever their sizes, and its words are those of the CPU.
func TestGPUsOfDifferentSizesShareAModel(t *testing.T) {
	want, err := start(t, tinyModel(gpuSized)).complete("/v1/chat/completions", greedy(24), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, devices := range []string{"10MiB 7MiB", "8MiB 7MiB 6MiB"} {
		t.Run(devices, func(t *testing.T) {
			onGPUs(t, devices)
			s := start(t, tinyModel(gpuSized))
			all := map[string]bool{}
			for i := range strings.Fields(devices) {
				all[fmt.Sprint("gpu.", i)] = true
			}
			if at := s.comeTo(all); !reflect.DeepEqual(at, all) {
				t.Errorf("modules are on %v, not on all of the GPUs alone\n%s", at, s.log)
			}
			got, err := s.complete("/v1/chat/completions", greedy(24), nil)
			if err != nil {
				t.Fatalf("%v\n%s", err, s.log)
			}
			if got.Text != want.Text || !reflect.DeepEqual(got.IDs, want.IDs) {
				t.Errorf("over %d GPUs\n got %+v\nwant %+v", len(all), got, want)
			}
		})
	}
}

// A GPU that fails, or a kernel that does, costs a pause: the model is loaded anew without it and the answer goes on.
func TestAnswersGoOnWithoutALostGPU(t *testing.T) {
	want, err := start(t, tinyModel(gpuSized)).complete("/v1/chat/completions", greedy(24), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, failure := range map[string]string{"a kernel's fault": "fail kernel after=500 error=700", "off the bus": "fail copy after=60 error=999"} {
		t.Run(name, func(t *testing.T) {
			onGPUs(t, "256MiB")
			t.Setenv("PIO_SIM_CONTROL", failure+" once="+filepath.Join(t.TempDir(), "failed"))
			s := start(t, tinyModel(gpuSized))
			s.rest() // the CPU is done with the answer before layers have come
			got, err := s.complete("/v1/chat/completions", greedy(24), nil)
			if err != nil {
				t.Fatalf("%v\n%s", err, s.log)
			}
			if !reflect.DeepEqual(got.IDs, want.IDs) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
			if log := s.log.String(); !strings.Contains(log, "a device was lost") || !strings.Contains(log, "device=gpu.0") {
				t.Errorf("the log does not tell of it:\n%s", log)
			}
			if at := s.placed(); at["gpu.0"] {
				t.Errorf("modules are on %v", at)
			}
		})
	}
}

// A GPU that fails while nothing runs is noticed then, and whoever comes next finds the model loaded without it.
func TestALostGPUIsNoticedWhileNothingRuns(t *testing.T) {
	onGPUs(t, "256MiB")
	fails := filepath.Join(t.TempDir(), "now")
	t.Setenv("PIO_SIM_CONTROL", "fail look error=999 when="+fails)
	s := start(t, tinyModel(gpuSized))
	there := map[string]bool{"gpu.0": true}
	if at := s.comeTo(there); !reflect.DeepEqual(at, there) {
		t.Fatalf("modules are on %v\n%s", at, s.log)
	}
	want, err := s.complete("/v1/chat/completions", greedy(8), nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, s.log)
	}
	first := s.plugins()
	if err := os.WriteFile(fails, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if line, err := s.log.wait(soon, "a device was lost"); err != nil || !strings.Contains(line, "device=gpu.0") {
		t.Fatalf("%v: the log tells of it in %q\n%s", err, line, s.log)
	}
	s.until(func() bool { return s.isReady("tiny") })
	here := map[string]bool{"cpu": true}
	if at := s.comeTo(here); !reflect.DeepEqual(at, here) {
		t.Errorf("modules are on %v\n%s", at, s.log)
	}
	if now := s.plugins(); len(now) != 1 || reflect.DeepEqual(now, first) {
		t.Errorf("the processes were %v and are %v", first, now)
	}
	got, err := s.complete("/v1/chat/completions", greedy(8), nil)
	if err != nil || !reflect.DeepEqual(got.IDs, want.IDs) {
		t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
	}
}

// A kernel that does not end costs as long as it is waited for: the process gives its GPU up and ends, the next one has the other GPU, two streams go
// on there from where they were, and the host serves whoever comes then.
func TestAnswersGoOnWithoutAHungGPU(t *testing.T) {
	asks := []object{greedy(48), ask("Name a colour.", object{"temperature": 1, "seed": 5, "max_tokens": 40, "ignore_eos": true, "stream": true})}
	cpu := start(t, tinyModel(gpuSized))
	want := make([]answer, len(asks))
	for i, a := range asks {
		var err error
		if want[i], err = cpu.complete("/v1/chat/completions", a, nil); err != nil {
			t.Fatal(err)
		}
	}
	onGPUs(t, "256MiB 256MiB")
	t.Setenv("PIO_GPU_PATIENCE", "10s") // the software driver's steps take a tenth of a second, on a busy machine some seconds
	t.Setenv("PIO_SIM_CONTROL", "fail kernel device=0 after=1000 hang=1 once="+filepath.Join(t.TempDir(), "failed"))
	s := start(t, tinyModel(gpuSized))
	if at := s.comeTo(map[string]bool{"gpu.0": true}); !reflect.DeepEqual(at, map[string]bool{"gpu.0": true}) {
		t.Fatalf("modules are on %v, not on the first GPU alone\n%s", at, s.log)
	}
	first := s.plugins()
	const lost = "a device was lost"
	same := func(i int, got answer, err error) {
		if err != nil {
			t.Errorf("answer %d: %v\n%s", i, err, s.log)
		} else if got.Text != want[i].Text || !reflect.DeepEqual(got.IDs, want[i].IDs) {
			t.Errorf("answer %d\n got %+v\nwant %+v", i, got, want[i])
		}
	}
	var streams sync.WaitGroup
	for i, a := range asks {
		streams.Go(func() {
			got, err := s.complete("/v1/chat/completions", a, func(n int) {
				if n == 2 && strings.Contains(s.log.String(), lost) {
					t.Errorf("answer %d began when the GPU was lost already: the test shows nothing", i)
				}
			})
			same(i, got, err)
		})
	}
	streams.Wait()
	soon, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	line, err := s.log.wait(soon, lost)
	if err != nil || !strings.Contains(line, "device=gpu.0") || !strings.Contains(line, "within 10s") {
		t.Errorf("%v: the log tells of it in %q", err, line)
	}
	next := "gpu.1"
	if strings.Contains(s.log.String(), "device=gpu.1") { // a machine so busy that it was given up for that
		next = "cpu"
	}
	if at := s.comeTo(map[string]bool{next: true}); !reflect.DeepEqual(at, map[string]bool{next: true}) {
		t.Errorf("modules are on %v, not on %s alone\n%s", at, next, s.log)
	}
	if now := s.plugins(); len(now) != 1 || reflect.DeepEqual(now, first) {
		t.Errorf("the processes were %v and are %v", first, now)
	}
	for i, a := range asks {
		got, err := s.complete("/v1/chat/completions", a, nil)
		same(i, got, err)
	}
}

// What a stranger's module is built with, by what `piohost plugin env` prints in it, has GPUs. The kernels for CPUs are left out: they take minutes
// to compile in another module.
func TestAStrangersModuleIsBuiltWithGPUs(t *testing.T) {
	dir := t.TempDir()
	const ours = "github.com/inference-pio/inference-pio"
	write(t, filepath.Join(dir, "main.go"), `package main

import (
	"fmt"

	"github.com/inference-pio/inference-pio/cuda/gpu"
	"github.com/inference-pio/inference-pio/cuda/gpu/driver"
)

func main() { fmt.Println(gpu.Built, driver.Probe()) }
`)
	mod := read(t, filepath.Join(root, "go.mod"))
	write(t, filepath.Join(dir, "go.mod"), fmt.Sprintf("module example.com/stranger\n%s\nrequire %s v0.0.0\nreplace %s => %s\n", mod[strings.Index(mod, "\ngo "):], ours, ours, root))
	write(t, filepath.Join(dir, "go.sum"), read(t, filepath.Join(root, "go.sum")))
	flags := strings.ReplaceAll(os.Getenv("GOFLAGS"), "-tags=cuda", "") + " -mod=mod"
	build := exec.Command("bash", "-ec", `unset CGO_CFLAGS CGO_LDFLAGS; eval "$("$PIOHOST" plugin env)"; go build -o stranger . && ./stranger`)
	build.Dir, build.Env = dir, append(os.Environ(), "GOFLAGS="+flags, "PIOHOST="+filepath.Join(bin, "piohost"), "PIO_CUDA_DRIVER="+filepath.Join(dir, "none.so"))
	out, err := build.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := string(out); !strings.HasPrefix(got, "true cuda: no NVIDIA driver on this machine") {
		t.Errorf("it says %q", got)
	}
}

// A driver that does not start, or is too old, is a sentence in the log, and the CPU does the work.
func TestDriversThatCannotBeUsed(t *testing.T) {
	for why, env := range map[string][2]string{"CUDA 11.0; install": {"PIO_SIM_VERSION", "11000"}, "does not start": {"PIO_SIM_INIT", "803"}} {
		onGPUs(t, "256MiB")
		t.Run(env[0], func(t *testing.T) {
			t.Setenv(env[0], env[1])
			s := start(t, tinyModel(gpuSized))
			if at := s.comeTo(map[string]bool{"cpu": true}); !reflect.DeepEqual(at, map[string]bool{"cpu": true}) {
				t.Errorf("modules are on %v", at)
			}
			if log := s.log.String(); !strings.Contains(log, "no GPU is used") || !strings.Contains(log, why) {
				t.Errorf("the log does not say why:\n%s", log)
			}
		})
	}
}

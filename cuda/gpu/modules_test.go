//go:build cuda && cgo

package gpu

import (
	"os"
	"slices"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/cuda/kernels"
)

// hardware is whether the machine's own driver and GPU are to be used: cuda/gpu/gputest has the variable.
func hardware() bool { return os.Getenv("PIO_GPU_HARDWARE") != "" }

// The driver takes every module, and has every kernel with all the shared memory that a block may have. Modules are loaded beside each other, as
// when a model is loaded: what the driver compiles now it need not compile again.
func TestEveryModuleIsLoaded(t *testing.T) {
	if !hardware() {
		software(t)
	}
	d := open(t, Options{})
	began := time.Now()
	names := slices.DeleteFunc(kernels.Names(), func(name string) bool { return !kernels.Runs(name, d.info.Major, d.info.Minor) })
	for _, name := range names {
		d.kernels.ahead(&kernels.Plan{Launches: []kernels.Launch{{Kernel: name}}})
	}
	d.kernels.loading.Wait()
	t.Logf("%d modules after %.1f s", len(d.kernels.modules), time.Since(began).Seconds())
	for _, name := range names {
		fn, err := d.kernels.find(name)
		if err != nil {
			t.Error(err)
		} else if hardware() {
			t.Logf("%s: %d registers, %d bytes of local and %d of shared memory", name, fn.Registers, fn.Local, fn.Shared)
		}
	}
}

//go:build cuda && cgo

package driver

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda/kernels/sim"
)

// Whether there is a driver, what it says of devices, their memory and modules, and who may call.

func TestWithoutADriverProbeSaysWhy(t *testing.T) {
	if !sim.Apart(t, EnvLibrary+"=/nowhere/libcuda.so.1") {
		return
	}
	err := Probe()
	if err == nil || !strings.Contains(err.Error(), "no NVIDIA driver on this machine: /nowhere/libcuda.so.1: cannot open") {
		t.Errorf("Probe: %v", err)
	}
	if _, err := Open(0); err == nil {
		t.Error("a device was opened")
	}
	var e *Error
	if _, err := Count(); !errors.As(err, &e) || e.Code != codeNoDevice || e.Name != "CUDA_ERROR_NO_DEVICE" {
		t.Errorf("Count: %v", err)
	}
}

func TestALibraryThatIsNoDriver(t *testing.T) {
	if !sim.Apart(t, EnvLibrary+"=libm.so.6") {
		return
	}
	if err := Probe(); err == nil || !strings.Contains(err.Error(), "libm.so.6 has no cuInit") {
		t.Errorf("Probe: %v", err)
	}
}

func TestADriverThatDoesNotStart(t *testing.T) {
	if !sim.Apart(t, "PIO_SIM_INIT=999") {
		return
	}
	simulated(t)
	var e *Error
	if err := Probe(); !errors.As(err, &e) || e.Call != "cuInit" || e.Code != 999 || !Lost(err) {
		t.Errorf("Probe: %v", err)
	}
}

func TestAnOldDriverIsRefused(t *testing.T) {
	if !sim.Apart(t, "PIO_SIM_VERSION=11020") {
		return
	}
	simulated(t)
	if err := Probe(); err == nil || !strings.Contains(err.Error(), "the driver is of CUDA 11.2; install one of CUDA 11.4 or newer") {
		t.Errorf("Probe: %v", err)
	}
}

func TestDevicesAreDescribed(t *testing.T) {
	simulated(t)
	if err := Probe(); err != nil {
		t.Fatal(err)
	}
	if n, err := Count(); err != nil || n != 3 {
		t.Fatalf("%d devices, %v", n, err)
	}
	i := open(t, 1).Info()
	want := Info{Ordinal: 1, Name: "software device 1", UUID: "GPU-736f6674-7761-7265-2064-657669636501", PCI: "0000:02:00.0", Major: 9, Multiprocessors: 8,
		Shared: 227 << 10, SharedAll: 228 << 10, Threads: 2048, L2: 50 << 20, Memory: 2 << 20, CopyEngines: 3, Pools: true, ReadOnly: true, Driver: 13000}
	if i != want {
		t.Errorf("%+v\nwant %+v", i, want)
	}
	var e *Error
	if _, err := Open(3); !errors.As(err, &e) || e.Name != "CUDA_ERROR_INVALID_DEVICE" {
		t.Errorf("device 3: %v", err)
	}
}

func TestMemoryEnds(t *testing.T) {
	simulated(t)
	c := open(t, 1)
	free, total, err := c.MemInfo()
	if err != nil || total != 2<<20 {
		t.Fatal(free, total, err)
	}
	p := alloc(t, c, 1<<20)
	if uintptr(p)%256 != 0 {
		t.Errorf("%p is not aligned", p)
	}
	_, err = c.Alloc(2 << 20)
	if !OutOfMemory(err) || Lost(err) || OutOfMemory(fmt.Errorf("no")) {
		t.Errorf("too much was given: %v", err)
	}
	if err := c.Free(p); err != nil {
		t.Fatal(err)
	}
	if now, _, _ := c.MemInfo(); now != free {
		t.Errorf("%d bytes are free, want %d", now, free)
	}
	if err := c.Free(p); err == nil {
		t.Error("it was freed twice")
	}
}

func TestModulesThatCannotBeLoaded(t *testing.T) {
	simulated(t)
	c := open(t, 0)
	for _, x := range []struct{ name, image, says string }{
		{"an unresolved function", string(ptx("p_sum")) + ".extern .func (.param .b32 r) expf", "unresolved extern function: .extern .func (.param .b32 r) expf"},
		{"another device's", strings.Replace(string(ptx("p_sum")), "sm_80", "sm_100", 1), "sm_100 is not this device's"},
		{"one of a newer driver", strings.Replace(string(ptx("p_sum")), "7.4", "9.9", 1), "PTX 9.9 is newer than the driver"},
		{"no PTX", "ELF", "no PTX"},
	} {
		if _, err := c.LoadModule([]byte(x.image)); err == nil || !strings.Contains(err.Error(), x.says) {
			t.Errorf("%s: %v, want %q", x.name, err, x.says)
		}
	}
	m, err := c.LoadModule(ptx("p_sum"))
	if err != nil {
		t.Fatal(err)
	}
	var e *Error
	if _, err := m.Function("p_product", 0); !errors.As(err, &e) || e.Name != "CUDA_ERROR_NOT_FOUND" || !strings.Contains(e.Text, "p_product") {
		t.Errorf("a kernel that is not there: %v", err)
	}
	if _, err := m.Function("p_sum", 300<<10); err == nil {
		t.Error("300 KiB of shared memory were allowed")
	}
	f, err := m.Function("p_sum", 100<<10)
	if err != nil || f.Threads != 256 || f.Name != "p_sum" {
		t.Fatalf("%+v, %v", f, err)
	}
	if n, err := f.Occupancy(256, 100<<10); err != nil || n != 2 {
		t.Errorf("%d blocks, %v", n, err)
	}
	if err := m.Unload(); err != nil {
		t.Error(err)
	}
}

func TestMappedMemoryIsRegistered(t *testing.T) {
	d := simulated(t)
	c := open(t, 0)
	s := stream(t, c)
	in := make([]float32, 256)
	b := unsafe.Slice((*byte)(at(in)), 1024)
	if err := c.Register(b, true); err != nil {
		t.Fatal(err)
	}
	x := alloc(t, c, 1024)
	out := pinned(t, c, 256)
	var l List
	l.CopyIn(x, at(in), 1024)
	l.CopyOut(at(out), x, 1024)
	d.Control("copies late")
	run(t, s, &l)
	in[0] = 5 // it is pinned: read late
	synchronize(t, s)
	if out[0] != 5 {
		t.Error("registered memory is copied as if it were not")
	}
	if err := errors.Join(c.Unregister(b), c.KeepPool(1<<20), c.TrimPool(0)); err != nil {
		t.Error(err)
	}
	var e *Error
	if err := c.Unregister(b); !errors.As(err, &e) {
		t.Errorf("unregistered twice: %v", err)
	}
	runtime.KeepAlive(in)
}

// Contexts are current on threads, and goroutines change those.
func TestAnyGoroutineMayCall(t *testing.T) {
	d := simulated(t)
	d.Control("time threads")
	contexts := []*Context{open(t, 0), open(t, 2)}
	var all sync.WaitGroup
	for i := range 8 {
		c := contexts[i%2]
		s, e, f := stream(t, c), event(t, c), function(t, c, "planted_barrier")
		all.Go(func() {
			for range 20 {
				if err := steps(c, s, e, f, time.Minute); err != nil {
					t.Error(err)
				}
				runtime.Gosched()
			}
		})
	}
	all.Wait()
}

// BenchmarkRun is what handing over a list costs, without what is done: a hundred launches are captured and thrown away.
func BenchmarkRun(b *testing.B) {
	simulated(b)
	c := open(b, 0)
	s, f := stream(b, c), function(b, c, "planted_barrier")
	x := alloc(b, c, 1024)
	for b.Loop() {
		var l List
		for range 100 {
			reverse(&l, f, x, x)
		}
		g, err := s.Capture(&l)
		if err != nil {
			b.Fatal(err)
		}
		g.Close()
	}
}

// What somebody else has is not free, for this process or any other, until he gives it back.
func TestMemoryThatOthersTake(t *testing.T) {
	shared := filepath.Join(t.TempDir(), "gpus")
	if !sim.Apart(t, sim.EnvShared+"="+shared) {
		return
	}
	d := simulated(t)
	c := open(t, 1)
	has := func(want int64) {
		t.Helper()
		if free, total, err := c.MemInfo(); err != nil || free != want || total != 2<<20 {
			t.Errorf("%d of %d bytes are free, want %d: %v", free, total, want, err)
		}
	}
	has(2 << 20)
	p := alloc(t, c, 512<<10)
	d.Control("taken 1MiB device=1")
	has(512 << 10)
	if _, err := c.Alloc(768 << 10); !OutOfMemory(err) {
		t.Errorf("what another has was given: %v", err)
	}
	d.Control("taken 0 device=1")
	has(1536 << 10)
	others := sim.Share(t, os.Getenv(sim.EnvShared))
	if used, peak := others.Used(1); used != 512<<10 || peak != 1536<<10 {
		t.Errorf("the file says that %d are used and that %d were", used, peak)
	}
	if err := c.Free(p); err != nil {
		t.Fatal(err)
	}
	if used, _ := others.Used(1); used != 0 {
		t.Errorf("the file says that %d are used", used)
	}
}

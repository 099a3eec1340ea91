//go:build cuda && cgo

package driver

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda/kernels/sim"
)

// The tests run against the software driver, which each process loads once: what breaks a device, or needs others, has a process of its
// own.

const simulatedDevices = "8MiB 2MiB 8MiB"

var software = sync.OnceValues(func() (string, error) {
	root := filepath.Join("..", "..", "kernels", "sim", "testdata")
	var kernels []string
	for _, name := range []string{"planted.cu", "primitives.cu"} {
		path, err := filepath.Abs(filepath.Join(root, name))
		if err != nil {
			return "", err
		}
		kernels = append(kernels, path)
	}
	return sim.Build(sim.Options{Kernels: kernels})
})

// simulated makes the software driver this process's.
func simulated(t testing.TB) *sim.Driver {
	t.Helper()
	path, err := software()
	if errors.Is(err, exec.ErrNotFound) {
		t.Skipf("capability: g++ and make, which build the software driver: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	os.Setenv(EnvLibrary, path) // for the process: a driver is loaded once
	if os.Getenv("PIO_SIM_DEVICES") == "" {
		os.Setenv("PIO_SIM_DEVICES", simulatedDevices)
	}
	d, err := sim.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	d.Control("calm; time late; copies late; order 0")
	return d
}

// apart runs the test again in a process of its own with more in its environment, and is true there.
func apart(t *testing.T, environment ...string) bool {
	t.Helper()
	if os.Getenv("PIO_TEST_APART") == t.Name() {
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$", "-test.v")
	cmd.Env = append(append(os.Environ(), "PIO_TEST_APART="+t.Name()), environment...)
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), "--- SKIP") {
		t.Skipf("capability: what the test needs: %s", out)
	}
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

func open(t testing.TB, ordinal int) *Context {
	t.Helper()
	c, err := Open(ordinal)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func stream(t testing.TB, c *Context) *Stream {
	t.Helper()
	s, err := c.NewStream()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func event(t testing.TB, c *Context) *Event {
	t.Helper()
	e, err := c.NewEvent(false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func alloc(t testing.TB, c *Context, bytes int64) unsafe.Pointer {
	t.Helper()
	p, err := c.Alloc(bytes)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// pinned gives n numbers in pinned memory.
func pinned(t testing.TB, c *Context, n int) []float32 {
	t.Helper()
	b, err := c.Pinned(int64(4 * n))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.FreePinned(b) })
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), n)
}

func at(s []float32) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(s)) }

// ptx is what the software driver reads of a module: which kernels it has.
func ptx(kernels ...string) []byte {
	text := ".version 7.4\n.target sm_80\n.address_size 64\n"
	for _, k := range kernels {
		text += ".visible .entry " + k + "(\n)\n{\nret;\n}\n"
	}
	return []byte(text)
}

func function(t testing.TB, c *Context, kernel string) *Function {
	t.Helper()
	m, err := c.LoadModule(ptx(kernel))
	if err != nil {
		t.Fatal(err)
	}
	f, err := m.Function(kernel, 0)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func run(t testing.TB, s *Stream, l *List) {
	t.Helper()
	if err := s.Run(l); err != nil {
		t.Fatal(err)
	}
}

func synchronize(t testing.TB, s *Stream) {
	t.Helper()
	if err := s.Synchronize(); err != nil {
		t.Fatal(err)
	}
}

// reverse adds the kernel that reverses 256 numbers.
func reverse(l *List, f *Function, to, from unsafe.Pointer) {
	op := new(sim.Op).In(from, sim.F32, 256).Out(to, sim.F32, 256)
	l.Launch(f, [3]int32{1, 1, 1}, 256, 0, op.Pointer(), op.Size())
}

func count(s []float32, from int) {
	for i := range s {
		s[i] = float32(from + i)
	}
}

func TestWithoutADriverProbeSaysWhy(t *testing.T) {
	if !apart(t, EnvLibrary+"=/nowhere/libcuda.so.1") {
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
	if !apart(t, EnvLibrary+"=libm.so.6") {
		return
	}
	if err := Probe(); err == nil || !strings.Contains(err.Error(), "libm.so.6 has no cuInit") {
		t.Errorf("Probe: %v", err)
	}
}

func TestADriverThatDoesNotStart(t *testing.T) {
	if !apart(t, "PIO_SIM_INIT=999") {
		return
	}
	simulated(t)
	var e *Error
	if err := Probe(); !errors.As(err, &e) || e.Call != "cuInit" || e.Code != 999 || !Lost(err) {
		t.Errorf("Probe: %v", err)
	}
}

func TestAnOldDriverIsRefused(t *testing.T) {
	if !apart(t, "PIO_SIM_VERSION=11020") {
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
		Shared: 227 << 10, SharedAll: 228 << 10, Threads: 2048, L2: 50 << 20, Memory: 2 << 20, CopyEngines: 3, Pools: true, Driver: 13000}
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

// times are the ways in which the software driver may do its work.
var times = []string{"time late; copies late", "time late; copies early", "time random; copies mixed; order 7", "time threads; copies late"}

// Numbers are copied in, reversed three times by kernels, copied on, reversed and copied out; the list's memory may be used again as soon as it is run.
func TestListsRunInOrder(t *testing.T) {
	d := simulated(t)
	c := open(t, 0)
	f := function(t, c, "planted_barrier")
	for _, way := range times {
		d.Control(way)
		s := stream(t, c)
		in, out := pinned(t, c, 256), pinned(t, c, 256)
		count(in, 1)
		x, y, z := alloc(t, c, 1024), alloc(t, c, 1024), alloc(t, c, 1024)
		var l List
		l.CopyIn(x, at(in), 1024)
		reverse(&l, f, y, x)
		reverse(&l, f, x, y)
		reverse(&l, f, y, x)
		l.Copy(z, y, 1024)
		l.Set(z, 0, 4)
		reverse(&l, f, y, z)
		l.CopyOut(at(out), y, 1024)
		run(t, s, &l)
		l.Reset()
		l.Set(x, 1, 1024) // the same memory of the list: what it held has been taken
		run(t, s, &l)
		synchronize(t, s)
		for i, v := range out {
			if want := float32(1+i) * float32(min(1, 255-i)); v != want {
				t.Fatalf("%s: element %d is %g, want %g", way, i, v, want)
			}
		}
		if done, err := s.Done(); !done || err != nil {
			t.Errorf("%s: %v, %v after it was waited for", way, done, err)
		}
		for _, p := range []unsafe.Pointer{x, y, z} {
			if err := c.Free(p); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// fill copies numbers to x on one stream, and another reverses them to y and copies that out. wait is whether it waits for the first.
func fill(t *testing.T, c *Context, f *Function, wait bool) []float32 {
	t.Helper()
	first, second, e := stream(t, c), stream(t, c), event(t, c)
	in, out := pinned(t, c, 256), pinned(t, c, 256)
	count(in, 1)
	x, y := alloc(t, c, 1024), alloc(t, c, 1024)
	var l List
	l.CopyIn(x, at(in), 1024)
	l.Record(e)
	run(t, first, &l)
	l.Reset()
	if wait {
		l.Wait(e)
	}
	reverse(&l, f, y, x)
	l.CopyOut(at(out), y, 1024)
	run(t, second, &l)
	synchronize(t, second)
	synchronize(t, first)
	return out
}

func TestAMissingWaitIsFound(t *testing.T) {
	d := simulated(t)
	c := open(t, 0)
	f := function(t, c, "planted_barrier")
	for _, way := range times {
		d.Control(way)
		for i, v := range fill(t, c, f, true) {
			if v != float32(256-i) {
				t.Fatalf("%s: with the wait, element %d is %g", way, i, v)
			}
		}
	}
	d.Control("time late; copies late")
	if out := fill(t, c, f, false); out[0] == 256 || out[255] == 1 {
		t.Errorf("without the wait the numbers are there: %v", out[:4])
	}
}

func TestAHostThatDoesNotWaitSeesNothing(t *testing.T) {
	d := simulated(t)
	c := open(t, 0)
	s := stream(t, c)
	in, out := pinned(t, c, 256), pinned(t, c, 256)
	count(in, 1)
	count(out, 1000)
	x := alloc(t, c, 1024)
	var l List
	l.CopyIn(x, at(in), 1024)
	l.CopyOut(at(out), x, 1024)
	d.Control("copies late")
	run(t, s, &l)
	if out[0] != 1000 {
		t.Error("the copy is there before anyone waited")
	}
	in[0] = 77 // too soon: the copy has not read it
	synchronize(t, s)
	if out[0] != 77 || out[1] != 2 {
		t.Errorf("a late copy read %g, %g", out[0], out[1])
	}
	in[0] = 1
	d.Control("copies early")
	run(t, s, &l)
	in[0] = 77
	synchronize(t, s)
	if out[0] != 1 {
		t.Errorf("an early copy read %g", out[0])
	}
	pageable := make([]float32, 256) // has been read when Run returns, and been written
	count(pageable, 5)
	l.Reset()
	l.CopyIn(x, at(pageable), 1024)
	d.Control("copies late")
	run(t, s, &l)
	clear(pageable)
	l.Reset()
	l.CopyOut(at(pageable), x, 1024)
	run(t, s, &l)
	if pageable[0] != 5 || pageable[255] != 260 {
		t.Errorf("memory that is not pinned: %g, %g", pageable[0], pageable[255])
	}
}

func TestEventsHappen(t *testing.T) {
	d := simulated(t)
	c := open(t, 0)
	for _, way := range times {
		d.Control(way)
		s, e := stream(t, c), event(t, c)
		if done, err := e.Happened(); !done || err != nil {
			t.Errorf("%s: an event that was never recorded: %v, %v", way, done, err)
		}
		x := alloc(t, c, 1024)
		var l List
		for range 5 {
			l.Set(x, 0, 1024)
		}
		l.Record(e)
		run(t, s, &l)
		for done := false; !done; {
			var err error
			if done, err = e.Happened(); err != nil {
				t.Fatal(err)
			}
		}
		run(t, s, &l)
		if err := e.Wait(time.Minute); err != nil {
			t.Error(err)
		}
	}
	d.Control("time late")
	from, to := must(c.NewEvent(true)), must(c.NewEvent(true))
	s := stream(t, c)
	var l List
	l.Record(from)
	l.Record(to)
	run(t, s, &l)
	if _, err := from.Elapsed(to); err == nil {
		t.Error("the time between events that have not happened is known")
	}
	synchronize(t, s)
	if d, err := from.Elapsed(to); err != nil || d < 0 || d > time.Minute {
		t.Errorf("%v, %v", d, err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestGraphsAreLaunchedAgain(t *testing.T) {
	d := simulated(t)
	c := open(t, 0)
	f := function(t, c, "planted_barrier")
	for _, way := range times {
		d.Control(way)
		s := stream(t, c)
		in, out := pinned(t, c, 256), pinned(t, c, 256)
		x, y, z := alloc(t, c, 1024), alloc(t, c, 1024), alloc(t, c, 1024)
		body := func(to unsafe.Pointer) *List {
			var l List
			l.CopyIn(x, at(in), 1024)
			reverse(&l, f, to, x)
			return &l
		}
		g := must(s.Capture(body(y)))
		once := func(from unsafe.Pointer, begin int) {
			t.Helper()
			count(in, begin)
			var l List
			l.Graph(g)
			l.CopyOut(at(out), from, 1024)
			run(t, s, &l)
			synchronize(t, s)
			if out[0] != float32(begin+255) || out[255] != float32(begin) {
				t.Errorf("%s: %g .. %g, want %d .. %d", way, out[0], out[255], begin+255, begin)
			}
		}
		before := d.Counts().Graphs
		once(y, 1)
		once(y, 1000)
		if did, err := g.Update(s, body(z)); !did || err != nil {
			t.Fatalf("%s: update: %v, %v", way, did, err)
		}
		once(z, 50)
		if n := d.Counts().Graphs - before; n != 3 {
			t.Errorf("%s: %d launches of graphs", way, n)
		}
		longer := body(y)
		longer.Set(x, 0, 4)
		if did, err := g.Update(s, longer); did || err != nil {
			t.Errorf("%s: an update with more commands: %v, %v", way, did, err)
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestACaptureThatCannotBe(t *testing.T) {
	simulated(t)
	c := open(t, 0)
	s, other, e := stream(t, c), stream(t, c), event(t, c)
	x := alloc(t, c, 1024)
	var l List
	l.Record(e)
	run(t, other, &l)
	l.Reset()
	l.Set(x, 0, 4)
	l.Wait(e)
	var known *Error
	if _, err := s.Capture(&l); !errors.As(err, &known) || known.Name != "CUDA_ERROR_STREAM_CAPTURE_ISOLATION" || !strings.Contains(known.Text, "command 2 of 2, wait for an event") {
		t.Errorf("a wait for work outside: %v", err)
	}
	if _, err := s.Capture(new(List)); err == nil {
		t.Error("a graph of nothing")
	}
	l.Reset()
	l.Set(x, 7, 1024)
	run(t, s, &l) // the stream is as before
	synchronize(t, s)
}

func TestCommandsThatAreRefusedAreNamed(t *testing.T) {
	simulated(t)
	c := open(t, 0)
	s := stream(t, c)
	f := function(t, c, "planted_barrier")
	x := alloc(t, c, 1024)
	var l List
	l.Set(x, 0, 4)
	op := new(sim.Op)
	l.Launch(f, [3]int32{1, 1, 1}, 512, 0, op.Pointer(), op.Size())
	var e *Error
	if err := s.Run(&l); !errors.As(err, &e) || e.Call != "cuLaunchKernel" || !strings.Contains(e.Text, "command 2 of 2, planted_barrier") || Lost(err) {
		t.Errorf("%v", err)
	}
	synchronize(t, s)
}

// The driver's own faults break the device for good, so each has a process.
func TestWhatAKernelMustNotDoIsFound(t *testing.T) {
	for _, kernel := range []string{"planted_bounds", "planted_far", "planted_shuffle"} {
		t.Run(kernel, func(t *testing.T) {
			if !apart(t) {
				return
			}
			simulated(t)
			c := open(t, 0)
			s := stream(t, c)
			f := function(t, c, kernel)
			x, y := alloc(t, c, 128), alloc(t, c, 128)
			if kernel == "planted_bounds" {
				y = alloc(t, c, 100)
			}
			for _, mistake := range []int{0, 1} {
				var l List
				op := new(sim.Op).In(x, sim.F32, 25).Out(y, sim.F32, 25).P(mistake)
				l.Launch(f, [3]int32{1, 1, 1}, 32, 0, op.Pointer(), op.Size())
				run(t, s, &l)
				err := s.Synchronize()
				if mistake == 0 && err != nil {
					t.Fatalf("without its mistake: %v", err)
				}
				if mistake == 1 && (!Lost(err) || !strings.Contains(err.Error(), "kernel "+kernel)) {
					t.Fatalf("with its mistake: %v", err)
				}
			}
			if _, err := c.Alloc(1024); !Lost(err) {
				t.Errorf("after that: %v", err)
			}
			if err := open(t, 1).EnablePeer(open(t, 2)); err != nil {
				t.Errorf("another device: %v", err)
			}
		})
	}
}

// shared is memory that one stream is given and another uses; freed without the one's waiting for the other.
func TestUseAfterFreeOnAnotherStreamIsFound(t *testing.T) {
	for _, wait := range []bool{true, false} {
		t.Run(fmt.Sprintf("wait %v", wait), func(t *testing.T) {
			if !apart(t) {
				return
			}
			simulated(t)
			c := open(t, 0)
			f := function(t, c, "planted_barrier")
			owner, user := stream(t, c), stream(t, c)
			ready, used := event(t, c), event(t, c)
			out := alloc(t, c, 1024)
			p := must(c.AllocAsync(owner, 1024))
			var l List
			l.Set(p, 0, 1024)
			l.Record(ready)
			run(t, owner, &l)
			l.Reset()
			l.Wait(ready)
			reverse(&l, f, out, p)
			l.Record(used)
			run(t, user, &l)
			l.Reset()
			if wait {
				l.Wait(used)
			}
			l.Free(p)
			run(t, owner, &l)
			if err := owner.Synchronize(); err != nil {
				t.Fatal(err)
			}
			err := user.Synchronize()
			if wait && err != nil {
				t.Errorf("with the wait: %v", err)
			}
			if !wait && (!Lost(err) || !strings.Contains(err.Error(), "kernel planted_barrier is given in[0]") || !strings.Contains(err.Error(), "was freed")) {
				t.Errorf("without the wait: %v", err)
			}
		})
	}
}

// What an op does not say it is given is found as well, by the page.
func TestUseAfterFreeBehindAPointerIsFound(t *testing.T) {
	if !apart(t) {
		return
	}
	simulated(t)
	c := open(t, 0)
	s, f := stream(t, c), function(t, c, "planted_far")
	x, y := alloc(t, c, 8<<10), alloc(t, c, 8<<10)
	if err := c.Free(x); err != nil {
		t.Fatal(err)
	}
	var l List
	op := new(sim.Op).Out(y, sim.F32, 25).Hidden(x, sim.F32, 25)
	l.Launch(f, [3]int32{1, 1, 1}, 32, 0, op.Pointer(), op.Size())
	run(t, s, &l)
	if err := s.Synchronize(); !Lost(err) || !strings.Contains(err.Error(), "kernel planted_far touches") || !strings.Contains(err.Error(), "which was freed: it was in 8192 bytes of device 0") {
		t.Errorf("%v", err)
	}
}

func TestDevicesCopyToEachOther(t *testing.T) {
	d := simulated(t)
	a, b := open(t, 0), open(t, 2)
	for _, way := range times {
		d.Control(way)
		sa, sb, e := stream(t, a), stream(t, b), event(t, a)
		in, out := pinned(t, a, 256), pinned(t, a, 256)
		count(in, 1)
		x, y := alloc(t, a, 1024), alloc(t, b, 1024)
		var l List
		l.CopyIn(x, at(in), 1024)
		l.CopyPeer(b, y, a, x, 1024)
		l.Record(e)
		run(t, sa, &l)
		l.Reset()
		l.Wait(e) // of another device
		l.CopyOut(at(out), y, 1024)
		run(t, sb, &l)
		synchronize(t, sb)
		if !slices.Equal(in, out) {
			t.Fatalf("%s: %v", way, out[:4])
		}
	}
	if !a.CanAccessPeer(b) || a.CanAccessPeer(a) {
		t.Error("who can access whom")
	}
}

func TestAForeignDevicesMemoryIsFound(t *testing.T) {
	for _, peers := range []bool{true, false} {
		t.Run(fmt.Sprintf("peers %v", peers), func(t *testing.T) {
			if !apart(t) {
				return
			}
			simulated(t)
			a, b := open(t, 0), open(t, 1)
			if peers {
				if err := errors.Join(a.EnablePeer(b), a.EnablePeer(b)); err != nil {
					t.Fatal(err)
				}
			}
			s, f := stream(t, a), function(t, a, "planted_barrier")
			var l List
			reverse(&l, f, alloc(t, a, 1024), alloc(t, b, 1024))
			run(t, s, &l)
			err := s.Synchronize()
			if peers && err != nil {
				t.Error(err)
			}
			if !peers && (!Lost(err) || !strings.Contains(err.Error(), "memory of device 1, which device 0 has no access to")) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestFailuresAreTyped(t *testing.T) {
	for _, x := range []struct {
		name, control, says   string
		lost, memory, timeout bool
	}{
		{"a device that is gone", "fail kernel after=1 error=999", "unknown error: kernel planted_barrier was told to fail", true, false, false},
		{"a kernel's fault", "fail kernel name=planted_barrier after=1 error=719", "unspecified launch failure", true, false, false},
		{"a copy's fault", "fail copy after=1 error=719", "a copy was told to fail", true, false, false},
		{"a hung kernel", "fail kernel after=1 hang=1", "has not ended within 300ms", true, false, true},
		{"a launch that is refused", "fail launch after=1 error=701", "too many resources requested for launch", false, false, false},
		{"no memory", "fail alloc", "out of memory", false, true, false},
	} {
		for _, way := range times[1:] {
			t.Run(x.name+" "+strings.Fields(way)[1], func(t *testing.T) {
				if !apart(t) {
					return
				}
				d := simulated(t)
				d.Control(way)
				c := open(t, 0)
				s, e, f := stream(t, c), event(t, c), function(t, c, "planted_barrier")
				d.Control(x.control)
				limit := time.Minute
				if x.timeout {
					limit = 300 * time.Millisecond
				}
				err := steps(c, s, e, f, limit)
				if err == nil || !strings.Contains(err.Error(), x.says) || Lost(err) != x.lost || OutOfMemory(err) != x.memory {
					t.Errorf("%v (lost %v, out of memory %v)", err, Lost(err), OutOfMemory(err))
				}
				if !x.lost {
					if err := steps(c, s, e, f, limit); err != nil {
						t.Errorf("after it: %v", err)
					}
				}
			})
		}
	}
}

// steps does a few things on a device as an engine does: copies, kernels, a wait that gives up.
func steps(c *Context, s *Stream, e *Event, f *Function, limit time.Duration) error {
	x, err := c.Alloc(1024)
	if err != nil {
		return err
	}
	in := make([]float32, 256)
	for range 4 {
		var l List
		l.CopyIn(x, at(in), 1024)
		reverse(&l, f, x, x)
		l.Record(e)
		if err := s.Run(&l); err != nil {
			return err
		}
		if err := e.Wait(limit); err != nil {
			return err
		}
	}
	return c.Free(x)
}

// A process that is started again after a failure does not meet it again, if so asked.
func TestAFailureHappensOnce(t *testing.T) {
	d := simulated(t)
	c := open(t, 0)
	d.Control("fail alloc once=" + filepath.Join(t.TempDir(), "failed"))
	if _, err := c.Alloc(256); !OutOfMemory(err) {
		t.Error(err)
	}
	if _, err := c.Alloc(256); err != nil {
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

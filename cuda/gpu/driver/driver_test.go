//go:build cuda && cgo

package driver

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
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

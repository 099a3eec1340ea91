// Package sim is the software driver for tests: NVIDIA's entry points over devices that are memory of this process, whose kernels are the
// .cu files of the folder above, compiled by g++. It is a kit; nothing that is shipped imports it.
//
// A test names the library that Library builds in the environment (driver.EnvLibrary) before the first call of the driver. Devices and
// failures are set in the environment as well, or by Control; runtime/control.cpp has the words.
package sim

// #cgo CFLAGS: -I${SRCDIR}/.. -std=gnu11 -Wall
// #cgo LDFLAGS: -ldl
// #include "op.h"
// #include <dlfcn.h>
// #include <stdlib.h>
//
// static int pio_launch(void *f, const char *kernel, const unsigned grid[3], unsigned threads, unsigned shared, const pio_op *op) {
//   return ((int (*)(const char *, const unsigned *, unsigned, unsigned, const pio_op *))f)(kernel, grid, threads, shared, op);
// }
// static const char *pio_text(void *f) { return ((const char *(*)(void))f)(); }
// static void pio_tell(void *f, const char *text) { ((void (*)(const char *))f)(text); }
// static void pio_ask(void *f, unsigned long long *to) { ((void (*)(unsigned long long *))f)(to); }
import "C"

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"
)

// Options are what a library is made of.
type Options struct {
	Kernels []string // .cu files; nil: those of cuda/kernels
	Flags   string   // more for the compiler
}

// EnvFlags has more for the compiler of every library, as -fsanitize=address for tests that go test runs with -asan.
const EnvFlags = "PIO_SIM_FLAGS"

// EnvSources names another folder like cuda/kernels that every library is made of: `make mutants` plants its faults there, since no overlay of the go
// command is seen by g++.
const EnvSources = "PIO_SIM_SOURCES"

// Library builds the software driver, or takes it as it was built before, and gives its path. The test is skipped where there is no g++.
func Library(t testing.TB, o Options) string {
	t.Helper()
	path, err := Build(o)
	if errors.Is(err, exec.ErrNotFound) {
		t.Skipf("capability: g++ and make, which build the software driver: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Build is Library for who has no test yet. A process builds each library once: whatever it does later is done by the same.
func Build(o Options) (string, error) {
	key := fmt.Sprint(o, os.Getenv(EnvFlags), os.Getenv(EnvSources))
	once, _ := built.LoadOrStore(key, sync.OnceValues(func() (string, error) { return build(o) }))
	return once.(func() (string, error))()
}

var built sync.Map // func() (path string, err error), by options

func build(o Options) (string, error) {
	for _, tool := range []string{"g++", "make"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", err
		}
	}
	o.Flags = strings.TrimSpace(o.Flags + " " + os.Getenv(EnvFlags))
	folder, err := here()
	if err != nil {
		return "", err
	}
	if err := read(folder); err != nil {
		return "", err
	}
	out, unlock, err := cache(folder, o)
	if err != nil {
		return "", err
	}
	defer unlock()
	args := []string{"-C", folder, fmt.Sprintf("-j%d", runtime.NumCPU()), "OUT=" + out, "FLAGS=" + o.Flags}
	if o.Kernels != nil {
		args = append(args, "KERNELS="+strings.Join(o.Kernels, " "))
	}
	make := exec.Command("make", args...)
	make.Env = append(os.Environ(), "MAKEFLAGS=") // a make that runs the tests has none to share
	if said, err := make.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the software driver: %w\n%s", err, bytes.TrimSpace(said))
	}
	return filepath.Join(out, "libcudasim.so"), nil
}

// here is this package's folder, or that of other sources. A test runs in its own package's; binaries do not know where they were built.
func here() (string, error) {
	if sources := os.Getenv(EnvSources); sources != "" {
		folder := filepath.Join(sources, "sim")
		_, err := os.Stat(filepath.Join(folder, "device.h"))
		return folder, err
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		folder := filepath.Join(dir, "cuda", "kernels", "sim")
		if _, err := os.Stat(filepath.Join(folder, "device.h")); err == nil {
			return folder, nil
		}
		if up := filepath.Dir(dir); up != dir {
			dir = up
			continue
		}
		return "", errors.New("building the software driver: the test does not run in a folder of this repository")
	}
}

// read opens what the library is made of, so that go test knows that a test depends on it.
func read(folder string) error {
	for _, pattern := range []string{"Makefile", "*.h", "runtime/*", "testdata/*.cu", "../*.cu", "../*.cuh", "../*.h"} {
		names, err := filepath.Glob(filepath.Join(folder, pattern))
		if err != nil {
			return err
		}
		for _, name := range names {
			if _, err := os.ReadFile(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// cache is a folder for what is built of these sources with these options, which nobody else builds in until unlock.
func cache(folder string, o Options) (out string, unlock func(), err error) {
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir()
	}
	key := sha256.Sum256([]byte(strings.Join(append(append([]string{folder}, o.Kernels...), o.Flags), "\x00")))
	out = filepath.Join(base, "inference-pio", "sim", fmt.Sprintf("%x", key[:8]))
	if err := os.MkdirAll(out, 0o755); err != nil {
		return "", nil, err
	}
	f, err := os.OpenFile(filepath.Join(out, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return "", nil, err
	}
	return out, func() { f.Close() }, nil
}

// Apart runs a test again in a process of its own, which it may leave in any state, with more in its environment; it is true there.
func Apart(t *testing.T, environment ...string) bool {
	t.Helper()
	const name = "PIO_TEST_APART"
	if os.Getenv(name) == t.Name() {
		return true
	}
	args := []string{"-test.run=^" + strings.ReplaceAll(regexp.QuoteMeta(t.Name()), "/", "$/^") + "$", "-test.v"}
	flag.Visit(func(f *flag.Flag) { // what rapid is to draw
		if strings.HasPrefix(f.Name, "rapid.") {
			args = append(args, "-"+f.Name+"="+f.Value.String())
		}
	})
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(append(os.Environ(), name+"="+t.Name()), environment...)
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), "--- SKIP") {
		t.Skipf("capability: what the test needs: %s", out)
	}
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// Driver is the loaded library, beside whoever else has loaded it.
type Driver struct {
	handle unsafe.Pointer
	known  sync.Map // of symbols, by name
}

// Load loads a library that Library built.
func Load(path string) (*Driver, error) {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	h := C.dlopen(name, C.RTLD_NOW|C.RTLD_LOCAL)
	if h == nil {
		return nil, errors.New(C.GoString(C.dlerror()))
	}
	return &Driver{handle: h}, nil
}

func (d *Driver) symbol(name string) unsafe.Pointer {
	if at, ok := d.known.Load(name); ok {
		return at.(unsafe.Pointer)
	}
	text := C.CString(name)
	defer C.free(unsafe.Pointer(text))
	at := C.dlsym(d.handle, text)
	d.known.Store(name, at)
	return at
}

// Control asks something of the driver: see runtime/control.cpp.
func (d *Driver) Control(command string) {
	text := C.CString(command)
	defer C.free(unsafe.Pointer(text))
	C.pio_tell(d.symbol("pio_sim_control"), text)
}

// Counts is what a driver has done since it was loaded. Registered is how many bytes of the process are registered now, and BytesRegistered those of BytesIn that
// were read there.
type Counts struct {
	Kernels, Graphs, CopiesIn, CopiesOut, Waits, Captures, BytesIn, BytesOut, BytesRegistered, Registered uint64
}

// Counts tells what has been done. Waits are calls that wait for a stream or an event until it is done.
func (d *Driver) Counts() Counts {
	var c Counts
	C.pio_ask(d.symbol("pio_sim_count"), (*C.ulonglong)(unsafe.Pointer(&c)))
	return c
}

// Launch runs a kernel on memory of this process, without devices and streams.
func (d *Driver) Launch(kernel string, grid [3]uint32, threads, shared int, op *Op) error {
	name := C.CString(kernel)
	defer C.free(unsafe.Pointer(name))
	runtime.LockOSThread() // the error is the thread's
	defer runtime.UnlockOSThread()
	g := (*C.uint)(unsafe.Pointer(&grid[0]))
	if C.pio_launch(d.symbol("pio_sim_launch"), name, g, C.uint(threads), C.uint(shared), &op.c) == 0 {
		return nil
	}
	return errors.New(C.GoString(C.pio_text(d.symbol("pio_sim_error"))))
}

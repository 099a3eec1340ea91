package sim

// #include "op.h"
// #include <stdlib.h>
//
// static double pio_now(void *f) { return ((double (*)(void))f)(); }
// static void pio_set(void *f, double now) { ((void (*)(double))f)(now); }
// static void pio_compute(void *f, double bytes, double ns) { ((void (*)(double, double))f)(bytes, ns); }
// static void pio_begin(void *f) { ((void (*)(void))f)(); }
// static unsigned long long pio_peak(void *f, int device) { return ((unsigned long long (*)(int))f)(device); }
// static void pio_work(void *f, const char *code, const void *op, double to[2]) { ((void (*)(const char *, const pio_op *, double *))f)(code, op, to); }
// static void pio_link(void *f, int device, double to[2]) { ((void (*)(int, double *))f)(device, to); }
// static const char *pio_kernels(void *f) { return ((const char *(*)(void))f)(); }
// static void pio_route(void *f, const void *op) { ((void (*)(const pio_op *))f)(op); }
// static void pio_routing(void *f, int layers, double skew, unsigned long long seed) {
//   ((void (*)(int, double, unsigned long long))f)(layers, skew, seed);
// }
import "C"

import (
	"fmt"
	"strings"
	"time"
	"unsafe"
)

// virtual.go is time that is counted: see runtime/clock.cpp and runtime/cost.cpp. What is asked for here holds for all devices of the driver,
// once it was told "time virtual".

// Now is the host's time.
func (d *Driver) Now() time.Duration { return time.Duration(C.pio_now(d.symbol("pio_sim_now"))) }

// Set has the host go on at another time: later, since it has computed something; or earlier, since that happened beside it.
func (d *Driver) Set(now time.Duration) { C.pio_set(d.symbol("pio_sim_set"), C.double(now)) }

// Compute has the host compute for so long, if nobody else has its memory meanwhile, and read so many bytes of that: see `memory` in runtime/driver.h.
func (d *Driver) Compute(bytes float64, alone time.Duration) {
	C.pio_compute(d.symbol("pio_sim_compute"), C.double(bytes), C.double(alone))
}

// Begin has the host's time begin anew. Nothing is under way on any device, and no stream is open that has been used.
func (d *Driver) Begin() { C.pio_begin(d.symbol("pio_sim_begin")) }

// Peak is the most bytes of a device that were given out at once since the last Peak, counted at each allocation.
func (d *Driver) Peak(device int) int64 {
	return int64(C.pio_peak(d.symbol("pio_sim_peak"), C.int(device)))
}

// Link is for what part of the time from the first to the last large copy to a device, since the last Link, the link was busy with them.
func (d *Driver) Link(device int) (share float64, took time.Duration) {
	var to [2]C.double
	C.pio_link(d.symbol("pio_sim_link"), C.int(device), &to[0])
	return float64(to[0]), time.Duration(to[1])
}

// Kernel is what launches of a kernel did: bytes that they read and wrote, each once, operations, and the time that the device's rates allow for these.
type Kernel struct {
	Name         string
	Launches     int
	Bytes, FLOPs float64
	Time         time.Duration
}

// Kernels are those that were launched since the last Kernels, by name.
func (d *Driver) Kernels() (list []Kernel) {
	for line := range strings.Lines(C.GoString(C.pio_kernels(d.symbol("pio_sim_kernels")))) {
		var k Kernel
		var ns float64
		if _, err := fmt.Sscan(line, &k.Name, &k.Launches, &k.Bytes, &k.FLOPs, &ns); err != nil {
			panic("the software driver tells of kernels in other words: " + line)
		}
		k.Time = time.Duration(ns)
		list = append(list, k)
	}
	return list
}

// Work is what an op reads, writes and computes, by its name; op is a pio_op whose addresses this process can read where the numbers of
// positions and experts are.
func (d *Driver) Work(code string, op unsafe.Pointer) (bytes, flops float64) {
	name := C.CString(code)
	defer C.free(unsafe.Pointer(name))
	var to [2]C.double
	C.pio_work(d.symbol("pio_sim_work"), name, op, &to[0])
	return float64(to[0]), float64(to[1])
}

// Routing says how rows are sent to experts where nothing is computed: in models with so many layers of experts, a cache of the experts of a
// layer that were used last has share^skew of those that are needed, for any share of all.
func (d *Driver) Routing(layers int, skew float64, seed uint64) {
	C.pio_routing(d.symbol("pio_sim_routing"), C.int(layers), C.double(skew), C.ulonglong(seed))
}

// Route writes the experts of the next layer's rows, as an op of the CPU that is not computed.
func (d *Driver) Route(op unsafe.Pointer) { C.pio_route(d.symbol("pio_sim_route"), op) }

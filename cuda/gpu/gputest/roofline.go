//go:build cuda && cgo

// roofline.go says what each kernel of a published model moves and computes, and how long an H200 has to take for it.

package gputest

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/gpu"
	"github.com/inference-pio/inference-pio/cuda/gpu/driver"
	"github.com/inference-pio/inference-pio/cuda/kernels/sim"
	"github.com/inference-pio/inference-pio/cuda/kernels/sim/imagined"
	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
)

// EnvRoofline names a file that Bench appends lines of a table to, in place of timing anything: see make roofline.
const EnvRoofline = "PIO_GPU_ROOFLINE"

// h200 has the rates that were seen on one: a copy on the device, read and written, and products of 8192 x 8192 in bf16. Kernels of a graph follow each
// other as published.
var h200 = imagined.Machine{Name: "H200", Memory: 141e9, Link: 54e9, Read: 4.3e12, FLOPS: 50e12, MMA: 790e12, Launch: 2500 * time.Nanosecond,
	Node: 1300 * time.Nanosecond, HostRead: 400e9, HostFLOPS: 5e12, HostCopy: 14e9, HostOp: 2 * time.Microsecond}

// roofline runs a model's steps on an H200 whose time is counted, with plans for its multiprocessors. Nothing is computed.
func roofline(b *testing.B, s nntest.Suite, batches bool) {
	library := sim.Library(b, sim.Options{})
	for name, value := range map[string]string{driver.EnvLibrary: library, "PIO_SIM_DEVICES": fmt.Sprint(h200.Memory), "PIO_SIM_CONTROL": "time virtual;count on",
		"PIO_SIM_MULTIPROCESSORS": "132"} {
		if err := os.Setenv(name, value); err != nil {
			b.Fatal(err)
		}
	}
	if err := driver.Probe(); err != nil {
		b.Fatal(err)
	}
	d, err := sim.Load(library)
	if err != nil {
		b.Fatal(err)
	}
	host := h200.Use(d, 0, true)
	s.On = func(t testing.TB, _ string) cuda.Device {
		g, err := gpu.Open(gpu.Options{Fast: true, Clock: host})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := g.Close(); err != nil {
				t.Error(err)
			}
		})
		return g
	}
	folder, err := os.Getwd()
	if err != nil {
		b.Fatal(err)
	}
	x := nntest.Whole{Batches: []int{1}, Context: 1024, Prompt: 2048}
	if batches {
		x.Batches, x.Prompt = []int{8, 64}, 0
	}
	x.Told = func(b *testing.B, name string, step func()) {
		d.Kernels()
		step()
		appendTo(b, os.Getenv(EnvRoofline), lines(filepath.Base(folder)+", "+name, d.Kernels()))
	}
	s.BenchWhole(b, x)
}

// shown is the part of a step's time from which on a kernel has a line of its own.
const shown = 0.03

// lines are a line for each kernel that matters, and one for all of the step.
func lines(title string, list []sim.Kernel) string {
	var all, rest sim.Kernel
	for _, k := range list {
		all = add(all, k)
	}
	slices.SortFunc(list, func(a, b sim.Kernel) int { return cmp.Or(cmp.Compare(b.Time, a.Time), cmp.Compare(a.Name, b.Name)) })
	var b strings.Builder
	line := func(name string, k sim.Kernel) {
		us := float64(k.Time) / 1e3
		fmt.Fprintf(&b, "| %s | %s | %d | %s | %s | %s | %s | %.0f %% |\n", title, name, k.Launches, digits(k.Bytes/1e6), digits(k.FLOPs/1e9), digits(us), digits(us/float64(k.Launches)),
			100*float64(k.Time)/float64(all.Time))
		title = ""
	}
	for _, k := range list {
		if float64(k.Time) < shown*float64(all.Time) {
			rest = add(rest, k)
			continue
		}
		line(k.Name, k)
	}
	if rest.Launches > 0 {
		line("others", rest)
	}
	line("all", all)
	return b.String()
}

// digits is a number with three of them at least.
func digits(x float64) string {
	switch {
	case x >= 99.5:
		return fmt.Sprintf("%.0f", x)
	case x >= 9.95:
		return fmt.Sprintf("%.1f", x)
	case x >= 0.995:
		return fmt.Sprintf("%.2f", x)
	}
	return fmt.Sprintf("%.3f", x)
}

func add(a, b sim.Kernel) sim.Kernel {
	return sim.Kernel{Launches: a.Launches + b.Launches, Bytes: a.Bytes + b.Bytes, FLOPs: a.FLOPs + b.FLOPs, Time: a.Time + b.Time}
}

func appendTo(t testing.TB, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

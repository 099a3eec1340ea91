//go:build cuda && cgo

package imagined

import (
	"errors"
	"fmt"
	"math"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/gpu"
	"github.com/inference-pio/inference-pio/cuda/gpu/driver"
	"github.com/inference-pio/inference-pio/cuda/kernels/sim"
)

var machine = Machine{Name: "test", Memory: 4 << 30, Link: 10e9, Read: 100e9, FLOPS: 1e12, MMA: 10e12, Launch: 2500 * time.Nanosecond, Node: 1300 * time.Nanosecond,
	HostRead: 50e9, HostFLOPS: 1e12, HostOp: time.Microsecond, HostCopy: 10e9}

// begin has a driver and a GPU in virtual time.
func begin(t *testing.T) (*sim.Driver, *Host, *gpu.Device) {
	t.Helper()
	library := sim.Library(t, sim.Options{})
	for name, value := range map[string]string{driver.EnvLibrary: library, "PIO_SIM_DEVICES": "4GiB", "PIO_SIM_CONTROL": "time virtual;count on"} {
		if err := os.Setenv(name, value); err != nil {
			t.Fatal(err)
		}
	}
	d, err := sim.Load(library)
	if err != nil {
		t.Fatal(err)
	}
	host := machine.Use(d, 0, true)
	g, err := gpu.Open(gpu.Options{Fast: true, Clock: host, Registered: new(gpu.Registered)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return d, host, g
}

// matrix is one in bf16, on the host or a device.
func matrix(t *testing.T, d cuda.Device, rows, cols int) cuda.Matrix {
	t.Helper()
	l := cuda.Plain(cuda.BF16)
	if cuda.OnHost(d) {
		m, err := cuda.HostMatrix(l, rows, cols, make([]byte, 2*rows*cols))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	mem, err := d.Alloc(l.DeviceBytes(rows, cols), cuda.ForWeights)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Free(mem) })
	m, err := l.Lay(d, mem, 0, rows, cols)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func row(t *testing.T, d cuda.Device, n int) cuda.Tensor {
	t.Helper()
	if cuda.OnHost(d) {
		x, err := cuda.HostTensor(make([]byte, 4*n), cuda.F32, 1, n)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	mem, err := d.Alloc(int64(4*n), cuda.ForScratch)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Free(mem) })
	x, err := cuda.DeviceTensor(d, mem, 0, cuda.F32, 1, n)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// near says whether a time is within a part of another.
func near(got time.Duration, want, part float64) bool {
	return math.Abs(got.Seconds()-want) <= part*want
}

// What is known by hand: products read their weights at the rates of host and GPU, copies go at the link's, what runs beside takes no time of
// the caller's before it waits, and a GPU measures what it was told to be.
func TestTimeIsThatOfTheMachine(t *testing.T) {
	sim.Library(t, sim.Options{}) // so that go test knows what the test depends on
	if !sim.Apart(t) {
		return
	}
	d, host, g := begin(t)
	c := cpu.New(1)
	defer c.Close()
	const rows, cols = 8192, 4096
	const bytes = 2.0 * rows * cols
	took := func(f func()) time.Duration {
		began := host.Now()
		f()
		return host.Now() - began
	}
	here, there := host.CPU(c).NewQueue(), g.NewQueue()
	defer there.Close()
	onHost, onGPU := matrix(t, nil, rows, cols), matrix(t, g, rows, cols)
	product := func(q cuda.Queue, w cuda.Matrix, where cuda.Device) func() {
		op := cuda.NewOp(cuda.OpMatMul).Gives(row(t, where, rows)).Takes(row(t, where, cols)).By(w)
		return func() {
			q.Run(op)
			if err := q.Sync(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := took(product(here, onHost, nil)); !near(got, bytes/machine.HostRead, 0.02) {
		t.Errorf("a product on the host takes %v", got)
	}
	d.Kernels()
	if got := took(product(there, onGPU, g)); !near(got, bytes/machine.Read, 0.05) {
		t.Errorf("a product on the GPU takes %v", got)
	}
	const moved = bytes + 4*(rows+cols)
	if got := d.Kernels(); len(got) != 1 || got[0].Name != "matmul_few_bf16_fast" || got[0].Launches != 1 || got[0].Bytes != moved || got[0].FLOPs != 2*rows*cols ||
		!near(got[0].Time, moved/machine.Read, 1e-3) {
		t.Errorf("of one product the driver tells %+v", got)
	}
	if again := d.Kernels(); len(again) > 0 {
		t.Errorf("it tells twice of %+v", again)
	}
	fill := func() error {
		q := g.NewQueue()
		defer q.Close()
		q.Fill(onGPU, onHost)
		return q.Sync()
	}
	if err := fill(); err != nil { // which pins memory
		t.Fatal(err)
	}
	d.Link(0)
	got := took(func() {
		if err := fill(); err != nil {
			t.Fatal(err)
		}
	})
	if share, _ := d.Link(0); share < 0.95 || !near(got, bytes/machine.Link, 0.1) {
		t.Errorf("a copy of %.0f bytes takes %v, and the link for %.2f of it", bytes, got, share)
	}
	var event cuda.Event
	if got := took(func() { event = host.Beside(fill) }); got != 0 || event.Happened() {
		t.Errorf("what runs beside takes %v of the caller", got)
	}
	if got := took(func() {
		product(here, onHost, nil)()
		if err := event.Wait(); err != nil || !event.Happened() {
			t.Error(err)
		}
	}); !near(got, bytes/machine.Link, 0.1) {
		t.Errorf("a copy beside a product takes %v", got)
	}
	if r := g.Rates(); math.Abs(r.Copy/machine.Link-1) > 0.05 || math.Abs(r.Read/machine.Read-1) > 0.05 {
		t.Errorf("the GPU measures %+v", r)
	}
}

// What a step is about to compute with does not wait for a copy that has the link: a kernel reads it, with half of the link, and the next copy is later by
// as much. What is begun anew takes what it took.
func TestAKernelReadsBesideACopy(t *testing.T) {
	sim.Library(t, sim.Options{})
	if !sim.Apart(t) {
		return
	}
	d, host, g := begin(t)
	const rows, cols, length = 8192, 4096, 20000
	onHost, onGPU := matrix(t, nil, rows, cols), matrix(t, g, rows, cols)
	here, there := row(t, nil, length), row(t, g, length)
	fill := func() error {
		q := g.NewQueue()
		defer q.Close()
		q.Fill(onGPU, onHost)
		return q.Sync()
	}
	q := g.NewQueue()
	defer q.Close()
	bring := func() time.Duration {
		began := host.Now()
		q.CopyIn(there, here)
		if err := q.Sync(); err != nil {
			t.Fatal(err)
		}
		return host.Now() - began
	}
	if err := fill(); err != nil { // which pins memory, as this does
		t.Fatal(err)
	}
	bring()
	const takes, besides = 4 * length / 10e9, 16e-6 // on the link; of the host, which copies them to pinned memory as quickly, until the kernel begins and its end is noticed
	alone := bring()
	if alone.Seconds() < takes || alone.Seconds() > takes+besides {
		t.Errorf("alone %v are taken, of which the link has %.1f us", alone, takes*1e6)
	}
	copied := func() time.Duration {
		began := host.Now()
		if err := fill(); err != nil {
			t.Fatal(err)
		}
		return host.Now() - began
	}
	undisturbed := copied()
	event := host.Beside(fill)
	host.pass(1e-3) // in the middle of it
	if beside := bring(); beside.Seconds() < alone.Seconds()+0.9*takes || beside.Seconds() > alone.Seconds()+1.1*takes {
		t.Errorf("beside a copy %v are taken, alone %v", beside, alone)
	}
	if err := event.Wait(); err != nil {
		t.Fatal(err)
	}
	if late := (copied() - undisturbed).Seconds(); late < 0.9*takes || late > 1.1*takes {
		t.Errorf("the next copy is %.1f us later, and the link had %.1f us of the kernel", late*1e6, takes*1e6)
	}
	d.Begin()
	first := copied()
	host.pass(1.2345e-3)
	d.Begin()
	if again := copied(); again != first {
		t.Errorf("begun anew a copy takes %v, and %v before", again, first)
	}
}

// A copy and an op of the host share its memory, of which a copy takes three bytes for each of its own, and from where weights lie one: each has what it asks
// for, or half. Together they have what there is, and what the copy lost makes it later.
func TestACopyAndTheHostShareItsMemory(t *testing.T) {
	sim.Library(t, sim.Options{})
	if !sim.Apart(t) {
		return
	}
	d, host, g := begin(t)
	c := cpu.New(1)
	defer c.Close()
	const rows, cols = 8192, 4096
	const bytes = 2 * rows * cols
	memory, err := unix.Mmap(-1, 0, bytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(memory)
	onHost, err := cuda.HostMatrix(cuda.Plain(cuda.BF16), rows, cols, memory)
	if err != nil {
		t.Fatal(err)
	}
	onGPU := matrix(t, g, rows, cols)
	here := host.CPU(c).NewQueue()
	op := cuda.NewOp(cuda.OpMatMul).Gives(row(t, nil, 512)).Takes(row(t, nil, cols)).By(matrix(t, nil, 512, cols)) // a sixteenth as much
	fill := func() error {
		q := g.NewQueue()
		defer q.Close()
		q.Fill(onGPU, onHost)
		return q.Sync()
	}
	for range 2 { // the second pins memory, too
		first := host.Beside(fill)
		if err := errors.Join(host.Beside(fill).Wait(), first.Wait()); err != nil {
			t.Fatal(err)
		}
	}
	share := func(link, takes float64) {
		t.Helper()
		d.Control(fmt.Sprintf("machine device=0 link=%g", link))
		const first, fills = 4, 40 // the first ones are not late yet
		began, products := host.Now(), 0
		under := []cuda.Event{host.Beside(fill), host.Beside(fill)}
		for n := 0; n < first+fills; {
			here.Run(op)
			products++
			for ; n < first+fills && under[0].Happened(); n++ {
				under = []cuda.Event{under[1], host.Beside(fill)}
				if n == first-1 {
					began, products = host.Now(), 0
				}
			}
		}
		took := (host.Now() - began).Seconds()
		copied, read := fills*bytes/took, float64(products)*(bytes/16)/took
		for _, e := range under {
			if err := e.Wait(); err != nil {
				t.Fatal(err)
			}
		}
		wantCopied := min(link, machine.HostRead/2/takes)
		wantRead := machine.HostRead - takes*wantCopied
		t.Logf("link of %g GB/s, %g bytes for each: %.2f GB/s are copied and %.2f read", link/1e9, takes, copied/1e9, read/1e9)
		if math.Abs(copied/wantCopied-1) > 0.04 || math.Abs(read/wantRead-1) > 0.06 {
			t.Errorf("beside a link of %g GB/s %.2f are copied and %.2f read, not %.2f and %.2f", link/1e9, copied/1e9, read/1e9, wantCopied/1e9, wantRead/1e9)
		}
	}
	for _, link := range []float64{5e9, 10e9, 20e9} { // which ask for 15, 30 and 60 of 50 GB/s
		share(link, 3)
	}
	before := host.Now()
	if err := g.Register(memory); err != nil {
		t.Fatal(err)
	}
	if took := host.Now() - before; !near(took, bytes*0.2e-9, 0.02) {
		t.Errorf("to register %d bytes takes %v", bytes, took)
	}
	for _, link := range []float64{5e9, 20e9, 40e9} {
		share(link, 1)
	}
	if err := g.Unregister(memory); err != nil {
		t.Error(err)
	}
	share(20e9, 3)
	alone := host.Now()
	here.Run(op)
	if got := host.Now() - alone; !near(got, bytes/16/machine.HostRead, 0.02) {
		t.Errorf("with no copy under way an op takes %v", got)
	}
}

package cpu_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
)

// TestPoolServesManyThreadsOfTheSystem: ops come by queues of goroutines locked to threads of their own; the results are those of
// one thread alone.
func TestPoolServesManyThreadsOfTheSystem(t *testing.T) {
	d := newDevice(t, 4, cpu.Tables()[0])
	rng := rand.New(rand.NewPCG(20, 1))
	x, w := random(rng, 5*100), randomMatrix(rng, "bf16", 900, 100)
	want := make([]float32, 5*900)
	newDevice(t, 1, cpu.Tables()[0]).run(t, matmul(want, x, w))
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			y, own := make([]float32, 5*900), device{d.Device, d.NewQueue()}
			defer own.queue.Close()
			for range 200 {
				clear(y)
				if err := own.do(matmul(y, x, w)); err != nil {
					t.Error(err)
					return
				}
			}
			sameBits(t, "a matmul among others", y, want)
		})
	}
	wg.Wait()
}

// TestMoreThreadsThanCores: a caller never waits for a thread that the system has put aside.
func TestMoreThreadsThanCores(t *testing.T) {
	d := newDevice(t, 8*runtime.GOMAXPROCS(0), cpu.Tables()[0])
	x, y, z := make([]float32, 1<<17), make([]float32, 1<<17), make([]float32, 1<<17)
	for i := range x {
		x[i], y[i] = float32(i), 1
	}
	for range 300 {
		d.run(t, add(z, x, y))
	}
	for i := range z {
		if z[i] != float32(i)+1 {
			t.Fatalf("element %d is %g", i, z[i])
		}
	}
}

// TestPoolsComeAndGo leaves no thread behind.
func TestPoolsComeAndGo(t *testing.T) {
	before := threadsNow(t)
	x := make([]float32, 1<<16)
	for range 50 {
		c, err := cpu.Open(cpu.Options{Threads: 4, Table: cpu.Tables()[0]})
		must(t, err)
		d := device{c, c.NewQueue()}
		d.run(t, add(x, x, x))
		must(t, d.Close())
		must(t, d.Close())
	}
	if now := threadsNow(t); now > before+20 { // the Go runtime may have started some of its own
		t.Errorf("there were %d threads and are %d", before, now)
	}
}

// TestIdlePoolSleeps: a moment after an op the threads use next to no processor time.
func TestIdlePoolSleeps(t *testing.T) {
	d := newDevice(t, 2, cpu.Tables()[0])
	x := make([]float32, 1<<17)
	d.run(t, add(x, x, x))
	time.Sleep(20 * time.Millisecond) // the claim is about time that passes with nothing to do
	used := cpuTime(t)
	time.Sleep(200 * time.Millisecond)
	if used = cpuTime(t) - used; used > 20*time.Millisecond { // a spinning thread would use all 200
		t.Errorf("an idle pool used %v in 200ms", used)
	}
}

// changes has another number of a device's threads take part again and again, until it is told to end.
func changes(d *device) (end func()) {
	var stop atomic.Bool
	var changing sync.WaitGroup
	changing.Go(func() {
		for i := 0; !stop.Load(); i++ {
			d.Use(i % 9) // all, 1 to 7, and more than there are
			time.Sleep(time.Duration(i%4) * 20 * time.Microsecond)
		}
	})
	return func() {
		stop.Store(true)
		changing.Wait()
	}
}

// TestThreadsThatTakeNoPartSleep: ops neither wake them nor find them looking out, so that their cores are free for others.
func TestThreadsThatTakeNoPartSleep(t *testing.T) {
	const threads, used = 5, 2
	before := switches(t)
	d := newDevice(t, threads, cpu.Tables()[0])
	x, z := make([]float32, 1<<18), make([]float32, 1<<18)
	work := func() map[string]string {
		for range 50 {
			d.run(t, add(z, x, x))
		}
		now := switches(t)
		for thread := range before {
			delete(now, thread)
		}
		return now
	}
	d.Use(used)
	if n := d.Threads(); n != used {
		t.Errorf("%d threads take part, not %d", n, used)
	}
	for last, began := work(), time.Now(); ; { // they may still be on their way to sleep
		now, asleep := work(), 0
		for thread, n := range now {
			if last[thread] == n {
				asleep++
			}
		}
		if asleep >= threads-used {
			break
		}
		if last = now; time.Since(began) > 20*time.Second {
			t.Fatalf("of %d threads %d slept while %d took part", threads, asleep, used)
		}
	}
	d.Use(0)
	for last, began := work(), time.Now(); ; {
		now, awake := work(), 0
		for thread, n := range now {
			if last[thread] != n {
				awake++
			}
		}
		if awake >= threads-1 {
			break
		}
		if last = now; time.Since(began) > 20*time.Second {
			t.Fatalf("of %d threads %d work again", threads, awake+1)
		}
	}
	must(t, d.Close())
	d.Use(1) // an order that comes too late
}

// switches tells of each of this process's threads how often it has gone to sleep, or was put aside.
func switches(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/status")
	must(t, err)
	list := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		_, list[file], _ = strings.Cut(string(text), "voluntary_ctxt_switches:")
	}
	return list
}

func add(z, x, y []float32) *cuda.Op {
	return cuda.NewOp(cuda.OpAdd).Gives(f32(z)).Takes(f32(x), f32(y))
}

// TestOpsAllocateNothing on the Go heap, whichever they are: of one row, of many, with experts.
func TestOpsAllocateNothing(t *testing.T) {
	d := newDevice(t, 2, cpu.Tables()[0])
	for _, code := range cuda.OpCodes() {
		for _, rows := range []int{1, 70} {
			op := sample(rand.New(rand.NewPCG(21, 1)), code, rows)
			if n := testing.AllocsPerRun(20, func() { d.queue.Run(op) }); n != 0 {
				t.Errorf("%s of %d rows makes %v allocations", code, rows, n)
			}
			must(t, d.queue.Sync())
		}
	}
}

// TestKernelsCanBeForced by the environment, and a table the machine has not is told, not assumed.
func TestKernelsCanBeForced(t *testing.T) {
	t.Setenv(cpu.EnvKernels, "portable")
	if got := cpu.Kernels(); got != "cpu/portable" {
		t.Errorf("forced portable, got %s", got)
	}
	if _, err := cpu.Open(cpu.Options{Table: "abacus"}); err == nil || !strings.Contains(err.Error(), "portable") {
		t.Errorf("an unknown table: %v", err)
	}
}

// TestRatesAreMeasured: positive, and less than no machine reaches.
func TestRatesAreMeasured(t *testing.T) {
	d := cpu.New(2)
	defer d.Close()
	r := d.Rates()
	if r.Read < 1e8 || r.Read > 1e13 {
		t.Errorf("read bandwidth %g bytes/s", r.Read)
	}
	if r.FLOPS < 1e8 || r.FLOPS > 1e14 {
		t.Errorf("peak %g operations/s", r.FLOPS)
	}
	if again := d.Rates(); again != r {
		t.Errorf("measured once more: %v and %v", r, again)
	}
}

func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	must(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// threadsNow counts the threads of this process.
func threadsNow(t *testing.T) int {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(tasks)
}

// TestAPoolHasAsManyThreadsAsTheProcessMayUse: GOMAXPROCS, which a cgroup's share of the processors makes smaller than the
// number of cores. Threads beyond it would only wait for each other.
func TestAPoolHasAsManyThreadsAsTheProcessMayUse(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(runtime.NumCPU() + 1))
	d := cpu.New(0)
	defer d.Close()
	if n := d.Threads(); n != runtime.NumCPU()+1 {
		t.Errorf("%d threads where %d may run", n, runtime.NumCPU()+1)
	}
}

package cpu_test

import (
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/cuda/cpu"
)

// TestPoolServesManyThreadsOfTheSystem: ops come from goroutines locked to threads of their own; the results are those of
// one thread alone.
func TestPoolServesManyThreadsOfTheSystem(t *testing.T) {
	p := newPool(t, 4, cpu.Tables()[0])
	rng := rand.New(rand.NewPCG(20, 1))
	x, w := random(rng, 5*100), randomMatrix(rng, cpu.BF16, 900, 100)
	want := make([]float32, 5*900)
	must(t, newPool(t, 1, cpu.Tables()[0]).MatMul(want, x, w))
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			y := make([]float32, 5*900)
			for range 200 {
				clear(y)
				if err := p.MatMul(y, x, w); err != nil {
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
	p := newPool(t, 8*runtime.GOMAXPROCS(0), cpu.Tables()[0])
	x, y, z := make([]float32, 1<<17), make([]float32, 1<<17), make([]float32, 1<<17)
	for i := range x {
		x[i], y[i] = float32(i), 1
	}
	for range 300 {
		must(t, p.Add(z, x, y))
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
		p, err := cpu.NewPoolWith(4, cpu.Tables()[0])
		must(t, err)
		must(t, p.Add(x, x, x))
		must(t, p.Close())
		must(t, p.Close())
	}
	if now := threadsNow(t); now > before+20 { // the Go runtime may have started some of its own
		t.Errorf("there were %d threads and are %d", before, now)
	}
}

// TestIdlePoolSleeps: a moment after an op the threads use next to no processor time.
func TestIdlePoolSleeps(t *testing.T) {
	p := newPool(t, 2, cpu.Tables()[0])
	x := make([]float32, 1<<17)
	must(t, p.Add(x, x, x))
	time.Sleep(20 * time.Millisecond) // the claim is about time that passes with nothing to do
	used := cpuTime(t)
	time.Sleep(200 * time.Millisecond)
	if used = cpuTime(t) - used; used > 20*time.Millisecond { // a spinning thread would use all 200
		t.Errorf("an idle pool used %v in 200ms", used)
	}
}

// TestOpsAllocateNothing on the Go heap, whatever their size.
func TestOpsAllocateNothing(t *testing.T) {
	p := newPool(t, 2, cpu.Tables()[0])
	s := newScene(rand.New(rand.NewPCG(21, 1)), []int{70}, 2, 2, 16, 16, 64)
	g, y := s.g, make([]float32, len(s.q))
	w := randomMatrix(rand.New(rand.NewPCG(21, 2)), cpu.BF16, 16, 16)
	angles := make([]float32, 70*8*2)
	freqs := make([]float32, 8)
	if n := testing.AllocsPerRun(50, func() {
		p.Embed(y[:32], g.Seqs[:2], w)
		p.MatMul(y[:16], s.q[:16], w)
		p.MatMul(y[:160], s.q[:160], w)
		p.RMSNorm(y[:16], s.q[:16], cpu.Matrix{Ptr: w.Ptr, Type: w.Type, Rows: 1, Cols: 16}, 1e-6, 0)
		p.SwiGLU(y, s.q, s.q)
		p.Add(y, y, s.q)
		p.Angles(angles, g.Positions, cpu.Axes{Count: 1}, freqs, 1)
		p.Rotate(y, s.q, angles, cpu.Heads{Rows: 70, Heads: 4, Dim: 16, Pairs: 8}, false)
		p.CacheWrite(s.k, y[:70*32], g, 16)
		p.Attention(y, s.q, s.k, s.v, g, 4, 16, 16, 1)
		p.Gather(y[:16], s.q, g.Positions[:1], 16)
	}); n != 0 {
		t.Errorf("a chain of ops makes %v allocations", n)
	}
}

// TestKernelsCanBeForced by the environment, and a table the machine has not is told, not assumed.
func TestKernelsCanBeForced(t *testing.T) {
	t.Setenv(cpu.EnvKernels, "portable")
	if got := cpu.Kernels(); got != "cpu/portable" {
		t.Errorf("forced portable, got %s", got)
	}
	if _, err := cpu.NewPoolWith(1, "abacus"); err == nil || !strings.Contains(err.Error(), "portable") {
		t.Errorf("an unknown table: %v", err)
	}
}

// TestRatesAreMeasured: positive, and less than no machine reaches.
func TestRatesAreMeasured(t *testing.T) {
	p := newPool(t, 2, cpu.Tables()[0])
	if r := p.ReadBandwidth(); r < 1e8 || r > 1e13 {
		t.Errorf("read bandwidth %g bytes/s", r)
	}
	if r := p.PeakFLOPS(); r < 1e8 || r > 1e14 {
		t.Errorf("peak %g operations/s", r)
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
	p := cpu.NewPool(0)
	defer p.Close()
	if n := p.Threads(); n != runtime.NumCPU()+1 {
		t.Errorf("%d threads where %d may run", n, runtime.NumCPU()+1)
	}
}

package limits

import (
	"runtime"
	"testing"
)

// What is measured is more than nothing and less than any machine has; how much it is says only the machine.
func TestMeasure(t *testing.T) {
	for _, threads := range []int{1, runtime.GOMAXPROCS(0)} {
		r, err := Measure(threads)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d threads: %.1f GB/s, %.1f GFLOP/s", threads, r.Read/1e9, r.FLOPS/1e9)
		if r.Read < 1e6 || r.Read > 1e14 {
			t.Errorf("%d threads read %g bytes/s", threads, r.Read)
		}
		if rounds, _ := widest(); (rounds != nil) != (r.FLOPS > 0) || r.FLOPS > 1e16 {
			t.Errorf("%d threads: %g FLOP/s, with a loop for this processor: %v", threads, r.FLOPS, rounds != nil)
		}
	}
}

// The byte that is looked for would end the reading early, and the rate would be a dream.
func TestReadRateRefusesWhatItFinds(t *testing.T) {
	data := make([]byte, 1<<16)
	data[5] = 2
	if rate, err := readRate(data, 2); err == nil {
		t.Errorf("%g bytes/s of memory that was not read to its end", rate)
	}
}

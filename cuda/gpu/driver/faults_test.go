//go:build cuda && cgo

package driver

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/cuda/kernels/sim"
)

// What must not be done is found, and what fails is told by its type.

// The driver's own faults break the device for good, so each has a process.
func TestWhatAKernelMustNotDoIsFound(t *testing.T) {
	for _, kernel := range []string{"planted_bounds", "planted_far", "planted_shuffle"} {
		t.Run(kernel, func(t *testing.T) {
			if !sim.Apart(t) {
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
			if !sim.Apart(t) {
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
	if !sim.Apart(t) {
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

func TestAForeignDevicesMemoryIsFound(t *testing.T) {
	for _, peers := range []bool{true, false} {
		t.Run(fmt.Sprintf("peers %v", peers), func(t *testing.T) {
			if !sim.Apart(t) {
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
				if !sim.Apart(t) {
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

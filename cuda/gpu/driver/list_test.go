//go:build cuda && cgo

package driver

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda/kernels/sim"
)

// Lists, streams, events, graphs, copies between devices: in each of the ways in which the software driver may do its work.

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

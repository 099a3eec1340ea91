// Package conformance checks that a plugin keeps the protocol. Each case stands for some of the numbered MUSTs of PROTOCOL.md
// and names the number when it fails.
//
// In a plugin's own test:
//
//	func TestConformance(t *testing.T) {
//		conformance.Run(t, conformance.Config{Binary: bin, Model: "testdata/tiny"})
//	}
//
// `piohost plugin test BIN --model DIR` runs the same cases through [Check].
package conformance

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
)

// Config says what is tested.
type Config struct {
	// Binary is the plugin's file. The case process starts it, by hand and as a host does; it is skipped without one.
	Binary string

	// Start makes a new process, or something that behaves like one, for the other cases. Most call it once or twice. stop
	// ends it. nil is a process of Binary.
	Start func(ctx context.Context) (c *client.Client, stop func(), err error)

	// LastWords tells how the process of c ended, with what it said last; "" if it runs, or ended in order. It may be nil.
	LastWords func(c *client.Client) string

	// Model is a checkpoint the plugin fits, with a tokenizer.
	Model string

	// Load is passed to Load; its Path is set to Model, and Devices to the CPU if there are none.
	Load sdk.LoadRequest

	// Timeout bounds every single call, and whatever is waited for. 0 means a minute.
	Timeout time.Duration
}

// T is the part of *testing.T that a case needs. Fatalf and Skipf end the goroutine.
type T interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// Case is one check. Musts are the numbers of PROTOCOL.md it stands for. Run expects a Config whose Start and Timeout are set,
// as the functions of this package see to.
type Case struct {
	Name  string
	Musts []string
	Run   func(T, Config)
}

// Cases lists all of them, in the order in which a new plugin comes to pass them.
func Cases() []Case {
	return []Case{
		{"process", []string{"P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8", "P9"}, caseProcess},
		{"describe", []string{"D1", "D2"}, caseDescribe},
		{"inspect", []string{"I1", "I2", "I3", "I4", "G7", "E1"}, caseInspect},
		{"load-unload", []string{"L1", "L2", "L3", "L4", "L5", "L6", "S1", "S2", "D3"}, caseLoadUnload},
		{"generate", []string{"G1", "G2", "G3", "G4", "G5", "G6", "G7", "G8", "G9", "G10", "G11"}, caseGenerate},
		{"cancel", []string{"C1", "C2"}, caseCancel},
		{"determinism", []string{"R1", "R2", "R3"}, caseDeterminism},
		{"tools", []string{"T1", "T2", "T3"}, caseTools},
		{"pictures", []string{"V1", "V2", "V3"}, casePictures},
		{"forward", []string{"F1", "F2", "F3", "F4", "F5"}, caseForward},
		{"embed", []string{"B1", "B2", "B3"}, caseEmbed},
	}
}

// Subtests is what *testing.T has beyond T.
type Subtests[S any] interface {
	T
	Run(name string, f func(S)) bool
}

// Run runs all cases as subtests.
func Run[S interface {
	Subtests[S]
	T
}](t S, c Config) {
	c, told := c.withDefaults(), newTold()
	for _, k := range Cases() {
		t.Run(k.Name, func(t S) { told.run(k, t, c) })
	}
}

func (c Config) withDefaults() Config {
	if c.Start == nil {
		c.Start = startBinary(c.Binary)
	}
	if c.Timeout == 0 {
		c.Timeout = time.Minute
	}
	return c
}

// Result is the outcome of one case.
type Result struct {
	Case    Case
	Failed  bool
	Skipped bool
	Lines   []string // what went wrong or was remarked, in order
	Seconds float64
}

// Check runs all cases without package testing and calls report after each. It reports whether none failed.
func Check(c Config, report func(Result)) bool {
	passed := true
	c, told := c.withDefaults(), newTold()
	for _, k := range Cases() {
		start := time.Now()
		r := check(k, c, told)
		r.Seconds = time.Since(start).Seconds()
		passed = passed && !r.Failed
		report(r)
	}
	return passed
}

func check(k Case, c Config, told *told) Result {
	t := &recorder{}
	done := make(chan struct{})
	go func() { // a goroutine of its own, for Fatalf to end
		defer close(done)
		told.run(k, t, c)
	}()
	<-done
	return Result{Case: k, Failed: t.failed, Skipped: t.skipped, Lines: t.lines}
}

// recorder is the T of Check.
type recorder struct {
	failed, skipped bool
	lines           []string
}

func (r *recorder) Helper() {}
func (r *recorder) Logf(format string, args ...any) {
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}
func (r *recorder) Errorf(format string, args ...any) {
	r.failed = true
	r.Logf(format, args...)
}
func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}
func (r *recorder) Skipf(format string, args ...any) {
	r.skipped = true
	r.Logf(format, args...)
	runtime.Goexit()
}

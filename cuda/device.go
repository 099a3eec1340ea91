package cuda

// device.go holds what a device is: memory with a budget. Work on it is done by its queues (queue.go); how a step uses several devices
// is in step.go.

// The kinds of device.
const (
	KindCPU = "cpu"
	KindFar = "far"  // cuda/far: the device for tests of placement
	KindGPU = "cuda" // cuda/gpu: NVIDIA's
)

// MaxDevices is how many devices one step can use.
const MaxDevices = 16

// Device is memory that tensors lie in. Its methods may be called from any goroutine.
type Device interface {
	Name() string
	Kind() string
	// Alloc gives zeroed memory, aligned to 64 bytes. A *BudgetError says that the budget does not allow it, also once what queues
	// are about to free is free.
	Alloc(bytes int64, p Purpose) (Memory, error)
	// Free gives memory back at once: nothing in a queue may use it. See Queue.Free.
	Free(Memory)
	Usage() Usage
	// SetBudget changes what Alloc may give in total; 0 is no limit. Below what is used, Alloc fails until enough is freed.
	SetBudget(bytes int64)
	// Layout is the form in which the device wants a matrix that the memory of this process holds in another, or in this one: a
	// device that computes on that memory then needs no copy.
	Layout(m Matrix) *Layout
	NewQueue() Queue
	Rates() Rates
}

// Worker is a Device whose ops need memory of their own while they run. Its queues, which are Benches, have it from Step.Reserve on.
type Worker interface {
	// Work is the bytes that an op needs. Its operands have shapes and no elements.
	Work(op *Op) int64
}

// Bench is a Queue of a Worker.
type Bench interface {
	// Room takes so many bytes for ops to work with, in place of what was taken before. No op is in the queue.
	Room(bytes int64) error
}

// Rates is what a planner needs to know of a device's speed. 0 is unlimited or unknown.
type Rates struct {
	Copy  float64 // bytes/s between this process's memory and the device
	Read  float64 // bytes/s at which its ops read weights
	FLOPS float64 // f32 operations/s
}

// LostError says that a device cannot be used any more by this process: it is gone, or a kernel did what it must not or does not end.
type LostError struct {
	Device string
	Err    error
}

func (e *LostError) Error() string { return e.Device + " is lost: " + e.Err.Error() }

func (e *LostError) Unwrap() error { return e.Err }

// OnHost says whether a device computes on the memory of this process, where tensors have no device.
func OnHost(d Device) bool { return d == nil || d.Kind() == KindCPU }

// memoryOf is what the tensors of a device say.
func memoryOf(d Device) Device {
	if OnHost(d) {
		return nil
	}
	return d
}

func placeOf(d Device) string {
	if d == nil {
		return KindCPU
	}
	return d.Name()
}

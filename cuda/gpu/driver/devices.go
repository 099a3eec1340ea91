package driver

import "fmt"

// Info is what is known of a device.
type Info struct {
	Ordinal         int
	Name            string
	UUID            string
	PCI             string // where it sits: 0000:65:00.0
	Major, Minor    int    // compute capability
	Multiprocessors int
	Shared          int   // bytes of shared memory that one block may ask for
	SharedAll       int   // bytes of shared memory of a multiprocessor
	Threads         int   // that a multiprocessor can hold
	L2              int   // bytes
	Memory          int64 // bytes
	CopyEngines     int   // copies that can go on beside kernels
	Pools           bool  // whether there are AllocAsync and List.Free
	ReadOnly        bool  // whether Context.Register takes memory that nobody writes to
	Driver          int   // 13000 is CUDA 13.0
}

// Devices tells of every device that the driver shows, without a context on any. The error says in a sentence why there is none.
func Devices() ([]Info, error) {
	if err := Probe(); err != nil {
		return nil, err
	}
	return every()
}

// OldestCapability is the compute capability that the kernels are compiled for: Ampere.
const OldestCapability = 8

// Name is what the device of an ordinal is called.
func Name(ordinal int) string { return fmt.Sprintf("gpu.%d", ordinal) }

// Ordinal is Name's inverse.
func Ordinal(name string) (ordinal int, ok bool) {
	n, err := fmt.Sscanf(name, "gpu.%d", &ordinal)
	return ordinal, n == 1 && err == nil && name == Name(ordinal)
}

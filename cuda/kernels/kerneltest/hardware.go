//go:build cuda

package kerneltest

import (
	"fmt"
	"os"
	"sync"
	"testing"
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/gpu"
)

// hardware.go runs ops on the machine's own GPU instead, as its queues do.

// EnvHardware has the machine's own driver and GPU used where it is set.
const EnvHardware = "PIO_GPU_HARDWARE"

func onHardware() bool { return os.Getenv(EnvHardware) != "" }

// gpus are the first GPU in exact and in fast numerics, for the life of the test's process.
var gpus = map[bool]func() (*gpu.Device, error){
	false: sync.OnceValues(func() (*gpu.Device, error) { return gpu.Open(gpu.Options{}) }),
	true:  sync.OnceValues(func() (*gpu.Device, error) { return gpu.Open(gpu.Options{Fast: true}) }),
}

// openHardware takes the properties of the GPU, since a plan for another would not be its.
func openHardware(t testing.TB, fast bool) *Machine {
	t.Helper()
	d, err := gpus[fast]()
	if err != nil {
		t.Fatal(err)
	}
	return &Machine{Properties: d.Properties()}
}

// desk is a GPU with the operands of one op.
type desk struct {
	d    *gpu.Device
	q    cuda.Queue
	mem  []cuda.Memory
	put  map[unsafe.Pointer]cuda.Tensor // where an operand of the host lies
	back [][2]cuda.Tensor               // results: the host's and the device's
	err  error
}

// hardware is Do there.
func (m *Machine) hardware(op *cuda.Op) error {
	d, err := gpus[m.Fast]()
	if err != nil {
		return err
	}
	k := &desk{d: d, q: d.NewQueue(), put: map[unsafe.Pointer]cuda.Tensor{}}
	defer k.close()
	there := *op
	out, in, weights := there.Operands()
	for i := range out {
		host := out[i]
		if out[i] = k.tensor(host); !host.IsZero() {
			k.back = append(k.back, [2]cuda.Tensor{host, out[i]})
		}
	}
	for i := range in {
		in[i] = k.tensor(in[i])
	}
	for i := range weights {
		weights[i] = k.matrix(weights[i])
	}
	if op.Experts != nil {
		there.Experts = &cuda.ExpertTable{Experts: make([]cuda.Expert, len(op.Experts.Experts))}
		for i, e := range op.Experts.Experts {
			there.Experts.Experts[i] = cuda.Expert{Gate: k.matrix(e.Gate), Up: k.matrix(e.Up), Down: k.matrix(e.Down)}
		}
	}
	if k.err != nil {
		return k.err
	}
	k.q.Run(&there)
	for _, pair := range k.back {
		k.q.CopyOut(pair[0], pair[1])
	}
	return k.q.Sync()
}

func (k *desk) take(bytes int64) cuda.Memory {
	mem, err := k.d.Alloc(bytes, cuda.ForScratch)
	if err != nil && k.err == nil {
		k.err = err
	}
	k.mem = append(k.mem, mem)
	return mem
}

func (k *desk) tensor(host cuda.Tensor) cuda.Tensor {
	if host.IsZero() || k.err != nil {
		return host
	}
	if t, ok := k.put[host.Pointer()]; ok && host.Bytes() > 0 && t.SameShape(host) {
		return t // an operand that is also a result
	}
	shape := make([]int, host.NDim())
	for i := range shape {
		shape[i] = host.Dim(i)
	}
	t, err := cuda.DeviceTensor(k.d, k.take(host.Bytes()), 0, host.DType(), shape...)
	if err != nil {
		k.err = err
		return host
	}
	k.q.CopyIn(t, host)
	k.put[host.Pointer()] = t
	return t
}

func (k *desk) matrix(host cuda.Matrix) cuda.Matrix {
	if host.IsZero() || k.err != nil {
		return host
	}
	m, err := host.Layout.Lay(k.d, k.take(host.Layout.DeviceBytes(host.Rows, host.Cols)), 0, host.Rows, host.Cols)
	if err != nil {
		k.err = fmt.Errorf("%v: %w", host, err)
		return host
	}
	k.q.Fill(m, host)
	return m
}

func (k *desk) close() {
	_ = k.q.Sync() // what went wrong was told
	for _, mem := range k.mem {
		k.d.Free(mem)
	}
	k.q.Close()
}
